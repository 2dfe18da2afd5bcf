"""A gateway over a ledger that is given, while it is measured."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from bench.gateway.bodies import MODEL
from bench.gateway.install import NotHere
from bench.gateway.running import Load, Running, running
from bench.gateway.subjects import PREFERENCES, Place, Start, Subject
from bench.page.filled import PROJECT

QUERY: Final = f"?project={quote(PROJECT, safe='')}"
"""Whose page is looked at, behind its path."""

_HEADERS: Final = {
    "x-claude-code-session-id": "bench-{unit}",
    "x-stepdown-project": PROJECT,
    "x-stepdown-unit": "execute-task",
    "x-stepdown-unit-id": "M001/S01/T{unit}",
}


class Served(msgspec.Struct, frozen=True):
    """A gateway that is up.

    Attributes:
        running: its process.
        page: the address of the page.
    """

    running: Running
    page: str


@contextlib.contextmanager
def gateway(ledger: Path, home: Path, provider: int, load: Load) -> Iterator[Served]:
    """A gateway in the mode delegated, of a project of its own, whose requests and page are those of the ledger's project.

    Args:
        ledger: the file; requests that pass are added to it.
        home: for everything else; made.
        provider: the provider's port.
        load: asks once, to see that it serves.
    """

    def prepare(place: Place) -> Start:
        project = place.home / "project"
        project.mkdir()
        (project / "stepdown.yaml").write_text(PREFERENCES.format(model=MODEL, url=place.url))
        found = Path(sys.executable).with_name("stepdown")
        if not found.exists():
            raise NotHere("stepdown is not installed beside this Python")
        environ = {"STEPDOWN_HOME": str(place.home / "stepdown"), "STEPDOWN_LEDGER": f"sqlite:{ledger.absolute()}"}
        return Start(command=[found, "serve", project, "--port", str(place.port), "--mode", "delegated"], environ=environ)

    subject = Subject(name="page", label="stepdown", how="As it is.", prepare=prepare, headers=_HEADERS)
    with running(subject, home, home, provider, load) as one:
        yield Served(one, f"http://127.0.0.1:{one.port}/{QUERY}")
