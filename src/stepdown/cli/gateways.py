"""Which of the running gateways a command means, and how one request is shown."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stepdown.catalog.names import without_date
from stepdown.cli.arguments import directory
from stepdown.errors import GatewayError
from stepdown.gateway.found import Found, ask, find, left_word, running
from stepdown.money import count, dollars

PORT = click.option(
    "--port", type=click.IntRange(1, 65535), help="The gateway at this port; default: this project's, else any."
)

START: Final = "start one with `stepdown serve`, or an agent behind one with `stepdown exec -- claude`"

_GLANCE: Final = 0.2
"""Seconds that a gateway gets to say something of itself where that is only a courtesy."""


def chosen(port: int | None, project: Path = Path()) -> Found:
    """The gateway at `port`; without one, that of the project or of a directory above it, else the only one there is.

    Raises:
        GatewayError: there is none, or several that it could be.
    """
    if port is not None:
        there = find("127.0.0.1", port)
        if there is None:
            raise GatewayError(f"there is no gateway at port {port}: {START}")
        return there
    there_are = running()
    mine = nearest(there_are, directory(project).resolve())
    if mine is not None:
        return mine
    if not there_are:
        raise GatewayError(f"no gateway is running: {START}")
    if len(there_are) > 1:
        names = ", ".join(f"{one.port} ({one.project})" for one in there_are)
        raise GatewayError(f"several gateways are running, none for this project: choose with --port from {names}")
    return there_are[0]


def nearest(gateways: list[Found], project: Path) -> Found | None:
    """The gateway of a project, else of the nearest directory above it; of several the first in the list."""
    for place in (project, *project.parents):
        for one in gateways:
            if one.project == str(place):
                return one
    return None


class Glance(msgspec.Struct, frozen=True):
    """What a gateway says of itself: ``stepdown status --json`` has this."""

    url: str
    mode: str
    pin: str | None
    project: str

    def __str__(self) -> str:
        return f"{self.url}, mode {self.mode}" + (f", pinned to {self.pin}" if self.pin else "")


def glance(project: Path) -> Glance | None:
    """The project's gateway in a few words; None where there is none, or it has better things to do."""
    there = nearest(left_word(), project)
    if there is None:
        return None
    try:
        said = ask(there, "GET", "/v1/stepdown/status", patience=_GLANCE)
    except GatewayError:
        return None
    return Glance(there.url, str(said.get("mode", "")), pin_of(said), str(said.get("project", "")))


def pin_of(said: Mapping[str, Any]) -> str | None:
    """What a gateway's status says it is pinned to; None is nothing."""
    pin = said.get("pin")
    return str(pin.get("pin", "")) if isinstance(pin, dict) else None


_BADGES: Final = {"light": "[L]", "standard": "[S]", "heavy": "[H]"}


def shown(line: Mapping[str, Any]) -> str:
    """A request in one line; `line` is `stepdown.gateway.books.Line` as JSON, which leaves out what is not known."""
    return "  ".join(filter(None, _parts(line)))


def _parts(line: Mapping[str, Any]) -> Iterator[str]:
    yield time.strftime("%H:%M:%S", time.localtime(line.get("at", 0.0)))
    yield f"{_BADGES.get(line.get('tier', ''), '[?]')} {' '.join(filter(None, (line.get('unit'), _short(line.get('id', '')))))}"
    yield _models(line)
    if "tokens" in line:
        yield f"{'~' if line.get('estimated') else ''}{count(line['tokens'])} tokens"
    if "cost_usd" in line:
        ceiling = line.get("ceiling_usd")
        beside = f" (ceiling {dollars(ceiling)})" if ceiling is not None and ceiling != line["cost_usd"] else ""
        yield dollars(line["cost_usd"], estimated=bool(line.get("estimated"))) + beside
    elif "tokens" in line:
        yield "cost unknown"
    if line.get("failure") or line.get("status", 200) >= 400:
        yield f"{line.get('status', '')} {line.get('failure', '')}".strip()
    if line.get("tried", 0) > 1:
        yield f"{line['tried']} tried"
    yield f"{line.get('seconds', 0.0):.1f} s"
    yield str(line.get("reason", ""))


def _models(line: Mapping[str, Any]) -> str:
    """``asked``, or ``asked -> served``, or what would have been taken."""
    asked, served, chosen_one = (str(line.get(key, "")) for key in ("asked", "model", "chosen"))
    if served and _bare(served) != _bare(asked):
        return f"{asked} -> {served}"
    if not line.get("applied", False) and chosen_one and _bare(chosen_one) != _bare(asked):
        return f"{asked} (would take {_bare(chosen_one)})"
    return asked


def _bare(model: str) -> str:
    """The model without its seller and its date."""
    name = model.rpartition("/")[2]
    return without_date(name) or name


def _short(name: str) -> str:
    """A client's own session id by its beginning; a unit's id as it is."""
    return name if len(name) <= _LONGEST else f"{name[:8]}…"


_LONGEST: Final = 24
