"""What fails while requests flow: a gateway or PostgreSQL killed, away, slow, its answers lost; a schema that changes.

In all of them every request is answered, and the ledger has, to the token and once, what the provider says it has served.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from live_page import declared
from postgres_server import Cluster, running_cluster
from running_gateway import RunningGateway, clean, message, project_behind

import stepdown
from stepdown.errors import LedgerError
from stepdown.ledger import Ledger, open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.units import Tokens


class Proxy:
    """Between a gateway and PostgreSQL: passes everything on, late, and can lose the answer to a commit.

    Attributes:
        late: seconds by which each piece is delayed.
        losing: how many commits are still to be cut off after PostgreSQL has made them.
    """

    def __init__(self, folder: Path, late: float = 0.0) -> None:
        self.late = late
        self.losing = 0
        self._server = str(folder / ".s.PGSQL.5432")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"postgresql://stepdown@127.0.0.1:{self._listening.getsockname()[1]}/postgres"
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            self._ends += [client, server]
            try:
                server.connect(self._server)
            except OSError:
                client.shutdown(socket.SHUT_RDWR)
                continue
            for one, other in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pass, args=(one, other, one is server), daemon=True))
                self._threads[-1].start()

    def _pass(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        try:
            while piece := one.recv(65_536):
                time.sleep(self.late)
                if answers and self.losing and b"COMMIT\0" in piece:
                    self.losing -= 1
                    break
                other.sendall(piece)
        except OSError:
            pass
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()


class Work:
    """Agents at work, one a thread, until the block ends.

    Attributes:
        wrong: what went wrong.
        slowest: seconds.
    """

    def __init__(self, *gateways: RunningGateway) -> None:
        self.wrong: list[str] = []
        self.slowest = 0.0
        self.count = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(one, n)) for n, one in enumerate((*gateways, *gateways))]

    def _ask(self, gateway: RunningGateway, who: int) -> None:
        while not self._over.is_set():
            self.count += 1
            began = time.monotonic()
            try:
                declared(gateway.port, f"M{who}/S{self.count % 9}")
            except (OSError, AssertionError) as problem:
                self.wrong.append(repr(problem))
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0)
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    return project_behind(tmp_path / "shop", provider.url)


def gateway(project: Path, address: str, number: int = 0, **more: str) -> RunningGateway:
    """A gateway with a home of its own, as on a machine of its own."""
    return RunningGateway(project, STEPDOWN_LEDGER=address, STEPDOWN_HOME=str(project.parent / f"home{number}"), **more)


def served(provider: PracticeProvider) -> Tokens:
    return sum((one.tokens for one in provider.log), Tokens())


def recorded(ledger: Ledger) -> Tokens:
    found = (one.so_far.tokens if one.outcome is None else one.outcome.tokens or Tokens() for one in ledger.records())
    return sum(found, Tokens())


def settled(address: str, wanted: Tokens) -> None:
    """Wait until the ledger has all of that; it never has more."""
    end = time.monotonic() + 40
    while True:
        try:
            with open_ledger(address) as ledger:
                found = recorded(ledger)
        except LedgerError:
            found = Tokens()
        if found == wanted:
            return
        assert time.monotonic() < end, f"{found} of {wanted}"
        time.sleep(0.2)


def test_postgres_killed_in_the_middle_of_its_work(project: Path, cluster: Cluster, provider: PracticeProvider) -> None:
    address = cluster.address("postgres")
    team = [gateway(project, address, number) for number in range(2)]
    with Work(*team) as work:
        time.sleep(1)
        one, *_ = cluster.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'stepdown'")
        os.kill(int(one[0]), signal.SIGKILL)  # one of its processes: it takes all connections with it, and recovers
        time.sleep(2)
        postmaster = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        time.sleep(2)
        cluster.start()
        time.sleep(2)
    assert work.wrong == []
    assert work.slowest < 3
    settled(address, served(provider))
    for one_gateway in team:
        one_gateway.stop()
    settled(address, served(provider))


def test_gateways_killed_while_postgres_is_away_find_everything_when_they_are_started_again(
    project: Path, cluster: Cluster, provider: PracticeProvider
) -> None:
    address = cluster.address("postgres")
    first = gateway(project, address)
    with Work(first) as work:
        time.sleep(1)
        cluster.stop("immediate")
        time.sleep(30)
    assert work.wrong == []
    time.sleep(0.2)
    first.process.kill()
    first.ended()
    again = gateway(project, address)  # it starts without its database
    declared(again.port, "M9/S1")
    time.sleep(0.2)  # its client has the last byte a moment before it is noted
    again.process.kill()
    again.ended()
    cluster.start()
    last = gateway(project, address)
    settled(address, served(provider))
    declared(last.port, "M9/S1")
    last.stop()
    settled(address, served(provider))


def test_a_gateway_killed_in_the_middle_of_a_stream(
    project: Path, cluster: Cluster, provider: PracticeProvider, tmp_path: Path
) -> None:
    address = cluster.address("postgres")
    slow = PracticeProvider(latency=0.0)
    slow.faults.add([Fault(kind="slow", pause=0.5, pieces=10)])
    slow.start()
    team = [gateway(project, address, 0), gateway(project_behind(tmp_path / "slow", slow.url), address, 1)]
    connection = http.client.HTTPConnection("127.0.0.1", team[1].port, timeout=30)
    headers = {"content-type": "application/json", "x-api-key": "sk-ant-its-own"}
    with Work(team[0]) as work:
        connection.request("POST", "/v1/messages", json.dumps(message(stream=True)), headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"message_start" in answer.read1(65536)
        team[1].process.kill()
        team[1].ended()
        with pytest.raises((http.client.HTTPException, OSError)):
            answer.read()
    connection.close()
    slow.stop()
    assert work.wrong == []
    settled(address, served(provider))
    team[0].stop()


def test_what_is_delivered_twice_at_once_counts_once(project: Path, cluster: Cluster, provider: PracticeProvider) -> None:
    address = cluster.address("postgres")
    first = gateway(project, address)
    cluster.stop("immediate")
    for number in range(20):
        declared(first.port, f"M1/S{number:02}")
    time.sleep(0.3)
    first.process.kill()
    first.ended()
    for number in (1, 2):  # as a disk that was copied, or restored from a copy
        shutil.copytree(project.parent / "home0", project.parent / f"home{number}")
    cluster.start()
    started: list[RunningGateway] = []
    both = [
        threading.Thread(target=lambda number=number: started.append(gateway(project, address, number))) for number in (1, 2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    settled(address, served(provider))
    for one in started:
        one.stop()
    settled(address, served(provider))
    with open_ledger(address) as ledger:
        assert ledger.spent().requests == 20


def test_a_database_that_is_slow_and_loses_the_answers_to_commits(
    project: Path, cluster: Cluster, provider: PracticeProvider
) -> None:
    proxy = Proxy(cluster.folder)
    running = gateway(project, proxy.address)
    try:
        proxy.late = 0.2
        with Work(running) as work:
            time.sleep(4)
            proxy.late = 0.0
            proxy.losing = 3
            time.sleep(4)
        assert work.wrong == []
        assert work.slowest < 1.5  # nobody waited for it
        assert proxy.losing < 3
        settled(cluster.address("postgres"), served(provider))
    finally:
        proxy.losing, proxy.late = 0, 0.0
        running.stop()
        proxy.close()
    settled(cluster.address("postgres"), served(provider))


def test_gateways_are_upgraded_one_after_the_other(
    project: Path, cluster: Cluster, provider: PracticeProvider, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(Path(stepdown.__file__).parent, newer / "stepdown", ignore=shutil.ignore_patterns("__pycache__"))
    scripts = newer / "stepdown" / "ledger" / "postgres_migrations"
    number = len(list(scripts.glob("*.sql"))) + 1
    (scripts / f"{number:04}_next.sql").write_text(
        f"-- works with: {number - 1}\n"
        "ALTER TABLE attempts ADD COLUMN mood text NOT NULL DEFAULT 'calm';\nCREATE TABLE moods (mood text PRIMARY KEY);\n"
    )
    address = cluster.address("postgres")
    old = gateway(project, address, 0)
    with Work(old) as work:
        time.sleep(1)
        new = gateway(project, address, 1, PYTHONPATH=str(newer))
        with Work(new) as later:
            time.sleep(2)
            assert cluster.sql("SELECT version, oldest FROM stepdown_schema") == [(number, number - 1)]
            another = gateway(project, address, 2)  # an old one that is started again beside the new one
            with Work(another) as third:
                time.sleep(1)
    assert work.wrong == later.wrong == third.wrong == []
    settled(address, served(provider))
    assert cluster.sql("SELECT DISTINCT mood FROM attempts") == [("calm",)]
    for one in (old, new, another):
        assert one.stop() == 0
    settled(address, served(provider))


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_disk_without_room_for_the_ledger_or_for_notes(project: Path, provider: PracticeProvider, tmp_path: Path) -> None:
    home = tmp_path / "home0"
    home.mkdir()
    (home / "gateway-notes").write_text("no directory")
    file = tmp_path / "ledger.db"
    open_ledger(str(file)).close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "sitecustomize.py").write_text(
        "import os, sqlite3\n"
        "class Small(sqlite3.Connection):\n"
        "    def execute(self, query, *values):\n"
        "        full = os.path.exists(os.environ['FULL'])\n"
        "        super().execute(f'PRAGMA max_page_count = {1 if full else 1073741823}')\n"
        "        return super().execute(query, *values)\n"
        "_connect = sqlite3.connect\n"
        "sqlite3.connect = lambda *words, **more: _connect(*words, **{'factory': Small, **more})\n"
    )
    running = gateway(project, str(file), 0, PYTHONPATH=str(tmp_path / "full"), FULL=str(tmp_path / "is-full"))
    (tmp_path / "is-full").touch()
    with Work(running) as work:
        time.sleep(2)
    assert work.wrong == []
    assert any("no space left for the ledger" in line for line in running.complained)
    assert len([line for line in running.complained if "can be noted" in line]) == 1
    (tmp_path / "is-full").unlink()
    settled(str(file), served(provider))
    running.stop()
    settled(str(file), served(provider))
