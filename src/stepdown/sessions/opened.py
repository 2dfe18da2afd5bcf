"""A turn while its log is still being read: what is seen of it adds up. No text of anyone is kept in it."""

from collections import Counter

import msgspec

from stepdown import asks
from stepdown.policy import Policy
from stepdown.sessions.records import Log, Request, Turn
from stepdown.signals import Signals
from stepdown.units import Tokens

POLICY = Policy()
"""Logs are read the same whatever a project's preferences say: what was read is remembered beyond them."""


class Opened(msgspec.Struct, kw_only=True):
    """As `Turn`, growing.

    Attributes:
        written: the distinct files it wrote.
    """

    conversation: str
    session: str
    project: str
    type: str
    at: float
    origin: str
    id: str = ""
    signals: Signals | None = None
    written: set[str] = msgspec.field(default_factory=set)
    calls: int = 0
    errors: int = 0
    ended: str = ""
    fresh: bool = False

    def closed(self) -> Turn:
        """The record."""
        return Turn(
            conversation=self.conversation,
            session=self.session,
            project=self.project,
            type=self.type,
            id=self.id,
            at=self.at,
            origin=self.origin,
            signals=self.signals,
            files=len(self.written),
            calls=self.calls,
            errors=self.errors,
            ended=self.ended,
            fresh=self.fresh,
        )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answered request, or the sum of several; see `Request`."""

    at: float
    key: str
    model: str
    provider: str
    tokens: Tokens
    usd: float | None = None
    count: int = 1


class Asked(msgspec.Struct, frozen=True):
    """What a prompt asks for, without a word of it.

    Attributes:
        type: as in `Turn`.
        id: likewise.
        origin: ``plan`` where it names a unit, else as it was said to be.
        signals: what it says of the work.
    """

    type: str
    id: str
    origin: str
    signals: Signals | None


def asked(text: str, *, kind: str = asks.TURN, origin: str = "human") -> Asked:
    """What a prompt asks for.

    Args:
        text: without what the agent put around it.
        kind: the unit's type where the text names none.
        origin: who asks, where it names none.
    """
    unit = asks.named_unit(text)
    signals = asks.signals_of(text, POLICY, unit)
    return Asked(kind, "", origin, signals) if unit is None else Asked(unit.type, unit.id, "plan", signals)


def key_of(began: float, model: str, tokens: Tokens) -> str:
    """What identifies an answer by what it says itself, wherever it is copied to; "" where it does not say when it was.

    Args:
        began: when, seconds since the epoch; 0.0 is unknown.
        model: whose answer it is.
        tokens: what it used.
    """
    used = f"{tokens.input}:{tokens.output}:{tokens.cache_read}:{tokens.cache_write}"
    return f"{round(began * 1000)}:{model}:{used}" if began else ""


class Tally:
    """What is read of one log so far.

    Attributes:
        turns: in the order they began.
        requests: in the order of the log.
        troubles: as in `Log`.
    """

    def __init__(self) -> None:
        self.turns: list[Opened] = []
        self.requests: list[Request] = []
        self.troubles: Counter[str] = Counter()
        self._keys: set[str] = set()

    def begin(self, turn: Opened) -> int:
        """A turn begins; its position."""
        self.turns.append(turn)
        return len(self.turns) - 1

    def add(self, turn: int, answer: Answer) -> bool:
        """A request of a turn was answered; False where the log had it before.

        Args:
            turn: the position of the turn.
            answer: what was answered.
        """
        if answer.key in self._keys:
            return False
        if answer.key:
            self._keys.add(answer.key)
        tokens = answer.tokens
        self.requests.append(
            Request(
                turn,
                answer.at,
                answer.key,
                answer.model,
                answer.provider,
                tokens.input,
                tokens.output,
                tokens.cache_read,
                tokens.cache_write,
                usd=answer.usd,
                count=answer.count,
            )
        )
        return True

    def log(self) -> Log:
        """The record."""
        return Log(
            requests=tuple(self.requests),
            turns=tuple(turn.closed() for turn in self.turns),
            troubles=dict(self.troubles),
        )
