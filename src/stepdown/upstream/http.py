"""`HttpUpstream`: the `Upstream` that providers are talked to with, over aiohttp.

What goes out is what was asked for: the body's bytes, the headers' order and spelling, the address with its query. No cookies
are kept, no redirects followed, nothing is compressed or unpacked. What is added is ``host`` in front and ``content-length`` at
the end; what is changed is ``accept-encoding`` (see `stepdown.upstream.headers`).
"""

import asyncio
import contextvars
import functools
import io
import re
import socket
import ssl
import urllib.request
import weakref
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from stepdown.addresses import is_off_limits
from stepdown.upstream.answer import HttpAnswer
from stepdown.upstream.failures import no_answer
from stepdown.upstream.headers import outgoing
from stepdown.upstream.port import Answer, Call, Timeouts, UpstreamError

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEEP_ALIVE: Final = 45.0
"""Seconds that an idle connection is kept: an agent is back within them, and load balancers commonly hang up after 60."""

DNS_TTL: Final = 30
"""Seconds that an address is remembered."""

BUFFER: Final = 64 * 1024
"""Bytes of a body that are taken in ahead of a slow consumer: reading stops at the first read that makes it twice as many."""

LONGEST_FIELD: Final = 64 * 1024
"""Bytes of one header of an answer, and of its first line."""

STALE: Final = 1.0
"""Seconds within which a kept connection that the provider had already closed is found out: a round trip, generously."""

_OFF_LIMITS: Final = "the address is link-local, or a cloud's metadata service: nothing is sent there"

SHUTTING_DOWN: Final = "stepdown is shutting down"

_IN_ONE: Final = 1024 * 1024
"""Bytes of a body that are written in one go; aiohttp warns above, because the loop would stand still meanwhile."""

_ADDRESS: Final = re.compile(r"[!-~]+")
_ADDED: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)


class HttpUpstream:
    """Sends requests over kept connections, one pool a process.

    It may be made anywhere and is bound to the loop of its first call. There is no limit to how many connections it opens:
    one request that waits for another would be the gateway in somebody's way.
    """

    def __init__(self, *, trust_env: bool = False, tls: ssl.SSLContext | None = None) -> None:
        """Prepare; nothing is opened yet.

        Args:
            trust_env: whether the environment's ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` are obeyed, as they are now. A
                proxy on the way sees which hosts are talked to, so this is the user's to allow. ``~/.netrc`` is never read: a
                credential from there would take the place of the client's.
            tls: what to trust; None trusts what the system does, or ``SSL_CERT_FILE``.
        """
        self._proxies = urllib.request.getproxies() if trust_env else {}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._sendings: set[_Sending] = set()
        self._answers: set[HttpAnswer] = set()
        self._closed = False

    async def send(self, call: Call, timeouts: Timeouts) -> Answer:
        """Send a request and wait for the head of its response.

        `Timeouts.first_byte` counts from when the connection stands until the head is complete, sending the request included: a
        provider that does not take the request in is too slow as well. A connection that took too long is a ``connect`` error.

        A kept connection that the provider has closed meanwhile is not its failure: the request is sent again, on another.
        It counts as that where the provider hangs up within `STALE` without a byte; nobody writes an answer in that time.

        Raises:
            UpstreamError: there is no response.
        """
        url, host = _read_address(call.url)
        deadline = asyncio.get_running_loop().time() + timeouts.total
        while True:
            sending = _Sending(timeouts, deadline)
            try:
                response = await self._head(call, url, timeouts, sending)
            except aiohttp.ConnectionTimeoutError:
                raise UpstreamError(
                    "connect", f"no connection to {host} within {min(timeouts.connect, timeouts.total):g} s"
                ) from None
            except TimeoutError:
                raise UpstreamError("timeout", f"{host} did not begin to answer within {sending.allowed:g} s") from None
            except (aiohttp.ClientError, OSError, UnicodeError) as problem:
                if self._closed:
                    raise UpstreamError("broken", SHUTTING_DOWN) from None
                if sending.was_stale(problem):
                    continue
                # The client's own words hold the whole address, its query too.
                raise no_answer(problem, host, connected=sending.connected) from None
            except ValueError:
                message = f"the request to {host} cannot be written: a header or the method has a control character in it"
                raise UpstreamError("connect", message) from None
            answer = HttpAnswer(response, host, timeouts, deadline, self._answers.discard)
            self._answers.add(answer)
            return answer

    async def close(self) -> None:
        """Close idle connections; calls under way are not waited for: they fail."""
        self._closed = True
        for sending in self._sendings:
            sending.abort()
        for answer in tuple(self._answers):
            answer.cut(UpstreamError("broken", SHUTTING_DOWN))
        if self._session is not None:
            await self._session.close()

    async def _head(self, call: Call, url: URL, timeouts: Timeouts, sending: "_Sending") -> aiohttp.ClientResponse:
        """One try. However it ends without a response, cancelled too, its connection is closed at once."""
        session = self._open()
        proxy = self._proxy(url)
        headers = CIMultiDict(outgoing(call.headers))
        body = call.body if len(call.body) <= _IN_ONE else io.BytesIO(call.body)
        token = _SENDING.set(sending)
        self._sendings.add(sending)
        response = None
        try:
            async with sending.clock:
                response = await session.request(
                    call.method,
                    url,
                    headers=headers,
                    skip_auto_headers=[name for name in _ADDED if name not in headers] or None,
                    data=body or None,
                    allow_redirects=False,
                    proxy=proxy,
                    timeout=aiohttp.ClientTimeout(connect=min(timeouts.connect, timeouts.total)),
                )
            return response
        finally:
            _SENDING.reset(token)
            self._sendings.discard(sending)
            if response is None:
                sending.abort()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UpstreamError("connect", SHUTTING_DOWN)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Pool(self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
                read_bufsize=BUFFER,
                max_line_size=LONGEST_FIELD,
                max_field_size=LONGEST_FIELD,
            )
        return self._session

    def _proxy(self, url: URL) -> str | None:
        address = self._proxies.get(url.scheme)
        if address is None or urllib.request.proxy_bypass(url.host_port_subcomponent or ""):
            return None
        if not address.startswith(("http://", "https://")):
            raise UpstreamError(
                "connect", f"the proxy for {url.scheme}:// is none that speaks HTTP; set {url.scheme.upper()}_PROXY"
            )
        return address


class _Sending:
    """One try to send a request: the connection that it got, and its clock.

    Attributes:
        clock: ends it when it takes too long; until there is a connection, the pool has a limit of its own.
        allowed: the seconds that it may take, for messages.
        connected: whether it got a connection.
    """

    def __init__(self, timeouts: Timeouts, deadline: float) -> None:
        self.clock = asyncio.timeout(None)
        self.allowed = timeouts.total
        self.connected = False
        self._first_byte = timeouts.first_byte
        self._deadline = deadline
        self._kept = False
        self._since = 0.0
        self._transport: asyncio.Transport | None = None

    def got(self, transport: asyncio.Transport | None, *, kept: bool) -> None:
        """It got a connection, fresh or kept from an earlier request: from here on an answer is due."""
        self.connected, self._kept, self._transport = True, kept, transport
        self._since = asyncio.get_running_loop().time()
        due = self._since + self._first_byte
        if due < self._deadline:
            self.allowed = self._first_byte
        self.clock.reschedule(min(due, self._deadline))

    def was_stale(self, problem: Exception) -> bool:
        """Whether it failed because its kept connection had been closed by the provider."""
        hung_up = isinstance(problem, aiohttp.ClientOSError) or (
            # Its message is the head as far as it came, where some of it did.
            isinstance(problem, aiohttp.ServerDisconnectedError) and isinstance(problem.message, str)
        )
        return hung_up and self._kept and asyncio.get_running_loop().time() - self._since < STALE

    def abort(self) -> None:
        """Close its connection now: closing it the usual way would first wait for the rest of the request to be taken in."""
        if self._transport is not None:
            self._transport.abort()


_SENDING: contextvars.ContextVar[_Sending] = contextvars.ContextVar("sending")
"""The try that a connection is looked for: the client's own way there leads through a session that passes nothing on."""


class _Pool(aiohttp.TCPConnector):
    """Tells a try which connection it got. One on which more came than was asked for is never used again."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        resolver = _Resolver()
        trusted: ssl.SSLContext | bool = True if tls is None else tls
        super().__init__(limit=0, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=DNS_TTL, ssl=trusted, resolver=resolver)
        self._served: weakref.WeakSet[object] = weakref.WeakSet()

    async def connect(self, req: aiohttp.ClientRequest, traces: "list[Trace]", timeout: aiohttp.ClientTimeout) -> "Connection":  # noqa: ASYNC109  (the client's signature)
        """A kept connection, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None
            kept = protocol in self._served
            if kept and protocol.should_close:
                # An answer that nobody asked for would be taken for the answer to this request.
                connection.close()
                continue
            if not kept:
                self._served.add(protocol)
                if (closed := protocol.closed) is not None:
                    closed.add_done_callback(_heard)
            _SENDING.get().got(connection.transport, kept=kept)
            return connection


class _Resolver(aiohttp.ThreadedResolver):
    """The system's own, without the addresses that are off limits: a name may lead there, too."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """Where a name leads.

        Raises:
            OSError: nowhere.
        """
        found = [one for one in await super().resolve(host, port, family) if not is_off_limits(one["host"])]
        if not found:
            raise socket.gaierror(socket.EAI_FAIL, "it leads to where only machines talk to each other")
        return found


def _heard(closed: asyncio.Future[None]) -> None:
    """A connection was lost: whoever reads from it is told; where nobody does, asyncio need not complain about it."""
    if not closed.cancelled():
        closed.exception()


@functools.lru_cache(maxsize=64)
def _read_address(address: str) -> tuple[URL, str]:
    """The address, its path and query untouched (a ``?`` with nothing behind it is left out), and its host for messages.

    Raises:
        UpstreamError: no request can be sent there.
    """
    url = URL(address, encoded=True) if _ADDRESS.fullmatch(address) else URL()
    try:
        sound = url.scheme in {"http", "https"} and bool(url.raw_host) and url.port is not None
    except ValueError:
        sound = False
    if not sound:
        raise UpstreamError("connect", "the provider's address is not one of http:// or https://; check its base_url")
    if is_off_limits(url.raw_host or ""):
        raise UpstreamError("connect", _OFF_LIMITS)
    if url.raw_user is not None or url.raw_password is not None:
        message = f"the address of {url.host_port_subcomponent} has a user in it; name the variable with the key as api_key_env"
        raise UpstreamError("connect", message)
    return url, url.host_port_subcomponent or ""
