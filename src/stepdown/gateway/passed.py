"""What became of one request: the record that books and telemetry are told, and who is told."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from stepdown.catalog import Model
from stepdown.gateway.hops import Hop
from stepdown.gateway.route import Route
from stepdown.units import Tokens

CLIENTS: Final = ("x-request-id", "x-client-request-id")
"""Request headers in which clients, and load balancers before us, name a request."""

PROVIDERS: Final = ("request-id", "x-request-id")
"""Response headers in which providers do: what their support asks for."""

_LONGEST_ID: Final = 128


class GivenUp(msgspec.Struct, frozen=True):
    """A hop that failed before a byte went out, so that the next was asked.

    Attributes:
        hop: who was asked.
        began: seconds since the request came in, when it was asked.
        ended: likewise, when it was given up.
        why: its HTTP status, `UpstreamError.kind`, or ``stream`` where an answer began with an error or not at all.
        failure: the kind of SPEC 8.
    """

    hop: Hop
    began: float
    ended: float
    why: str
    failure: str = "provider"


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request: a line of `stepdown tail`, and what the ledger is told. No prompt, no key.

    Attributes:
        at: seconds since the epoch, when all of it had come in.
        protocol: the name of its `Wire`.
        route: what was decided.
        hop: who answered, or was asked last; None where nobody was asked.
        status: what the client was sent; 499 where it had gone.
        tokens: what the answer says it used; None is unknown, or nothing.
        written_1h: of the tokens written to a cache, those that it keeps for an hour.
        estimated: whether `tokens` is what its size suggests, at least in part: the answer did not say.
        rewritten: of its prompt, tokens that were written into a cache anew because routing had changed the model.
        cache_loss_usd: US dollars of its cost that went into writing a cache anew because routing had changed the model, beyond
            what reading it would have cost.
        failure: the kind of SPEC 8; None for success.
        tried: how many were asked.
        given_up: those of them that failed while there was another to ask.
        added: seconds until the first was asked, which is what stepdown took; None where nobody was.
        first_byte: seconds until the first byte went out; None where none did.
        seconds: until the end.
        streamed: whether it was a stream.
        said: the model that the answer says it is from; "" where it does not.
        stop: why the model stopped, in the protocol's own word; "" where that was not said.
        traceparent: the trace that the client says it belongs to, as W3C writes it; "" for none.
        client_id: what the client calls it; "" where it does not say.
        provider_id: what the provider that was asked last calls it; likewise.
    """

    at: float
    protocol: str
    route: Route
    hop: Hop | None
    status: int
    tokens: Tokens | None = None
    written_1h: int = 0
    estimated: bool = False
    rewritten: int = 0
    cache_loss_usd: float = 0.0
    failure: str | None = None
    tried: int = 0
    given_up: tuple[GivenUp, ...] = ()
    added: float | None = None
    first_byte: float | None = None
    seconds: float = 0.0
    streamed: bool = False
    said: str = ""
    stop: str = ""
    traceparent: str = ""
    client_id: str = ""
    provider_id: str = ""

    @property
    def downgraded(self) -> bool:
        """Whether it was served by a model that routing chose below the one it names."""
        decision, hop = self.route.decision, self.hop
        return self.route.applied and decision.downgraded and hop is not None and decision.ref == hop.model.ref

    @property
    def cost_usd(self) -> float | None:
        """What it cost at list prices; None is unknown."""
        return None if self.hop is None else self._cost(self.hop.model)

    @property
    def ceiling_usd(self) -> float | None:
        """What the same tokens cost on the model it names, which had in its cache what was written anew; None is unknown."""
        return self._cost(self.route.ceiling, read=self.rewritten)

    def _cost(self, model: Model, *, read: int = 0) -> float | None:
        """`read`: how many of the tokens that were written, or sent, `model` would have read from its cache."""
        if self.tokens is None:
            return None
        written = min(read, self.tokens.cache_write)
        sent = min(read - written, self.tokens.input)
        tokens = msgspec.structs.replace(
            self.tokens,
            input=self.tokens.input - sent,
            cache_write=self.tokens.cache_write - written,
            cache_read=self.tokens.cache_read + written + sent,
        )
        return model.cost(tokens, longest_prompt=tokens.prompt, written_1h=min(self.written_1h, tokens.cache_write))


def said_id(headers: Mapping[str, str], names: Sequence[str]) -> str:
    """What a request is called in one of these headers, as far as it can be written down; names are in lower case."""
    said = next((headers[name] for name in names if headers.get(name)), "")
    return "".join(letter if "!" <= letter <= "~" else "?" for letter in said[:_LONGEST_ID])


class Witness(Protocol):
    """Who is told what passes."""

    async def admitted(self, route: Route) -> str:
        """Let a request through where every hard budget has room for it; why not, or "". `entered` comes next in any case."""
        ...

    def entered(self, route: Route, *, streamed: bool) -> None:
        """A request is under way; `passed` will end it."""
        ...

    def passed(self, passed: Passed) -> None:
        """A request has ended."""
        ...

    def rejected(self, hop: Hop, why: str) -> None:
        """A provider will not serve a model to this account."""
        ...

    def heard(self, hop: Hop, headers: Mapping[str, str]) -> None:
        """A provider answered, with these headers (names in lower case): its meters may be among them."""
        ...
