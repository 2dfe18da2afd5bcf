"""``python -m bench.gateway.upstream``: a provider that costs next to nothing, so that it is never what is measured.

It reads nothing of a request but its length and whether a stream is asked for, and answers the Messages API's shape from bytes
made beforehand. ``GET /pace/GAP/CHUNKS`` sets the seconds between two chunks of a stream, and their number.
"""

import asyncio
import re
import sys
from typing import Any, Final

import msgspec

TEXT: Final = "I have read the file, and I changed the greeting as you asked. "
GAP: Final = 0.001
CHUNKS: Final = 20

_LENGTH: Final = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_STREAM: Final = re.compile(rb'"stream"\s*:\s*true')
_USAGE: Final = {
    "input_tokens": 900,
    "cache_read_input_tokens": 40_000,
    "cache_creation_input_tokens": 1_200,
    "output_tokens": 1,
}
_MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": _USAGE,
}


def _event(data: dict[str, object]) -> bytes:
    return f"event: {data['type']}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_DELTA: Final = {"type": "text_delta", "text": TEXT}
_WHOLE_BODY: Final = msgspec.json.encode(
    {
        **_MESSAGE,
        "content": [{"type": "text", "text": TEXT * CHUNKS}],
        "stop_reason": "end_turn",
        "usage": {**_USAGE, "output_tokens": 380},
    }
)
WHOLE: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\n"
    b"content-length: %d\r\n\r\n" % len(_WHOLE_BODY) + _WHOLE_BODY
)
"""An answer in one piece, head and all."""

FIRST: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_bench\r\n" + (
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
    + _chunk(
        _event({"type": "message_start", "message": _MESSAGE})
        + _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        + _event({"type": "content_block_delta", "index": 0, "delta": _DELTA})
    )
)
"""The head and the first chunk of a streamed one."""

NEXT: Final = _chunk(_event({"type": "content_block_delta", "index": 0, "delta": _DELTA}))
LAST: Final = (
    _chunk(
        _event({"type": "content_block_stop", "index": 0})
        + _event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 380},
            }
        )
        + _event({"type": "message_stop"})
    )
    + b"0\r\n\r\n"
)


class Pace:
    """How fast streams go: set for all at once."""

    gap = GAP
    chunks = CHUNKS


class Provider(asyncio.Protocol):
    """One connection."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._got = bytearray()
        self._wanted = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Someone is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """More of a request: answered when it is whole."""
        self._got += data
        if not self._wanted:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._got, 0, end)
            self._wanted = end + 4 + (int(length[1]) if length else 0)
        if len(self._got) >= self._wanted:
            request, self._got, self._wanted = self._got, bytearray(), 0
            self._answer(request)

    def _answer(self, request: bytearray) -> None:
        assert self._transport is not None
        if request.startswith(b"GET /pace/"):
            _, _, gap, chunks = request.split(b" ", 2)[1].split(b"/")
            self._pace.gap, self._pace.chunks = float(gap), int(chunks)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif _STREAM.search(request):
            self._transport.write(FIRST)
            self._go_on(self._pace.chunks - 1)
        else:
            self._transport.write(WHOLE)

    def _go_on(self, left: int) -> None:
        """The next chunk after a while."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if left:
            asyncio.get_running_loop().call_later(self._pace.gap, self._write, left)
        else:
            self._transport.write(LAST)

    def _write(self, left: int) -> None:
        assert self._transport is not None
        self._transport.write(NEXT)
        self._go_on(left - 1)


async def main() -> None:
    pace = Pace()
    server = await asyncio.get_running_loop().create_server(lambda: Provider(pace), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Its standard input is whoever started it: it ends with them.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
