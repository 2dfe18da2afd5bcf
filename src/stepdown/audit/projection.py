"""What routing would have made of recorded work: the same decisions, the same prices, caches followed request by request. Pure.

Every unit is decided by the router as it would have been when it began, below the model that it ran on. In the middle of a
conversation it moves only where that pays (`stepdown.switching`), or as another `Rule` has it. What it would have cost then is
reckoned from its own requests: the same tokens at the other model's prices, a cache written anew where the model changes, and
all of it again on its own model with the chance that the cheaper one fails.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from stepdown.audit.history import History, Work
from stepdown.audit.nature import foreseen, unit_of
from stepdown.audit.price import Prices, charged
from stepdown.audit.records import Kept, Move, Projection
from stepdown.catalog import Model
from stepdown.decision import Classification, Context, Decision, Needs
from stepdown.odds import priors
from stepdown.preferences.schema import ModelChoice
from stepdown.routing import Router
from stepdown.sessions.records import Request
from stepdown.switching import Talk, switch
from stepdown.units import Tier, Tokens

PERSON: Final = "a person's turn, which mode delegated leaves alone"
PLANNING: Final = "planning, which stays on its model"
HEAVY: Final = "heavy work, which stays on its model"
UNKNOWN: Final = "nothing is known of its model"
NO_CHEAPER: Final = "nothing cheaper below its model could have served it"
FAILING: Final = "with its expected failures nothing cheaper would have paid"
SWITCHING: Final = "changing models in mid-conversation would have cost more than it saves"
_STEP: Final = 16_384
"""Prompts are rounded up to a multiple of so many tokens, so that units that are alike are decided once."""


class Fate(msgspec.Struct, frozen=True):
    """What would have become of one unit.

    Attributes:
        model: what it would have started on; None where it would have stayed.
        why: why it would have stayed; "" otherwise.
        spent: what it cost, US dollars.
        there: what its requests would have cost on `model`, without losses; `spent` where it stays.
        cache: lost to caches written anew.
        failing: the chance that it fails there and is done again on its own model.
        careful: the same, at the careful end of the range.
    """

    model: Model | None
    why: str
    spent: float
    there: float
    cache: float = 0.0
    failing: float = 0.0
    careful: float = 0.0

    @property
    def net(self) -> float:
        """What it would have saved, in expectation."""
        return self.spent - self.there - self.failing * (self.spent if self.model else 0.0) - self.cache


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that is about to begin, as a rule sees it.

    Attributes:
        work: the unit with its requests; only a rule that is to know the future looks at those.
        own: the model that its user chose.
        target: the cheaper model that routing has for it; None where routing leaves it on its own.
        held: the cheaper model that the conversation is on already, by an earlier move; None where it is on its own.
        talk: the conversation; ``cached`` is 0 at a free moment, and where it is on `target` already.
        again: what the unit is expected to cost on its own model, US dollars.
        failing: the chance that it fails on `target`.
    """

    work: Work
    own: Model
    target: Model | None
    held: Model | None
    talk: Talk
    again: float
    failing: float


class Rule(Protocol):
    """Where a unit goes of which routing has said what could do it."""

    def place(self, opening: Opening) -> Model:
        """`Opening.own`, `Opening.target` or `Opening.held`."""


class Priced:
    """As stepdown does it: what needs its own model goes there; the rest is moved at a free moment, and else where it pays.

    Args:
        returns: the chance that a conversation goes back to its own model (`Policy.switch_returns`).
    """

    def __init__(self, returns: float) -> None:
        self._returns = returns

    def place(self, opening: Opening) -> Model:
        """See `Rule.place`."""
        target = opening.target
        if target is None:
            return opening.own
        if not opening.talk.cached:
            return target
        found = switch(opening.own, target, opening.talk, returns=self._returns, failing=opening.failing * opening.again)
        return target if found is not None and found.pays else opening.own


class _Warm:
    """What stands in caches of one conversation, as it would have gone: per model tokens, and until when."""

    __slots__ = ("holder", "hour", "moved", "routed", "until")

    def __init__(self) -> None:
        self.until: dict[str, tuple[int, float]] = {}
        self.holder = ""
        """The model that answered last."""
        self.hour = False
        """Whether what it writes is kept for an hour, which costs more to write."""
        self.moved = False
        """Whether any unit of it would have run elsewhere: until then everything is as it was."""
        self.routed: dict[str, str] = {}
        """Per model that a unit of it was moved to, the model that its user had chosen then."""

    def tokens(self, ref: str, at: float) -> int:
        tokens, until = self.until.get(ref, (0, 0.0))
        return tokens if at <= until else 0


class Projector:
    """Follows a history under routing.

    Args:
        router: decides, with routing switched on.
        prices: of requests.
        history: the work.
        rule: when to change models; priced if not given.
    """

    def __init__(self, router: Router, prices: Prices, history: History, rule: Rule | None = None) -> None:
        self._router = router
        self._policy = router.policy
        self._rule = rule or Priced(router.policy.switch_returns)
        self._prices = prices
        self._history = history
        self._decisions: dict[tuple[object, ...], Decision] = {}
        self._usual = _usual(history)
        self._begun: dict[str, tuple[int, float]] = {}
        """Per model, the prompt with which a conversation began on it last, in tokens, and until when that is in its cache:
        instructions and tools, which all conversations begin with, are no more than that."""
        self._natures = [foreseen(work.turn, self._policy) for work in history.units]

    def follow(self, mode: str) -> list[Fate | None]:
        """The fate of each unit of the history under ``delegated`` or ``full``; None where what it cost is unknown."""
        talks: defaultdict[tuple[str, str], _Warm] = defaultdict(_Warm)
        self._begun.clear()
        fates: list[Fate | None] = []
        for work, nature in zip(self._history.units, self._natures, strict=True):
            warm = talks[work.agent, work.turn.conversation]
            if work.turn.fresh:
                warm.until.clear()
            fates.append(self._fate(work, nature, warm, mode))
        return fates

    def _fate(self, work: Work, nature: Classification, warm: _Warm, mode: str) -> Fate | None:
        spent = work.usd
        own = self._prices.model(work.requests[0])
        if spent is None:
            return None
        if own is None:
            return Fate(None, UNKNOWN, spent, spent)
        target, why = self._target(work, nature, own, warm, mode)
        there, lost = self._account(work, own, target, warm)
        if target is None:
            return Fate(None, why, spent, spent, cache=lost)
        tier = target.tier or Tier.STANDARD
        careful = self._policy.hard_failure_light if tier is Tier.LIGHT else self._policy.hard_failure_standard
        failing = priors(nature.tier, self._policy)[tier.rank]
        return Fate(target, "", spent, there, cache=lost, failing=failing, careful=max(failing, careful))

    def _target(self, work: Work, nature: Classification, own: Model, warm: _Warm, mode: str) -> tuple[Model | None, str]:
        """Where the unit would have started, or why it would have stayed."""
        target, why = self._wanted(work, nature, own, mode)
        held = self._held(own, warm)
        if target is None and held is None:
            return None, why
        at = work.requests[0].at
        usual = self._usual[work.turn.type]
        other = target or held or own
        cached = 0 if warm.holder == other.ref else self._cached(work.requests[0], own, warm)
        talk = Talk(
            cached=cached,
            warm=min(cached, self._at_hand(other.ref, warm, at)),
            fresh=usual.fresh,
            output=usual.output,
            turns=usual.requests,
            hour=warm.hour or work.requests[0].written_1h > 0,
        )
        again = own.cost(Tokens(cache_read=cached, cache_write=usual.fresh, output=usual.output)) or 0.0
        failing = priors(nature.tier, self._policy)[(other.tier or Tier.STANDARD).rank]
        opening = Opening(
            work=work, own=own, target=target, held=held, talk=talk, again=again * usual.requests, failing=failing
        )
        placed = self._rule.place(opening)
        return (None, why or SWITCHING) if placed is own else (placed, "")

    def _wanted(self, work: Work, nature: Classification, own: Model, mode: str) -> tuple[Model | None, str]:
        """What routing has for the unit, or why nothing."""
        origin = work.turn.origin
        if origin == "human" and mode != "full":
            return None, PERSON
        if origin == "human" and unit_of(work.turn).type == "plan-slice":
            return None, PLANNING
        decision = self._decided(work, nature, own)
        if not decision.downgraded:
            if decision.unchanged == "stood down":
                return None, FAILING
            return None, HEAVY if nature.tier is Tier.HEAVY else NO_CHEAPER
        target = self._router.catalog.find_ref(decision.ref)
        return (None, NO_CHEAPER) if target is None else (target, "")

    def _held(self, own: Model, warm: _Warm) -> Model | None:
        """The cheaper model that the conversation is on by an earlier move."""
        moved = warm.holder != own.ref and warm.routed.get(warm.holder) == own.ref
        return self._router.catalog.find_ref(warm.holder) if moved else None

    def _cached(self, request: Request, own: Model, warm: _Warm) -> int:
        """How much of the prompt its own model has in its cache, in tokens.

        Where its own model answered last, that is what it was billed for; else what would be left of an earlier time.
        """
        if request.count != 1:
            return 0
        return request.cache_read if warm.holder in {"", own.ref} else warm.tokens(own.ref, request.at)

    def _decided(self, work: Work, nature: Classification, own: Model) -> Decision:
        unit = unit_of(work.turn)
        sums = work.requests[0].count != 1
        prompt = 0 if sums else -(-max([request.prompt for request in work.requests]) // _STEP) * _STEP
        key = (unit.type, nature.tier, nature.tag, own.ref, prompt)
        decision = self._decisions.get(key)
        if decision is None:
            context = Context(
                now=work.turn.at,
                providers=frozenset({own.provider}),
                ceiling=ModelChoice(own.id, provider=own.provider),
                needs=None if sums else Needs(prompt=prompt, output=self._policy.requested_output),
            )
            decision = self._decisions[key] = self._router.decide(unit, context, nature=nature)
        return decision

    def _account(self, work: Work, own: Model, target: Model | None, warm: _Warm) -> tuple[float, float]:
        """What the requests would have cost on `target`, and what of it beyond that was caches written anew.

        Requests that its user sent to another model in the middle of the unit stay there.
        """
        last = work.requests[-1]
        first = work.requests[0]
        if not warm.holder and first.count == 1:
            ref = (target or own).ref
            shared, until = self._begun.get(ref, (0, 0.0))
            self._begun[ref] = (shared if first.at <= until and shared < first.prompt else first.prompt, until)
        if target is None and not warm.moved:  # all is as it was
            self._note(warm, own.ref, last)
            return work.usd or 0.0, 0.0
        warm.moved = True
        if target is not None:
            warm.routed[target.ref] = own.ref
        goes, named = target or own, work.requests[0].model
        there = lost = 0.0
        before = None
        terms = self._prices.terms_of_all(work.requests, goes)
        for request, cost, listed in zip(work.requests, work.costs, terms, strict=True):
            model = goes if request.model == named else self._prices.model(request) or own
            usd = charged(request, listed) if model is target else cost
            there += usd if usd is not None else cost or 0.0
            if before is None or before.model != request.model:  # the only places where another model may go on
                if before is not None:
                    self._note(warm, warm.holder, before)
                lost += self._rewritten(request, model, warm, moved=model is target)
                warm.holder = model.ref
            before = request
        self._note(warm, warm.holder, last)
        return there, lost

    def _rewritten(self, request: Request, model: Model, warm: _Warm, *, moved: bool) -> float:
        """What of this request's cached prompt `model` would have had to read anew, at what it costs beyond reading it."""
        ref = model.ref
        if request.count != 1 or ref == warm.holder or not (warm.holder or moved):
            return 0.0
        anew = request.cache_read - min(request.cache_read, self._at_hand(ref, warm, request.at))
        terms = self._prices.terms(request, model) if anew else None
        hour = warm.hour or request.written_1h > 0
        return 0.0 if terms is None else anew * (terms[4 if hour else 3] - terms[2])

    def _note(self, warm: _Warm, ref: str, request: Request) -> None:
        """A request was answered: its prompt and its answer are in the model's cache for a while."""
        if request.cache_read or request.cache_write:
            until = request.at + (self._policy.cache_seconds_long if request.written_1h else self._policy.cache_seconds)
            warm.until[ref] = (request.prompt + request.output, until)
            warm.hour = warm.hour or request.written_1h > 0
            self._begun[ref] = (self._begun.get(ref, (0, 0.0))[0], until)
        warm.holder = ref

    def _at_hand(self, ref: str, warm: _Warm, at: float) -> int:
        """How much of a conversation's prompt is in a model's cache, in tokens: its own, or what it shares with all others."""
        shared, until = self._begun.get(ref, (0, 0.0))
        return max(warm.tokens(ref, at), shared if not warm.holder and at <= until else 0)


class _Usual(msgspec.Struct, frozen=True):
    """What units of one type use, on average."""

    requests: float
    fresh: int
    output: int


def _usual(history: History) -> dict[str, _Usual]:
    """Per type, from the history itself: what the ledger would have learned."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for work in history.units:
        row = sums[work.turn.type]
        row[0] += 1
        for request in work.requests:
            row[1] += request.count or 1
            row[2] += request.input + request.cache_write
            row[3] += request.output
    return {
        kind: _Usual(requests / units, fresh // max(1, requests), output // max(1, requests))
        for kind, (units, requests, fresh, output) in sums.items()
    }


def summed(mode: str, units: Sequence[Work], fates: Sequence[Fate | None]) -> Projection:
    """All fates together."""
    known = [(work, fate) for work, fate in zip(units, fates, strict=True) if fate is not None]
    moved = [(work, fate) for work, fate in known if fate.model is not None]
    cheaper = sum((1 - fate.failing) * (fate.spent - fate.there) for _, fate in moved)
    failed = sum(fate.failing * fate.there for _, fate in moved)
    cache = sum(fate.cache for _, fate in known)
    gross = sum(fate.spent - fate.there for _, fate in moved)
    spent = sum(fate.spent for _, fate in known)
    return Projection(
        mode=mode,
        units=len(known),
        moved=len(moved),
        spent_usd=spent,
        routed_usd=spent - cheaper + failed + cache,
        cheaper_usd=cheaper,
        failed_usd=failed,
        cache_usd=cache,
        low_usd=gross - sum(fate.careful * fate.spent for _, fate in moved) - cache,
        high_usd=gross - cache,
        moves=_moves(moved),
        kept=_kept(known),
    )


def _moves(moved: Iterable[tuple[Work, Fate]]) -> tuple[Move, ...]:
    sums: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for work, fate in moved:
        row = sums[work.turn.type, work.requests[0].model, fate.model.id if fate.model else ""]
        row[0] += 1
        row[1] += fate.spent
        row[2] += fate.net
    lines = [
        Move(type=kind, before=before, after=after, units=int(row[0]), usd=row[1], net_usd=row[2])
        for (kind, before, after), row in sums.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.net_usd, line.type, line.before)))


def _kept(known: Iterable[tuple[Work, Fate]]) -> tuple[Kept, ...]:
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for _, fate in known:
        if fate.model is None:
            sums[fate.why][0] += 1
            sums[fate.why][1] += fate.spent
    lines = [Kept(why=why, units=int(row[0]), usd=row[1]) for why, row in sums.items()]
    return tuple(sorted(lines, key=lambda line: (-line.usd, line.why)))
