"""Checks the types of the package's calls while the tests run (see `addopts` in pyproject.toml)."""

from beartype import BeartypeConf, beartype

typechecked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers say
