"""What the gateway knows of a protocol: how to read a request's envelope, what an answer used, and how an error is said."""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from stepdown.errors import StepdownError
from stepdown.units import Tokens

Thinking = Literal["", "enabled", "adaptive", "disabled"]


class Unreadable(StepdownError):  # noqa: N818  (a request is unreadable; that is no error of ours)
    """A request that the gateway cannot read; it is answered in the protocol's own error shape.

    Attributes:
        status: the HTTP status to answer with: 400, 413 or 415.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


Speaker = Literal["", "human", "tool", "agent"]
"""Who spoke last: a person, tools, or the agent to itself (reminders, notices, what it asks for itself)."""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of the conversation that it goes on with. Texts are bounded, and go no further than the gateway.

    Attributes:
        last: who spoke last, messages of the role "system" or "developer" left aside; "" where nobody did.
        words: what a person said last, without what the agent put around it (`stepdown.asks.written_by_a_person`).
        opening: what a person said first.
        instructions: how the system prompt begins.
        asked: the last message of the user as it is, where no person wrote it; an errand says here what it is.
        turns: how many messages a person wrote.
        steps: rounds of tools since a person spoke last.
        errors: of the last tool results, how many in a row are errors.
        repeats: how many times in a row the same tool was called with the same arguments, up to the last call; 1 is once.
        planning: whether the agent said that it is in plan mode, and has not said since that it left it: Claude Code says so
            once in several turns.
        signers: digests of the thinking blocks that a model signed, in their order (`stepdown.gateway.protocols.signed`).
        delegated: whether the system prompt is marked as a sub-agent's.
        fields: names of the fields that the answer has to have, where a schema says so.
    """

    last: Speaker = ""
    words: str = ""
    opening: str = ""
    instructions: str = ""
    asked: str = ""
    turns: int = 0
    steps: int = 0
    errors: int = 0
    repeats: int = 0
    planning: bool = False
    signers: tuple[int, ...] = ()
    delegated: bool = False
    fields: tuple[str, ...] = ()


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A request as far as routing has to know it. The prompt itself is not in it.

    Attributes:
        model: as the client wrote it.
        stream: whether events are asked for.
        prompt: its prompt in tokens, estimated from its size; images count as images, not by their bytes.
        output: output tokens asked for; None where the request does not say.
        output_key: the top-level key that says so; the protocol's usual one where none does.
        features: names from `Model.features` that it uses; a feature nobody offers (``beta:NAME``) where it uses something
            that is not known, so that it fits its own model alone.
        thinking: the kind of thinking it asks for.
        effort: the effort it asks for; "" where it does not.
        signed: whether it replays thinking that was signed for the model that wrote it.
        tools: how many tools it offers.
        spans: per top-level key, where its value stands in the body: first byte and one past the last.
        session: the client's own id of the conversation; "" where it names none.
        talk: what it says of the conversation.
    """

    model: str
    stream: bool = False
    prompt: int = 0
    output: int | None = None
    output_key: str = ""
    features: frozenset[str] = frozenset()
    thinking: Thinking = ""
    effort: str = ""
    signed: bool = False
    tools: int = 0
    spans: Mapping[str, tuple[int, int]] = {}
    session: str = ""
    talk: Talk = Talk()


class Reader(Protocol):
    """Reads what an answer used while it passes; it never changes or delays a byte.

    Attributes:
        tokens: by kind, as far as was said; None where nothing was.
        written_1h: of ``tokens.cache_write``, those that the cache keeps for an hour.
        signed: digests of the thinking in it that is signed, as far as the protocol's reader looks for them; what it does not
            find is known when the client replays it.
        model: the model that the answer says it is from; "" where it does not.
        failure: the error that the answer carries, as (kind, message): as its first event, in the middle, or as its body.
        began: whether anything but an error or a ping has been said: from then on an answer is the client's.
        ended: whether the answer came to its proper end.
        stop: why the model stopped, in the protocol's own word.
    """

    tokens: Tokens | None
    written_1h: int
    signed: list[int]
    model: str
    failure: tuple[str, str] | None
    began: bool
    ended: bool
    stop: str

    def feed(self, piece: bytes) -> None:
        """The next bytes of the body, cut anywhere."""
        ...

    def close(self) -> None:
        """That was all: an answer in one piece is read now."""
        ...


class Wire(Protocol):
    """One protocol. There are three: ``messages``, ``chat``, ``responses``.

    Attributes:
        name: as in `Model.protocols`.
        path: where its requests go: ``/v1/messages``.
        output_key: the top-level key that holds the most output tokens: ``max_tokens``.
    """

    name: str
    path: str
    output_key: str

    def read(self, body: bytes, headers: Mapping[str, str]) -> Envelope:
        """The envelope of a request; header names are in lower case.

        Raises:
            Unreadable: it is not JSON, not an object, or names no model.
        """
        ...

    def error(self, status: int, kind: str, message: str) -> bytes:
        """An error body as the provider would write it.

        Args:
            status: the HTTP status it is sent with.
            kind: ``invalid``, ``authentication``, ``budget``, ``not_found``, ``too_large``, ``rate_limit``, ``overloaded``,
                ``upstream``; each protocol has its own word for it.
            message: one line.
        """
        ...

    def error_event(self, kind: str, message: str) -> bytes:
        """The same as an event of a stream that has begun."""
        ...

    def reader(self, *, stream: bool) -> Reader:
        """A fresh reader for one answer."""
        ...
