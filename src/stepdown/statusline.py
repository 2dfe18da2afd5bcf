"""``stepdown statusline``: one line for the agent's status line, from what the agent says and what the gateway has left.

Its own way in, without click: an agent draws it many times a minute. It waits for nobody, never fails, and leaves out what it
does not know.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from stepdown.errors import LedgerError
from stepdown.home import home_folder
from stepdown.statusfile import Status, Window, find, number, serving, share, text

_LARGEST: Final = 1024 * 1024
"""Bytes of standard input; Claude Code says about one thousand."""
_PATIENCE: Final = 0.5
"""Seconds for standard input to come and to end. It is there before Python has started, if somebody says anything at all."""
_LONGEST: Final = 40
"""Characters of a name."""
_YELLOW, _RED = 0.75, 0.9
"""Fractions of a meter from which it is coloured: where the first alert is given, and where the last band begins (SPEC 7)."""
_SAME: Final = 120.0
"""Seconds by which two ends of one window may differ: not everybody rounds alike."""

_BADGES: Final = {"light": ("[L]", "32"), "standard": ("[S]", "36"), "heavy": ("[H]", "33")}
"""Per tier its badge and its colour; a test compares them with `Tier.badge` and `cli.screen.TIER_STYLES`."""
_WINDOWS: Final = (("5h", "five_hour", "5h", 5 * 3600.0), ("week", "seven_day", "wk", 7 * 24 * 3600.0))
"""Our name of a window, Claude Code's, the one on the line, and its length in seconds."""


class Said(NamedTuple):
    """What the agent says of itself (Claude Code 2.1, https://code.claude.com/docs/en/statusline).

    Attributes:
        session: its session's id; "" is unknown, as all of these.
        model: the model it asks for.
        places: directories to look for a project in, the surest first.
        windows: its subscription's windows.
    """

    session: str = ""
    model: str = ""
    places: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


def main() -> None:
    """Print the line; whatever happens, it is one, and the program ends well."""
    now = time.time()
    written = f"{line(understood(_stdin(), now), os.environ, now)}\n".encode("utf-8", "replace")
    with contextlib.suppress(OSError):  # nobody reads it any more
        os.write(1, written)


def understood(content: bytes, now: float) -> Said:
    """What standard input says; nothing where it is not an agent's word."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return Said()
    if not isinstance(said, dict):
        return Said()
    model, workspace, limits = (_inside(said, name) for name in ("model", "workspace", "rate_limits"))
    places = (workspace.get("project_dir"), workspace.get("current_dir"), said.get("cwd"))
    windows = (_window(_inside(limits, theirs), ours, now) for ours, theirs, *_ in _WINDOWS)
    return Said(
        session=text(said.get("session_id")),
        model=text(model.get("id")) or text(model.get("display_name")),
        places=tuple(place for place in map(text, places) if place.startswith("/")),
        windows=tuple(filter(None, windows)),
    )


def line(said: Said, environ: Mapping[str, str], now: float) -> str:
    """The line."""
    status = _status(said, environ)
    is_running = status is not None and status.is_running
    parts = [_model(said, status if is_running else None)]
    if status is None:
        parts.append("no gateway")
    elif not is_running:
        parts.append("gateway not running")
    if status is not None:
        parts += _routing(status, now, is_running=is_running)
    meters = [*_meters(said, status, now), *(_budget(status) if status is not None else ())]
    parts += [_colored(f"{name} {used:.0%}", _band(used)) for name, used in meters]
    shown = " · ".join(part for part in parts if part)
    return _plain(shown) if environ.get("NO_COLOR") else shown


def _status(said: Said, environ: Mapping[str, str]) -> Status | None:
    """The status of the project that the agent works in; before its first request, what holds for all of its gateway's."""
    with contextlib.suppress(OSError, ValueError, LedgerError):  # the directory has gone; it is no path; there is no home
        home = home_folder(environ)
        for place in said.places or (os.getcwd(),):  # noqa: PTH109  (pathlib takes as long to import as all of this)
            found = find(home, os.path.realpath(place), said.session)
            if found is not None:
                return found
        elsewhere = serving(home, environ.get("ANTHROPIC_BASE_URL", "").rstrip("/"))
        if elsewhere is not None:
            return elsewhere._replace(saved=None, budget=None, sessions={})
    return None


def _model(said: Said, status: Status | None) -> str:
    """Badge and name of the model that answered last; before that, the name of the one that will be asked for."""
    session = status.sessions.get(said.session) if status is not None else None
    if session is None:
        return _short(said.model)
    badge, color = _BADGES.get(session.tier, ("", ""))
    return f"{_colored(badge, color)} {_short(session.model)}".strip()


def _routing(status: Status, now: float, *, is_running: bool) -> Iterator[str]:
    """What routing does and has done. Where it only observes it claims nothing."""
    if is_running and status.pin and status.until > now:
        yield f"pinned to {_short(status.pin)}"
    if status.mode == "observe":
        if is_running:
            yield "observe"
    elif status.saved is not None:
        amount = f"${abs(status.saved):,.2f}"
        yield f"saved {amount} at API prices" if status.saved >= 0 else f"cost {amount} more at API prices"


def _meters(said: Said, status: Status | None, now: float) -> Iterator[tuple[str, float]]:
    """The windows of the subscription: the newer word of the agent's and the gateway's."""
    session = status.sessions.get(said.session) if status is not None else None
    provider = session.provider if session is not None else "anthropic"
    for ours, _, shown, length in _WINDOWS:
        here = next((one for one in said.windows if one.window == ours), None)
        there = [one for one in status.windows if (one.window, one.provider) == (ours, provider)] if status is not None else []
        known = [one for one in (here, *there) if one is not None and _holds(one, length, now)]
        if known:
            yield shown, _newer(known).used


def _holds(window: Window, length: float, now: float) -> bool:
    """Whether it has not begun anew since."""
    return (window.at + length if window.resets is None else window.resets) > now


def _newer(known: list[Window]) -> Window:
    """The agent's word comes first. It was true at its last answer: another session may have used more of the window since."""
    first, *others = known
    for other in others:
        if first.resets is None or other.resets is None:
            continue
        if other.resets > first.resets + _SAME or (abs(other.resets - first.resets) <= _SAME and other.used > first.used):
            first = other
    return first


def _budget(status: Status) -> Iterator[tuple[str, float]]:
    if status.budget is not None:
        yield "budget", status.budget[1]


def _band(used: float) -> str:
    return "31" if used >= _RED else "33" if used >= _YELLOW else ""


def _short(model: str) -> str:
    """``sonnet-4-6`` for ``claude-sonnet-4-6-20260101[1m]``."""
    name = _clean(model).partition("[")[0].removeprefix("claude-")
    head, _, date = name.rpartition("-")
    return head if head and len(date) == len("20260101") and date.isdecimal() else name


def _clean(name: str) -> str:
    """A name from elsewhere, without what could drive the terminal."""
    return "".join(letter for letter in name if letter.isprintable())[:_LONGEST]


def _colored(shown: str, color: str) -> str:
    return f"\x1b[{color}m{shown}\x1b[0m" if color and shown else shown


def _plain(shown: str) -> str:
    for color in ("0", "31", "32", "33", "36"):
        shown = shown.replace(f"\x1b[{color}m", "")
    return shown


def _inside(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _window(said: dict[str, Any], window: str, now: float) -> Window | None:
    """Claude Code's word on a window: percent, and the time at which it starts anew."""
    percent = number(said.get("used_percentage"))
    used = None if percent is None else share(percent / 100)
    return None if used is None else Window("anthropic", window, used, number(said.get("resets_at")), now)


def _stdin() -> bytes:
    """All of standard input that comes in time; nothing of a terminal, where a person would have to type it."""
    with contextlib.suppress(OSError, ValueError):
        if not os.isatty(0):
            return _read(0)
    return b""


def _read(descriptor: int) -> bytes:
    import select  # noqa: PLC0415  (only where something can be read)

    said, until = bytearray(), time.monotonic() + _PATIENCE
    while len(said) < _LARGEST:
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            break
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        said += piece
    return bytes(said)
