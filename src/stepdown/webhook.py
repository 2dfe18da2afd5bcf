"""Telling somebody else that a budget has passed one of its marks: a JSON object to an address that the user keeps secret.

The address is in a variable, because whoever knows it can write there. It is neither shown nor logged, and redirects from it
are not followed. Nothing waits for it: it is tried in the background, again after growing pauses, and given up in the end.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from stepdown.alerts import Alert
from stepdown.upstream.port import Call, Timeouts, Upstream, UpstreamError

_log: Final = logging.getLogger("stepdown.alerts")

PAUSES: Final = (2.0, 10.0, 60.0, 300.0)
"""Seconds between two tries, so that there are five: a service that is deployed anew is back, one that is gone stays so."""

_PATIENCE: Final = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=15.0)

_LEAVING: Final = 5.0
"""Seconds that a program which ends waits for tries that are under way."""

_HEADERS: Final = (("content-type", "application/json"), ("user-agent", "stepdown"))


class Webhook:
    """Tells; from inside of one event loop.

    Args:
        upstream: over what.
        environ: where the address is.
        pauses: seconds between two tries.
    """

    def __init__(self, upstream: Upstream, environ: Mapping[str, str], pauses: tuple[float, ...] = PAUSES) -> None:
        self._upstream = upstream
        self._environ = environ
        self._pauses = pauses
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, variable: str, alert: Alert) -> None:
        """Tell of an alert, later; `variable` holds the address, and "" tells nobody."""
        if not variable:
            return
        task = asyncio.ensure_future(self._tell(variable, alert))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self, patience: float = _LEAVING) -> None:
        """Wait a little for what is on its way; what is not there by then is given up."""
        if self._telling:
            _, late = await asyncio.wait(self._telling, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _tell(self, variable: str, alert: Alert) -> None:
        address = self._environ.get(variable, "").strip()
        if not address.startswith(("https://", "http://")):
            _log.warning("nobody was told: alerts.webhook_env names %s, which holds no http:// or https:// address", variable)
            return
        call = Call(method="POST", url=address, headers=_HEADERS, body=body_of(alert))
        why = "the program ended"
        try:
            for pause in (*self._pauses, None):
                why = await self._try(call)
                if not why:
                    return
                if pause is not None:
                    await asyncio.sleep(pause)
        finally:
            if why:
                _log.warning("nobody was told at the address in %s: %s", variable, why)

    async def _try(self, call: Call) -> str:
        """Once; why it did not work, or "" where it did."""
        try:
            answer = await self._upstream.send(call, _PATIENCE)
        except UpstreamError as problem:
            return str(problem)
        await answer.close()
        return "" if 200 <= answer.status < 300 else f"it answered with status {answer.status}"


def body_of(alert: Alert) -> bytes:
    """What is sent. ``text`` is the line that Slack and its likes show, the rest is for programs."""
    text = f"stepdown: {alert.message} ({alert.project})"
    return msgspec.json.encode(
        {
            "text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),  # or a name could call everybody
            "event": "budget",
            "budget": alert.meter.name,
            "used": round(alert.meter.used, 4),
            "detail": alert.meter.detail,
            "project": alert.project,
            "at": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="seconds"),
        }
    )
