"""Finding a gateway that runs: a small file says where one was started, and its own word says whether it still is."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.errors import GatewayError
from stepdown.ledger.open import home

TOKEN: Final = "STEPDOWN_GATEWAY_TOKEN"  # noqa: S105  (the name of a variable)
"""The variable with what every request to a gateway has to bring, where one is needed. Never an argument: those can be seen."""

_HEALTH: Final = "/readyz"
"""Asked before it is known who is there, so without the token. One that is about to end says no."""

_LARGEST: Final = 1024 * 1024
"""Bytes of an answer; a stranger may say more."""

_PATIENCE: Final = 2.0
"""Seconds that a gateway on this machine may take to say that it is there."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway.

    Attributes:
        host: where it listens.
        port: where it listens.
        pid: its process.
        started: seconds since the epoch.
        project: whose requests it counts by default.
        closed: whether it wants a token.
    """

    host: str
    port: int
    pid: int
    started: float = 0.0
    project: str = ""
    closed: bool = False

    @property
    def url(self) -> str:
        """What a client is given as base address."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _directory() -> Path:
    return home() / "gateways"


def remember(found: Found) -> None:
    """Leave word where this gateway is."""
    _directory().mkdir(parents=True, exist_ok=True)
    (_directory() / f"{found.port}.json").write_bytes(msgspec.json.encode(found))


def forget(found: Found) -> None:
    """Take the word back, if it is still ours."""
    path = _directory() / f"{found.port}.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if msgspec.json.decode(path.read_bytes(), type=Found).pid == found.pid:
            path.unlink()


def left_word() -> list[Found]:
    """The gateways of this user that left word and whose process is there, the newest first."""
    known = []
    with contextlib.suppress(OSError):
        for path in _directory().glob("*.json"):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                known.append(msgspec.json.decode(path.read_bytes(), type=Found))
    return sorted((one for one in known if _is_there(one.pid)), key=lambda one: -one.started)


def _is_there(pid: int) -> bool:
    """Whether there is such a process; of another user's we know no better."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def running() -> list[Found]:
    """The gateways of this user that answer, the newest first."""
    found = ((one, find(one.host, one.port)) for one in left_word())
    # One that wants a token does not tell everybody whose requests it counts; its word does.
    return [msgspec.structs.replace(there, project=one.project) for one, there in found if there is not None]


def find(host: str, port: int) -> Found | None:
    """The gateway that answers there; None where nobody does, or somebody else."""
    with contextlib.suppress(GatewayError):
        status, said = _call(Found(host=host, port=port, pid=0), "GET", _HEALTH, None, _PATIENCE)
        if status == 200 and said.get("service") == "stepdown":  # 503: it is about to end
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(said, Found)
    return None


def ask(found: Found, method: str, path: str, data: object = None, *, patience: float = _PATIENCE) -> dict[str, Any]:
    """One question to a gateway's own routes.

    Args:
        found: whom.
        method: ``GET``, ``POST`` or ``DELETE``.
        path: what.
        data: sent as JSON; None is nothing.
        patience: seconds it may take.

    Raises:
        GatewayError: it does not answer, or says no; with its own words.
    """
    status, said = _call(found, method, path, data, patience)
    if status >= 400:
        raise GatewayError(str(said.get("error", {}).get("message", f"the gateway said {status}")))
    return said


def _call(found: Found, method: str, path: str, data: object, patience: float) -> tuple[int, dict[str, Any]]:
    """One call to a server that answers in one piece. http.client would take ten times as long to import as this to run.

    Raises:
        GatewayError: nobody answers in time, or not a gateway.
    """
    import socket  # noqa: PLC0415  (for commands that have a gateway to ask)

    body = b"" if data is None else msgspec.json.encode(data)
    lines = [f"{method} {path} HTTP/1.1", f"host: {found.host}:{found.port}", "connection: close"]
    lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (credential() if path != _HEALTH else {}).items()]
    until = time.monotonic() + patience
    said = bytearray()
    try:
        with socket.create_connection((found.host, found.port), timeout=patience) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            while len(said) < _LARGEST:
                connection.settimeout(max(0.001, until - time.monotonic()))
                piece = connection.recv(65536)
                if not piece:
                    break
                said += piece
        head, _, answer = bytes(said).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), msgspec.json.decode(answer, type=dict[str, Any])
    except (OSError, IndexError, ValueError) as problem:  # what is not JSON is a ValueError, too
        why = "it takes too long" if isinstance(problem, TimeoutError) else problem
        raise GatewayError(f"the gateway at {found.url} does not answer: {why}") from problem


def credential() -> dict[str, str]:
    """The header that a gateway with a token wants; nothing where the environment has none."""
    token = os.environ.get(TOKEN, "")
    return {"x-stepdown-token": token} if token else {}
