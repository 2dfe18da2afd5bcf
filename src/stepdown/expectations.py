"""How many tokens a unit is expected to use on a model: from the ledger where it knows, else from measured defaults. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from stepdown.catalog.records import Model
from stepdown.ledger.records import Expectation
from stepdown.policy import Policy
from stepdown.units import Phase, Tier, Tokens, type_defaults


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit is expected to use.

    Attributes:
        tokens: by kind, counted by the model's own tokeniser as far as that is known.
        requests: requests to the provider.
        provenance: ``measured`` (this unit type on this model, from the ledger) or ``estimated``.
        prompt_peak: the largest single prompt, in tokens.
    """

    tokens: Tokens
    requests: float
    provenance: str
    prompt_peak: int


def _row(fresh: int, output: int, cache_read: int, cache_write: int, requests: float) -> Expectation:
    tokens = Tokens(input=fresh, output=output, cache_read=cache_read, cache_write=cache_write)
    return Expectation(tokens=tokens, requests=requests)


DEFAULTS: Final[Mapping[str, Expectation]] = {
    "execute-task": _row(70_640, 12_520, 2_630_360, 34_530, 32.6),
    "complete-slice": _row(151_000, 9_320, 1_425_130, 25_390, 18.4),
    "research-slice": _row(51_180, 7_670, 1_538_650, 44_980, 19.8),
    "plan-slice": _row(35_610, 10_200, 936_090, 45_320, 13.4),
    "validate-milestone": _row(43_830, 5_040, 337_050, 16_940, 5.4),
    "complete-milestone": _row(113_890, 11_300, 1_406_410, 34_930, 16.8),
    "reassess-roadmap": _row(5_200, 1_630, 151_170, 19_850, 3.7),
    "run-uat": _row(133_210, 5_030, 516_160, 5_920, 13.4),
    "completion/*": _row(140_740, 9_350, 1_330_640, 25_650, 17.5),
    "discuss/*": _row(24_800, 1_790, 303_620, 30_470, 2.3),
    "execution/*": _row(70_640, 12_520, 2_630_360, 34_530, 32.6),
    "planning/*": _row(28_740, 8_320, 747_360, 40_160, 11.0),
    "research/*": _row(57_190, 7_690, 1_531_730, 45_070, 19.7),
    "validation/*": _row(43_830, 5_040, 337_050, 16_940, 5.4),
    "*": _row(70_080, 10_280, 1_819_590, 35_290, 23.2),
}
"""Mean use of a unit per type, of a phase where a type was seen fewer than ten times, and of all. Source: 832 units of 23
projects whose prompts were cached; printed by ``python -m bench.expectations``, discussed in ``docs/benchmarks.md``."""

_TYPES: Final = tuple(name for name in DEFAULTS if "*" not in name)
_EXECUTION: Final = frozenset({"execute-task", "reactive-execute"})
"""The types whose difficulty is read from their plans, and whose use was seen to follow it."""


class Expectations:
    """What units are expected to use, prepared from what the ledger has seen.

    A decision compares the same unit on a hundred models, so all of them start from the same base: what units of this type use
    here, whoever did them. Only how a model differs from the others is its own. A decision also asks them all at once, so
    everything that depends on the ledger alone is worked out once.

    Attributes:
        source: the ledger's means, as given.
    """

    __slots__ = ("_bases", "_estimates", "_known", "_policy", "_ratios", "_scale", "source")

    def __init__(self, source: Mapping[tuple[str, str], Expectation], policy: Policy) -> None:
        seen = _by_type(source)
        self.source = source
        self._policy = policy
        self._bases: dict[str, Expectation | None] = {}
        self._scale = _scale(seen, policy)
        self._ratios = _ratios(seen, policy)
        self._known: dict[tuple[str, int, str], Expected] = {}
        self._estimates: dict[tuple[str, int, float], Expected] = {}

    def of(self, unit_type: str, tier: Tier, ref: str) -> Expected:
        """What a unit of `unit_type` and difficulty `tier` is expected to use on the model `ref`; "" is none in particular.

        The ledger's mean for this type on this model where it is over at least ``policy.expectation_minimum`` units. Else the
        type's base, times how much more or less than others this model has used where both were seen. The base is the ledger's
        mean for this type over all models, under the same minimum; else the default, times how much more or less than the
        defaults the ledger's units have used.
        """
        key = (unit_type, tier.rank, ref)  # a member of an enum is slow to hash
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(unit_type, tier, ref)
        return known

    def requests(self, unit_type: str) -> float | None:
        """How many requests a unit of this type takes, by the ledger; None where it has seen too few of them."""
        base = self._base(unit_type)
        return None if base is None else base.requests

    def _base(self, unit_type: str) -> Expectation | None:
        if unit_type not in self._bases:
            self._bases[unit_type] = _pool([one for (name, _), one in self.source.items() if name == unit_type], self._policy)
        return self._bases[unit_type]

    def _work_out(self, unit_type: str, tier: Tier, ref: str) -> Expected:
        measured = self.source.get((unit_type, ref))
        if measured is not None and measured.units >= self._policy.expectation_minimum and measured.tokens.total > 0:
            requests = measured.requests or default(unit_type).requests or 1.0
            return _expected(measured.tokens, requests, "measured", self._policy.context_peak_to_mean)
        key = (unit_type, tier.rank, self._ratios.get(ref, 1.0))  # most models have a ratio of 1, and share one answer
        estimate = self._estimates.get(key)
        if estimate is None:
            estimate = self._estimates[key] = self._estimate(unit_type, tier, key[2])
        return estimate

    def _estimate(self, unit_type: str, tier: Tier, ratio: float) -> Expected:
        policy = self._policy
        row = default(unit_type)
        base = self._base(unit_type)
        if base is not None:
            # As it is, whatever the tier: a measured model's mean, which this is compared with, is over all its units too.
            requests = base.requests or row.requests or 1.0
            return _expected(base.tokens.scaled(ratio), requests, "estimated", policy.context_peak_to_mean)
        expected = _expected(
            row.tokens.scaled(self._scale * ratio), row.requests or 1.0, "estimated", policy.context_peak_to_mean
        )
        if unit_type not in _EXECUTION:
            return expected
        # More difficult work takes more requests, not longer ones.
        effort = (policy.effort_light, policy.effort_standard, policy.effort_heavy)[tier.rank]
        return msgspec.structs.replace(expected, tokens=expected.tokens.scaled(effort), requests=expected.requests * effort)


def expected_tokens(
    unit_type: str,
    tier: Tier,
    model: Model | None,
    expectations: Mapping[tuple[str, str], Expectation],
    policy: Policy,
) -> Expected:
    """`Expectations.of` for a single question."""
    return Expectations(expectations, policy).of(unit_type, tier, "" if model is None else model.ref)


def default(unit_type: str) -> Expectation:
    """The default of a type: its own, its phase's, else that of all units."""
    row = DEFAULTS.get(unit_type)
    if row is not None:
        return row
    phase = type_defaults(unit_type)[0]
    if unit_type.startswith("hook/") or phase is Phase.SUBAGENT:
        return DEFAULTS["*"]
    return DEFAULTS[f"{phase}/*"]


_Seen = dict[str, list[tuple[str, int, int]]]
"""Per unit type: a model, how many units of it the ledger has seen, and their mean tokens; none of the two is 0."""


def _by_type(source: Mapping[tuple[str, str], Expectation]) -> _Seen:
    seen: _Seen = {}
    for (unit_type, ref), one in source.items():
        if one.units > 0 and (total := one.tokens.total) > 0:
            seen.setdefault(unit_type, []).append((ref, one.units, total))
    return seen


def _pool(means: Iterable[Expectation], policy: Policy) -> Expectation | None:
    """One mean of several, each weighted by its units; None where these are fewer than ``policy.expectation_minimum``."""
    means = [mean for mean in means if mean.units > 0 and mean.tokens.total > 0]
    units = sum(mean.units for mean in means)
    if not means or units < policy.expectation_minimum:
        return None
    if len(means) == 1:
        return means[0]
    counted = [(mean.units, mean.requests) for mean in means if mean.requests]
    requests = sum(number * each for number, each in counted) / sum(number for number, _ in counted) if counted else None
    tokens = Tokens(
        input=round(sum(mean.units * mean.tokens.input for mean in means) / units),
        output=round(sum(mean.units * mean.tokens.output for mean in means) / units),
        cache_read=round(sum(mean.units * mean.tokens.cache_read for mean in means) / units),
        cache_write=round(sum(mean.units * mean.tokens.cache_write for mean in means) / units),
    )
    return Expectation(tokens=tokens, requests=requests, units=units)


def _scale(seen: _Seen, policy: Policy) -> float:
    """Tokens that a unit in the ledger used per token its type's own default expected; 1.0 where too few were seen."""
    count, used = 0, 0.0
    for unit_type in _TYPES:
        if unit_type in seen:
            models = seen[unit_type]
            count += sum([units for _, units, _ in models])
            used += sum([units * total for _, units, total in models]) / DEFAULTS[unit_type].tokens.total
    return used / count if count and count >= policy.expectation_minimum else 1.0


def _ratios(seen: _Seen, policy: Policy) -> dict[str, float]:
    """Per model, the tokens it used per token of the base, over the types in which others were seen as well.

    Tokenisers and habits differ between model families; what a model did elsewhere is the best guess of what it does here.
    Where it was alone, its ratio is 1 by construction and says nothing. A model seen beside others on fewer than
    ``policy.expectation_minimum`` units has no entry.
    """
    counts: dict[str, int] = {}
    used: dict[str, float] = {}
    for models in seen.values():
        count = sum([units for _, units, _ in models])
        if len(models) == 1 or count < policy.expectation_minimum:
            continue
        base = sum([units * total for _, units, total in models]) / count
        for ref, units, total in models:
            counts[ref] = counts.get(ref, 0) + units
            used[ref] = used.get(ref, 0.0) + units * total / base
    return {ref: used[ref] / count for ref, count in counts.items() if count >= policy.expectation_minimum}


def _expected(tokens: Tokens, requests: float, provenance: str, peak_to_mean: float) -> Expected:
    peak = round(tokens.prompt / max(requests, 1.0) * peak_to_mean)
    return Expected(tokens=tokens, requests=requests, provenance=provenance, prompt_peak=min(peak, tokens.prompt))
