"""The same conversations under every rule, in dollars per conversation."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from bench.routing.bootstrap import Interval, interval
from bench.switching.hindsight import Hindsight
from bench.switching.rules import After, Ahead, Always, Every, Informed, Keep, Mistaken, Noted, Numbers, OnlyUp, Planned
from stepdown.audit.history import History
from stepdown.audit.price import Prices
from stepdown.audit.projection import Fate, Priced, Projector, Rule
from stepdown.catalog import Catalog
from stepdown.policy import Policy
from stepdown.preferences import Preferences
from stepdown.preferences.schema import DynamicRouting, ModelChoice
from stepdown.routing import Router
from stepdown.units import Tier

NONE: Final = "no routing"
KEEP: Final = "keep, whatever comes"
ONLY_UP: Final = "never down"
OURS: Final = "priced (ours)"
KNOWING: Final = "clairvoyant"
_DRAWS: Final = 1_000
_NOTHING: Final = 1e-3
"""A saving below this share is none, and has no parts."""


class Dollars(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one rule.

    Attributes:
        assumed: per conversation, US dollars with failing as assumed (`Policy.failure_*`).
        hard: the same with failing as on a hard benchmark (`Policy.hard_failure_*`).
        cache: lost to caches written anew, US dollars.
        switches: how often a unit went to another model than the one before it in its conversation.
        moved: how many units ran on a cheaper model.
    """

    assumed: tuple[float, ...]
    hard: tuple[float, ...]
    cache: float = 0.0
    switches: int = 0
    moved: int = 0


class Result(msgspec.Struct, frozen=True):
    """One family under all rules.

    Attributes:
        name: of the family.
        units: how many whose cost is known.
        rules: by name; `NONE` is what was spent.
    """

    name: str
    units: int
    rules: dict[str, Dollars]

    def dearer(self, rule: str, other: str, *, hard: bool = False) -> float:
        """How much dearer (+) or cheaper (-) a rule is than another, as a share of the other."""
        whole = sum(_usd(self.rules[other], hard=hard))
        return sum(_usd(self.rules[rule], hard=hard)) / whole - 1 if whole else 0.0

    def saving(self, rule: str, *, hard: bool = False) -> float:
        """What a rule saves, as a share of what was spent without routing."""
        return -self.dearer(rule, NONE, hard=hard)

    def beside(self, rule: str, other: str = KEEP, *, hard: bool = False) -> tuple[float, Interval]:
        """`dearer`, with the middle 95 % of its draws."""
        return compared(_usd(self.rules[rule], hard=hard), _usd(self.rules[other], hard=hard))

    @property
    def share(self) -> float | None:
        """Ours, of what the clairvoyant saves; None where there is nothing to save."""
        most = self.saving(KNOWING)
        return self.saving(OURS) / most if most > _NOTHING else None


def compared(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, Interval]:
    """How much dearer the first is than the second, as a share, over draws of conversations."""
    chance = random.Random(len(ours))
    places = range(len(ours))
    values = [_ratio(ours, theirs, places)]
    values += [_ratio(ours, theirs, chance.choices(places, k=len(ours))) for _ in range(_DRAWS)]
    return values[0], interval(values)


def router(own: Mapping[Tier, str], catalog: Catalog, policy: Policy) -> Router:
    """A router with routing on and these models for the tiers; with none, as it ships."""
    tiers = {tier: ModelChoice(name) for tier, name in own.items()}
    return Router(Preferences(dynamic_routing=DynamicRouting(enabled=True, tier_models=tiers), policy=policy), catalog)


def rules(history: History, policy: Policy, hindsight: Hindsight) -> dict[str, Callable[[], Rule]]:
    """All rules by name, each made anew when it is used."""
    numbers = Numbers(history)
    made: dict[str, Callable[[], Rule]] = {
        KEEP: lambda: Keep(numbers),
        ONLY_UP: lambda: OnlyUp(numbers),
        "always": Always,
        "after 3 units": lambda: After(numbers, 3),
        "each 4th unit": lambda: Every(numbers, 4),
        OURS: lambda: Priced(policy.switch_returns),
    }
    made |= {f"priced, returns {returns:g}": partial(Priced, returns) for returns in (0.0, 0.5, 1.0)}
    made |= {f"priced, requests x {times:g}": partial(Mistaken, policy.switch_returns, times=times) for times in (0.5, 2.0)}
    made["priced, 8 requests"] = lambda: Mistaken(policy.switch_returns, requests=8.0)
    back, ends = hindsight.stays()
    made["this unit, return counted"] = lambda: Ahead(back, ends, far=False)
    made["whole stay, learned"] = lambda: Ahead(back, ends)
    made["whole stay, 0.2 and 0.2"] = lambda: Ahead(0.2, 0.2)
    made["priced, this unit known"] = lambda: Informed(hindsight.returning())
    made[KNOWING] = lambda: Planned(hindsight.plan())
    return made


def study(name: str, history: History, prices: Prices, decides: Router, mode: str = "full") -> Result:
    """Follow a history under every rule."""
    noted = Noted()
    first = Projector(decides, prices, history, noted).follow(mode)
    hindsight = Hindsight(history, noted.openings, prices, decides.policy)
    spent = tuple(_per_talk(history, first, lambda fate: fate.spent))
    found = {NONE: Dollars(assumed=spent, hard=spent)}
    for rule, made in rules(history, decides.policy, hindsight).items():
        found[rule] = _dollars(history, Projector(decides, prices, history, made()).follow(mode))
    return Result(name, sum(fate is not None for fate in first), found)


def _dollars(history: History, fates: Sequence[Fate | None]) -> Dollars:
    known = [fate for fate in fates if fate is not None]
    return Dollars(
        assumed=tuple(_per_talk(history, fates, lambda fate: fate.spent - fate.net)),
        hard=tuple(_per_talk(history, fates, _hard)),
        cache=sum(fate.cache for fate in known),
        switches=_switches(history, fates),
        moved=sum(fate.model is not None for fate in known),
    )


def _hard(fate: Fate) -> float:
    return fate.there + fate.cache + (fate.careful * fate.spent if fate.model is not None else 0.0)


def _per_talk(history: History, fates: Sequence[Fate | None], usd: Callable[[Fate], float]) -> list[float]:
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for work, fate in zip(history.units, fates, strict=True):
        if fate is not None:
            sums[work.agent, work.turn.conversation] += usd(fate)
    return list(sums.values())


def _switches(history: History, fates: Sequence[Fate | None]) -> int:
    last: dict[tuple[str, str], str] = {}
    found = 0
    for work, fate in zip(history.units, fates, strict=True):
        key = (work.agent, work.turn.conversation)
        model = fate.model.id if fate is not None and fate.model is not None else work.requests[0].model
        found += last.get(key, model) != model
        last[key] = model
    return found


def _usd(dollars: Dollars, *, hard: bool) -> Sequence[float]:
    return dollars.hard if hard else dollars.assumed


def _ratio(ours: Sequence[float], theirs: Sequence[float], places: Sequence[int]) -> float:
    whole = sum(map(theirs.__getitem__, places))
    return sum(map(ours.__getitem__, places)) / whole - 1 if whole else 0.0
