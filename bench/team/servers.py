"""A PostgreSQL and a practice provider, each in processes of its own, while something is measured."""

import contextlib
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from postgres_server import Cluster, program

from stepdown.practice.faults import Fault
from stepdown.practice.served import Served

OPTIONS: Final = "-c max_connections=60 -c shared_buffers=512MB -c max_wal_size=4GB"
"""Of its own settings PostgreSQL keeps what decides about safety: every commit is on the disk."""

DIRECT: Final = {"x-stepdown-attempt": "direct"}
"""Sent with requests that pass no gateway, so that they can be told apart in the provider's log."""


class Provider:
    """The practice provider.

    Attributes:
        pid: its process.
        port: on 127.0.0.1.
        log: each request as a line of JSON.
    """

    def __init__(self, pid: int, port: int, log: Path) -> None:
        self.pid = pid
        self.port = port
        self.log = log

    def fail(self, faults: Sequence[Fault]) -> None:
        """Have so many of the next requests go wrong."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/practice/faults", msgspec.json.encode(faults))
        with urllib.request.urlopen(asked, timeout=10):
            pass

    def served(self) -> Iterator[Served]:
        """What came through a gateway."""
        with self.log.open("rb") as lines:
            for line in lines:
                one = msgspec.json.decode(line, type=Served)
                if one.attempt != DIRECT["x-stepdown-attempt"] and one.path == "/v1/messages":
                    yield one


@contextlib.contextmanager
def practising(folder: Path) -> Iterator[Provider]:
    """The practice provider, with its log in this folder."""
    log = folder / "provider.jsonl"
    log.touch()
    command = [sys.executable, "-m", "stepdown.practice", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, start_new_session=True) as one:
        try:
            assert one.stdout is not None
            said = one.stdout.readline().decode()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
            if found is None:
                raise SystemExit(f"the practice provider did not start: {said}")
            yield Provider(one.pid, int(found[1]), log)
        finally:
            one.kill()


@contextlib.contextmanager
def clustered() -> Iterator[Cluster]:
    """A PostgreSQL of its own, as it is installed here."""
    if missing := [name for name in ("initdb", "pg_ctl") if not program(name)]:
        raise SystemExit(f"PostgreSQL is not here: no {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="sd-pg-") as name:  # a socket's path has to be short
        cluster = Cluster(Path(name), OPTIONS)
        try:
            yield cluster
        finally:
            cluster.stop("immediate")


def pid_of(cluster: Cluster) -> int:
    """Its first process."""
    return int((cluster.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
