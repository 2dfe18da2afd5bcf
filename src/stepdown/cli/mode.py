"""``stepdown mode``: what a running gateway may change, shown or switched."""

import click

from stepdown.cli.gateways import PORT, chosen
from stepdown.cli.screen import say
from stepdown.gateway.found import ask
from stepdown.gateway.modes import MODES


@click.command("mode", short_help="What a running gateway may change.")
@click.argument("mode", required=False, type=click.Choice(list(MODES)))
@PORT
def command(*, mode: str | None, port: int | None) -> None:
    """Show the mode of the running gateway, or switch it to MODE until it ends. Lasting: gateway.mode in the preferences."""
    there = chosen(port)
    if mode is None:
        now = str(ask(there, "GET", "/v1/stepdown/status")["mode"])
    else:
        now = str(ask(there, "POST", "/v1/stepdown/mode", {"mode": mode})["mode"])
    say(f"{there.url}: {now}, which {MODES.get(now, 'this version does not know')}")
