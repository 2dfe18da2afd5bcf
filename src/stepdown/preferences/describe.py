"""Every effective value with the place it came from: what ``stepdown preferences`` shows."""

import json
from collections.abc import Iterator, Mapping

import msgspec

from stepdown.policy import Policy
from stepdown.preferences.reading import redacted
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.preferences.validate import MODEL_KEYS, NOT_IN_FILES

DEFAULT = "default"


class Row(msgspec.Struct, frozen=True):
    """One value: its dotted key, the value as it is written in a file, and ``.gsd/PREFERENCES.md:12`` or ``default``."""

    key: str
    value: str
    origin: str


def describe(preferences: Preferences) -> list[Row]:
    """Everything that is ours, set or not, in the schema's order. What looks like a key or a password is hidden."""
    rows: list[Row] = []
    for name in preferences.__struct_fields__:
        if name in NOT_IN_FILES:
            continue
        value = getattr(preferences, name)
        if name == "models":
            value = {key: value.get(key) for key in MODEL_KEYS}
        rows += _rows(name, value, preferences.origins)
        if name == "dynamic_routing":
            rows += _rows("dynamic_routing.thresholds", preferences.policy, preferences.origins)
    return rows


def _rows(key: str, value: object, origins: Mapping[str, str]) -> Iterator[Row]:
    if isinstance(value, ModelChoice):
        yield Row(key, _model(value), _origin(key, origins))
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _rows(f"{key}.{name}", getattr(value, name), origins)
    elif isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _rows(f"{key}.{name}", inner, origins)
    elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct) and not isinstance(value[0], Policy):
        for index, inner in enumerate(value):
            yield from _rows(f"{key}[{index}]", inner, origins)
    else:
        yield Row(key, _written(value), _origin(key, origins))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Where the value itself was set; items of a list that has only one place share the list's."""
    if key in origins:
        return origins[key]
    parent = key.rpartition("[")[0]
    return origins[parent] if parent in origins and parent.endswith("_hooks") else DEFAULT


def _model(choice: ModelChoice) -> str:
    provider = f" at {choice.provider}" if choice.provider else ""
    fallbacks = f", then {', '.join(choice.fallbacks)}" if choice.fallbacks else ""
    return f"{choice.model}{provider}{fallbacks}"


def _written(value: object) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, str):
        return redacted(value if value.isprintable() else json.dumps(value, ensure_ascii=False))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return redacted(json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False))
