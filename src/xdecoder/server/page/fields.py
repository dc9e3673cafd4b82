"""The options of a verb as fields of a form: their names, kinds, defaults and words are its body's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from xdecoder.server.bodies import BODIES

_NONE = re.compile(r"\bNone\b")


def option_fields(verb: str, names: Iterable[str]) -> str:
    """Fields for options, folded away, as HTML.

    Args:
        verb: one of `BODIES`.
        names: of the options, which are fields of that verb's body.
    """
    schemas: Mapping[str, Any] = BODIES[verb].model_json_schema()["properties"]
    rows = "".join(_field(verb, name, schemas[name]) for name in names)
    return f'<details class="options"><summary>Options</summary>{rows}</details>'


def _field(verb: str, name: str, schema: Mapping[str, Any]) -> str:
    """One option with its label, and what its record says of it, whose None is an empty field here."""
    key, said = f"{verb}-{name}", _NONE.sub("empty", schema.get("description", "")).replace("`", "")
    own = f'id="{key}" name="{name}"' + (f' aria-describedby="{key}-hint"' if said else "")
    hint = f'<p class="hint" id="{key}-hint">{escape(said[:1].upper() + said[1:])}</p>' if said else ""
    label = f'<label for="{key}">{escape(name.replace("_", " ").capitalize())}</label>'
    kind, default = _kind(schema), schema.get("default")
    if kind == "choice":
        options = "".join(
            f"<option{' selected' if value == default else ''}>{escape(value)}</option>"
            for value in schema["enum"]
        )
        return f"<div>{label}<select {own}>{options}</select>{hint}</div>"
    if kind == "boolean":
        checked = " checked" if default else ""
        return f'<div class="check"><input type="checkbox" {own}{checked}>{label}{hint}</div>'
    value = "" if default is None else f' value="{escape(str(default))}"'
    if kind == "text":
        return f'<div>{label}<input type="text" {own}{value} autocomplete="off">{hint}</div>'
    step = "1" if kind == "integer" else "any"
    return f'<div>{label}<input type="number" {own}{value} step="{step}">{hint}</div>'


def _kind(schema: Mapping[str, Any]) -> str:
    """What a field takes: "choice", "boolean", "integer", "number" or "text"."""
    if "enum" in schema:
        return "choice"
    kinds = {option.get("type") for option in schema.get("anyOf", (schema,))}
    return next((kind for kind in ("boolean", "integer", "number") if kind in kinds), "text")
