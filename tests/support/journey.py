"""A real client's way: client, tap, gateway (a process of its own), practice provider. And what may be said of it after."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import yaml
from stage import git
from tap import Exchange, Tap

from stepdown.ledger import Record, open_ledger
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.served import Served, fingerprint
from stepdown.units import Tokens

KEY = "sk-the-clients-own"
"""What a client brings. The gateway has another one in its environment, which must not take its place."""

TASK = """## UNIT: Execute Task T01

M001/S01/T01: write two files.

## Files to write

- `a.md`
- `src/b.py`
"""
"""The practice model looks at the files, writes them, and says so: three requests."""

PASSED = frozenset({"/v1/messages", "/v1/chat/completions", "/v1/responses"})
"""Where a model is asked."""

BEFORE = (
    Fault(kind="status", status=529),
    Fault(kind="sse_error", status=529),
    Fault(kind="status", status=429, retry_after=120.0),
    Fault(kind="cut", times=2),
)
"""What fails before a byte of an answer has come: one for each model of a chain.

A connection that was kept may have been closed long ago, so that a cut there is tried again on a fresh one: twice is sure.
"""

MIDWAY = (Fault(kind="mid_error", status=529), Fault(kind="cut_mid"))
"""What fails in the middle of an answer."""

UNHURT = Fault(kind="late", pause=0.0)
"""Takes the place of a fault for a request to which nothing happens."""

_MODEL = re.compile(rb'(?<="model":)\s*"[^"]*"')
_MOST = re.compile(rb'"max_tokens":\s*(\d+)')


class Done(msgspec.Struct, frozen=True):
    """A client that has ended: its exit code (None: it had to be stopped) and all that it printed."""

    code: int | None
    said: str


class Journey:
    """One gateway between one provider and whoever is pointed at `url`.

    Attributes:
        provider: the practice provider, as strict as the real ones.
        url: where clients go, without ``/v1``.
        project: a git repository with ``src/b.py``.
        home: for the client; not the user's.
        unit: the headers that declare a unit.
    """

    def __init__(self, room: Path, provider: PracticeProvider, mode: str = "delegated") -> None:
        self.provider = provider
        self._mode = mode
        self.project = room / "project"
        self.home = room / "home"
        self.unit: Mapping[str, str] = {}
        self._kept = room / "stepdown"
        self._log = room / "gateway.log"
        self._gateway: asyncio.subprocess.Process | None = None
        self._tap: Tap | None = None

    @property
    def url(self) -> str:
        assert self._tap is not None
        return self._tap.url

    @property
    def kept(self) -> Path:
        """The gateway's STEPDOWN_HOME."""
        return self._kept

    @contextlib.asynccontextmanager
    async def running(self, preferences: Mapping[str, object]) -> AsyncIterator["Journey"]:
        """The gateway, until the end of this block or `stop`."""
        (self.project / "src").mkdir(parents=True)
        (self.project / "src/b.py").write_text("x = 1\n")
        self.home.mkdir()
        git(self.project, "init", "--quiet")
        git(self.project, "add", "-A")
        git(self.project, "commit", "--quiet", "-m", "start")
        (self._kept / "project").mkdir(parents=True)
        (self._kept / "project/stepdown.yaml").write_text(yaml.safe_dump({"version": 1, **preferences}))
        await self._start()
        try:
            async with Tap(await self._address()) as self._tap:
                yield self
        finally:
            await self.stop()

    async def _start(self) -> None:
        command = [sys.executable, "-m", "stepdown", "serve", str(self._kept / "project"), "--port", "0", "--mode", self._mode]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._kept),
            "STEPDOWN_HOME": str(self._kept),
            "ANTHROPIC_API_KEY": "sk-the-gateways",
            "OPENAI_API_KEY": "sk-the-gateways",
        }
        with self._log.open("wb") as log:
            self._gateway = await asyncio.create_subprocess_exec(
                *command, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log
            )

    async def _address(self) -> str:
        assert self._gateway is not None
        assert self._gateway.stdout is not None
        line = (await asyncio.wait_for(self._gateway.stdout.readline(), 30)).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line + self._log.read_text()
        return found[0]

    async def stop(self) -> None:
        """End the gateway as ctrl-C does; it has written everything then, and complained of nothing."""
        gateway, self._gateway = self._gateway, None
        if gateway is None:
            return
        with contextlib.suppress(ProcessLookupError):
            gateway.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(gateway.communicate(), 20)
        except TimeoutError:
            gateway.kill()
            raise
        said = self._log.read_text()
        assert "Traceback" not in said, said

    async def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        stdin: str = "",
        patience: float = 90.0,
    ) -> Done:
        """Run a client in the project, with an environment of its own, until it ends or patience does."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.project,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1", **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(stdin.encode()), patience)
        except TimeoutError:
            return Done(None, f"still running after {patience:.0f} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind; all of it is in a session of its own
        return Done(process.returncode, said.decode(errors="replace"))

    def fail(self, model: str, *faults: Fault) -> None:
        """Let the requests for a model fail, one after the other."""
        self.provider.faults.add([msgspec.structs.replace(fault, model=model) for fault in faults])

    def fail_in_turn(self, models: Sequence[str], faults: Sequence[Fault]) -> None:
        """Let each of these models fail once, each in its own way."""
        for model, fault in zip(models, faults, strict=True):
            self.fail(model, fault)

    @property
    def wrote(self) -> bool:
        """Whether the task was done."""
        return (self.project / "a.md").exists() and (self.project / "src/b.py").read_text() != "x = 1\n"

    @property
    def asked(self) -> list[Exchange]:
        """What the client asked a model, in order."""
        assert self._tap is not None
        return [one for one in self._tap.exchanges if one.path in PASSED and one.method == "POST"]

    @property
    def served(self) -> list[Served]:
        """What the provider was asked, in order."""
        return [one for one in self.provider.log if one.path in PASSED]

    @property
    def course(self) -> list[tuple[str, str]]:
        """Per request to the provider, the model and the fault that hit it; a cut that was tried again is one."""
        steps = [(one.model, one.fault or ("" if one.status == 200 else str(one.status))) for one in self.served]
        return [step for before, step in zip([("", ""), *steps], steps, strict=False) if step[1] != "cut" or step != before]

    def check(self) -> None:
        """What holds on every way: the bytes, the credential, our headers."""
        asked = self.asked
        for served in self.served:
            received = self.provider.bodies[served.id]
            assert any(same_but_for_model(one.body, received) for one in asked), served
            assert set(served.credentials.values()) == {fingerprint(KEY)}, served.credentials
            assert not [name for name in served.headers if name.startswith("x-stepdown-")], served.headers
        for one in asked:
            assert one.answered["x-stepdown-decision"]
            assert one.answered["x-stepdown-reason"]
            if one.status == 200:
                assert one.answered["x-stepdown-model"]

    async def settled(self) -> Sequence[Record]:
        """The gateway's end, `check`, and then the ledger's attempts."""
        await self.stop()
        self.check()
        return self.records()

    @property
    def said_models(self) -> list[str]:
        """The model that each answer to the client is from, by our header."""
        return [one.answered.get("x-stepdown-model", "").rpartition("/")[2] for one in self.asked]

    @property
    def statuses(self) -> list[int]:
        """What the client was answered."""
        return [one.status for one in self.asked]

    def records(self) -> Sequence[Record]:
        """The ledger's attempts; only after `stop`."""
        with open_ledger(str(self._kept / "ledger.db"), create=False) as ledger:
            return ledger.records()

    @property
    def billed(self) -> Tokens:
        """What the provider's own log says was used."""
        return sum((one.tokens for one in self.served), Tokens())


def refusals(way: Journey, records: Sequence[Record]) -> int:
    """Checks a session whose budget was used up by its first answer; how often the client was then told so, with 402."""
    spent = [one for one in way.served if one.status == 200]
    refused = [one for one in way.asked if one.status == 402]
    assert len(spent) + len(refused) == len(way.asked)
    for one in refused:
        assert one.answered["x-should-retry"] == "false"
        assert b"budget_ceiling is used up" in one.answer
    assert recorded(records) == way.billed
    return len(refused)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Journey]]
"""The fixture ``start`` of the journeys."""


def recorded(records: Sequence[Record]) -> Tokens:
    """What all attempts used."""
    return sum((one.outcome.tokens for one in records if one.outcome is not None and one.outcome.tokens), Tokens())


def is_estimated(records: Sequence[Record]) -> bool:
    """Whether the use of any attempt is partly an estimate, since an answer broke off or told no usage."""
    return any(one.outcome is not None and one.outcome.cost_source == "estimated" for one in records)


def same_but_for_model(sent: bytes, received: bytes) -> bool:
    """Whether two bodies have the same bytes but for the model's name, and a ``max_tokens`` that was above its cap."""
    return _masked(sent) == _masked(received) and _most(sent) >= _most(received)


def _masked(body: bytes) -> bytes:
    return _MOST.sub(b"", _MODEL.sub(b"", body))


def _most(body: bytes) -> int:
    found = _MOST.search(body)
    return int(found[1]) if found is not None else 0
