"""The rules that are compared. `stepdown.audit.projection.Rule` says what a rule is.

All but `Keep` give work that needs its user's own model that model; they differ in when the rest is moved.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from stepdown.audit.history import History, Work
from stepdown.audit.projection import Opening, Priced
from stepdown.catalog import Model
from stepdown.switching import Talk
from stepdown.units import Tier, Tokens

_MOST = 0.5
"""Where less than this share of a prompt was read from the cache, the conversation was not in it."""


def free(work: Work, number: int) -> bool:
    """Whether nothing of a conversation is in a cache: it begins, was summed up, or paused for too long."""
    first = work.requests[0]
    return not number or work.turn.fresh or first.count != 1 or first.cache_read < _MOST * first.prompt


class Numbers:
    """How many units of its conversation came before each unit."""

    def __init__(self, history: History) -> None:
        self._before: dict[int, int] = {}
        seen: defaultdict[tuple[str, str], int] = defaultdict(int)
        for work in history.units:
            key = (work.agent, work.turn.conversation)
            self._before[id(work)] = seen[key]
            seen[key] += 1

    def of(self, work: Work) -> int:
        """0 for the first."""
        return self._before[id(work)]

    def free(self, work: Work) -> bool:
        """See the function of that name."""
        return free(work, self.of(work))


class Keep:
    """Never switches: a conversation keeps the model of its last free moment, whatever is asked of it.

    Heavy work then runs on a model below its tier, at the failures that are assumed for that.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        if self._numbers.free(opening.work):
            return opening.target or opening.own
        return opening.held or opening.own


class OnlyUp:
    """Never switches down: heavy work goes to its own model, and the conversation stays there until its next free moment."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        target, held = opening.target, opening.held
        if target is None:
            return opening.own
        if self._numbers.free(opening.work):
            return target
        return held if held is not None and _tier(held) >= _tier(target) else opening.own


class Always:
    """Whenever routing has something cheaper."""

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        return opening.target or opening.own


class After:
    """Like `Always`, from a conversation's n-th unit on; before that it stays on its own model."""

    def __init__(self, numbers: Numbers, units: int) -> None:
        self._numbers = numbers
        self._units = units

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        late = self._numbers.of(opening.work) >= self._units
        return opening.target if late and opening.target is not None else opening.own


class Every:
    """Goes down at each k-th unit of a conversation and at free moments; between them it only goes up, where work needs it."""

    def __init__(self, numbers: Numbers, units: int) -> None:
        self._numbers = numbers
        self._units = units
        self._between = OnlyUp(numbers)

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        if self._numbers.of(opening.work) % self._units == 0:
            return opening.target or opening.own
        return self._between.place(opening)


class Mistaken:
    """Stepdown's own rule, where the requests of a unit are expected to be more or fewer than they are on average.

    Args:
        returns: as in `Priced`.
        times: what the true mean is multiplied by.
        requests: what is expected instead of any mean; None goes by the mean.
    """

    def __init__(self, returns: float, *, times: float = 1.0, requests: float | None = None) -> None:
        self._priced = Priced(returns)
        self._times = times
        self._requests = requests

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        expected = opening.talk.turns * self._times if self._requests is None else self._requests
        talk = msgspec.structs.replace(opening.talk, turns=expected)
        again = opening.again / opening.talk.turns * expected if opening.talk.turns else 0.0
        return self._priced.place(msgspec.structs.replace(opening, talk=talk, again=again))


class Planned:
    """Goes where it is told beforehand: for those who know the future.

    Args:
        targets: per unit (by `id`), whether it goes to routing's model; others stay.
    """

    def __init__(self, targets: Mapping[int, bool]) -> None:
        self._targets = targets

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        goes = opening.target is not None and self._targets.get(id(opening.work), False)
        return opening.target if goes and opening.target is not None else opening.own


class Informed:
    """Stepdown's own sum with what really comes: the requests of this unit, and whether the conversation goes back after it.

    Args:
        returning: per unit (by `id`), whether the next one needs its own model while its cache is kept.
    """

    def __init__(self, returning: Mapping[int, bool]) -> None:
        self._returning = returning

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        requests = opening.work.requests
        many = sum(one.count or 1 for one in requests)
        talk = msgspec.structs.replace(
            opening.talk,
            turns=many,
            fresh=sum(one.input + one.cache_write for one in requests) // many,
            output=sum(one.output for one in requests) // many,
        )
        known = msgspec.structs.replace(opening, talk=talk, again=opening.work.usd or 0.0)
        return Priced(float(self._returning.get(id(opening.work), False))).place(known)


class Ahead:
    """A sum over the whole stay on the cheaper model, not over one unit: it may last several units, and may end by going back.

    With h the chance that the unit after this one goes back while its own model's cache would be kept, and e the chance that it
    comes at a free moment or not at all, a stay lasts 1 / (h + e) units and ends by going back with the chance h / (h + e).
    Going back writes the whole prompt for its own model, and does so as well where the stay began at a free moment.

    Args:
        back: h.
        ends: e.
        far: whether to look beyond the present unit; else it is taken to be the only one of the stay.
    """

    def __init__(self, back: float, ends: float, *, far: bool = True) -> None:
        over = max(1e-6, back + ends)
        self._returns = back / over if far else back
        self._more = max(0.0, 1 / over - 1) if far else 0.0

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        own, target, talk = opening.own, opening.target, opening.talk
        if target is None:
            return own
        if opening.held is not None and opening.held.ref == target.ref:
            return target
        first, failing = opening.work.requests[0], opening.failing
        hour = talk.hour
        there = min(first.prompt, talk.warm)
        end = first.prompt + round(talk.turns * talk.fresh)
        kept = talk.cached if hour else 0
        here = _unit(own, first.prompt, talk.cached, talk, hour=hour)
        gain = (1 - failing) * here - _unit(target, first.prompt, there, talk, hour=hour)
        later = _unit(own, end, end, talk, hour=hour)
        gain += self._more * ((1 - failing) * later - _unit(target, end, end, talk, hour=hour))
        gain -= self._returns * (_write(own, end - kept, hour=hour) - _read(own, end - kept))
        return target if gain > 0 else own


def _unit(model: Model, prompt: int, cached: int, talk: Talk, *, hour: bool) -> float:
    """What a unit of so many requests is expected to cost that begins with this prompt, US dollars."""
    more = max(0.0, talk.turns - 1)
    read = round(cached + more * (prompt + talk.fresh * more / 2))
    write = round(prompt - cached + more * talk.fresh)
    return _read(model, read) + _write(model, write, hour=hour) + _usd(model, Tokens(output=round(talk.output * talk.turns)))


def _read(model: Model, tokens: int) -> float:
    return _usd(model, Tokens(cache_read=tokens))


def _write(model: Model, tokens: int, *, hour: bool) -> float:
    return model.cost(Tokens(cache_write=tokens), written_1h=tokens if hour else 0) or 0.0


def _usd(model: Model, tokens: Tokens) -> float:
    return model.cost(tokens) or 0.0


class Noted:
    """Remembers what routing had for each unit, and moves everything."""

    def __init__(self) -> None:
        self.openings: dict[int, Opening] = {}

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        if opening.target is not None:
            self.openings[id(opening.work)] = opening
        return opening.target or opening.own


def _tier(model: Model) -> Tier:
    return model.tier or Tier.STANDARD
