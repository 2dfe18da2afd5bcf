"""One request's life: read, decided, sent, passed on, noted (SPEC section 12).

Until the first byte of an answer has gone out, a provider's failure is nobody's business but ours: the next of the chain is
asked. From then on the answer is the client's, byte for byte, whatever happens to it.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from stepdown.gateway.ahead import HOLD, Ahead
from stepdown.gateway.client import Client, Gone
from stepdown.gateway.desk import Desk
from stepdown.gateway.edit import replace
from stepdown.gateway.estimate import SAMPLE, estimated
from stepdown.gateway.failures import BLOCKING, failure_of, rest, status_of, told_as
from stepdown.gateway.going import answered, written_anew
from stepdown.gateway.hops import Hop, address, outgoing, returned
from stepdown.gateway.passed import CLIENTS, PROVIDERS, GivenUp, Passed, Witness, said_id
from stepdown.gateway.protocols.signed import without
from stepdown.gateway.resting import Resting
from stepdown.gateway.route import Route
from stepdown.gateway.wire import Envelope, Reader, Unreadable, Wire
from stepdown.units import Tokens
from stepdown.upstream.port import Answer, Call, Timeouts, Upstream, UpstreamError

_MINE: Final = frozenset({b"content-type", b"content-length", b"content-encoding"})
"""Headers of a provider's answer that say nothing true of ours in its place."""

Ended = tuple[int, str]
"""The status that the client was sent, and the kind of failure; "" is none."""


class Relay:
    """Passes requests of one protocol on.

    Args:
        wire: the protocol.
        desk: decides.
        upstream: asks.
        witness: is told.
        timeouts: of one hop.
        resting: whom not to ask for a while; shared by the relays of one gateway.
        hold: seconds that the beginning of an answer is held back while it says nothing.
    """

    def __init__(
        self,
        wire: Wire,
        desk: Desk,
        upstream: Upstream,
        witness: Witness,
        timeouts: Timeouts,
        resting: Resting,
        *,
        hold: float = HOLD,
    ) -> None:
        self.wire = wire
        self.desk = desk
        self.upstream = upstream
        self.witness = witness
        self.timeouts = timeouts
        self.resting = resting
        self.hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as an ASGI application."""
        client = Client(scope, receive, send)
        with contextlib.suppress(Gone):
            try:
                await client.read()
                began = time.monotonic()
                envelope = self.wire.read(client.body, client.named)
                if self.desk.catch_up is not None:
                    await self.desk.catch_up(envelope, client.named)
                route = self.desk.route(self.wire, envelope, client.named, person=client.person)
            except Unreadable as problem:
                kind = {403: "permission", 404: "not_found", 413: "too_large"}.get(problem.status, "invalid")
                await client.whole(problem.status, self.wire.error(problem.status, kind, str(problem)), [])
                return
            if not route.refused and (why := await self.witness.admitted(route)):
                route = msgspec.structs.replace(route, refused=why)
            await Passage(self, client, envelope, route, began).run()


class Passage:
    """One request on its way through: gone when it is over."""

    def __init__(self, relay: Relay, client: Client, envelope: Envelope, route: Route, began: float) -> None:
        self._relay = relay
        self._wire = relay.wire
        self._client = client
        self._envelope = envelope
        self._route = route
        self._clock: Callable[[], float] = time.monotonic
        self._began = began
        self._at = relay.desk.now - (self._clock() - began)
        self._added: float | None = None
        self._first_byte: float | None = None
        self._tried = 0
        self._given_up: list[GivenUp] = []
        self._hop: Hop | None = None
        self._reader: Reader | None = None
        self._provider_id = ""
        self._asking = self._settled = self._streamed = False
        self._size = 0
        self._sample = bytearray()
        self._cut: tuple[frozenset[int], bytes | None] | None = None

    async def run(self) -> None:
        """From the decision to the last byte; what became of it is told in any case."""
        status, failure = 499, "cancelled"
        witness, route = self._relay.witness, self._route
        witness.entered(route, streamed=self._envelope.stream)
        try:
            if route.refused:
                status, failure = 402, "budget"
                said = self._wire.error(402, "budget", route.refused)
                await self._client.whole(402, said, [*ours(route, None), (b"x-should-retry", b"false")])
            else:
                async with self._client.present():
                    status, failure = await self._along()
        finally:
            witness.passed(self._passed(status, failure))

    def _passed(self, status: int, failure: str) -> Passed:
        reader, hop, route = self._reader, self._hop, self._route
        tokens, guessed = self._used(failure)
        hour = 0 if reader is None or guessed else reader.written_1h
        rewritten = 0
        if hop is not None and hop.model.ref == route.hops[0].model.ref and tokens is not None and not guessed:
            rewritten = min(route.lost, tokens.cache_write + tokens.input)
        if route.going is not None and hop is not None and reader is not None and self._settled:
            policy = self._relay.desk.world.preferences.policy
            kept = route.going.talk.moved and route.going.talk.holder == hop.model.ref
            moved = route.applied and (kept or (route.decision.downgraded and route.decision.ref == hop.model.ref))
            said = None if guessed else tokens
            now = self._relay.desk.now
            for digest in reader.signed:
                self._relay.desk.conversations.signers.note(digest, hop.model.ref)
            automatic = self._wire.name != "messages"
            answered(
                *(route.going, hop.model.ref, said, reader.stop, now, policy), moved=moved, hour=hour > 0, automatic=automatic
            )
        return Passed(
            at=self._at,
            protocol=self._wire.name,
            route=self._route,
            hop=self._hop,
            status=status,
            tokens=tokens,
            written_1h=hour,
            rewritten=rewritten,
            cache_loss_usd=0.0 if hop is None else written_anew(hop.model, rewritten, hour=hour > 0),
            estimated=guessed,
            failure=failure or None,
            tried=self._tried,
            given_up=tuple(self._given_up),
            added=self._added,
            first_byte=self._first_byte,
            seconds=self._clock() - self._began,
            streamed=self._envelope.stream,
            said="" if reader is None else reader.model,
            stop="" if reader is None else reader.stop,
            traceparent=self._client.named.get("traceparent", ""),
            client_id=said_id(self._client.named, CLIENTS),
            provider_id=self._provider_id,
        )

    def _used(self, failure: str) -> tuple[Tokens | None, bool]:
        """What the request used, and whether that is a guess; None where it used nothing, or nobody knows."""
        reader = self._reader
        if reader is not None and reader.ended and reader.tokens is not None:
            return reader.tokens, False
        began = self._settled if reader is None else reader.began
        if not began and not (failure == "cancelled" and self._asking):  # who is asked and not waited for bills all the same
            return None if reader is None else reader.tokens, False
        told = None if reader is None else reader.tokens
        guess = estimated(told, prompt=self._envelope.prompt, size=self._size, sample=bytes(self._sample))
        return guess, True

    async def _along(self) -> Ended:
        """Ask one after the other until one answers; the last one's failure is the client's."""
        hops = self._relay.resting.awake(self._route.hops)
        last = len(hops) - 1
        for number, hop in enumerate(hops):
            if hop.foreign and number < last and self._unsigned(hop) is None:
                continue  # what another model has thought cannot be left out here, and this one would not take it
            self._hop, self._tried, self._reader, self._provider_id = hop, number + 1, None, ""
            asked = self._clock() - self._began
            if self._added is None:
                self._added = asked
            ended, why, failure = await self._ask(hop, last=number == last)
            if ended is not None:
                return ended
            self._given_up.append(GivenUp(hop, asked, self._clock() - self._began, why, failure))
        raise AssertionError("the last hop always ends")

    async def _ask(self, hop: Hop, *, last: bool) -> tuple[Ended | None, str, str]:
        """Ask one: how it ended, or None, why not, and which kind of failure that is."""
        call = self._call(hop)
        try:
            self._asking = True
            answer = await self._relay.upstream.send(call, self._relay.timeouts)
        except UpstreamError as problem:
            self._asking = False
            if not last:
                return None, problem.kind, "provider"
            return await self._say(status_of(problem), "upstream", str(problem), hop), "", ""
        self._asking = answer.status < 300
        del call  # a long stream need not hold on to what asked for it
        try:
            headers = {name.lower(): value for name, value in answer.headers}
            self._provider_id = said_id(headers, PROVIDERS)
            self._relay.witness.heard(hop, headers)
            if answer.status >= 400:
                ended = await self._failed(answer, headers, hop, last=last)
                return ended, str(answer.status), failure_of(answer.status)
            if answer.status >= 300:
                ended = await self._redirected(answer, hop) if last else None
                return ended, str(answer.status), "provider"
            return await self._answer(answer, headers, hop, last=last)
        finally:
            await answer.close()

    def _call(self, hop: Hop) -> Call:
        """What a hop is sent: the client's bytes, but for the model's name and a cap that is only a maximum."""
        client, envelope = self._client, self._envelope
        changes: dict[str, bytes | None] = {}
        if hop.named and hop.named != envelope.model:
            changes["model"] = msgspec.json.encode(hop.named)
        if hop.foreign and (cut := self._unsigned(hop)) is not None:
            changes["input" if self._wire.name == "responses" else "messages"] = cut
        if hop.output is not None:
            changes[envelope.output_key or self._wire.output_key] = str(hop.output).encode()
        key = self._relay.desk.environ.get(hop.key, "").strip() if hop.key else ""
        return Call(
            method="POST",
            url=address(hop, client.query, client.named),
            headers=outgoing(client.headers, hop, self._wire, key),
            body=replace(client.body, changes, envelope.spans) if changes else client.body,
        )

    def _unsigned(self, hop: Hop) -> bytes | None:
        """The conversation without what others than the hop's model have signed; None where that cannot be left out."""
        if self._cut is None or self._cut[0] != hop.foreign:
            foreign = hop.foreign
            found = without(self._wire.name, self._client.body, self._envelope.spans, lambda digest: digest not in foreign)
            self._cut = foreign, None if found is None else found[0]
        return self._cut[1]

    async def _failed(self, answer: Answer, headers: Mapping[str, str], hop: Hop, *, last: bool) -> Ended | None:
        """An answer that is an error: the next is asked where there is one; the last one's is the client's, as it is."""
        failure = failure_of(answer.status)
        if failure == "provider":
            self._relay.resting.note(hop, rest(headers, self._relay.desk.now))
        if not last:
            return None
        await self._pass_on(answer, None, hop)
        return answer.status, failure

    async def _redirected(self, answer: Answer, hop: Hop) -> Ended:
        """An answer that sends the client elsewhere, which it may only hear of the provider that it meant itself.

        A client that followed it would take its own credential to where somebody else's was wanted.
        """
        if hop.home and not hop.key:
            await self._pass_on(answer, None, hop)
            return answer.status, "provider"
        name = hop.provider.name
        why = f"{name} answered with a redirect ({answer.status}), which is not followed: correct providers.{name}.base_url"
        return await self._say(502, "upstream", why, hop)

    async def _answer(
        self, answer: Answer, headers: Mapping[str, str], hop: Hop, *, last: bool
    ) -> tuple[Ended | None, str, str]:
        """Pass a good answer on, once it is clear that it is one."""
        if headers.get("content-encoding", "identity") != "identity":  # though that was not asked for
            return await self._pass_on(answer, None, hop), "", ""
        # By its own word: a client that asked for a stream may get one piece all the same.
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        streamed = self._streamed = kind == "text/event-stream"
        reader = self._reader = self._wire.reader(stream=streamed)
        ahead = Ahead(answer.pieces(), reader, streamed=streamed, hold=self._relay.hold)
        try:
            try:
                await ahead.look()
            except UpstreamError as problem:
                if not last:
                    return None, problem.kind, "provider"
                return await self._say(status_of(problem), "upstream", str(problem), hop), "", ""
            if reader.failure is not None and not reader.began:
                status, kind = told_as(reader.failure[0])
                if not last:
                    return None, "stream", failure_of(status)
                # As a status, which clients retry, and not inside a good answer, at which many stop.
                return await self._say(status, kind, reader.failure[1], hop, returned(answer.headers)), "", ""
            if ahead.ended and not reader.began:
                if not last:
                    return None, "stream", "provider"
                if not ahead.held:
                    return await self._say(502, "upstream", f"{hop.provider.name} answered nothing", hop), "", ""
            return await self._pass_on(answer, ahead, hop), "", ""
        finally:
            ahead.close()

    async def _pass_on(self, answer: Answer, ahead: Ahead | None, hop: Hop) -> Ended:
        """The answer as it is, its head first."""
        client, reader = self._client, self._reader
        client.body = b""  # nobody else will be asked, and a thousand long streams would hold a thousand of them
        if answer.status < 300:
            self._settle(hop)
        await client.start(answer.status, returned(answer.headers) + ours(self._route, hop))
        self._first_byte = self._clock() - self._began
        try:
            for piece in ahead.held if ahead is not None else ():
                await self._piece(piece)
            if ahead is not None and (piece := await ahead.awaited()):
                await self._piece(piece, reader)
            if ahead is None or not ahead.ended:
                async for piece in answer.pieces() if ahead is None else ahead.pieces:
                    await self._piece(piece, reader)
        except UpstreamError:
            # The head is out, so the client gets what it would have got without us: a connection that breaks off. An answer
            # that is never completed makes the server close it.
            return answer.status, "provider"
        await client.piece(b"", more=False)
        if reader is None:
            return answer.status, ""
        reader.close()
        broken = reader.failure is not None or not reader.began
        return answer.status, "provider" if broken else ""

    async def _piece(self, piece: bytes, reader: Reader | None = None) -> None:
        """One piece on its way; what was held has been read already."""
        self._size += len(piece)
        if self._streamed and len(self._sample) < SAMPLE:
            self._sample += piece
        if reader is not None:
            reader.feed(piece)
        await self._client.piece(piece, more=True)

    def _settle(self, hop: Hop) -> None:
        """Somebody answers: what others said before is about them, and not about the request or the way there."""
        self._settled = True
        for one in self._given_up:
            if one.failure == "rejected" and self._route.applied and one.why.isdecimal() and int(one.why) in BLOCKING:
                self._relay.witness.rejected(one.hop, f"HTTP {one.why}")
        if self._route.held is not None:
            rejecting = (one.hop.model.ref for one in self._given_up if one.failure == "rejected")
            self._route.held.answered(hop.model.ref, rejecting)

    async def _say(
        self, status: int, kind: str, message: str, hop: Hop, headers: list[tuple[bytes, bytes]] | None = None
    ) -> Ended:
        """An error in the protocol's own shape, in the place of an answer."""
        kept = [header for header in headers or [] if header[0] not in _MINE]
        await self._client.whole(status, self._wire.error(status, kind, message), kept + ours(self._route, hop))
        return status, failure_of(status)


def ours(route: Route, hop: Hop | None) -> list[tuple[bytes, bytes]]:
    """The response headers that say what happened."""
    model = route.ceiling.ref if hop is None else hop.model.ref
    decision = route.decision
    reason = route.refused or (decision.reason if route.applied else f"observed only: {decision.reason}")
    said = {b"model": model, b"tier": str(decision.tier), b"reason": reason, b"decision": route.id}
    return [(b"x-stepdown-" + name, _one_line(value)) for name, value in said.items()]


def _one_line(text: str) -> bytes:
    """The text as a header can hold it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:400].encode()
