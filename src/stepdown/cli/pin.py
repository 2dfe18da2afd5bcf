"""``stepdown pin``: everything that passes a running gateway on one model, or one tier, for a while."""

import re
import time
from typing import Final

import click

from stepdown.cli.gateways import PORT, chosen
from stepdown.cli.screen import say
from stepdown.errors import UsageError
from stepdown.gateway.found import ask

_UNITS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@click.command("pin", short_help="Everything on one model or tier, for a while.")
@click.argument("word", metavar="[MODEL|TIER]", required=False)
@click.option("--for", "span", default="1h", show_default=True, metavar="TIME", help="How long: 90s, 30m, 1h, 2d.")
@click.option("--off", is_flag=True, help="Let go.")
@PORT
def command(*, word: str | None, span: str, off: bool, port: int | None) -> None:
    """Pin everything that passes the running gateway to a model or a tier (light, standard, heavy), whatever its mode.

    Without an argument: show the pin. A lasting one is `pin` in the preferences; one request is pinned by the header
    x-stepdown-pin, or by asking for the model stepdown/heavy.
    """
    if word and off:
        raise UsageError("--off lets go of the pin; name a model or say --off, not both")
    path, seconds = "/v1/stepdown/pin", seconds_of(span)
    there = chosen(port)
    if off:
        ask(there, "DELETE", path)
        say(f"{there.url}: not pinned")
        return
    said = (
        ask(there, "POST", path, {"pin": word, "seconds": seconds}) if word else ask(there, "GET", "/v1/stepdown/status")["pin"]
    )
    if not said:
        say(f"{there.url}: not pinned")
    else:
        until = time.strftime("%a %H:%M", time.localtime(said["until"]))
        say(f"{there.url}: everything is pinned to {said['pin']} until {until}; `stepdown pin --off` lets go")


def seconds_of(span: str, option: str = "--for") -> float:
    """``90s``, ``30m``, ``1h``, ``1.5h``, ``2d`` in seconds.

    Raises:
        UsageError: it is no span of time, or an endless one.
    """
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(s|min|m|h|d)", span.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise UsageError(f"{option} {span}: a number and a unit are expected: 90s, 30m, 1h, 2d")
    return seconds
