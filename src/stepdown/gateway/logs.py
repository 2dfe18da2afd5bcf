"""The gateway's log as JSON: a line for each request, each that was turned away, each warning. No prompt, no answer, no key.

Everything but ASCII is escaped, so that no name that somebody made up begins a line of its own or drives a terminal.
"""

import contextlib
import json
import logging
import math
import queue
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Final, TextIO

from stepdown.errors import StepdownError
from stepdown.gateway.passed import Passed
from stepdown.gateway.turned_away import TurnedAway

_WAITING: Final = 10_000
"""Lines that wait for whoever reads them slowly; of more, the newest are left out, and it is said how many."""

_LONGEST: Final = 500
"""Characters of a text; a line stays one that every collector takes."""

_LAST: Final = 3.0
"""Seconds that the last lines may take to be read."""

_CONTROL: Final = dict.fromkeys((*range(32), 127), "?")
"""What has no place in a line, escaped or not."""

Entry = dict[str, Any]


class Log:
    """Writes from a thread of its own: no request waits for whoever reads the log.

    Args:
        stream: where to; every line is flushed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[Entry | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="stepdown-log", daemon=True)

    def say(self, event: str, level: str = "info", **facts: object) -> None:
        """A line."""
        self._put({"time": time.time(), "level": level, "event": event, **facts})

    def passed(self, passed: Passed) -> None:
        """A request has ended."""
        self._put(of_request(passed))

    def turned_away(self, one: TurnedAway) -> None:
        """A request was answered with an error before anything was decided."""
        self.say(
            "turned away",
            "warning",
            method=one.method,
            path=one.path,
            status=one.status,
            address=one.address,
            client_id=one.client_id,
        )

    @contextlib.contextmanager
    def instead(self) -> Iterator[None]:
        """While this lasts, whatever the program has to say goes here; so does what ends it, with its exit code."""
        logging.basicConfig(level=logging.WARNING, handlers=[_Handler(self)], force=True)
        logging.captureWarnings(capture=True)
        self._thread.start()
        try:
            yield
        except StepdownError as error:
            self.say("ended", "error", message=str(error), code=error.exit_code)
            raise SystemExit(error.exit_code) from error
        finally:
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=_LAST)
            self._thread.join(_LAST)

    def _put(self, entry: Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._lost += 1

    def _write(self) -> None:
        while (entry := self._queue.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                entry["lines_lost"] = lost
            try:
                self._stream.write(line_of(entry))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more; requests go on
                return


class _Handler(logging.Handler):
    """What the program logs, as lines of a `Log`."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts: Entry = {"message": record.getMessage(), "logger": record.name}
        if record.exc_info and record.exc_info[0] is not None:
            # Where it happened, and not what it was about: a message may quote what somebody sent.
            facts["error"] = record.exc_info[0].__name__
            facts["trace"] = [
                f"{one.filename}:{one.lineno} {one.name}" for one in traceback.extract_tb(record.exc_info[2])[-20:]
            ]
        self._log.say("warning", record.levelname.lower(), **facts)


def of_request(passed: Passed) -> Entry:
    """What the log says of a request."""
    route, hop, tokens = passed.route, passed.hop, passed.tokens
    unit, decision = route.asked.unit, route.decision
    entry: Entry = {
        "time": passed.at,
        "level": "warning" if passed.failure not in {None, "cancelled"} else "info",
        "event": "request",
        "id": route.id,
        "client_id": passed.client_id,
        "provider_id": passed.provider_id,
        "person": "" if route.person is None else route.person.name,
        "project": route.project,
        "unit": unit.type,
        "unit_id": unit.id,
        "protocol": passed.protocol,
        "asked": route.asked.model or route.ceiling.id,
        "model": "" if hop is None else hop.model.ref,
        "chosen": decision.ref,
        "tier": str(decision.tier),
        "applied": route.applied,
        "downgraded": passed.downgraded,
        "reason": route.refused or decision.reason,
        "status": passed.status,
        "failure": passed.failure or "",
        "tried": passed.tried,
        "given_up": [{"model": one.hop.model.ref, "why": one.why} for one in passed.given_up],
        "streamed": passed.streamed,
        "cost_usd": passed.cost_usd,
        "ceiling_usd": passed.ceiling_usd,
        "estimated": passed.estimated,
        "added": passed.added,
        "first_byte": passed.first_byte,
        "seconds": passed.seconds,
    }
    if tokens is not None:
        entry["tokens"] = {
            "input": tokens.input,
            "output": tokens.output,
            "cache_read": tokens.cache_read,
            "cache_write": tokens.cache_write,
        }
    return {name: value for name, value in entry.items() if value not in (None, "", [])}


def line_of(entry: Entry) -> str:
    """An entry as a line."""
    when = float(entry["time"])
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when % 1 * 1000):03}Z"
    said = {name: _plain(value) for name, value in entry.items()}
    return json.dumps({**said, "time": stamp}, ensure_ascii=True) + "\n"


def _plain(value: object) -> object:
    """A value as JSON and a terminal can have it."""
    if isinstance(value, str):
        text = value.translate(_CONTROL)
        return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
