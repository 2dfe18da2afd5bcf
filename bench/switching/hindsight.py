"""What somebody who knows everything that comes would do: the cheapest way through each conversation, exactly.

A unit goes to its own model or to the one that routing has for it, never to another. What counts for the rest of a
conversation is who answered last and what stands in whose cache; ways that agree in this are compared, and the dearer dropped.
What all conversations begin with is taken to be in every model's cache where another conversation went on shortly before:
only there the dollars may differ.
The dollars are those of `stepdown.audit.projection`, reckoned here a second time: a test holds the two together.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from bench.switching.rules import Numbers
from stepdown.audit.history import History, Work
from stepdown.audit.price import Prices, charged
from stepdown.audit.projection import Opening
from stepdown.catalog import Model
from stepdown.policy import Policy

_Cached = tuple[tuple[str, int, float], ...]
"""Per model, tokens in its cache and until when."""


class _State(NamedTuple):
    holder: str
    moved: bool
    cached: _Cached


class _Way(NamedTuple):
    usd: float
    goes: tuple[bool, "_Way"] | None
    """The last step, and the way before it."""


class Hindsight:
    """Plans conversations of which everything is known.

    Args:
        history: the work.
        openings: per unit (by `id`), what routing had for it, where it had something.
        prices: of requests.
        policy: how long a cache is kept.
    """

    def __init__(self, history: History, openings: Mapping[int, Opening], prices: Prices, policy: Policy) -> None:
        self._openings = openings
        self._prices = prices
        self._policy = policy
        self._numbers = Numbers(history)
        self._talks: defaultdict[tuple[str, str], list[Work]] = defaultdict(list)
        for work in history.units:
            self._talks[work.agent, work.turn.conversation].append(work)
        self._shared = _shared(history, policy, self._numbers)
        self._hour = {id(work): hour for talk in self._talks.values() for work, hour in _hours(talk)}

    def plan(self) -> dict[int, bool]:
        """Per unit (by `id`), whether it goes to routing's model."""
        plan: dict[int, bool] = {}
        for talk in self._talks.values():
            way = self._cheapest(talk)
            for work in reversed(talk):
                assert way.goes is not None
                plan[id(work)], way = way.goes
        return plan

    def usd(self) -> float:
        """What all conversations cost so, in expectation, US dollars."""
        return sum(self._cheapest(talk).usd for talk in self._talks.values())

    def returning(self) -> dict[int, bool]:
        """Per unit (by `id`), whether the next one of its conversation needs its own model, and comes while a cache is kept."""
        found: dict[int, bool] = {}
        for talk in self._talks.values():
            for work, after in pairwise(talk):
                needs = id(after) not in self._openings
                found[id(work)] = needs and not self._numbers.free(after)
        return found

    def stays(self) -> tuple[float, float]:
        """Of all units, the share of which `returning` is true, and the share that a free moment or nothing follows."""
        after = self.returning()
        units = sum(len(talk) for talk in self._talks.values())
        free = sum(self._numbers.free(work) for talk in self._talks.values() for work in talk)
        return sum(after.values()) / max(1, units), free / max(1, units)

    def _cheapest(self, talk: Sequence[Work]) -> _Way:
        ways = {_State("", False, ()): _Way(0.0, None)}
        for work in talk:
            after: dict[_State, _Way] = {}
            for state, way in ways.items():
                for goes, model in self._options(work):
                    then, usd = self._step(work, model, state, goes=goes)
                    known = after.get(then)
                    if known is None or way.usd + usd < known.usd:
                        after[then] = _Way(way.usd + usd, (goes, way))
            ways = after
        return min(ways.values(), key=lambda way: way.usd)

    def _options(self, work: Work) -> Iterator[tuple[bool, Model | None]]:
        yield False, self._prices.model(work.requests[0])
        opening = self._openings.get(id(work))
        if opening is not None and opening.target is not None:
            yield True, opening.target

    def _step(self, work: Work, model: Model | None, state: _State, *, goes: bool) -> tuple[_State, float]:
        """A unit on a model: how the conversation stands then, and what the unit cost, failing counted."""
        spent = work.usd or 0.0
        if model is None:
            return state, spent
        first, last = work.requests[0], work.requests[-1]
        cached = () if work.turn.fresh else state.cached
        moved = state.moved or goes
        usd = spent
        if goes:
            terms = self._prices.terms_of_all(work.requests, model)
            usd = sum(charged(one, listed) or 0.0 for one, listed in zip(work.requests, terms, strict=True))
            usd += self._openings[id(work)].failing * spent
        if moved and first.count == 1 and model.ref != state.holder and (state.holder or goes):
            there = max((tokens for ref, tokens, until in cached if ref == model.ref and first.at <= until), default=0)
            there = there if state.holder else max(there, self._shared.get(id(work), 0))
            listed = self._prices.terms(first, model)
            write = 0.0 if listed is None else listed[4 if self._hour[id(work)] else 3] - listed[2]
            usd += write * max(0, first.cache_read - there)
        if last.cache_read or last.cache_write:
            until = last.at + (self._policy.cache_seconds_long if last.written_1h else self._policy.cache_seconds)
            others = tuple(one for one in cached if one[0] != model.ref)
            cached = tuple(sorted((*others, (model.ref, last.prompt + last.output, until))))
        return _State(model.ref, moved, cached), usd


def _hours(talk: Sequence[Work]) -> Iterator[tuple[Work, bool]]:
    """Each unit of a conversation, and whether what it writes is kept for an hour."""
    hour = False
    for work in talk:
        hour = hour or work.requests[0].written_1h > 0
        yield work, hour
        hour = hour or work.requests[-1].written_1h > 0


def _shared(history: History, policy: Policy, numbers: Numbers) -> dict[int, int]:
    """Per unit that begins a conversation, how much of its prompt others have left in caches, in tokens."""
    found: dict[int, int] = {}
    shared, until = 0, 0.0
    for work in history.units:
        first, last = work.requests[0], work.requests[-1]
        if not numbers.of(work):
            found[id(work)] = shared if first.at <= until else 0
            if first.count == 1:
                shared = shared if first.at <= until and shared < first.prompt else first.prompt
        if last.cache_read or last.cache_write:
            until = last.at + (policy.cache_seconds_long if last.written_1h else policy.cache_seconds)
    return found
