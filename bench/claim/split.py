"""What a unit saves in expectation, with the split of `stepdown.savings`: each way it may go, priced, weighed by its chance."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from bench.claim.failing import Chance
from bench.claim.routes import Route, Step
from bench.claim.units import Finished
from stepdown.catalog import Model
from stepdown.ledger.records import Attempt, Outcome, Record
from stepdown.savings import savings

Ratio = Callable[[Model], float]
"""Tokens that a unit uses on a model for one that it used on the model it was recorded on."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Expected US dollars; ``counterfactual - spent == net == cheaper - failed - cache``.

    Attributes:
        spent: everything spent.
        counterfactual: what the ceiling would have cost.
        cheaper: saved by cheaper models.
        failed: lost to failed attempts.
        cache: lost to cache.
        escalated: how many units stepped up.
    """

    spent: float = 0.0
    counterfactual: float = 0.0
    cheaper: float = 0.0
    failed: float = 0.0
    cache: float = 0.0
    escalated: float = 0.0

    @property
    def net(self) -> float:
        """US dollars saved after all losses; negative where routing cost money."""
        return self.counterfactual - self.spent

    @property
    def share(self) -> float:
        """`net` as a share of the counterfactual; 0 where there is none."""
        return self.net / self.counterfactual if self.counterfactual > 0 else 0.0


_FIELDS = Split.__struct_fields__


def total(splits: Iterable[Split]) -> Split:
    """All of them together."""
    rows = [msgspec.structs.astuple(split) for split in splits]
    return Split(**dict(zip(_FIELDS, (sum(column) for column in zip(*rows, strict=True)), strict=False)))


def expected(one: Finished, route: Route, chance: Chance, *, longest_prompt: int, ratio: Ratio) -> Split:
    """The split of one unit, in expectation over how its attempts end.

    Every failure is noticed and stepped up from; a failed attempt costs as much as one that succeeds.

    Args:
        one: the unit, with the tokens it was recorded with.
        route: its attempts, the first and what follows each failure.
        chance: of failing.
        longest_prompt: tokens, for prices that depend on it.
        ratio: how many tokens the unit uses on a model for one that was recorded.
    """

    def cost(model: Model, at: Model) -> float:
        """What `model`'s tokens cost at the prices of `at`."""
        scale = ratio(model)
        return at.cost(one.tokens.scaled(scale), longest_prompt=round(longest_prompt * scale)) or 0.0

    priced = [(step, cost(step.model, step.model), cost(step.model, route.ceiling)) for step in route.steps]
    learned = {(one.unit.type, _ref(route.ceiling)): cost(route.ceiling, route.ceiling)}
    return total(
        _weighed(
            [
                _record(one, route, number, step, failed=failed)
                for number, (step, failed) in enumerate(zip(priced, ends, strict=False))
            ],
            learned,
            weight,
        )
        for ends, weight in _ways(route, chance)
    )


def _ways(route: Route, chance: Chance) -> Iterator[tuple[list[bool], float]]:
    """How the attempts may end, each with its probability: whether each failed, up to the first that did not."""
    reached = 1.0
    failed: list[Step] = []
    for step in route.steps:
        fails = chance(route.needed, [before.tier for before in failed], step.tier)
        if fails < 1:
            yield [*(True for _ in failed), False], reached * (1 - fails)
        reached *= fails
        failed.append(step)
    if reached > 0:
        yield [True for _ in failed], reached


def _record(one: Finished, route: Route, number: int, step: tuple[Step, float, float], *, failed: bool) -> Record:
    made, cost, at_ceiling = step
    attempt = Attempt(
        project=one.project,
        unit_type=one.unit.type,
        unit_id=one.unit.id,
        model=_ref(made.model),
        ceiling=_ref(route.ceiling),
        downgraded=made.downgraded,
        started=float(number),
        cause=made.cause,
    )
    outcome = Outcome(failure="quality" if failed else None, cost_usd=cost, ceiling_cost_usd=at_ceiling, finished=float(number))
    return Record(id=number, attempt=attempt, outcome=outcome)


def _weighed(records: list[Record], learned: Mapping[tuple[str, str], float], weight: float) -> Split:
    saved = savings(records, learned=learned)
    return Split(
        spent=weight * saved.spent_usd,
        counterfactual=weight * saved.counterfactual_usd,
        cheaper=weight * saved.cheaper_usd,
        failed=weight * saved.failed_usd,
        cache=weight * saved.cache_usd,
        escalated=weight * saved.escalated,
    )


def _ref(model: Model) -> str:
    return f"{model.provider}/{model.bare_id}"
