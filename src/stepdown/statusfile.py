"""The status file: what a gateway says of a project in passing, for a line that is drawn many times a minute.

One small file per project under ``status`` in STEPDOWN_HOME, always written whole. Whoever reads it imports next to nothing,
asks nobody, and believes no more of it than is well-formed; whether its gateway still runs is seen from the process.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_LARGEST: Final = 1024 * 1024
"""Bytes of a status file; a larger one is none."""
_LONGEST_NAME: Final = 200
"""Bytes of a file's name, which file systems bound at 255."""
_LOOKED_AT: Final = 20
"""Status files that are looked into for a session or a gateway, the newest first."""
_PERCENT: Final = 10.0
"""A meter beyond ten times its limit is nobody's."""


class Window(NamedTuple):
    """A window of a subscription, as it was told last.

    Attributes:
        provider: ``anthropic``, ``openai``.
        window: ``5h`` or ``week``.
        used: fraction used.
        resets: seconds since the epoch at which it starts anew; None is unknown.
        at: when it was told.
    """

    provider: str
    window: str
    used: float
    resets: float | None
    at: float


class Session(NamedTuple):
    """Who served the newest request of a session's main conversation.

    Attributes:
        provider: who sells the model.
        model: its name, without a date.
        tier: its tier; "" is unknown.
        applied: whether what routing decided held.
    """

    provider: str
    model: str
    tier: str
    applied: bool


class Status(NamedTuple):
    """What a gateway says of a project.

    Attributes:
        at: seconds since the epoch, when this was written.
        project: whose.
        url: where the gateway listens.
        pid: its process; 0 where it has ended by itself.
        born: tells that process from a later one of the same number; "" where the system does not say.
        mode: ``observe``, ``delegated`` or ``full``.
        pin: the tier or model that everything is pinned to; "" is none.
        until: when the pin lets go, seconds since the epoch.
        saved: US dollars that routing saved in this project in all, less its losses; None where it never chose a cheaper model.
        budget: the fullest budget that is no plan's window: its name and the fraction used; None where there is none.
        windows: the subscriptions' windows.
        sessions: by the agent's own session id, the one that was silent longest first.
    """

    at: float
    project: str
    url: str
    pid: int
    born: str
    mode: str
    pin: str = ""
    until: float = 0.0
    saved: float | None = None
    budget: tuple[str, float] | None = None
    windows: tuple[Window, ...] = ()
    sessions: dict[str, Session] = {}  # noqa: RUF012  (a default of a tuple's field; nobody changes it)

    @property
    def is_running(self) -> bool:
        """Whether the gateway that wrote this is there."""
        if self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except PermissionError:  # another user's: we know no better
            return True
        except (OSError, OverflowError):
            return False
        return born(self.pid) == self.born


def born(pid: int) -> str:
    """When a process began, in the system's own words; "" where it does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  (pathlib takes as long to import as all of this)
            # After the program's name in brackets, which may hold anything, comes the third field; this is the 22nd.
            return file.read(4096).rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def encoded(status: Status) -> bytes:
    """The file's content."""
    said = status._asdict()
    said["windows"] = [window._asdict() for window in status.windows]
    said["sessions"] = {name: session._asdict() for name, session in status.sessions.items()}
    return json.dumps(said).encode()


def decoded(content: bytes) -> Status | None:
    """What a file says; None where that is no status. Single values that cannot be are left out."""
    try:
        said = json.loads(content)
        return _status(said) if isinstance(said, dict) else None
    except (ValueError, RecursionError):
        return None


def _status(said: dict[str, Any]) -> Status | None:
    project, pid = said.get("project"), said.get("pid")
    if not isinstance(project, str) or not isinstance(pid, int):
        return None
    sessions = said.get("sessions")
    windows = said.get("windows")
    return Status(
        at=number(said.get("at")) or 0.0,
        project=project,
        url=text(said.get("url")),
        pid=pid,
        born=text(said.get("born")),
        mode=text(said.get("mode")),
        pin=text(said.get("pin")),
        until=number(said.get("until")) or 0.0,
        saved=number(said.get("saved")),
        budget=_budget(said.get("budget")),
        windows=tuple(filter(None, map(_window, windows))) if isinstance(windows, list) else (),
        sessions={name: _session(one) for name, one in sessions.items() if isinstance(one, dict)}
        if isinstance(sessions, dict)
        else {},
    )


def _window(said: object) -> Window | None:
    if not isinstance(said, dict):
        return None
    used = share(said.get("used"))
    if used is None:
        return None
    return Window(
        text(said.get("provider")), text(said.get("window")), used, number(said.get("resets")), number(said.get("at")) or 0.0
    )


def _session(said: dict[str, Any]) -> Session:
    return Session(text(said.get("provider")), text(said.get("model")), text(said.get("tier")), said.get("applied") is True)


def _budget(said: object) -> tuple[str, float] | None:
    if not isinstance(said, list) or len(said) != len(("name", "used")):
        return None
    used = share(said[1])
    return None if used is None else (text(said[0]), used)


def text(value: object) -> str:
    """A word, or ""."""
    return value if isinstance(value, str) else ""


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) < float("inf") else None  # neither is true of "not a number"


def share(value: object) -> float | None:
    """A fraction of something, or None."""
    found = number(value)
    return found if found is not None and 0.0 <= found <= _PERCENT else None


def file_of(home: str, project: str) -> str:
    """Where the status of a project is: its path, as a file's name."""
    name = os.fsencode(project).replace(b"%", b"%25").replace(b"/", b"%2F")
    if len(name) > _LONGEST_NAME:
        import zlib  # noqa: PLC0415  (for the rare long path)

        name = name[-_LONGEST_NAME:] + b"-%08x" % zlib.crc32(name)
    return f"{home}/status/{os.fsdecode(name)}.json"


def read(path: str) -> Status | None:
    """The status in a file; None where there is none, or nothing that could be one."""
    with contextlib.suppress(OSError, ValueError):  # a NUL in a name is a ValueError
        with open(path, "rb") as file:  # noqa: PTH123  (as in `born`)
            content = file.read(_LARGEST + 1)
        return decoded(content) if len(content) <= _LARGEST else None
    return None


def find(home: str, place: str, session: str = "") -> Status | None:
    """The status to go by in a directory: of the project that has the session, else of the nearest project at or above it.

    Args:
        home: `stepdown.home.home_folder`.
        place: an absolute path.
        session: the agent's session; "" is unknown. A gateway that counts everything for one project has it there.
    """
    nearest = next(_above(home, place), None)
    if not session or (nearest is not None and session in nearest.sessions):
        return nearest
    return next((one for one in _newest(home) if session in one.sessions), nearest)


def serving(home: str, url: str) -> Status | None:
    """What the gateway at an address says of whichever project; None where none runs there."""
    return next((one for one in _newest(home) if one.url == url and one.is_running), None)


def _above(home: str, place: str) -> Iterator[Status]:
    while True:
        found = read(file_of(home, place))
        if found is not None and found.project == place:
            yield found
        above = os.path.dirname(place)  # noqa: PTH120  (as in `born`)
        if above == place:
            return
        place = above


def _newest(home: str) -> Iterator[Status]:
    """The files, the newest first."""
    aged = []
    with contextlib.suppress(OSError), os.scandir(f"{home}/status") as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with contextlib.suppress(OSError):
                    aged.append((entry.stat().st_mtime, entry.path))
    yield from filter(None, (read(path) for _, path in sorted(aged, reverse=True)[:_LOOKED_AT]))
