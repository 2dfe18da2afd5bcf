"""The same logs read by ccusage and by the audit, day by day and model by model. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.audit.running import Sheet

_CENT = 0.005


class Total(NamedTuple):
    """One model, or everything of an agent.

    Attributes:
        name: which.
        days: days with it, by either.
        same_tokens: of those, the days on which all four kinds of tokens are equal.
        same_cents: those on which the dollars round to the same cent, or differ by less than half of one.
        theirs: tokens and dollars by ccusage.
        ours: tokens and dollars by the audit.
        unknown: requests whose price the audit does not know.
    """

    name: str
    days: int
    same_tokens: int
    same_cents: int
    theirs: tuple[int, float]
    ours: tuple[int, float]
    unknown: int


def totals(theirs: Sheet, ours: Sheet) -> list[Total]:
    """By model, then everything, compared on each day by itself."""
    models = sorted({model for _, model in {*theirs.tokens, *ours.tokens}})
    rows = [_total(model, [model], [model], theirs, ours) for model in models]
    by_day = {model for _, model in theirs.usd} == {""}
    return [*rows, _total("together", models, [""] if by_day else models, theirs, ours)]


def _total(name: str, models: Sequence[str], priced: Sequence[str], theirs: Sheet, ours: Sheet) -> Total:
    days = sorted({day for day, model in {*theirs.tokens, *ours.tokens} if model in models})
    none = (0, 0, 0, 0)
    same_tokens = sum(
        all(theirs.tokens.get((day, one), none) == ours.tokens.get((day, one), none) for one in models) for day in days
    )
    usd = [(sum(_amounts(theirs, day, priced)), sum(_amounts(ours, day, priced))) for day in days]
    return Total(
        name,
        len(days),
        same_tokens,
        sum(abs(one - other) < _CENT for one, other in usd),
        (_sum(theirs, models), sum(one for one, _ in usd)),
        (_sum(ours, models), sum(other for _, other in usd)),
        sum(count for (_, model), count in ours.unknown.items() if model in models),
    )


def _amounts(sheet: Sheet, day: str, models: Sequence[str]) -> Iterator[float]:
    return (sheet.usd.get((day, model), 0.0) for model in models)


def _sum(sheet: Sheet, models: Sequence[str]) -> int:
    return sum(sum(counts) for (_, model), counts in sheet.tokens.items() if model in models)
