"""Whether changing the model in the middle of a conversation pays (SPEC section 12). Pure.

A conversation's prompt is cached by the model that has read it. Another model has to read it anew, at the price of writing a
cache, before it saves anything.
"""

import msgspec

from stepdown.catalog import Model
from stepdown.decision import Ongoing
from stepdown.money import dollars
from stepdown.policy import Policy
from stepdown.units import Tokens


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as it stands before its next request, counted in tokens of the model that holds it now.

    Attributes:
        cached: tokens of its prompt in the present model's cache; 0 where it has expired, or nothing was sent yet.
        warm: of those, tokens that are in the other model's cache as well.
        fresh: new prompt tokens of each request to come.
        output: tokens of each answer to come.
        turns: how many requests are expected before the next chance to choose.
        hour: whether what is written is kept for an hour, which costs more.
    """

    cached: int = 0
    warm: int = 0
    fresh: int = 0
    output: int = 0
    turns: float = 1.0
    hour: bool = False


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of a switch, in US dollars.

    Attributes:
        each: what each request costs less on the other model (s of SPEC 12); negative where it costs more.
        turns: how many requests are expected (n).
        rewrite: what writing the cache on the other model costs once (K).
        returning: what writing the present one's cache again costs, times the chance that it comes to that.
        failing: what failing more often is expected to cost.
    """

    each: float
    turns: float
    rewrite: float
    returning: float = 0.0
    failing: float = 0.0

    @property
    def net(self) -> float:
        """What the switch saves, in expectation; negative where it loses."""
        return self.turns * self.each - self.rewrite - self.returning - self.failing

    def __str__(self) -> str:
        """``8 requests x $0.012 less each - $0.31 to write its cache = -$0.21``."""
        change = f"{dollars(self.each)} less" if self.each >= 0 else f"{dollars(-self.each)} more"
        losses = ((self.rewrite, "to write its cache"), (self.returning, "if it comes back"), (self.failing, "if it fails"))
        taken = "".join(f" - {dollars(usd)} {what}" for usd, what in losses if usd > 0)
        return f"{self.turns:.0f} requests x {change} each{taken} = {dollars(self.net)}"

    @property
    def pays(self) -> bool:
        """Whether to switch."""
        return self.net > 0


def switch(
    here: Model, there: Model, talk: Talk, *, returns: float = 0.0, ratio: float = 1.0, failing: float = 0.0
) -> Sum | None:
    """What going from `here` to `there` would cost and save; None where a price is unknown.

    Args:
        here: the model that holds the conversation.
        there: the other one.
        talk: the conversation.
        returns: the chance that it goes back to `here` while its cache would still be there.
        ratio: the other model's tokens per token of this one.
        failing: US dollars that failing more often is expected to cost.
    """
    longest = talk.cached + talk.fresh
    stay = _each(here, talk, 1.0, longest)
    go = _each(there, talk, ratio, longest)
    rewrite = _rewritten(there, round(max(0, talk.cached - talk.warm) * ratio), longest, hour=talk.hour)
    back = _rewritten(here, talk.cached, longest, hour=talk.hour)
    if stay is None or go is None or rewrite is None or back is None:
        return None
    return Sum(each=stay - go, turns=talk.turns, rewrite=rewrite, returning=returns * back, failing=failing)


def leave(here: Model, there: Model, ongoing: Ongoing, *, turns: float, failing: float, policy: Policy) -> Sum | None:
    """What leaving a conversation's model for another would cost and save; None where a price is unknown.

    Args:
        here: the model that holds it.
        there: the other one.
        ongoing: the conversation.
        turns: requests that are expected before the next chance to choose.
        failing: the chance that the other one fails the unit, which is then done again here.
        policy: ``switch_returns``.
    """
    talk = Talk(
        cached=ongoing.cached,
        warm=min(ongoing.cached, ongoing.warm.get(there.ref, 0)),
        fresh=ongoing.fresh,
        output=ongoing.output,
        turns=turns,
        hour=ongoing.hour,
    )
    again = here.cost(Tokens(cache_read=talk.cached, cache_write=talk.fresh, output=talk.output)) or 0.0
    return switch(here, there, talk, returns=policy.switch_returns, failing=failing * turns * again)


def _each(model: Model, talk: Talk, ratio: float, longest: int) -> float | None:
    """What one request of the conversation costs on a model whose tokens are `ratio` times as many."""
    step = Tokens(cache_read=talk.cached, cache_write=talk.fresh, output=talk.output).scaled(ratio)
    return model.cost(step, longest_prompt=round(longest * ratio), written_1h=step.cache_write if talk.hour else 0)


def _rewritten(model: Model, tokens: int, longest: int, *, hour: bool) -> float | None:
    """What writing so many tokens into the cache costs beyond reading them from it."""
    written = model.cost(Tokens(cache_write=tokens), longest_prompt=longest, written_1h=tokens if hour else 0)
    read = model.cost(Tokens(cache_read=tokens), longest_prompt=longest)
    return None if written is None or read is None else written - read
