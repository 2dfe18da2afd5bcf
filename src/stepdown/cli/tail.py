"""``stepdown tail``: the requests that pass a running gateway, one line each, as they end."""

import http.client
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from stepdown.cli.gateways import PORT, chosen, shown
from stepdown.cli.screen import complain, say
from stepdown.errors import GatewayError
from stepdown.gateway.found import Found, credential, find

_SILENT: Final = 45.0
"""Seconds without a word after which the gateway is taken for dead; it says that it is there every 15."""

_AGAIN: Final = 0.5
"""Seconds between two looks for a gateway that has gone."""


@click.command("tail", short_help="What passes the gateway, as it happens.")
@click.option("--json", "json_", is_flag=True, help="A JSON object per line.")
@click.option("--once", type=click.IntRange(min=1), metavar="N", help="End after N requests.")
@PORT
def command(*, json_: bool, once: int | None, port: int | None) -> None:
    """Follow the running gateway: time, tier, unit, the model asked for and the one that served, tokens, cost, seconds, why.

    It goes on when the gateway is started again, and ends with ctrl-C.
    """
    seen = 0
    try:
        for line in follow(chosen(port)):
            if json_:
                click.echo(msgspec.json.encode(line))
            else:
                say(shown(line))
            sys.stdout.flush()
            seen += 1
            if seen == once:
                return
    except KeyboardInterrupt:  # how one ends it; nothing has gone wrong
        click.echo(err=True)


def follow(there: Found) -> Iterator[dict[str, Any]]:
    """What passes, from now on; waits for the gateway to come back to its port whenever it has gone."""
    while True:
        yield from _lines(there)
        complain(f"the gateway at {there.url} has ended; waiting for it to come back (ctrl-C ends)")
        while find(there.host, there.port) is None:
            time.sleep(_AGAIN)
        complain(f"it is back at {there.url}")


def _lines(there: Found) -> Iterator[dict[str, Any]]:
    """The events of one connection, until it ends.

    Raises:
        GatewayError: the gateway does not let us follow.
    """
    connection = http.client.HTTPConnection(there.host, there.port, timeout=_SILENT)
    try:
        connection.request("GET", "/v1/stepdown/events", headers=credential())
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise GatewayError(f"the gateway at {there.url} does not let anyone follow: HTTP {response.status}")
        while line := response.readline():
            if line.startswith(b"data: "):
                yield msgspec.json.decode(line[6:], type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return  # it was stopped, or killed in the middle of a line
    finally:
        connection.close()
