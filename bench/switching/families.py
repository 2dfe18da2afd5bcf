"""Conversations made by chance from a few parameters, as the histories that an audit reads. Every run makes the same.

The shape is that of agents' logs: each request reads from the cache what the one before sent and writes what is new; after a
pause that is longer than the cache is kept, everything is written again; a prompt that grew too long is summed up.
"""

import math
from random import Random
from typing import Final

import msgspec

from stepdown.audit.history import History, gather
from stepdown.audit.price import Prices
from stepdown.catalog import Model
from stepdown.policy import DEFAULT_POLICY
from stepdown.sessions.records import Log, Request, Turn
from stepdown.signals import Signals
from stepdown.units import Tier

FIRST: Final = 1_794_500_000.0
"""In November 2026."""
_BETWEEN: Final = 12.0
"""Seconds between two requests of a turn."""
_SPREAD: Final = 0.8
"""How far the sizes of turns, steps and answers lie apart (sigma of the lognormal)."""
_SIGNALS: Final = {
    Tier.LIGHT: Signals(tags=("typo",), files=1, steps=1),
    Tier.STANDARD: Signals(),
    Tier.HEAVY: Signals(files=9),
}


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations of one kind.

    Attributes:
        name: what sets it apart.
        own: the model that its user chose.
        tiers: the models of the tiers below.
        turns: turns of a conversation, on average.
        requests: requests of a standard turn, on average.
        harder: how many times as many a heavy turn takes; as calibrated (`Policy.effort_heavy`) if not given.
        growth: tokens that a request adds to the prompt, on average.
        output: tokens of an answer, on average.
        first: tokens of the first prompt.
        full: tokens of a prompt from which on it is summed up.
        pause: seconds between two turns, on average.
        hour: whether the cache is kept for an hour, at that price.
        heavy: share of turns whose prompt says that they are heavy.
        light: share of those that are light.
        origin: who asks: ``human`` (never below standard) or ``plan``.
    """

    name: str
    own: str = "claude-opus-4-6"
    tiers: tuple[tuple[Tier, str], ...] = ((Tier.LIGHT, "claude-haiku-4-5"), (Tier.STANDARD, "claude-sonnet-4-6"))
    turns: float = 8.0
    requests: float = 10.0
    harder: float = DEFAULT_POLICY.effort_heavy / DEFAULT_POLICY.effort_standard
    growth: float = 1_500.0
    output: float = 400.0
    first: int = 20_000
    full: int = 180_000
    pause: float = 180.0
    hour: bool = False
    heavy: float = 0.2
    light: float = 0.2
    origin: str = "human"


_EVERYDAY: Final = Family(name="everyday")
_LONG: Final = msgspec.structs.replace(_EVERYDAY, name="prompts from 100,000", first=100_000, full=260_000)
_BRIEF: Final = msgspec.structs.replace(_EVERYDAY, name="2 requests a turn", requests=2, turns=16)
_THOROUGH: Final = msgspec.structs.replace(_EVERYDAY, name="40 requests a turn", requests=40, turns=5)
_HOUR: Final = msgspec.structs.replace(_EVERYDAY, name="cache of an hour", hour=True, pause=600)
_NEW: Final = Family(
    name="opus-5-5 and sonnet-5-5",
    own="claude-opus-5-5",
    tiers=((Tier.LIGHT, "claude-haiku-5-5"), (Tier.STANDARD, "claude-sonnet-5-5")),
)
_SMALL: Final = Family(
    name="sonnet and haiku, a plan's units",
    own="claude-sonnet-4-6",
    tiers=((Tier.LIGHT, "claude-haiku-4-5"),),
    origin="plan",
    light=0.5,
)
_GPT: Final = msgspec.structs.replace(
    _SMALL, name="gpt-5.5 and gpt-5.4-mini, a plan's units", own="gpt-5.5", tiers=((Tier.LIGHT, "gpt-5.4-mini"),)
)


def _like(base: Family, more: str, **changes: object) -> Family:
    return msgspec.structs.replace(base, name=more if base is _EVERYDAY else f"{base.name}, {more}", **changes)


FAMILIES: Final = (
    _EVERYDAY,
    _like(_EVERYDAY, "prompts from 60,000", first=60_000, full=220_000),
    _LONG,
    _like(_EVERYDAY, "prompts from 180,000", first=180_000, full=260_000),
    _BRIEF,
    _like(_BRIEF, "prompts from 100,000", first=100_000, full=260_000),
    _THOROUGH,
    _like(_THOROUGH, "prompts from 100,000", first=100_000, full=260_000),
    _like(_EVERYDAY, "slow growth", growth=300, output=150),
    _like(_EVERYDAY, "fast growth", growth=5_000, output=1_200),
    _like(_EVERYDAY, "no heavy turns", heavy=0),
    _like(_EVERYDAY, "half the turns heavy", heavy=0.5),
    _like(_LONG, "half the turns heavy", heavy=0.5),
    _like(_BRIEF, "half the turns heavy", heavy=0.5),
    _like(_EVERYDAY, "nine turns in ten heavy", heavy=0.9, light=0),
    _like(_EVERYDAY, "no pauses", pause=10),
    _like(_EVERYDAY, "long pauses", pause=1_200),
    _HOUR,
    _like(_HOUR, "half the turns heavy", heavy=0.5),
    _NEW,
    _like(_NEW, "prompts from 100,000", first=100_000, full=260_000),
    _like(_NEW, "half the turns heavy", heavy=0.5),
    _SMALL,
    _like(_SMALL, "prompts from 100,000", first=100_000),
    _GPT,
    _like(_GPT, "prompts from 100,000", first=100_000, full=260_000),
)
"""One thing is changed at a time, then the pairs that are worst together."""


def generate(family: Family, prices: Prices, conversations: int, seed: int) -> History:
    """So many conversations of a family."""
    model = prices.catalog.resolve(family.own)
    if model is None:
        raise ValueError(f"{family.own} is not in the catalogue")
    rng = Random(f"{family.name} {seed}")
    logs = [_conversation(rng, family, model, number) for number in range(conversations)]
    return gather({"claude": logs}, prices)


def _conversation(rng: Random, family: Family, model: Model, number: int) -> Log:
    turns: list[Turn] = []
    requests: list[Request] = []
    at = FIRST + number * 100_000.0  # far apart: what conversations begin with is in nobody's cache
    prompt, cached, until = family.first, 0, 0.0
    kept = DEFAULT_POLICY.cache_seconds_long if family.hour else DEFAULT_POLICY.cache_seconds
    for place in range(_about(rng, family.turns)):
        tier = rng.choices(
            (Tier.LIGHT, Tier.STANDARD, Tier.HEAVY), (family.light, 1 - family.light - family.heavy, family.heavy)
        )[0]
        fresh = prompt > family.full
        if fresh:
            prompt, cached = family.first + 2_000, 0
        turns.append(_turn(family, f"{family.name} {number}", tier, at, fresh=fresh))
        for _ in range(_about(rng, family.requests * (family.harder if tier is Tier.HEAVY else 1))):
            read = cached if at <= until else 0
            output = _about(rng, family.output)
            requests.append(_request(model, place, at, read, prompt - read, output, hour=family.hour))
            cached, until = prompt, at + kept
            prompt += output + _about(rng, family.growth)
            at += _BETWEEN
        at += rng.expovariate(1 / family.pause)
    return Log(requests=tuple(requests), turns=tuple(turns))


def _turn(family: Family, conversation: str, tier: Tier, at: float, *, fresh: bool) -> Turn:
    return Turn(
        conversation=conversation,
        session=conversation,
        project="",
        type="execute-task",
        id="",
        at=at,
        origin=family.origin,
        signals=_SIGNALS[tier],
        fresh=fresh,
    )


def _request(model: Model, turn: int, at: float, read: int, new: int, output: int, *, hour: bool) -> Request:
    charged = model.price is not None and model.price.rates.cache_write is not None
    return Request(
        turn=turn,
        at=at,
        key="",
        model=model.id,
        provider=model.provider,
        input=0 if charged else new,
        output=output,
        cache_read=read,
        cache_write=new if charged else 0,
        written_1h=new if charged and hour else 0,
    )


def _about(rng: Random, mean: float) -> int:
    """A number with this mean, at least 1: most are below it, a few far above."""
    return max(1, round(mean * math.exp(rng.gauss(-(_SPREAD**2) / 2, _SPREAD))))
