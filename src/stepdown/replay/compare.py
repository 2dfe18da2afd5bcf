"""Two ways the same runs could have gone, side by side: what was recorded, and a replay. Pure."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from stepdown.classify import INTROSPECTED, SCOPED
from stepdown.replay.course import Follower
from stepdown.replay.past import Past, Run
from stepdown.replay.world import World
from stepdown.units import TIERS, Tier

RESAMPLES: Final = 1_000
"""How often a range draws the runs anew."""
CONFIDENCE: Final = 0.95
"""How much of those draws a range covers."""
_MOST_DRAWN: Final = 1_000
"""Of more runs than this, some at a time are drawn together: the range comes out the same, and in time."""
_SEED: Final = 0
_STEPS_UP: Final = frozenset({"step up", "configured"})
_READ: Final = INTROSPECTED | SCOPED
_EVERY: Final = 250


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way a run went, or could have gone.

    Attributes:
        run: its position in `Past.runs`.
        usd: US dollars; None is unknown.
        recorded: whether each of its costs is in the ledger, and none is tokens at today's list prices.
        tier: where it started; None is unknown.
        model: provider-qualified, what it started on.
        escalations: how often it stepped up; of a replay in expectation.
        failed: whether it failed in quality for good; of a replay the chance of it.
        missed: of a replay the chance that it fails and nothing notices, where its outcome is not recorded.
        tried: whether how its first attempt ends is known from the record, and not only likely.
        same: whether every pass started on the model it was recorded to start on.
        refused: whether a full budget would have refused it.
        stood_down: whether routing stood down for its pattern.
    """

    run: int
    usd: float | None
    recorded: bool = True
    tier: Tier | None
    model: str
    escalations: float
    failed: float
    missed: float = 0.0
    tried: bool = True
    same: bool = True
    refused: bool = False
    stood_down: bool = False


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Runs whose cost is known both ways, in US dollars.

    Attributes:
        runs: how many.
        then_usd: what they cost.
        now_usd: what they would have cost; in expectation.
        low_usd: lower end of the 95 % range of ``now_usd - then_usd``, by drawing the runs anew.
        high_usd: its upper end.
    """

    runs: int = 0
    then_usd: float = 0.0
    now_usd: float = 0.0
    low_usd: float = 0.0
    high_usd: float = 0.0

    @property
    def difference_usd(self) -> float:
        """Below zero where it would have been cheaper."""
        return self.now_usd - self.then_usd


class TierLine(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs started on a tier, both ways, and the models that most of them started on."""

    tier: str
    then: int
    now: int
    then_models: tuple[str, ...] = ()
    now_models: tuple[str, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same runs both ways.

    Attributes:
        runs: those that ended.
        running: those that have not, and are not compared.
        recorded: runs whose cost the ledger has.
        listed: runs whose cost it does not have, both ways at list prices: of subscriptions, and of models without a price.
        unknown: runs that cannot be compared, since a price or what was used is unknown; never counted as zero.
        tiers: per tier, light first; runs of unknown tier last.
        escalations_then: how often units stepped up.
        escalations_now: how often they would have; in expectation.
        failed_then: runs that failed in quality for good.
        failed_now: the same; in expectation.
        missed_now: runs that would have failed without anything noticing, where their outcome is not recorded; in expectation.
        moved: runs that would have started on another model.
        guessed: those of them of which the record does not say how the first attempt would have ended.
        refused: runs that a full budget would have refused; they are counted as if the user had let them go on.
        stood_down: runs for which routing stood down, as it is taken to do again.
        without_signals: runs of types whose plans decide the tier and whose decision recorded no signals: they keep the tier
            they were taken to need, or their type's.
        unverified: runs that succeeded as far as is known, and that nothing checked.
    """

    runs: int
    running: int
    recorded: Sums
    listed: Sums
    unknown: int
    tiers: tuple[TierLine, ...]
    escalations_then: int
    escalations_now: float
    failed_then: int
    failed_now: float
    missed_now: float
    moved: int
    guessed: int
    refused: int
    stood_down: int
    without_signals: int
    unverified: int


def recorded_way(run: Run, number: int, world: World) -> Way:
    """How a run went, at today's list prices where the ledger has no cost."""
    costs = [world.cost(record, world.catalog) for record in run.records]
    known = [usd for usd, _ in costs if usd is not None]
    first, last = run.records[0].attempt, run.records[-1].outcome
    model = world.catalog.find_ref(first.model)
    return Way(
        run=number,
        usd=sum(known) if len(known) == len(costs) else None,
        recorded=all(is_recorded for _, is_recorded in costs),
        tier=first.tier or (None if model is None else model.tier),
        model=first.model,
        escalations=sum(record.attempt.cause in _STEPS_UP for record in run.records),
        failed=float(last is not None and last.failure == "quality"),
    )


def replay(
    past: Past,
    follower: Follower,
    *,
    since_run: int = 0,
    grain: float = 0.0,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Way]:
    """How the runs from number `since_run` on would have gone.

    Args:
        past: the runs.
        follower: a fresh one: its budgets fill as the replay goes.
        since_run: runs before it only make up the past.
        grain: see `Past.moments`.
        progress: told now and then how many passes were followed.
    """
    ways: dict[int, Way] = {}
    needed: dict[int, float] = {}
    for number, moment in enumerate(past.moments(follower.router.policy, since_run=since_run, grain=grain)):
        step = moment.step
        share = needed.get(step.run, 1.0)
        course = follower.follow(moment, share=share)
        needed[step.run] = share * course.unsolved
        way = Way(
            run=step.run,
            usd=None if course.usd is None else share * course.usd,
            tier=course.tier,
            model=course.model,
            escalations=share * course.escalations,
            failed=share * course.failed,
            missed=share * course.missed,
            tried=course.tried,
            same=course.same,
            refused=course.refused,
            stood_down=course.stood_down,
        )
        before = ways.get(step.run)
        ways[step.run] = way if before is None else _followed(before, way)
        if number % _EVERY == 0:
            progress(number)
    return [ways[number] for number in sorted(ways)]


def _followed(before: Way, way: Way) -> Way:
    """A run of several passes: it started with the first and ended with the last."""
    return msgspec.structs.replace(
        before,
        usd=None if before.usd is None or way.usd is None else before.usd + way.usd,
        escalations=before.escalations + way.escalations,
        failed=way.failed,
        missed=before.missed + way.missed,
        tried=before.tried and way.tried,
        same=before.same and way.same,
        refused=before.refused or way.refused,
        stood_down=before.stood_down or way.stood_down,
    )


def compare(past: Past, then: Sequence[Way], now: Sequence[Way]) -> Comparison:
    """The same runs both ways.

    Args:
        past: the runs.
        then: one way, as a rule `recorded_way` of each.
        now: the other, of the same runs in the same order.
    """
    pairs = [(one, other) for one, other in zip(then, now, strict=True) if one.usd is not None and other.usd is not None]
    runs = [past.runs[way.run] for way in now]
    return Comparison(
        runs=len(now),
        running=past.running,
        recorded=sums([(one, other) for one, other in pairs if one.recorded]),
        listed=sums([(one, other) for one, other in pairs if not one.recorded]),
        unknown=len(now) - len(pairs),
        tiers=tuple(_tiers(then, now)),
        escalations_then=round(sum(way.escalations for way in then)),
        escalations_now=sum(way.escalations for way in now),
        failed_then=round(sum(way.failed for way in then)),
        failed_now=sum(way.failed for way in now),
        missed_now=sum(way.missed for way in now),
        guessed=sum(not way.tried for way in now),
        moved=sum(one.model != other.model for one, other in zip(then, now, strict=True)),
        refused=sum(way.refused for way in now),
        stood_down=sum(way.stood_down for way in now),
        without_signals=sum(run.passes[0].was.signals is None and run.passes[0].unit.type in _READ for run in runs),
        unverified=sum(_unverified(run) for run in runs),
    )


def sums(pairs: Sequence[tuple[Way, Way]]) -> Sums:
    """Both ways added up, over runs whose cost is known both ways."""
    costs = [(then.usd or 0.0, now.usd or 0.0) for then, now in pairs]
    low, high = spread([now - then for then, now in costs])
    return Sums(
        runs=len(costs),
        then_usd=sum(then for then, _ in costs),
        now_usd=sum(now for _, now in costs),
        low_usd=low,
        high_usd=high,
    )


def spread(differences: Sequence[float]) -> tuple[float, float]:
    """The 95 % range of the sum of `differences`, one a run, by drawing the runs anew (a bootstrap with a fixed seed)."""
    if not any(differences):
        return 0.0, 0.0
    draw = random.Random(_SEED)  # noqa: S311 - a range of an estimate, the same every time, and no secret
    drawn = list(differences)
    if len(drawn) > _MOST_DRAWN:
        draw.shuffle(drawn)
        drawn = [sum(drawn[start::_MOST_DRAWN]) for start in range(_MOST_DRAWN)]
    totals = sorted(sum(draw.choices(drawn, k=len(drawn))) for _ in range(RESAMPLES))
    cut = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return totals[cut], totals[-1 - cut]


def _tiers(then: Sequence[Way], now: Sequence[Way]) -> Iterable[TierLine]:
    for tier in (*TIERS, None):
        before = [way.model for way in then if way.tier is tier]
        after = [way.model for way in now if way.tier is tier]
        if before or after:
            name = "unknown" if tier is None else tier.value
            yield TierLine(tier=name, then=len(before), now=len(after), then_models=_most(before), now_models=_most(after))


def _most(models: Sequence[str]) -> tuple[str, ...]:
    """The models, the most frequent first."""
    return tuple(name for name, _ in Counter(models).most_common())


def _unverified(run: Run) -> bool:
    last = run.records[-1].outcome
    return last is not None and last.failure is None and last.verified is None
