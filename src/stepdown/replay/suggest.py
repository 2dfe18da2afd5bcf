"""Thresholds for one user's work: a small grid of alternatives, each replayed over what the user's units really did. Pure.

Nothing is proposed that rests on too few runs, that may as well lose money, or that lets more work fail.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stepdown.candidates import Market
from stepdown.catalog import Catalog, Model
from stepdown.expectations import default
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.replay.compare import Sums, Way, replay, sums
from stepdown.replay.course import Follower
from stepdown.replay.past import Past
from stepdown.replay.world import World
from stepdown.routing import Router
from stepdown.units import Tier

GRID: Final[Mapping[str, tuple[object, ...]]] = {
    "heavy_steps": (6, 10, 12, 16),
    "heavy_files": (4, 8, 10),
    "light_steps": (2, 4, 5, 6),
    "light_files": (2, 4, 5),
    "missed_failure": (1.0, 2.0, 5.0),
}
"""Thresholds that are tried, and the values they are tried at, around those they ship with. ``missed_failure`` only under
``learning: expected_cost``, which alone looks at it. Beside these: the other ``learning``, the other ``escalate_to``, and
for each tier with a named model the cheapest others of that tier that take part."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "learning": ("threshold", "expected_cost"),
    "escalate_to": ("next", "ceiling"),
}
"""Keys of ``dynamic_routing`` that are tried at their other value."""

MINIMUM: Final = 20
"""Runs that would have gone otherwise: what rests on fewer is shown and not proposed."""

MOST_FAILURES: Final = 0.01
"""Failures, noticed or not, that an alternative may expect on top, as a share of all runs."""

NEWEST: Final = 2_000
"""Runs that the alternatives are tried on; older ones only make up the past."""

_GRAIN: Final = 0.05
"""How much older than its run a context may be here, as a share of the runs before it: two dozen replays have to be quick."""
_OTHERS: Final = 2
"""Other models that are tried for a tier."""


class Option(msgspec.Struct, frozen=True):
    """An alternative: settings by their dotted key below ``dynamic_routing``, such as ``thresholds.heavy_steps``."""

    settings: tuple[tuple[str, object], ...]

    def __str__(self) -> str:
        return ", ".join(f"{key}: {_written(value)}" for key, value in self.settings)

    def __add__(self, other: "Option") -> "Option":
        return Option((*self.settings, *other.settings))

    def applied(self, preferences: Preferences) -> Preferences:
        """The preferences with these settings in them."""
        routing, policy = preferences.dynamic_routing, preferences.policy
        for key, value in self.settings:
            section, _, name = key.rpartition(".")
            if section == "thresholds":
                policy = policy.with_overrides({name: value})
            elif section == "tier_models":
                models = {**routing.tier_models, Tier(name): ModelChoice(str(value))}
                routing = msgspec.structs.replace(routing, tier_models=models)
            else:
                routing = msgspec.structs.replace(routing, **{key: value})
        return msgspec.structs.replace(preferences, dynamic_routing=routing, policy=policy)

    def as_preferences(self) -> dict[str, object]:
        """The same as it stands in a preferences file."""
        section: dict[str, object] = {}
        for key, value in self.settings:
            *path, name = key.split(".")
            place = section
            for part in path:
                below = place.setdefault(part, {})
                assert isinstance(below, dict)
                place = below
            place[name] = value
        return {"dynamic_routing": section}


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What an alternative would have made of the runs.

    Attributes:
        option: the alternative.
        sums: what they cost without it (`Sums.then_usd`), replayed as well, and with it.
        moved: runs that would have started on another model, or gone on otherwise after a failure.
        guessed: those of them of which the record does not say how the first attempt would have ended.
        failures: failures for good, noticed or not, on top of those now; in expectation.
        against: why it is not proposed; "" where it is.
    """

    option: Option
    sums: Sums
    moved: int
    guessed: int
    failures: float
    against: str = ""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, and the best of it.

    Attributes:
        runs: on how many runs.
        switched_on: whether routing is off now, so that the first alternative switches it on and the others were tried with it.
        tried: every alternative by itself, the most saving first.
        best: those that may be proposed together, compared with the present preferences; None where there is none.
    """

    runs: int
    switched_on: bool
    tried: tuple[Tried, ...]
    best: Tried | None


def options(preferences: Preferences, catalog: Catalog) -> Iterator[Option]:
    """The alternatives to these preferences, one thing changed in each."""
    routing = preferences.dynamic_routing
    for name, values in GRID.items():
        if name == "missed_failure" and routing.learning != "expected_cost":
            continue
        for value in values:
            if value != getattr(preferences.policy, name):
                yield Option(((f"thresholds.{name}", value),))
    for name, words in CHOICES.items():
        for word in words:
            if word != getattr(routing, name):
                yield Option(((name, word),))
    for tier, model in _cheaper(preferences, catalog):
        own = catalog.resolve(model.id)
        name = model.id if own is not None and own.ref == model.ref else model.ref  # several may sell it
        yield Option(((f"tier_models.{tier}", name),))


def suggest(
    past: Past,
    preferences: Preferences,
    catalog: Catalog,
    world: World,
    *,
    reach: Mapping[str, frozenset[str] | None],
    first: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Suggestion:
    """Try every alternative by itself, and then together those that may be proposed.

    Args:
        past: the runs.
        preferences: the present ones. Where routing is off, switching it on is tried first, and all else with it.
        catalog: the models.
        world: how work goes.
        reach: see `Follower`.
        first: number of the first run that counts; of more than `NEWEST`, only the newest do.
        progress: told which alternative is being replayed.
    """
    bench = _Bench(past, preferences, catalog, world, reach, first)
    tried: list[Tried] = []
    base = Option(())
    if not preferences.dynamic_routing.enabled:
        base = Option((("enabled", True),))
        progress(str(base))
        tried.append(bench.measure(base, Option(())))
    singles: list[Tried] = []
    for option in options(base.applied(preferences), catalog):
        progress(str(option))
        singles.append(bench.measure(option, base))
    singles.sort(key=lambda one: (one.sums.difference_usd, str(one.option)))
    whole = _combined(base, [one.option for one in singles if not one.against], bench, progress)
    best = bench.measure(whole, Option(())) if whole.settings else None
    return Suggestion(
        runs=len(bench.ways(base)),
        switched_on=bool(base.settings),
        tried=(*tried, *singles),
        best=best if best is not None and not best.against else None,
    )


def _combined(base: Option, good: Sequence[Option], bench: "_Bench", progress: Callable[[str], None]) -> Option:
    """`base` with every alternative in it that may be proposed on top of those before it, and together with them.

    Args:
        base: what all were tried with.
        good: the alternatives, the most saving first.
        bench: replays them.
        progress: told which.
    """
    whole = base
    for option in good:
        if {key for key, _ in option.settings} & {key for key, _ in whole.settings}:
            continue
        progress(str(whole + option))
        if not (bench.measure(option, whole).against or bench.measure(whole + option, Option(())).against):
            whole += option
    return whole


class _Bench:
    """Replays alternatives against the present preferences."""

    def __init__(
        self,
        past: Past,
        preferences: Preferences,
        catalog: Catalog,
        world: World,
        reach: Mapping[str, frozenset[str] | None],
        first: int,
    ) -> None:
        self._first = max(first, len(past.runs) - NEWEST)
        self._past = past
        self._preferences = preferences
        self._catalog = catalog
        self._world = world
        self._reach = reach
        self._known: dict[Option, list[Way]] = {}

    def ways(self, option: Option) -> list[Way]:
        """How the runs would have gone with `option`."""
        known = self._known.get(option)
        if known is None:
            router = Router(option.applied(self._preferences), self._catalog)
            follower = Follower(router, self._world, self._preferences.dynamic_routing, self._reach)
            known = self._known[option] = replay(self._past, follower, since_run=self._first, grain=_GRAIN)
        return known

    def measure(self, option: Option, base: Option) -> Tried:
        """What `option` would have made of the runs on top of `base`."""
        pairs = list(zip(self.ways(base), self.ways(base + option), strict=True))
        other = [(then, now) for then, now in pairs if _differs(then, now)]
        tried = Tried(
            option=option,
            sums=sums([(then, now) for then, now in pairs if then.usd is not None and now.usd is not None]),
            moved=len(other),
            guessed=sum(not now.tried for _, now in other),
            failures=sum(now.failed + now.missed - then.failed - then.missed for then, now in pairs),
        )
        return msgspec.structs.replace(tried, against=_against(tried, len(pairs)))


def _differs(then: Way, now: Way) -> bool:
    return then.model != now.model or then.usd != now.usd


def _against(tried: Tried, runs: int) -> str:
    """Why an alternative is not proposed; "" where it is."""
    if not tried.moved:
        return "changes nothing"
    if tried.moved < MINIMUM:
        return f"rests on {tried.moved} run{'' if tried.moved == 1 else 's'} only"
    if tried.sums.difference_usd >= 0:
        return "saves nothing"
    if tried.sums.high_usd >= 0:
        return "may as well lose"
    if tried.failures > MOST_FAILURES * runs:
        return "lets more work fail"
    return ""


def _cheaper(preferences: Preferences, catalog: Catalog) -> Iterator[tuple[Tier, Model]]:
    """Per tier with a named model, the cheapest others that take part and cost less. Unnamed, the cheapest is taken anyway."""
    usual = default("execute-task").tokens
    taking_part = Market(preferences, catalog).taking_part
    for tier, choice in preferences.dynamic_routing.tier_models.items():
        named = catalog.resolve(choice.model, choice.provider)
        limit = None if named is None else named.cost(usual)
        if limit is None:
            continue
        costs = [(model.cost(usual), model) for model in catalog.of_tier(tier) if model.provider in taking_part]
        cheaper = sorted((cost, model.id, model) for cost, model in costs if cost is not None and cost < limit)
        for _, _, model in cheaper[:_OTHERS]:
            yield tier, model


def _written(value: object) -> str:
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
