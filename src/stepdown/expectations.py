"""How many tokens a unit is expected to use on a model: from the ledger where it knows, else from measured defaults. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from stepdown.catalog.records import Model
from stepdown.ledger.port import Expectation
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

_TYPES: Final = frozenset(name for name in DEFAULTS if "*" not in name)
_EXECUTION: Final = frozenset({"execute-task", "reactive-execute"})
"""The types whose difficulty is read from their plans, and whose use was seen to follow it."""


class Expectations:
    """What units are expected to use, prepared from what the ledger has seen.

    A decision asks for one unit on a hundred models, so everything that depends on the ledger alone is worked out once.

    Attributes:
        source: the ledger's means, as given.
    """

    __slots__ = ("_known", "_policy", "_ratios", "source")

    def __init__(self, source: Mapping[tuple[str, str], Expectation], policy: Policy) -> None:
        self.source = source
        self._policy = policy
        self._ratios = token_ratios(source, policy)
        self._known: dict[tuple[str, int, str], Expected] = {}

    def of(self, unit_type: str, tier: Tier, ref: str) -> Expected:
        """What a unit of `unit_type` and difficulty `tier` is expected to use on the model `ref`; "" is none in particular.

        The ledger's mean for this type on this model where it is over at least ``policy.expectation_minimum`` units; else the
        default, times how much more or less than the defaults this model has used elsewhere.
        """
        key = (unit_type, tier.rank, ref)  # a member of an enum is slow to hash
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(unit_type, tier, ref)
        return known

    def _work_out(self, unit_type: str, tier: Tier, ref: str) -> Expected:
        policy = self._policy
        measured = self.source.get((unit_type, ref))
        if measured is not None and measured.units >= policy.expectation_minimum and measured.tokens.total > 0:
            requests = measured.requests or default(unit_type).requests or 1.0
            return _expected(measured.tokens, requests, "measured", policy.context_peak_to_mean)
        factors = (policy.effort_light, policy.effort_standard, policy.effort_heavy)
        effort = factors[tier.rank] if unit_type in _EXECUTION else 1.0
        return _estimate(unit_type, effort, self._ratios.get(ref, 1.0), policy.context_peak_to_mean)


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


def token_ratios(source: Mapping[tuple[str, str], Expectation], policy: Policy) -> dict[str, float]:
    """Per model, tokens it has used per token the defaults expected, over all unit types that have a default of their own.

    Tokenisers and habits differ between model families; what a model did elsewhere is the best guess of what it does here. A
    model seen on fewer than ``policy.expectation_minimum`` units has no entry.
    """
    used: dict[str, float] = {}
    units: dict[str, int] = {}
    for (unit_type, ref), seen in source.items():
        if unit_type in _TYPES and seen.units > 0 and seen.tokens.total > 0:
            units[ref] = units.get(ref, 0) + seen.units
            used[ref] = used.get(ref, 0.0) + seen.units * seen.tokens.total / DEFAULTS[unit_type].tokens.total
    return {ref: used[ref] / count for ref, count in units.items() if count >= policy.expectation_minimum}


@lru_cache(maxsize=512)
def _estimate(unit_type: str, effort: float, ratio: float, peak_to_mean: float) -> Expected:
    """The default, scaled. Cached, since a decision asks for the same unit on every candidate."""
    row = default(unit_type)
    expected = _expected(row.tokens.scaled(ratio), row.requests or 1.0, "estimated", peak_to_mean)
    if effort == 1.0:
        return expected
    # More difficult work takes more requests, not longer ones.
    return msgspec.structs.replace(expected, tokens=expected.tokens.scaled(effort), requests=expected.requests * effort)


def _expected(tokens: Tokens, requests: float, provenance: str, peak_to_mean: float) -> Expected:
    peak = round(tokens.prompt / max(requests, 1.0) * peak_to_mean)
    return Expected(tokens=tokens, requests=requests, provenance=provenance, prompt_peak=min(peak, tokens.prompt))
