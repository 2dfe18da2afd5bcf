"""``stepdown reset``: what was learned no longer counts; and the preference that says the same."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.screen import say
from stepdown.cli.trail import leave_word
from stepdown.errors import UsageError
from stepdown.ledger import Ledger, open_ledger
from stepdown.ledger.rules import Forgotten
from stepdown.preferences.schema import Preferences

_ALL = sys.maxsize
_NAMED = 6
"""Patterns that are named before the question; the others are a number."""
_SETTING = "dynamic_routing_reset"
_EVERYWHERE = ""
"""In place of a project: the user's own preferences, which hold for all of them."""


@click.command("reset", short_help="Forget what was learned, of one pattern or of all.")
@click.argument("pattern", required=False)
@click.option("--project", type=TREE, help="Only what was learned in this project; default: in all of them.")
@click.option("--yes", is_flag=True, help="Forget everything without asking.")
def command(*, pattern: str | None, project: Path | None, yes: bool) -> None:
    """Forget what was learned of PATTERN (execute-task:docs; a unit type stands for all its tags), or everything.

    Outcomes and ratings up to now no longer decide where a unit starts, and a pattern that stood down is tried again. The
    ledger keeps them, and what units cost and use is known as before; `stepdown learned` shows what counts.
    """
    where = None if project is None else project_at(project)
    with open_ledger(create=False) as ledger:
        done = ledger.newest_of_patterns(where or project_at(Path()), units=1)
        learned = {record.attempt.pattern: 0 for record in done} | events_by_pattern(ledger, where)
        wanted = Forgotten(pattern=pattern, project=where, at=0.0)
        covered = {name: count for name, count in learned.items() if wanted.covers_pattern(name)}
        if not covered:
            if pattern is not None:
                raise UsageError(_unknown(pattern, learned))
            say(f"Nothing is learned{'' if where is None else f' in {where}'}, so there is nothing to forget.")
            return
        if pattern is None and not yes and not _confirmed(covered):
            say("Nothing was forgotten.")
            return
        forgotten = ledger.forget(pattern, time.time(), project=where)
        leave_word(ledger, "forgotten", f"{pattern or 'everything learned'}{'' if where is None else f' in {where}'}")
    if forgotten:
        say(f"Forgotten: {_named(covered, forgotten)}. The ledger keeps them; they no longer decide anything.")
    else:
        say(f"Forgotten: what units of {', '.join(covered)} cost, so that routing is tried again for them.")


def events_by_pattern(ledger: Ledger, project: str | None = None) -> dict[str, int]:
    """How many events and ratings count per pattern, most first; in all projects, or in one."""
    counts = {
        name: sum(project is None or event.project == project for event in events)
        for name, events in ledger.evidence(limit=_ALL).items()
    }
    return {name: count for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}


def reset_due(ledger: Ledger, preferences: Preferences, project: str) -> bool:
    """Whether ``dynamic_routing_reset`` has been set, and not acted on since."""
    return any(says for _, says, _ in _changes(ledger, preferences, project))


def reset_if_due(ledger: Ledger, preferences: Preferences, project: str, now: float) -> Iterator[str]:
    """Act on ``dynamic_routing_reset``, once for each time that it is set; what was done, for the screen.

    In a project's file it is about what was learned in that project, in the user's own about everything. It may stay as it is:
    nothing happens again before it was false, or gone, when this was called.

    Args:
        ledger: what is known.
        preferences: the effective ones.
        project: whose they are.
        now: seconds since the epoch.
    """
    for scope, says, change in _changes(ledger, preferences, project):
        if says:
            forgotten = ledger.forget(None, now, project=scope or None)
            whose = f"in {'this project' if scope else 'all projects'} ({_events(forgotten)})"
            yield f"{_SETTING}: forgotten what was learned {whose}. This happens once; the setting may stay."
        ledger.consent(scope, change, now)


def _changes(ledger: Ledger, preferences: Preferences, project: str) -> Iterator[tuple[str, bool, str]]:
    """Where the setting differs from when it was last looked at: for whom, what it says now, and the name of that change.

    The ledger counts how often it has changed, from false; an odd number is true.
    """
    origin = preferences.origins.get(_SETTING, "")
    of_user = not origin or origin.startswith("~")
    says = {project: preferences.dynamic_routing_reset and not of_user}
    if of_user:  # a project's word hides the user's own, which may be either
        says[_EVERYWHERE] = preferences.dynamic_routing_reset
    for scope, said in says.items():
        changes = sum(what.startswith(_SETTING) for what in ledger.consents(scope))
        if said != bool(changes % 2):
            yield scope, said, f"{_SETTING} {changes + 1}"


def _confirmed(covered: Mapping[str, int]) -> bool:
    what = _named(covered, sum(covered.values()))
    if not sys.stdin.isatty():
        raise UsageError(f"this would forget {what}: without a terminal to ask on, say --yes, or name a PATTERN")
    return click.confirm(f"Forget {what}?", default=False)


def _named(covered: Mapping[str, int], events: int) -> str:
    """``34 events of execute-task:docs (20), plan-slice (14)``."""
    names = [f"{name} ({count})" for name, count in covered.items()]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{_events(events)} of {', '.join(names[:_NAMED])}{more}"


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"


def _unknown(pattern: str, learned: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415  (only for a mistyped name)

    known = dict.fromkeys([*learned, *(name.partition(":")[0] for name in learned)])
    if not known:
        return f"nothing is learned of '{pattern}', nor of anything else"
    near = difflib.get_close_matches(pattern, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(list(known)[:_NAMED])}"
    return f"nothing is learned of '{pattern}'; {hint}"
