"""``python -m bench.gateway.load``: asks as often as it is told, over kept connections, from bytes made beforehand.

A line of JSON in (`Order`) is a line of JSON out (`Result`). It is a process of its own: what it costs is nobody else's.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from bench.gateway.bodies import SIZE, body, head

UNIT: Final = 40
"""Requests of a unit of work: an agent asks once a round of tools."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_SERVED: Final = re.compile(rb"\r\nx-stepdown-model:\s*([^\r]*)", re.IGNORECASE)
_END: Final = b"0\r\n\r\n"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask.

    Attributes:
        port: on 127.0.0.1.
        path: where.
        headers: further ones; ``{unit}`` in a value becomes the unit's number.
        stream: whether a stream is asked for.
        connections: how many at the same time; each asks one after the other.
        requests: at most so many in all.
        seconds: no further one is begun after so many.
        patience: seconds after which an answer that is not complete counts as failed.
        size: bytes of each request's body.
        unit: requests that belong to one unit of work, and to one conversation: then the next begins.
        rate: requests begun a second, over all connections; 0 is as soon as the one before is answered.
    """

    port: int
    path: str = "/v1/messages"
    headers: Mapping[str, str] = {}
    stream: bool = False
    connections: int = 1
    requests: int = 1
    seconds: float = 3600.0
    patience: float = 60.0
    size: int = SIZE
    unit: int = UNIT
    rate: float = 0.0


class Result(msgspec.Struct, kw_only=True):
    """What came of it.

    Attributes:
        latencies: per complete answer, seconds until its last byte.
        first_bytes: likewise until the first byte of its body.
        problems: what went wrong, and how often.
        seconds: in all.
        served: what the first answer's ``x-stepdown-model`` was.
    """

    latencies: list[float] = []
    first_bytes: list[float] = []
    problems: dict[str, int] = {}
    seconds: float = 0.0
    served: str = ""


class _Work:
    """What the connections of an order share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.body = body(stream=order.stream, size=order.size)
        self.start = time.perf_counter()
        self.end = self.start + order.seconds
        self.begun = 0
        self.units = 0
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []
        self.problems: Counter[str] = Counter()
        self.served = ""

    def take(self) -> bool:
        """Whether another request may begin."""
        if self.begun >= self.order.requests or time.perf_counter() > self.end:
            return False
        self.begun += 1
        return True

    def pause(self) -> float:
        """Seconds until the one that was taken last is due."""
        rate = self.order.rate
        return self.start + (self.begun - 1) / rate - time.perf_counter() if rate else 0.0

    def head(self) -> bytes:
        """The head of the requests of a new unit."""
        self.units += 1
        unit = f"{time.time_ns() // 1_000_000:x}-{self.units}"
        headers = {name: value.replace("{unit}", unit) for name, value in self.order.headers.items()}
        return head(f"127.0.0.1:{self.order.port}", len(self.body), self.order.path, headers)


class _Connection(asyncio.Protocol):
    """Asks one request after the other; `done` when there is nothing more to ask, or the connection is gone."""

    def __init__(self, work: _Work) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._work = work
        self._head = b""
        self._asked = 0
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._clear()

    def _clear(self) -> None:
        self._got = bytearray()
        self._start = -1  # of the body
        self._length: int | None = None
        self._chunked = False
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        if not self._work.take():
            self._finish()
            return
        if self._asked % self._work.order.unit == 0:
            self._head = self._work.head()
        self._asked += 1
        self._clear()
        self._waiting = True
        pause = self._work.pause()
        if pause > 0:
            asyncio.get_running_loop().call_later(pause, self._send)
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():  # while it waited: counted where the connection is lost
            return
        self._began = time.perf_counter()
        self._transport.write(self._head)
        self._transport.write(self._work.body)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._start < 0:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            self._start = end + 4
            length = _LENGTH.search(self._got, 0, end)
            self._length = int(length[1]) if length else None
            self._chunked = _CHUNKED.search(self._got, 0, end) is not None
            if not self._work.served and (served := _SERVED.search(self._got, 0, end)):
                self._work.served = served[1].decode()
        if not self._first and len(self._got) > self._start:
            self._first = time.perf_counter()
        if self._length is not None:
            whole = len(self._got) - self._start >= self._length
        else:
            whole = self._chunked and self._got.endswith(_END)
        if whole:
            self._note(time.perf_counter())
            self._ask()

    def eof_received(self) -> None:
        if self._start >= 0 and self._length is None and not self._chunked:
            self._note(time.perf_counter())

    def connection_lost(self, problem: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        if self._waiting:
            self._waiting = False
            self._work.problems["cut"] += 1
        self._finish()

    def _note(self, now: float) -> None:
        self._waiting = False
        problem = wrong(bytes(self._got), stream=self._work.order.stream)
        if problem:
            self._work.problems[problem] += 1
            return
        self._work.latencies.append(now - self._began)
        self._work.first_bytes.append(self._first - self._began)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def give_up(self) -> None:
        """It took too long."""
        if self._waiting:
            self._waiting = False
            self._work.problems["too slow"] += 1
        if self._transport is not None:
            self._transport.abort()


def wrong(answer: bytes, *, stream: bool) -> str:
    """What is wrong with an answer; "" where it is the provider's, whole."""
    status = answer[9:12].decode("latin-1")
    if status != "200":
        return f"status {status}"
    return "" if (b"message_stop" if stream else b'"output_tokens"') in answer else "not the provider's answer"


async def carry_out(order: Order) -> Result:
    """Ask."""
    work = _Work(order)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    connections: list[_Connection] = []
    while work.begun < order.requests and time.perf_counter() <= work.end and sum(work.problems.values()) < 20:
        alive = [one for one in connections if not one.done.done()]
        try:  # one that was closed between two requests is made anew
            connections = alive + [
                (await loop.create_connection(lambda: _Connection(work), "127.0.0.1", order.port))[1]
                for _ in range(order.connections - len(alive))
            ]
        except OSError as problem:
            work.problems[f"no connection: {problem.strerror}"] += 1
            break
        await asyncio.wait([one.done for one in connections], timeout=order.patience, return_when=asyncio.FIRST_COMPLETED)
    still = [one.done for one in connections if not one.done.done()]
    if still:
        await asyncio.wait(still, timeout=order.patience)
    for one in connections:
        one.give_up()
    return Result(
        latencies=work.latencies,
        first_bytes=work.first_bytes,
        problems=dict(work.problems),
        seconds=time.perf_counter() - began,
        served=work.served,
    )


def main() -> None:
    for line in sys.stdin:
        result = asyncio.run(carry_out(msgspec.json.decode(line, type=Order)))
        print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
