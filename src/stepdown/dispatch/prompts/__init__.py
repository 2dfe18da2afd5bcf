"""What an agent is told: one template per unit type, filled with the plan's texts, bounded, with what was left out named.

The stable part comes first (rules, the project's documents) so that providers can cache it; then the unit itself. A user
overrides a template by a file of the same name in ``<project>/.gsd/stepdown/prompts/`` or ``~/.stepdown/prompts/``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

import msgspec

from stepdown.errors import UsageError
from stepdown.policy import Policy
from stepdown.units import Unit

TEMPLATES: Final = Path(__file__).parent
"""Where the built-in templates are."""

PLACEHOLDERS: Final = ("rules", "documents", "unit", "unit_id", "unit_type", "title", "task", "files", "left_out")
"""What a template may contain, each written ``$name``; ``docs/how-to/prompts.md`` says what they become."""

IMPORTANCE: Final = ("task_plan", "entry", "slice_plan", "summaries", "roadmap", "research", "context")
"""Which texts go in first when not all fit; any others come after these."""

_CHANGING: Final = frozenset({"task_plan", "entry", "summaries"})
"""Texts that belong to this unit and not to its neighbours: they come after the stable ones."""

_WORTH_CUTTING: Final = 400
"""A text is cut to what is left only if at least this many characters of it would remain; otherwise it is dropped."""

_FAMILIES: Final = ("hook", "discuss", "subagent")
_LONGEST_TITLE: Final = 300


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, and how it came about.

    Attributes:
        text: what the agent is told.
        template: the file it was made from.
        left_out: what did not fit, one entry each: ``research (12000 characters)``; the text says it as well.
    """

    text: str
    template: str
    left_out: tuple[str, ...] = ()


def build_prompt(
    unit: Unit, documents: Mapping[str, str], writes: Sequence[str], policy: Policy, overrides: Sequence[Path] = ()
) -> Prompt:
    """The prompt for one unit.

    Args:
        unit: what is to be done.
        documents: the plan's texts by name, stable ones first, as `PlanSource.documents` gives them.
        writes: the plan's own files that have to exist afterwards, relative to the project.
        policy: `prompt_characters` bounds how much of the plan's texts is told.
        overrides: directories with the user's templates, the strongest first.

    Raises:
        UsageError: a template cannot be read, or has a placeholder that does not exist.
    """
    template = _find(template_names(unit.type), overrides)
    rules = _find(("rules.md",), overrides)
    texts = dict(documents)
    if not texts.get("task_plan") and unit.plan.entry:
        texts["entry"] = unit.plan.entry
    kept, left_out = _bounded({name: text for name, text in texts.items() if text.strip()}, policy.prompt_characters)
    stable = {name: text for name, text in kept.items() if name not in _CHANGING}
    filled = _template(template).substitute(
        rules=_plain(rules).strip(),
        documents="\n\n".join(_document(name, text) for name, text in stable.items()),
        unit=name_of(unit),
        unit_id=unit.id,
        unit_type=unit.type,
        title=_title(unit),
        task=_task(kept),
        files=_files(writes),
        left_out=_notice(left_out),
    )
    return Prompt(text=_tidy(filled), template=str(template), left_out=tuple(left_out))


def template_names(unit_type: str) -> tuple[str, ...]:
    """The file names under which a template for this type is looked for, the most particular first."""
    family = next((name for name in _FAMILIES if unit_type.startswith((f"{name}/", f"{name}-"))), "")
    return (f"{unit_type.replace('/', '-')}.md", *((f"{family}.md",) if family else ()), "default.md")


def name_of(unit: Unit) -> str:
    """What a prompt's ``## UNIT:`` line calls it: ``Execute Task T01``."""
    words = unit.type.replace("/", " ").replace("-", " ").title()
    return f"{words} {unit.id.rpartition('/')[2]}".strip()


def _find(names: Sequence[str], overrides: Sequence[Path]) -> Path:
    """The first template there is: the user's before ours, the particular before the general."""
    for name in names:
        for folder in (*overrides, TEMPLATES):
            path = folder / name
            if path.is_file():
                return path
    raise UsageError(f"there is no template {names[-1]} in {TEMPLATES}; stepdown is not installed completely")


def _plain(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UsageError(f"{path}: this template is not UTF-8 text") from problem
    except OSError as problem:
        raise UsageError(f"{path}: this template cannot be read: {problem.strerror}") from problem


def _template(path: Path) -> Template:
    text = _plain(path)
    valid = ", ".join(f"${name}" for name in PLACEHOLDERS)
    for number, line in enumerate(text.splitlines(), 1):
        template = Template(line)
        unknown = [name for name in template.get_identifiers() if name not in PLACEHOLDERS] if template.is_valid() else []
        if unknown:
            raise UsageError(f"{path}:{number}: there is no placeholder ${unknown[0]}; there are {valid}")
        if not template.is_valid():
            raise UsageError(f"{path}:{number}: a $ that begins no placeholder is written $$; placeholders are {valid}")
    return Template(text)


def _bounded(texts: Mapping[str, str], most: int) -> tuple[dict[str, str], list[str]]:
    """The texts that fit into `most` characters, in the order given, and what was left out of which."""
    ranks = {name: rank for rank, name in enumerate(IMPORTANCE)}
    kept: dict[str, str] = {}
    left_out: list[str] = []
    room = most
    for name in sorted(texts, key=lambda name: ranks.get(name, len(ranks))):
        text = texts[name]
        if len(text) > room:
            part = text[:room].rpartition("\n")[0] or text[:room]
            if len(part) < _WORTH_CUTTING:
                left_out.append(f"{_spoken(name)} ({len(text)} characters)")
                continue
            left_out.append(f"{_spoken(name)} (cut after {len(part)} of {len(text)} characters)")
            text = part
        kept[name] = text
        room -= len(text)
    return {name: kept[name] for name in texts if name in kept}, left_out


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _title(unit: Unit) -> str:
    line = " ".join(unit.title.split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1]}…"


def _document(name: str, text: str) -> str:
    """A text of the plan, set apart so that its headings are not taken for the prompt's own."""
    inside = text.strip().replace("</document", "< /document")
    return f'<document name="{_spoken(name)}">\n{inside}\n</document>'


def _task(kept: Mapping[str, str]) -> str:
    parts = []
    if "summaries" in kept:
        parts.append("What was done before:\n\n" + _document("summaries", kept["summaries"]))
    own = kept.get("task_plan") or kept.get("entry")
    if own:
        parts.append("Its plan:\n\n" + own.strip())
    return "\n\n".join(parts)


def _files(writes: Sequence[str]) -> str:
    if not writes:
        return ""
    return "## Files to write\n\nThese have to exist when you are done:\n\n" + "\n".join(f"- `{path}`" for path in writes)


def _notice(left_out: Sequence[str]) -> str:
    if not left_out:
        return ""
    return (
        "## Left out\n\nNot all of the plan fitted here. Read these in the project's files if you need them: "
        + "; ".join(left_out)
        + "."
    )


def _tidy(text: str) -> str:
    """Without the gaps that empty placeholders leave."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if line.strip() or (lines and lines[-1].strip()):
            lines.append(line)
    return "\n".join(lines) + "\n"
