"""What a log says: requests, the turns they belong to, meters, and what the agent counted itself. Numbers and names, no texts.

Arrays on disk (`stepdown.sessions.index`): a change of fields needs a new `FORMAT`.
"""

from typing import Final

import msgspec

from stepdown.signals import Signals
from stepdown.units import Tokens

FORMAT: Final = 1
"""The version of these records; what was indexed under another is read anew."""


class Request(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One answered request.

    The kinds of tokens are those of `Tokens`: they do not overlap, and `input` is neither read from nor written to a cache.

    Attributes:
        turn: the position of its turn in `Log.turns`.
        at: when it was answered, seconds since the epoch.
        key: identifies the answer wherever it is copied to (resumed and forked sessions); "" where the log has nothing such.
        model: as the log names it.
        provider: who sold it, as stepdown calls providers; "" where the log does not say.
        input: tokens.
        output: tokens, thinking included.
        cache_read: tokens.
        cache_write: tokens, however long they are kept.
        written_1h: of `cache_write`, those that are kept for an hour, which cost more.
        searches: web searches run by the provider, which are billed by the piece.
        usd: what the log itself says this request cost, US dollars; None where it says nothing.
        variant: what makes its price another than the list's, as the log calls it: ``fast``, ``batch``, ``priority``, ``us``;
            several are joined by ``+``; "" is the ordinary price.
        count: how many requests this one stands for, where a log knows only their sum; 0 is an unknown number.
    """

    turn: int
    at: float
    key: str
    model: str
    provider: str
    input: int
    output: int
    cache_read: int
    cache_write: int
    written_1h: int = 0
    searches: int = 0
    usd: float | None = None
    variant: str = ""
    count: int = 1

    @property
    def tokens(self) -> Tokens:
        """The four kinds together."""
        return Tokens(input=self.input, output=self.output, cache_read=self.cache_read, cache_write=self.cache_write)

    @property
    def prompt(self) -> int:
        """Everything that was sent, in tokens."""
        return self.input + self.cache_read + self.cache_write


class Turn(msgspec.Struct, frozen=True, array_like=True):
    """One unit of work: what one prompt of a user, one sub-agent or one errand of the agent itself led to.

    Attributes:
        conversation: requests of one conversation build on each other's cached prompt. A sub-agent has its own.
        session: what the agent calls the session that it belongs to.
        project: the directory it worked in; "" where the log does not say.
        type: the unit's type: ``execute-task``, ``plan-slice``, ``subagent/Explore``, ``hook/title``, ...
        id: the unit's id, where its prompt names one (``M001/S01/T02``); "" otherwise.
        at: when it began, seconds since the epoch.
        origin: who asked: ``human``, ``plan`` (the prompt names a unit of a plan), ``subagent``, ``agent`` (titles,
            compaction, memory: what the agent does for itself).
        signals: what its prompt says of its size and kind, as far as a router could have known; None where the type decides.
        files: distinct files that it wrote, seen afterwards.
        calls: tool calls it made.
        errors: of those, how many the agent marked as failed.
        ended: how it ended: "" (as it should, as far as is known), ``stopped`` (by its user), ``limit`` (a plan's window
            was full), ``error`` (the provider failed it).
        fresh: whether its conversation was compacted or cleared right before, so that nothing of the cache is left.
    """

    conversation: str
    session: str
    project: str
    type: str
    id: str
    at: float
    origin: str
    signals: Signals | None = None
    files: int = 0
    calls: int = 0
    errors: int = 0
    ended: str = ""
    fresh: bool = False


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """What a log says of a plan's own meter at one moment.

    Attributes:
        at: when, seconds since the epoch.
        window: which: ``5h``, ``week``; another length as ``90m``; a model's own limit by the model's name (``opus``); ""
            where the log does not say.
        used: fraction of it, 0 to 1; None where only that it was full is said.
        resets: when it starts anew, seconds since the epoch; None where the log does not say.
        reached: whether a request was refused because it was full.
    """

    at: float
    window: str
    used: float | None
    resets: float | None = None
    reached: bool = False


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """What the agent itself counted for one model in one session, from its beginning to `at`. The last one holds.

    Attributes:
        session: as in `Turn.session`.
        model: as the agent names it.
        at: when, seconds since the epoch; 0.0 where the log does not say.
        input: tokens, as in `Request`.
        output: likewise.
        cache_read: likewise.
        cache_write: likewise.
        usd: US dollars, by the agent's own price list; None where it does not say.
        requests: how many requests it says it made; None where it does not say.
    """

    session: str
    model: str
    at: float
    input: int
    output: int
    cache_read: int
    cache_write: int
    usd: float | None = None
    requests: int | None = None


class Log(msgspec.Struct, frozen=True, array_like=True):
    """What one file says.

    Attributes:
        requests: in the order of the file, each answer once, with the last that was said of its tokens.
        turns: in the order they began; one without requests is possible.
        limits: in the order of the file; repetitions of the same state left out.
        counted: per session and model the last one.
        troubles: what could not be read or made sense of, named in plain words in the plural ("half-written lines"), and how
            often.
    """

    requests: tuple[Request, ...] = ()
    turns: tuple[Turn, ...] = ()
    limits: tuple[Limit, ...] = ()
    counted: tuple[Counted, ...] = ()
    troubles: dict[str, int] = {}
