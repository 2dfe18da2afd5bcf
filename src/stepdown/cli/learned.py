"""``stepdown learned``: what counts as evidence, per pattern and tier, and what it changes now."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from stepdown.agents.claude_settings import configured_model
from stepdown.cli.arguments import TREE, project_at
from stepdown.cli.reset import reset_due
from stepdown.cli.screen import print_json, print_table, say
from stepdown.cli.workspace import read_preferences
from stepdown.context import build_context
from stepdown.decision import Context
from stepdown.learning import Experience, shares, unit_type_of
from stepdown.ledger import Evidence, Rating, open_ledger
from stepdown.ledger.gsd_json import SOURCE
from stepdown.ledger.rules import day_name, day_of
from stepdown.policy import Policy
from stepdown.report.tables import Column
from stepdown.routing import Router
from stepdown.units import TIERS, Tier, type_defaults

_ROWS = 20
"""Rows of the table that fit a screen with what follows from them; ``--json`` has them all."""


@click.command("learned", short_help="What was learned, and what it changes now.")
@click.option("--project", type=TREE, default=".", help="Whose preferences decide what follows; default: here.")
@click.option("--json", "json_", is_flag=True, help="A JSON object.")
def command(*, project: Path, json_: bool) -> None:
    """Show what counts as evidence in all your projects, per pattern and tier, and what it changes for the next units."""
    name = project_at(project)
    preferences, catalog = read_preferences(Path(name))
    with open_ledger(create=False) as ledger:
        context = build_context(ledger, preferences, project=name, now=time.time(), agent_model=configured_model(Path(name)))
        learned = gather(Router(preferences, catalog), context, ledger.ratings(), due=reset_due(ledger, preferences, name))
    if json_:
        print_json(learned)
    else:
        show(learned, preferences.policy)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence of one pattern at one tier.

    Attributes:
        tier: the tier.
        events: how many events count: the newest of the window.
        outcomes: of them, verified first attempts.
        ratings: of them, your ratings; each weighs more than an outcome.
        imported: of them, what GSD had counted before.
        failed: the weighted share of failures, 0 to 1.
        interval: the interval around that share, of the confidence that learning asks for.
        newest: when the newest of them happened, seconds since the epoch.
    """

    tier: Tier
    events: int
    outcomes: int
    ratings: int
    imported: int
    failed: float
    interval: tuple[float, float]
    newest: float


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a unit of a pattern starts.

    Attributes:
        planned: where it would start before anything was learned.
        tier: where it starts now.
        reason: why; "" where nothing changes.
        probe: whether the next unit only tries whether a lower tier does by now.
        probe_in: after how many more verified units a lower tier is tried again; null where none is waiting for it.
    """

    planned: Tier
    tier: Tier
    reason: str
    probe: bool
    probe_in: int | None


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned; ``stepdown learned --json`` is this.

    Attributes:
        routing: ``on`` or ``off``.
        rule: what makes evidence count: ``threshold`` or ``expected_cost``.
        evidence: per pattern, what counts at each tier; what was learned last comes first.
        starts: per pattern, where its units start, for each tier that a plan may have them start at.
        stood_down: patterns that routing leaves alone, each with the reason.
        contradictions: ratings of one pattern that cannot all be right, a line a pattern.
        reset_due: whether the next run forgets all this, since ``dynamic_routing_reset`` says so.
    """

    routing: str
    rule: str
    evidence: dict[str, list[Cell]]
    starts: dict[str, list[Start]]
    stood_down: dict[str, str]
    contradictions: list[str]
    reset_due: bool


def gather(router: Router, context: Context, ratings: Sequence[Rating], *, due: bool) -> Learned:
    """Put together what is known.

    Args:
        router: with the preferences in force.
        context: the world as the next unit would find it.
        ratings: the ratings that hold, in all projects.
        due: whether ``dynamic_routing_reset`` is to be acted on.
    """
    policy, routing = router.policy, router.preferences.dynamic_routing
    newest_first = sorted(context.evidence, key=lambda name: (-max(event.at for event in context.evidence[name]), name))
    evidence = {name: list(_cells(context.evidence[name], policy)) for name in newest_first}
    experience = Experience(context.evidence, policy)
    starts: dict[str, list[Start]] = {}
    # A type's events also speak for units without a tag, and for tags that have too few of their own.
    for pattern in dict.fromkeys(part for name in newest_first for part in (name, unit_type_of(name))):
        unit_type = unit_type_of(pattern)
        if unit_type and unit_type.isprintable():  # an imported name may be no unit's
            planned = {type_defaults(unit_type)[1], *(cell.tier for cell in evidence.get(pattern, ()))}
            starts[pattern] = [_start(router, context, experience, pattern, tier) for tier in sorted(planned)]
    counting = {_identity(event) for events in context.evidence.values() for event in events if event.source == "rating"}
    return Learned(
        routing="on" if routing.enabled else "off",
        rule=routing.learning,
        evidence=evidence,
        starts=starts,
        stood_down=dict(context.stood_down),
        contradictions=list(_contradictions(rating for rating in ratings if _identity(rating) in counting)),
        reset_due=due,
    )


def _identity(said: Evidence | Rating) -> tuple[str, str, str, float]:
    return said.project, said.pattern, said.unit_id, said.at


def _cells(events: Iterable[Evidence], policy: Policy) -> Iterator[Cell]:
    for tier in TIERS:
        own = [event for event in events if event.tier is tier]
        if not own:
            continue
        failed, at_least, at_most = shares(own, policy)
        imported, rated = (sum(event.source == source for event in own) for source in (SOURCE, "rating"))
        yield Cell(
            tier=tier,
            events=len(own),
            outcomes=len(own) - imported - rated,
            ratings=rated,
            imported=imported,
            failed=failed,
            interval=(at_least, at_most),
            newest=max(event.at for event in own),
        )


def _start(router: Router, context: Context, experience: Experience, pattern: str, planned: Tier) -> Start:
    said = router.start(pattern, context, planned)
    waits = said.reason and not said.probe and said.tier is planned.above and said.tier is not planned
    left = router.policy.probe_every - 1 - experience.since_tried(said.pattern, planned)
    return Start(
        planned=planned,
        tier=said.tier,
        reason=said.reason,
        probe=said.probe,
        probe_in=max(0, left) if waits and router.preferences.dynamic_routing.learning == "threshold" else None,
    )


def _contradictions(ratings: Iterable[Rating]) -> Iterator[str]:
    """Patterns of which one rating says that a tier would have done, and another that it, or a stronger one, was too weak."""
    patterns: dict[str, list[Rating]] = {}
    for rating in ratings:
        patterns.setdefault(rating.pattern, []).append(rating)
    for pattern, given in patterns.items():
        pairs = [
            (over, under)
            for over in given
            for under in given
            if over.word == "over" and under.word == "under" and over.tier.below <= under.tier
        ]
        if pairs:
            over, under = pairs[0]
            more = len({_identity(rating) for pair in pairs for rating in pair}) - 2
            yield (
                f"{pattern}: {over.unit_id} was over on {over.tier} ({over.tier.below} would have done), "
                f"{under.unit_id} was under on {under.tier} (too weak)" + (f"; {more} more like these" if more else "")
            )


def show(learned: Learned, policy: Policy) -> None:
    """Print it."""
    if learned.reset_due:
        say("dynamic_routing_reset is set: the next `stepdown run` forgets what was learned so far.", "")
    if not learned.evidence:
        say(
            "Nothing is learned yet. What counts as evidence:",
            "  - a first attempt that was verified, whether it passed or failed (`stepdown run`)",
            "  - a rating of yours (`stepdown rate over|under|ok`)",
            "  - what GSD has counted in a project's .gsd/routing-history.json (read by `stepdown run` and `stepdown report`)",
        )
    else:
        _show_evidence(learned, policy)
        say("", *_follows(learned, policy))
    for title, lines in (
        ("Stood down", [f"{pattern}: {reason}" for pattern, reason in learned.stood_down.items()]),
        ("Ratings that contradict each other (all of them count)", learned.contradictions),
    ):
        if lines:
            say("", title, *(f"  {line}" for line in lines))
    if learned.evidence and learned.routing == "off":
        say("", "Routing is off, so none of this decides anything yet (dynamic_routing.enabled).")


def _show_evidence(learned: Learned, policy: Policy) -> None:
    rows = [_row(name, cell) for name, cells in learned.evidence.items() for cell in cells]
    columns = [
        Column(),
        Column(title="pattern", shrinks=True),
        Column(title="events", right=True),
        Column(title="from", shrinks=True),
        Column(title="failed", right=True),
        Column(title=f"{policy.evidence_confidence:.0%} interval", right=True),
        Column(title="newest"),
    ]
    print_table(columns, rows[:_ROWS])
    if len(rows) > _ROWS:
        say(f"... and {len(rows) - _ROWS} more, which were learned earlier; --json has them all.")


def _row(pattern: str, cell: Cell) -> tuple[str, ...]:
    low, high = cell.interval
    sources = {"outcome": cell.outcomes, "rating": cell.ratings, "imported": cell.imported}
    return (
        cell.tier.badge,
        pattern,
        str(cell.events),
        ", ".join(_counted(count, source) for source, count in sources.items() if count),
        f"{cell.failed:.0%}",
        f"{low:.0%} to {high:.0%}",
        day_name(day_of(cell.newest)),
    )


def _counted(count: int, source: str) -> str:
    return f"{count} {source}{'' if count == 1 or source == 'imported' else 's'}"


def _follows(learned: Learned, policy: Policy) -> Iterator[str]:
    """What changes for the next units."""
    # From wherever a plan has them start, the units of a pattern may all try the same tier: that is said once.
    changes = dict.fromkeys(_change(name, start) for name, starts in learned.starts.items() for start in starts if start.reason)
    if changes:
        yield "What it changes now"
        yield from (f"  {line}" for line in changes)
    elif learned.rule == "threshold":
        yield (
            f"It changes nothing now: no tier of a pattern has {policy.evidence_minimum} events or more of which it is beyond "
            f"chance that over {policy.evidence_failure_share:.0%} fail."
        )
    else:
        yield (
            f"It changes nothing now: each unit type has fewer than {policy.evidence_minimum} events, or its units start where "
            "they are expected to cost least as it is."
        )


def _change(pattern: str, start: Start) -> str:
    if start.probe:
        return start.reason
    why = start.reason.removesuffix(f", so it starts at {start.tier}").removeprefix(f"{pattern} starts at {start.tier}, ")
    line = f"{pattern} starts at {start.tier} instead of {start.planned}: {why}"
    if start.probe_in is None:
        return line
    units = f"after {start.probe_in} more verified unit{'' if start.probe_in == 1 else 's'}" if start.probe_in else "next"
    return f"{line}; {start.planned} is tried again {units}"
