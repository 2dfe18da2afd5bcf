"""A past for tests: units that were really decided, with the outcomes that a test wants, in a real ledger."""

import random
from collections.abc import Callable, Sequence

import msgspec

from stepdown.classify import classify, pattern
from stepdown.context import build_context
from stepdown.decision import Classification, Decision, Retry
from stepdown.dispatch.walk import Go, Stop, Tried, Walk, tier_run
from stepdown.ledger import Attempt, Evidence, Ledger, Outcome
from stepdown.ledger.memory import MemoryLedger
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.replay.past import Past
from stepdown.routing import Router
from stepdown.signals import Signals
from stepdown.units import Tier, Tokens, Unit

OPUS = "anthropic/claude-opus-4-6"
SONNET = "anthropic/claude-sonnet-4-6"
HAIKU = "anthropic/claude-haiku-4-5"
PROJECT = "/projects/one"
NAMED = {Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")}
USED = Tokens(input=20_000, output=4_000, cache_read=200_000, cache_write=10_000)

Fails = Callable[[Unit, Tier], str | None]


def preferences(**routing: object) -> Preferences:
    """Routing on below claude-opus-4-6, a model named for light and for standard work, learning by the threshold rule."""
    section = DynamicRouting(enabled=True, tier_models=NAMED, learning="threshold")
    return Preferences(
        models={"default": ModelChoice("claude-opus-4-6")}, dynamic_routing=msgspec.structs.replace(section, **routing)
    )


def never(unit: Unit, tier: Tier) -> str | None:  # noqa: ARG001 - the shape of `Fails`
    return None


def live(
    ledger: Ledger,
    wanted: Preferences,
    work: Sequence[tuple[str, Signals]],
    fails: Fails = never,
    *,
    used: Callable[[Unit], Tokens] = lambda _: USED,
    project: str = PROJECT,
    start: float = 1_000_000.0,
) -> None:
    """Decide and record units one after the other, a minute apart, as a run does: `Walk` says what follows a failure."""
    router = Router(wanted)
    for number, (unit_type, signals) in enumerate(work):
        unit = Unit(unit_type, f"M001/S01/T{number:03}")
        nature = classify(unit, signals, wanted.policy)
        now = start + 60.0 * number
        step_up = _decider(ledger, wanted, router, project, unit, nature, now)
        first = step_up(None)
        walk = Walk(router.catalog, escalate=wanted.dynamic_routing.escalate_on_failure, step_up=step_up)
        following: Go | Stop = Go(first, first.ref, "first")
        history: list[Tried] = []
        while isinstance(following, Go):
            at = now + len(history)
            tried = record(
                ledger, unit, following, nature, router, at, fails, used(unit), number=len(history) + 1, project=project
            )
            history.append(tried)
            following = walk.after(history)


def _decider(
    ledger: Ledger, wanted: Preferences, router: Router, project: str, unit: Unit, nature: Classification, now: float
) -> Callable[[Retry | None], Decision]:
    context = build_context(ledger, wanted, project=project, now=now, catalog=router.catalog)
    # As a run would find it: nothing of this unit was known before it began, so that steps up see the same context.
    return lambda retry: router.decide(unit, msgspec.structs.replace(context, retry=retry), nature=nature)


def record(
    ledger: Ledger,
    unit: Unit,
    go: Go,
    nature: Classification,
    router: Router,
    at: float,
    fails: Fails,
    tokens: Tokens,
    *,
    number: int,
    project: str = PROJECT,
) -> Tried:
    """One attempt, begun and settled, with its evidence."""
    model = router.catalog.find_ref(go.model)
    assert model is not None
    tier = tier_run(go.decision, model)
    failure = fails(unit, tier)
    attempt = Attempt(
        project=project,
        unit_type=unit.type,
        unit_id=unit.id,
        tier=tier,
        model=go.model,
        ceiling=OPUS,
        downgraded=go.decision.downgraded and go.model == go.decision.ref,
        reason=go.decision.reason,
        decision=msgspec.json.encode(go.decision).decode(),
        pattern=pattern(unit, nature),
        agent="practice",
        started=at,
        number=number,
        cause=go.cause,
    )
    outcome = Outcome(
        failure=failure,
        verified=None if failure not in {None, "quality"} else failure is None,
        tokens=tokens,
        cost_usd=model.cost(tokens),
        cost_source="priced",
        requests=12,
        finished=at + 0.5,
    )
    ledger.settle(ledger.begin(attempt), outcome)
    if go.cause == "first" and failure in {None, "quality"}:
        event = Evidence(
            at=at + 0.5,
            pattern=attempt.pattern,
            tier=tier,
            model=go.model,
            success=failure is None,
            project=project,
            unit_id=unit.id,
        )
        ledger.add_evidence([event])
    return Tried(go.decision, go.model, tier, failure, go.cause)


def mixed(count: int, seed: int = 0) -> list[tuple[str, Signals]]:
    """Work of several types and sizes."""
    draw = random.Random(seed)
    types = ["execute-task"] * 5 + ["plan-slice", "complete-slice", "research-slice", "run-uat"]
    work = []
    for _ in range(count):
        unit_type = draw.choice(types)
        tags: tuple[str, ...] = draw.choice([(), ("docs",), ("test",)])
        sized = Signals(files=draw.randint(1, 9), steps=draw.randint(1, 12), tags=tags)
        work.append((unit_type, sized if unit_type == "execute-task" else Signals()))
    return work


def past_of(ledger: Ledger) -> Past:
    """What `stepdown simulate` makes of a ledger."""
    return Past(ledger.records(), ledger.evidence(limit=10**9))


def lived(wanted: Preferences, work: Sequence[tuple[str, Signals]], fails: Fails = never) -> MemoryLedger:
    """A ledger in memory with that past."""
    ledger = MemoryLedger()
    live(ledger, wanted, work, fails)
    return ledger
