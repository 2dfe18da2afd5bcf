"""The gateways of a team: one project, one ledger, a home for each, as on machines of their own."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from postgres_server import Cluster

from bench.gateway.bodies import MODEL
from bench.gateway.install import NotHere
from bench.gateway.running import Load, Running, running
from bench.gateway.subjects import Place, Start, Subject

PROJECT: Final = "/projects/team"

_PREFERENCES: Final = """\
version: 1
models: {{default: {model}}}
dynamic_routing: {{enabled: true}}
providers:
  anthropic: {{base_url: "{url}", api_key_env: ANTHROPIC_API_KEY, protocols: [messages]}}
"""
_BUDGETS: Final = """\
budget_ceiling: 1000000
budgets:
  - {unit: usd, limit: 1000000, window: day}
  - {unit: tokens, limit: 1000000000000, window: month}
"""


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """Gateways on one ledger.

    Attributes:
        ledger: where it is kept: ``postgresql``, ``sqlite`` or ``memory`` (then each gateway has its own).
        gateways: how many.
        budgets: whether hard budgets are set, which are never reached.
    """

    ledger: str
    gateways: int
    budgets: bool = False

    @property
    def label(self) -> str:
        """In the tables."""
        many = "1 gateway" if self.gateways == 1 else f"{self.gateways} gateways"
        return f"{self.ledger}, {many}{', hard budgets' if self.budgets else ''}"


POSTGRES: Final = Team(ledger="postgresql", gateways=2)
SQLITE: Final = Team(ledger="sqlite", gateways=1)


def headers(lane: str) -> dict[str, str]:
    """What a request of a declared unit is sent with.

    Args:
        lane: a number of its own for everybody who counts units at the same time.
    """
    return {
        "x-claude-code-session-id": f"bench-{lane}-{{unit}}",
        "x-stepdown-project": PROJECT,
        "x-stepdown-unit": "execute-task",
        "x-stepdown-unit-id": f"M001/S{lane}/T{{unit}}",
    }


def address_of(team: Team, scratch: Path, cluster: Cluster | None) -> str:
    """Where the team's ledger is; a PostgreSQL's database is made."""
    if team.ledger == "sqlite":
        return f"sqlite:{scratch / 'ledger.db'}"
    if team.ledger == "memory":
        return "memory:"
    assert cluster is not None
    name = scratch.name.replace("-", "_")
    cluster.sql(f"CREATE DATABASE {name}")
    return cluster.address(name)


@contextlib.contextmanager
def gateways(team: Team, address: str, scratch: Path, provider: int, load: Load) -> Iterator[list[Running]]:
    """The team's gateways, all up.

    Args:
        team: how many, and with which budgets.
        address: of their ledger.
        scratch: for their homes; there.
        provider: the provider's port.
        load: asks each once, to see that it serves.
    """

    def prepare(place: Place) -> Start:
        project = place.home / "project"
        project.mkdir()
        text = _PREFERENCES.format(model=MODEL, url=place.url) + (_BUDGETS if team.budgets else "")
        (project / "stepdown.yaml").write_text(text)
        found = Path(sys.executable).with_name("stepdown")
        if not found.exists():
            raise NotHere("stepdown is not installed beside this Python")
        return Start(
            command=[found, "serve", project, "--port", str(place.port), "--mode", "delegated"],
            environ={"STEPDOWN_HOME": str(place.home / "stepdown"), "STEPDOWN_LEDGER": address},
        )

    with contextlib.ExitStack() as stack:
        up = []
        for number in range(team.gateways):
            subject = Subject(name="team", label=team.label, how="As it is.", prepare=prepare, headers=headers(f"9{number}"))
            up.append(stack.enter_context(running(subject, scratch, scratch / f"gateway-{number}", provider, load)))
        yield up
