"""uvicorn's reading of requests, with a bound on what comes before a body: whoever is not let in yet fills no memory."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD: Final = 256 * 1024
"""Bytes of a request's line and headers, or of its trailers; agents send a few thousand."""


class BoundedHeads(HttpToolsProtocol):
    """Refuses with 400, and closes the connection, where a head is too large."""

    _head = 0
    """Bytes of this request's line, headers and trailers so far."""

    _unread = 0
    """Bytes since the parser last had something to say: one value, still without an end."""

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        super().data_received(data)
        self._unread += len(data)
        if self._unread > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of this request is too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head = self._unread = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Some of its address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its body follows."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of its body, which is bounded elsewhere."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._unread = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        """The parser takes an exception for a request that cannot be read, which is refused."""
        self._unread = 0
        self._head += size
        if self._head > LARGEST_HEAD:
            raise ValueError("too large")
