"""A recorder with a ledger in a file: what is put into it, and what is found in the ledger."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from stepdown.gateway.recorder import JOURNAL, Recorder
from stepdown.ledger import Attempt, Outcome, Record, open_ledger
from stepdown.units import Tier, Tokens

ONE = Tokens(input=1, output=2, cache_read=3, cache_write=4)


def attempt(unit_id: str = "s1", *, project: str = "/p", started: float = 100.0) -> Attempt:
    return Attempt(
        project=project,
        unit_type="conversation",
        unit_id=unit_id,
        tier=Tier.HEAVY,
        model="anthropic/claude-opus-4-6",
        ceiling="anthropic/claude-opus-4-6",
        started=started,
    )


@asynccontextmanager
async def recording(file: Path, *, busy: float = 0.2, **options: Any) -> AsyncIterator[Recorder]:
    """A recorder that writes into `file`, with its journal beside it."""
    options.setdefault("interval", 0.02)
    recorder = Recorder(lambda: open_ledger(str(file), busy_seconds=busy), journal=file.parent / JOURNAL, **options)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.close()


def records(file: Path) -> list[Record]:
    """What is in the ledger, the oldest first."""
    with open_ledger(str(file)) as ledger:
        return sorted(ledger.records(), key=lambda record: record.id)


def only(file: Path) -> tuple[Record, Outcome]:
    """The only attempt, which has ended."""
    [record] = records(file)
    assert record.outcome is not None
    return record, record.outcome


def use(recorder: Recorder, key: str = "k", tokens: Tokens | None = ONE, **more: Any) -> None:
    recorder.used(key, tokens, more.pop("cost", 0.25), more.pop("ceiling", 1.0), **more)


def total(found: list[Record]) -> tuple[Tokens, int]:
    """Tokens and requests of attempts that have all ended."""
    assert all(record.outcome is not None for record in found)
    ended = [record.outcome for record in found if record.outcome is not None]
    return sum((one.tokens or Tokens() for one in ended), Tokens()), sum(one.requests or 0 for one in ended)


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come true"
        await asyncio.sleep(0.01)


def journal(file: Path) -> list[dict[str, Any]]:
    path = file.parent / JOURNAL
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def locked_elsewhere(file: Path) -> Any:
    """Another process holds the ledger's write lock."""
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""
    holder = subprocess.Popen([sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.communicate()


def program(code: str, file: Path, *words: str) -> "subprocess.Popen[str]":
    """Another process that runs this with the ledger, the journal and `words` as its arguments."""
    command = [sys.executable, "-c", code, str(file), str(file.parent / JOURNAL), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
