"""`stepdown serve` as a process of its own, and requests to it, for tests of what users do with it."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sys.executable).with_name("stepdown")

FOREIGN = ("_PROXY", "_proxy", "_API_BASE", "_BASE_URL", "_API_KEY", "_AUTH_TOKEN")
OWN = ("CODEX_", "OPENCODE", "QWEN_", "PI_", "XDG_", "CLAUDE", "ANTHROPIC_", "_CLAUDE")


def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment that a client or a gateway would go by."""
    for name in list(os.environ):
        if name.endswith(FOREIGN) or name.startswith(OWN):
            monkeypatch.delenv(name)


def project_behind(folder: Path, provider: str, *, enabled: bool = True, more: str = "") -> Path:
    """A project whose requests are answered by a provider on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stepdown.yaml").write_text(
        f"models: {{default: claude-opus-4-6}}\n"
        f"dynamic_routing: {{enabled: {str(enabled).lower()}, tier_models: {{standard: claude-sonnet-4-6}}}}\n"
        f'providers: {{anthropic: {{base_url: "{provider}"}}, openai: {{base_url: "{provider}/v1"}}}}\n{more}'
    )
    return folder


class RunningGateway:
    """The program, from its first word to its last.

    Attributes:
        said: what it has printed so far.
        complained: what it has printed on standard error so far.
    """

    def __init__(self, project: Path, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "serve", project, "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        self.said: list[str] = []
        self.complained: list[str] = []
        self._ready = threading.Event()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.said)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.complained)),
        ]
        for reader in self._readers:
            reader.start()
        assert self._ready.wait(30), self.complained
        greeting = self.said[:1] or self.complained[-1:]  # with --log json everything is said on standard error
        assert greeting
        found = re.search(r"http://([\d.]+|\[::1\]):(\d+)", greeting[0])
        assert found, (self.said, self.complained)
        self.url, self.port = found[0], int(found[2])

    def _read(self, stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))
            if (into is self.said and line.startswith("  or: ")) or '"event": "listening"' in line:
                self._ready.set()
        self._ready.set()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self, limit: float = 30) -> int:
        """Wait for its end, and give its exit code."""
        code = self.process.wait(limit)
        for reader in self._readers:
            reader.join(5)
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def stop(self) -> int:
        """End it, if it has not, and give its exit code."""
        if self.process.poll() is None:
            self.tell(signal.SIGTERM)
        try:
            return self.ended()
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.ended()


@contextlib.contextmanager
def running(project: Path, *arguments: str, **variables: str) -> Iterator[RunningGateway]:
    """A gateway for as long as the block runs."""
    gateway = RunningGateway(project, *arguments, **variables)
    try:
        yield gateway
    finally:
        gateway.stop()


def ask(
    port: int, method: str, path: str, data: object = None, headers: Mapping[str, str] = {}, *, timeout: float = 30
) -> tuple[int, Mapping[str, str], bytes]:
    """One request: status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        body = None if data is None else json.dumps(data)
        connection.request(method, path, body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def message(model: str = "claude-opus-4-6", *, stream: bool = False) -> dict[str, Any]:
    """A small Messages request."""
    said = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello"}]}
    return {**said, "stream": True} if stream else said
