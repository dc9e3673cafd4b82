"""Tables of LanceDB, as other processes make them meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table


def open_table(database: DBConnection, name: str) -> Table | None:
    """A table; None where there is none.

    One that another process is making is listed a moment before it can be opened: it is not there yet.
    """
    if name not in database.list_tables().tables:
        return None
    try:
        return database.open_table(name)
    except ValueError as error:
        if "was not found" in str(error):
            return None
        raise
