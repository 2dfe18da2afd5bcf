"""A unit and the preferences → what there is to check its work by (SPEC 8, Verification). Pure, and never an exception.

Plans say it in prose with commands in backticks, or in fenced blocks. Reading too much would fail good work, so a command is
taken only where it is clearly one, and a search that is to find *nothing* is judged the other way round.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from stepdown.dispatch.shell import is_command, is_complete, is_quiet, is_search, trimmed, why_left_out
from stepdown.plan_text import EntryScan, Section
from stepdown.preferences.schema import Preferences
from stepdown.units import Phase, Unit

Kind = Literal["command", "file", "change", "agent"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at when an attempt is over.

    Attributes:
        kind: ``command``, ``file``, ``change`` or ``agent``.
        what: the shell text, the path relative to the work's directory, or what is looked at in words.
        source: where it comes from: ``Verify line``, ``verification_commands (.gsd/PREFERENCES.md:12)``.
        asks: whether it runs only with the user's word, because it stands in a file of the project.
        finds_nothing: for a search: whether it is right when it finds nothing.
        left_out: why it is not looked at; "" where it is.
    """

    kind: Kind
    what: str
    source: str
    asks: bool = False
    finds_nothing: bool = False
    left_out: str = ""


VERIFY_LINE: Final = "Verify line"
VERIFICATION: Final = "## Verification"
EXPECTED_OUTPUT: Final = "## Expected Output"
WRITTEN: Final = "what such a unit writes"
AGENT: Final = "the agent"

_TASKS: Final = frozenset({"execute-task", "reactive-execute"})
_MOST_LINES: Final = 2_000
_LINE: Final = 4_000
"""Characters of a line that are looked at."""
_LONGEST: Final = 2_000
"""Characters of a command; a longer one is not run."""
_FENCE: Final = re.compile(r"\s*(?:[-*+]\s+)?(`{3,}|~{3,})\s*([\w+-]*)")
_SHELLS: Final = frozenset({"bash", "sh", "shell", "zsh", "console", "shell-session", "shellsession", "terminal"})
_HEADING: Final = re.compile(r"(#{1,6})\s+(.*)")
_VERIFICATION_HEADING: Final = re.compile(r"verif(?:y|ication)\b", re.IGNORECASE)
_OUTPUT_HEADING: Final = re.compile(r"expected\s+outputs?\b", re.IGNORECASE)
_LABEL: Final = re.compile(r"(\s*)(?:[-*+]\s+)?[*_]*verif(?:y|ication)[*_]*\s*[:\uff1a][*_]*\s*(.*)", re.IGNORECASE)
_SPAN: Final = re.compile(r"(?<!`)(`{1,2})(?!`)(.{1,2000}?)(?<!`)\1(?!`)")
_DISMISSED: Final = re.compile(
    r"(?:\b(?:not|never|avoid|instead of|rather than|without|like|previously|formerly)|n't)\s+"
    r"(?:to\s+)?(?:run|running|use|using)?\s*\Z",
    re.IGNORECASE,
)
_PROMPT: Final = re.compile(r"\s*\$\s+")
_STATEFUL: Final = re.compile(
    r"(?:for|while|until|if|case|function|set|export|source|alias|trap|cd|pushd|\.)\b(?!.*&&)|[A-Za-z_]\w*=\S*\s*\Z|\{|\w+\(\)|.*<<"
)
_NOTHING: Final = re.compile(
    r"\b(?:zero|nothing|none|empty|absent)\b"
    r"|\bno (?:\w+ )?(?:match\w*|hits?|results?|output|occurrences?|references?|lines?|longer|more)\b"
    r"|(?<![\d.>=\u2265<\u2264])\s*(?:^|[\s=\u2192:(])0(?![\d.])|\bnot (?:found|present|match)|\bfinds? no\b|\breturns? no\b",
    re.IGNORECASE,
)
_EXIT_0: Final = re.compile(r"\bexit\w*\s*(?:code|status)?\s*(?:is|of|=|:)?\s*0\b", re.IGNORECASE)
_EXIT_1: Final = re.compile(
    r"\b(?:exit\w*|returns?)\s*(?:code|status)?\s*(?:is|of|=|:)?\s*1\b|\bnon-?zero\b|\bfails\b", re.IGNORECASE
)
_AT_MOST: Final = re.compile(r"\u2264|<|\bat most\b|\bfewer\b|\bless than\b|\bonly\b", re.IGNORECASE)
_NEGATED: Final = re.compile(r"\b(?:no|not|zero|none|never|without|nothing)\b|n't\b", re.IGNORECASE)
_NOT_PROMISED: Final = re.compile(
    r"`\s*[\u2014\u2013:(*-]*\s*(?:is |was |are |has been )?(?:deleted|removed|renamed|gone|unchanged)"
    r"|\boptional\b|\bif needed\b",
    re.IGNORECASE,
)
_FILE_NAME: Final = re.compile(r"\.?[^/]*[^/.]\.[A-Za-z0-9_]{1,12}|\.[A-Za-z][\w.-]*|[A-Z][a-z]+file|LICENSE")
_PRODUCT: Final = re.compile(r"[A-Z][A-Za-z0-9]*\.js")
"""``Node.js``, ``Vue.js``: not a file."""


def checks_of(
    unit: Unit,
    preferences: Preferences,
    *,
    is_program: Callable[[str], bool] = lambda _: False,
    writes: Sequence[str] = (),
) -> tuple[Check, ...]:
    """What the work of `unit` is to be checked by: the plan's commands, the user's, promised files, a change, the agent's word.

    Args:
        unit: the unit.
        preferences: for ``verification_commands`` (only units that execute work have them) and the thresholds.
        is_program: whether a word names a program of this machine; without it, only well-known names and scripts count.
        writes: the plan's own files that the unit has to write (`PlanSource.outputs`). A task's summary is left to the agent.
    """
    executes = unit.phase is Phase.EXECUTION and not unit.is_hook
    commands = _unique([*_planned(unit, is_program), *(_configured(preferences) if executes else ())])
    checks = _limited(commands, preferences.policy.verify_commands)
    promised, due = _promised(unit)
    if unit.type not in _TASKS:
        checks += [Check(kind="file", what=path, source=WRITTEN) for path in writes]
    checks += [Check(kind="file", what=path, source=EXPECTED_OUTPUT) for path in promised]
    if due:
        checks.append(Check(kind="change", what="a change to the work tree", source=AGENT))
    checks.append(Check(kind="agent", what="how the agent says it went", source=AGENT))
    return tuple(checks)


def needs_consent(checks: Sequence[Check]) -> tuple[str, ...]:
    """The commands that run only with the user's word, in order: from a plan, or from preferences that the project brought.

    A user's own preferences (``~/.gsd/PREFERENCES.md``) and those built in code are that word already.
    """
    return tuple(check.what for check in checks if check.asks and not check.left_out)


def _planned(unit: Unit, is_program: Callable[[str], bool]) -> Iterator[Check]:
    for text in (unit.plan.entry, unit.plan.task):
        lines = [line[:_LINE] for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]]
        yield from _commands(_labelled(lines), VERIFY_LINE, is_program)
        yield from _commands(_section(lines, _VERIFICATION_HEADING), VERIFICATION, is_program)


def _configured(preferences: Preferences) -> Iterator[Check]:
    key = "verification_commands"
    origin = preferences.origins.get(key) or preferences.origins.get(f"{key}[0]", "")
    source = f"{key} ({origin})" if origin else key
    for command in preferences.verification_commands:
        yield Check(kind="command", what=command, source=source, asks=bool(origin) and not origin.startswith("~/"))


def _unique(checks: Sequence[Check]) -> list[Check]:
    """Each command once; one that the user asked for as well needs no further word."""
    own = {check.what for check in checks if not check.asks}
    first: dict[str, Check] = {}
    for check in checks:
        kept = first.setdefault(check.what, check)
        if kept.asks and check.what in own:
            first[check.what] = msgspec.structs.replace(kept, asks=False)
    return list(first.values())


def _limited(checks: Sequence[Check], most: int) -> list[Check]:
    """At most so many commands; the user's own come before those of the plan where not all can be run."""
    runs = [check for check in checks if not check.left_out]
    excess = [check for check in reversed(runs) if check.source in {VERIFY_LINE, VERIFICATION}] + runs[::-1]
    over = {check.what for check in list(dict.fromkeys(excess))[: max(0, len(runs) - most)]}
    reason = f"is one more than the {most} that are run (verify_commands)"
    return [msgspec.structs.replace(check, left_out=reason) if check.what in over else check for check in checks]


def _labelled(lines: Sequence[str]) -> list[str]:
    """What stands on ``Verify:`` lines, is indented below one, or stands in lists and fences right below an empty one."""
    found: list[str] = []
    depth, listed, fence = -1, False, ""
    for line in lines:
        mark = _FENCE.match(line)
        label = None if fence or mark else _LABEL.match(line)
        if label is not None:
            depth, listed = len(label[1].expandtabs(4)), not label[2].strip()
            found.append(label[2])
            continue
        indent = len(line) - len(line.lstrip())
        belongs = depth >= 0 and (
            bool(fence) or indent > depth or (listed and (mark is not None or line.lstrip()[:1] in "-*+"))
        )
        if mark is not None:
            fence = mark[1] if not fence else "" if mark[1].startswith(fence) else fence
        if belongs:
            found.append(line)
        elif line.strip():
            depth = -1
    return found


def _section(lines: Sequence[str], heading: re.Pattern[str]) -> list[str]:
    """The lines below headings of a name, up to the next heading of their level; ``#`` within fences is no heading."""
    found: list[str] = []
    level, fence = 0, ""
    for line in lines:
        mark = _FENCE.match(line)
        if mark is not None:
            fence = mark[1] if not fence else "" if mark[1].startswith(fence) else fence
        title = None if fence or mark else _HEADING.match(line)
        if title is not None and (not level or len(title[1]) <= level):
            # The title of a task ("# T03: Verification") is no section of its own.
            wanted = len(title[1]) > 1 and heading.match(title[2].strip(" *_"))
            level = len(title[1]) if wanted else 0
        elif level:
            found.append(line)
    return found


def _commands(lines: Sequence[str], source: str, is_program: Callable[[str], bool]) -> Iterator[Check]:
    """The commands of some lines: in backticks within prose, and in fenced blocks of a shell."""
    block: list[str] | None = None
    fence = language = ""
    for line in lines:
        mark = _FENCE.match(line)
        if block is not None:
            if mark is not None and mark[1].startswith(fence):
                yield from _fenced(block, language, source)
                block = None
            else:
                block.append(line)
        elif mark is not None:
            fence, language, block = mark[1], mark[2].lower(), []
        else:
            yield from _quoted(line, source, is_program)


def _quoted(line: str, source: str, is_program: Callable[[str], bool]) -> Iterator[Check]:
    spans = list(_SPAN.finditer(line))
    ends = [*(span.start() for span in spans[1:]), len(line)]
    for span, end in zip(spans, ends, strict=bool(spans)):
        command = span[2].strip()
        before = line[max(0, span.start() - 80) : span.start()].rpartition("`")[2]
        if is_command(command, is_program) and not _DISMISSED.search(before):
            yield _command(command, source, before, line[span.end() : min(end, span.end() + 80)])


def _fenced(block: Sequence[str], language: str, source: str) -> Iterator[Check]:
    """A shell's block: its commands one by one, or the whole as one script where they build on each other."""
    lines = textwrap.dedent("\n".join(block)).split("\n")
    prompted = [_PROMPT.sub("", line, count=1) for line in lines if _PROMPT.match(line)]
    if prompted:
        lines = prompted  # the others are output
    elif language not in _SHELLS or language in {"console", "shell-session", "shellsession"}:
        return
    said, part = "", ""
    found: list[Check] = []
    for line in lines:
        if not part and (not line.strip() or line.lstrip().startswith("#")):
            said = line.strip().lstrip("#").strip() or said
            continue
        if not part and _STATEFUL.match(line):
            script = "\n".join(lines).strip()
            yield Check(kind="command", what=f"set -e\n{script}", source=source, asks=True, left_out=_too_long(script))
            return
        part = f"{part}\n{line}" if part else line
        if len(part) > _LONGEST:  # a quote that is never closed would be looked through again with every line
            break
        if is_complete(part):
            command, _, remark = part.partition(" # ")
            found.append(_command(command if is_complete(command) else part, source, "", f"{remark} {said}"))
            said = part = ""
    if part.strip():
        found.append(Check(kind="command", what=part, source=source, asks=True, left_out=_too_long(part) or "is not complete"))
    yield from found


def _command(text: str, source: str, before: str, after: str) -> Check:
    """A plan's command, with what the words around it say of its result."""
    command = trimmed(text)
    left_out = why_left_out(command) or _too_long(command)
    finds_nothing = False
    if not left_out and is_search(command):
        said = re.split(r"[;,.\uff0c\u3002]\s", after, maxsplit=1)[0]
        if _EXIT_1.search(said):
            finds_nothing = True
        elif _EXIT_0.search(said) or (is_quiet(command) and re.search(r"\breturns? 0\b", said)):
            finds_nothing = False
        elif _NOTHING.search(said):
            finds_nothing = True
        elif _AT_MOST.search(said) or (_NEGATED.search(before) and not re.search(r"\d|\bfind|\bmatch|\bhas\b|\bhit", said)):
            left_out = "is a search, and what it is to find is not clear"
    return Check(kind="command", what=command, source=source, asks=True, finds_nothing=finds_nothing, left_out=left_out)


def _too_long(command: str) -> str:
    return f"has more than {_LONGEST} characters" if len(command) > _LONGEST else ""


def _promised(unit: Unit) -> tuple[list[str], bool]:
    """The files that have to be there afterwards; and whether the plan names any that the work would change."""
    lines = [line[:_LINE] for line in unit.plan.task.split("\n", _MOST_LINES)[:_MOST_LINES]]
    named: dict[str, str] = {}
    for line in _section(lines, _OUTPUT_HEADING):
        if not _NOT_PROMISED.search(line):
            named |= Section("outputs", f"\n{line}").paths()
    changes = bool(named) or bool(EntryScan(unit.plan.entry).files)
    files = [path for path, state in named.items() if state != "existing" and _is_file_name(path)]
    return files, changes and unit.type in _TASKS


def _is_file_name(path: str) -> bool:
    """Whether a path is a definite one within the project, not a pattern or a placeholder."""
    if path.startswith(("/", "~", "..")) or "/../" in path or re.search(r"[*?<>{}\[\]$\u2026]|\.\.\.|XX|NN", path):
        return False
    if path.endswith("/"):
        return True
    return _FILE_NAME.fullmatch(path.rpartition("/")[2]) is not None and not _PRODUCT.fullmatch(path)
