"""Values that satisfy a JSON schema: what the practice model fills in where a client wants a form instead of words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from stepdown.agents.program import mapping, records

_WORD: Final = "practice"
_DEEPEST: Final = 8
"""Levels; a schema may refer to itself without end."""

_PLAIN: Final[Mapping[str, object]] = {"integer": 1, "number": 1.0, "boolean": True, "null": None}


def filled(schema: Mapping[str, Any]) -> Any:
    """A value that satisfies `schema`, as far as types, enumerations, required lengths of lists and references go."""
    return _value(schema, schema, _DEEPEST)


def _value(schema: object, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or not depth:
        return _WORD
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _value(mapping(root, "$defs").get(name) or mapping(root, "definitions").get(name), root, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if choices := records(schema.get(key)):
            return _value(choices[0], root, depth - 1)
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return {name: _value(part, root, depth - 1) for name, part in mapping(schema, "properties").items()}
    if kind == "array":
        least = schema.get("minItems")
        wanted = min(least, 10) if isinstance(least, int) else 0
        return [_value(schema.get("items"), root, depth - 1) for _ in range(wanted)]
    return _PLAIN.get(kind, _WORD) if isinstance(kind, str) else _WORD
