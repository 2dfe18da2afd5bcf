"""Writes docs/reference/preferences.md from the schema: every key, its type, its default, its meaning.

``python scripts/reference.py`` writes it; with ``--check`` it only says whether the page is current (exit 1 if not).
"""

import collections.abc
import enum
import inspect
import json
import re
import sys
import typing
from pathlib import Path

import msgspec

from stepdown.policy import Policy
from stepdown.preferences import schema
from stepdown.preferences.reading import bare_type, bound, record_fields
from stepdown.preferences.validate import MODEL_KEYS, SECTIONS
from stepdown.units import Tier

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "preferences.md"

INTRODUCTION = """\
# Preferences

<!-- Generated from src/stepdown/preferences/schema.py and policy.py by scripts/reference.py; edit there. -->

## Where they are read

The strongest first. Of the two spellings of a GSD file the first that exists counts.

| file | for |
|---|---|
| `.gsd/PREFERENCES.md`, `.gsd/preferences.md` in the project | a project planned with GSD: YAML between two lines `---` |
| `stepdown.yaml` in the project | a project without GSD: the same keys as plain YAML |
| `~/.gsd/PREFERENCES.md`, `~/.gsd/preferences.md` | you, in every project |
| `~/.stepdown/stepdown.yaml` | you, in every project, without GSD |

`--assume FILE` takes the place of the project's two files; yours still apply.

- The stronger file wins key by key, three levels deep (`providers.openai.base_url`). A model with its `provider` and
  `fallbacks`, a price, and every list is one value and is replaced whole.
- A key that is empty, null, `""`, `[]` or `{}` is not set: it neither counts nor overrides. (`providers: {openai: {}}` does
  list openai.)
- `dynamic_model_routing: true|false` is another way to write `dynamic_routing.enabled`; in one file both may not differ.
- `token_profile` sets `phases.skip_*` where `phases` does not say.
- Numbers may stand in quotes. `yes`, `no`, `on` and `off` without quotes are true and false where that is expected; elsewhere
  words are words.
- Keys that belong to GSD are left alone, also inside `models`, `dynamic_routing`, `phases` and hooks. What looks like one of
  the keys below but is not is warned about at the top level, and is an error inside a section.
- A file may have 1 MB, is UTF-8 (with or without a byte order mark), sets no key twice, and uses no YAML tags.

## What a project's file may not decide alone

A repository brings its preferences along, and whoever wrote them may not be you. These count once you have agreed to them: when
`run`, `serve` or `exec` asks in a terminal, or with `--trust` (`STEPDOWN_TRUST=yes`; for `run` also `--yes`). Without either,
one line names what is asked for, with exit code 2, and nothing runs. A value that changes is asked about again. What your own
files say is never asked about.

- `providers.*.base_url` that leads neither to this machine nor to the provider's own address: your key would go there.
- `providers.*.api_key_env` other than the provider's own variables, unless it stays on this machine: its value would be sent.
- `agents.*.command`, `agents.*.args`, and a `permission_mode` that reaches beyond the project (`bypassPermissions`, `auto`,
  `danger-full-access`), of the agent that `run` starts.
- `trust_plan_commands`: the commands of a plan run with your word alone.

What you have agreed to is in `~/.stepdown/agreed`, a file each; remove one to be asked again. It is not in the ledger, which a
team may share.

What is wrong is reported with file, line and key, all of it at once, exit code 2, and nothing runs.
`stepdown preferences` shows every effective value and the line it came from.
"""

SECTION_NOTES = {
    "models": f"A model's name, or `{{model, provider, fallbacks}}`. Keys: {', '.join(f'`{key}`' for key in MODEL_KEYS)}. "
    "Where `discuss` or `validation` is not set, `planning` counts; for `subagent`, `execution`; then `default`.",
    "dynamic_routing.tier_models": f"Keys: {', '.join(f'`{tier}`' for tier in Tier)}. Values as in `models`.",
    "catalog": "By model id: `{provider, tier, context, output, features, protocols, aliases, price: {input, output, "
    "cache_read, cache_write}}`; prices in US dollars per million tokens.",
    "phases": "Other keys here are GSD's; a value that is neither true nor false is ignored with a warning.",
    "post_unit_hooks": "A hook that cannot work is left out with a warning, as GSD does.",
    "pre_dispatch_hooks": "A hook that cannot work is left out with a warning, as GSD does.",
}


def meanings(record: type[msgspec.Struct]) -> dict[str, str]:
    """What each field means, from the ``Attributes:`` of the record's docstring."""
    text = inspect.getdoc(record) or ""
    _, _, attributes = text.partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", attributes, flags=re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}


def type_name(kind: typing.Any) -> str:
    """A type in the words of someone who writes the file."""
    kind, limits = bare_type(kind)
    if kind in {int, float}:
        return f"{'whole number' if kind is int else 'number'}{bound(limits)}"
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if origin is tuple:
        inner = bare_type(typing.get_args(kind)[0])[0]
        return "list of sections, below" if is_record(inner) else "list of numbers" if inner is float else "list of text"
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return "section"
    return {bool: "true or false", str: "text", schema.ModelChoice: "model"}.get(kind, "section")


def is_record(kind: object) -> bool:
    """Whether a type is one of the schema's records."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The default as it would be written in the file."""
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or value in ("", (), {}) or is_record(type(value)):
        return ""
    if isinstance(value, enum.Enum):
        return f"`{value}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def table(record: type[msgspec.Struct], names: typing.Iterable[str]) -> str:
    """The keys of a record."""
    fields, meaning = record_fields(record), meanings(record)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name in names:
        said = meaning[name].replace("``", "`").replace("|", r"\|")
        rows.append(f"| `{name}` | {type_name(fields[name].type)} | {default_of(fields[name])} | {said} |")
    return "\n".join(rows)


def record_in(kind: typing.Any) -> type[msgspec.Struct] | None:
    """The record that a section, a list or a mapping of a type is made of; None where there is none."""
    kind = bare_type(kind)[0]
    if is_record(kind):
        return typing.cast("type[msgspec.Struct]", kind)
    inner = [record_in(argument) for argument in typing.get_args(kind) if argument is not Ellipsis]
    return next((record for record in inner if record is not None), None)


def page() -> str:
    """The whole page."""
    fields = record_fields(schema.Preferences)
    parts = [INTRODUCTION, "## Every key\n", table(schema.Preferences, SECTIONS), ""]
    for name in SECTIONS:
        record = record_in(fields[name].type)
        if record is None and name not in SECTION_NOTES:
            continue
        kind = bare_type(fields[name].type)[0]
        origin = typing.get_origin(kind)
        suffix = "[]" if origin is tuple else ".NAME" if record is not None and origin is not None else ""
        parts.append(f"### `{name}{suffix}`\n")
        if name in SECTION_NOTES:
            parts.append(f"{SECTION_NOTES[name]}\n")
        if record is not None:
            parts += [table(record, record_fields(record)), ""]
        if name == "dynamic_routing":
            parts += ["#### `dynamic_routing.tier_models`\n", f"{SECTION_NOTES['dynamic_routing.tier_models']}\n"]
            parts += ["#### `dynamic_routing.thresholds`\n", "The numbers that decide; SPEC is the behaviour as specified.\n"]
            parts += [table(Policy, record_fields(Policy)), ""]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    wanted = page()
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE.name} is not current; run: python scripts/reference.py", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
