"""Recorded conversations: the audit's sample, its big invented logs, and the logs of a home."""

from collections.abc import Mapping
from pathlib import Path

from bench.audit import logs
from stepdown.audit import sample
from stepdown.audit.history import History, gather
from stepdown.audit.price import Prices
from stepdown.sessions.index import Index
from stepdown.sessions.read import collect
from stepdown.sessions.sources import NEXT_TO_PROJECTS, SOURCES


def of_the_sample(scratch: Path, prices: Prices) -> History:
    """The invented five weeks that `stepdown audit --sample` shows."""
    return _read(sample.write(scratch / "sample"), prices)


def of_size(scratch: Path, size: int, prices: Prices) -> History:
    """So many bytes of Claude Code's logs, as `python -m bench.audit` writes them."""
    home = scratch / "logs"
    logs.write(home, size)
    return of_home(home, prices)


def of_home(home: Path, prices: Prices) -> History:
    """What the agents of a home have logged."""
    return _read({"HOME": str(home)}, prices)


def _read(environ: Mapping[str, str], prices: Prices) -> History:
    with Index(None) as index:
        found = collect(SOURCES, environ, index=index)
        projects = {turn.project for files in found.logs.values() for log in files for turn in log.turns if turn.project}
        beside = collect(NEXT_TO_PROJECTS, environ, projects=[Path(one) for one in sorted(projects)], index=index)
    return gather({**found.logs, **beside.logs}, prices)
