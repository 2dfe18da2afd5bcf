"""``stepdown connect``: an agent's own configuration pointed at the gateway for good, and put back."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from stepdown.cli.screen import complain, say
from stepdown.cli.serve import PORT
from stepdown.cli.there import there_at
from stepdown.clients import CLIENTS
from stepdown.clients.connection import Connections, Edit, diff
from stepdown.clients.records import Lasting, There
from stepdown.errors import UsageError
from stepdown.ledger.open import home
from stepdown.preferences import load_preferences


@click.command("connect", short_help="Point an agent's configuration at the gateway, and back.")
@click.argument("name", required=False, metavar=f"[{'|'.join(CLIENTS)}]")
@click.option("--undo", is_flag=True, help="Put back what was there; what you changed since stays.")
@click.option("--print", "only_print", is_flag=True, help="Show what would change; write nothing.")
@click.option("--no-statusline", is_flag=True, help="Claude Code: without the status line and /rate.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where the gateway listens.")
def command(*, name: str | None, undo: bool, only_print: bool, no_statusline: bool, port: int) -> None:
    """Write the lasting configuration by which the agent NAME goes through the gateway, and show what changed.

    From then on it needs the gateway: keep `stepdown serve` running. A copy of the file is kept, and --undo takes back just
    what was written here. Claude Code gets a status line and /rate besides, where you have none of your own. Without NAME: the
    agents that are known, and which are connected. `stepdown exec` needs none of this.
    """
    there = there_at(f"http://127.0.0.1:{port}", load_preferences(Path()))
    connections = Connections(home() / "connected")
    if name is None:
        say(*_overview(connections, there))
        return
    client = CLIENTS.get(name)
    if client is None:
        raise UsageError(f"there is no '{name}' that could be connected; there are {', '.join(CLIENTS)}")
    lasting = client.lasting(there, os.environ)
    assert lasting is not None, "all clients that have a name have a configuration"
    if undo:
        _undo(name, connections, lasting, only_print=only_print)
    else:
        _connect(name, connections, lasting.bare if no_statusline else lasting, there, only_print=only_print)


def _connect(name: str, connections: Connections, lasting: Lasting, there: There, *, only_print: bool) -> None:
    edit, connected = connections.connecting(name, lasting, there)
    for note in edit.notes:
        complain(note)
    if edit.is_nothing:
        say(f"{CLIENTS[name].title} goes through {there.url} already ({edit.file}).")
        return
    _show(edit)
    if only_print:
        return
    connections.connect(name, edit, connected)
    say(
        f"{CLIENTS[name].title} goes through {there.url} from now on, as long as a gateway listens there: stepdown serve",
        f"As it was: {connections.backup(name)}; `stepdown connect {name} --undo` puts it back.",
    )


def _undo(name: str, connections: Connections, lasting: Lasting, *, only_print: bool) -> None:
    connected = connections.known(name)
    if connected is None:
        say(f"{CLIENTS[name].title} was never connected: there is nothing to put back.")
        return
    edit = connections.undoing(name, connected, lasting.format)
    _show(edit)
    for note in edit.notes:
        complain(note)
    if not only_print:
        connections.undo(name, edit)
        say(f"{CLIENTS[name].title} no longer goes through the gateway.")


def _show(edit: Edit) -> None:
    say(*diff(edit))


def _overview(connections: Connections, there: There) -> Iterator[str]:
    """A line per client: connected, or which file would be written."""
    for name, client in CLIENTS.items():
        connected, lasting = connections.known(name), client.lasting(there, os.environ)
        if connected is not None:
            yield f"{name:10} {client.title}: connected ({connected.file})"
        elif lasting is not None:
            yield f"{name:10} {client.title}: not connected" + (f" ({lasting.file})" if lasting.file.exists() else "")
