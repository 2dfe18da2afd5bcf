"""People at gateways as they are really run: two on one ledger, and one that others can reach."""

import http.client
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from postgres_server import Cluster, running_cluster
from running_gateway import PROGRAM, RunningGateway, ask, clean, message, project_behind, running

from stepdown.ledger import Person, open_ledger
from stepdown.practice.provider import PracticeProvider
from stepdown.team.keep import create, revoke

BROWSER = {"accept": "text/html", "host": "gateway.example"}
FORM = {**BROWSER, "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def provider() -> Iterator[PracticeProvider]:
    provider = PracticeProvider(latency=0.0)
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def project(tmp_path: Path, provider: PracticeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    clean(monkeypatch)
    for name, value in {"HOME": tmp_path, "STEPDOWN_HOME": tmp_path / "home"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("STEPDOWN_GATEWAY_TOKEN", raising=False)
    return project_behind(tmp_path / "shop", provider.url).resolve()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:  # of its own: it is stopped
        yield cluster


def token_of(name: str, project: str, address: str | None = None) -> str:
    with open_ledger(address) as ledger:
        return create(ledger, Person(name=name, projects=(project,)), "root@vm", time.time())


def works(port: int, token: str) -> int:
    return ask(port, "POST", "/v1/messages", message(), {"x-stepdown-token": token, "x-api-key": "k"})[0]


def is_out(port: int, token: str) -> bool:
    return works(port, token) == 401


def within(seconds: float, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_beyond_loopback_people_are_enough(project: Path) -> None:
    refused = subprocess.run(
        [PROGRAM, "serve", project, "--host", "0.0.0.0", "--port", "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 10
    assert "set a token in STEPDOWN_GATEWAY_TOKEN, make one with `stepdown token create`" in refused.stderr
    token = token_of("ana", str(project))
    with running(project, "--host", "0.0.0.0") as gateway:
        assert works(gateway.port, "") == 401
        assert works(gateway.port, token) == 200
        with open_ledger() as ledger:
            revoke(ledger, "ana", "root@vm", time.time())
        within(4, partial(is_out, gateway.port, token))


def test_what_one_gateway_is_told_the_other_knows(project: Path, cluster: Cluster, tmp_path: Path) -> None:
    address = cluster.address("postgres")
    token = token_of("ana", str(project), address)
    homes = [str(tmp_path / f"home{number}") for number in range(2)]
    more = ("--host-name", "gateway.example")
    team = [RunningGateway(project, *more, STEPDOWN_LEDGER=address, STEPDOWN_HOME=home) for home in homes]
    try:
        assert [works(one.port, token) for one in team] == [200, 200]
        status, headers, _ = form(team[0].port, "/page/sign-in", f"token={token}", {"x-forwarded-proto": "https"})
        assert status == 303
        assert "secure" in headers["set-cookie"].lower()
        assert token not in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        for one in team:  # behind a load balancer they have one name
            status, _, page = ask(one.port, "GET", "/", headers={**BROWSER, "cookie": cookie})
            assert (status, b"ana, member" in page) == (200, True)

        cluster.stop("immediate")
        assert [works(one.port, token) for one in team] == [200, 200], "what is known stays"
        team[1].stop()
        team[1] = RunningGateway(project, *more, STEPDOWN_LEDGER=address, STEPDOWN_HOME=homes[1])
        assert works(team[1].port, token) == 200, "also where it was started without its database"
        assert works(team[1].port, "sdt_" + "a" * 43) == 401
        cluster.start()

        with open_ledger(address) as ledger:
            revoke(ledger, "ana", "root@vm", time.time())
        for one in team:
            within(8, partial(is_out, one.port, token))
            assert ask(one.port, "GET", "/", headers={**BROWSER, "cookie": cookie})[0] == 401
    finally:
        for one in team:
            one.stop()


def form(port: int, path: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {**FORM, **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()
