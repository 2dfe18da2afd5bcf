"""Programs while they are measured: each in a directory of its own, each ended with everything it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.gateway.install import NotHere
from bench.gateway.load import Order, Result
from bench.gateway.process import cpu_seconds
from bench.gateway.subjects import Place, Subject, environ_of

_GRACE: Final = 8.0
_TOP: Final = Path(__file__).parents[2]


class Load:
    """The process that asks."""

    def __init__(self, asked: "subprocess.Popen[bytes]") -> None:
        self._process = asked

    @property
    def pid(self) -> int:
        """Its id, to see that it is not what is measured."""
        return self._process.pid

    def __call__(self, order: Order) -> Result:
        """Carry out an order."""
        self.begin(order)
        return self.ended()

    def begin(self, order: Order) -> None:
        """Have an order carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def ended(self) -> Result:
        """What came of the order that was begun, as soon as it has been carried out."""
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline(), type=Result)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A subject that is up.

    Attributes:
        subject: which.
        port: where it listens.
        pid: of its first process.
        first_served: seconds from its start until its first answer was complete.
        first_cpu: CPU seconds that it took until then.
        headers: what it has to be sent.
        served: the model that its first answer's header named; "" for none.
    """

    subject: Subject
    port: int
    pid: int
    first_served: float
    first_cpu: float
    headers: dict[str, str]
    served: str


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def loading() -> Iterator[Load]:
    """The process that asks, while this lasts."""
    command = [sys.executable, "-m", "bench.gateway.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_TOP) as asked:
        try:
            yield Load(asked)
        except BaseException:
            asked.kill()  # in the middle of an order, perhaps a long one
            raise


@contextlib.contextmanager
def providing() -> Iterator[int]:
    """The provider, while this lasts: its port."""
    command = [sys.executable, "-m", "bench.gateway.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_TOP) as provider:
        assert provider.stdout is not None
        yield int(provider.stdout.readline())


@contextlib.contextmanager
def running(subject: Subject, cache: Path, home: Path, provider: int, load: Load) -> Iterator[Running]:
    """A subject, while this lasts.

    Raises:
        NotHere: it cannot be installed, or does not serve.
    """
    home.mkdir()
    place = Place(cache, home, provider, free_port())
    start = subject.prepare(place)
    headers = {name: value.replace("{provider}", str(provider)) for name, value in subject.headers.items()}
    log = home / "log"
    with log.open("wb") as output:
        began = time.perf_counter()
        one = subprocess.Popen(
            [str(part) for part in start.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ_of(place, start),
            cwd=home,
            start_new_session=True,
        )
    try:
        _wait_until_listening(one, place.port, subject.patience, log)
        result = load(Order(port=place.port, headers=headers, patience=subject.patience))
        _check(result, log)
        served, spent = time.perf_counter() - began, cpu_seconds(one.pid)
        yield Running(
            subject=subject,
            port=place.port,
            pid=one.pid,
            first_served=served,
            first_cpu=spent,
            headers=headers,
            served=result.served,
        )
    finally:
        _end(one)


def _wait_until_listening(one: "subprocess.Popen[bytes]", port: int, patience: float, log: Path) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if one.poll() is not None:
            raise NotHere(f"ended with {one.returncode} when it was started{_last_words(log)}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.005)
    raise NotHere(f"does not listen {patience:.0f} s after its start")


def _check(first: Result, log: Path) -> None:
    if not first.latencies:
        raise NotHere(f"does not serve: {', '.join(first.problems)}{_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][:160]}" if said else ""


def _end(one: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, then make it; with everything it started, which is in its process group."""
    one.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        one.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGKILL)
    one.wait()
