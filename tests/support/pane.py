"""A real terminal: a window of tmux with a program in it, to be looked at, typed into and resized."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TMUX: Final = shutil.which("tmux") or ""
"""The program; "" where it is not here."""


class Pane:
    """A window of a tmux server of its own, with a program in it."""

    def __init__(self, folder: Path, command: str, *, columns: int, rows: int) -> None:
        self._server = [TMUX, "-S", str(folder / "tmux"), "-f", os.devnull]
        size = ["-x", str(columns), "-y", str(rows)]
        self._call("new-session", "-d", *size, f"{command}; exec sleep 60")  # it stays when its program has ended

    def text(self, *, styles: bool = False) -> str:
        """All that it shows and that has scrolled by, without the blank end; lines that it wrapped are whole."""
        return self._call("capture-pane", "-p", "-J", "-S", "-", *["-e"] * styles).rstrip()

    def screen(self, *, styles: bool = False) -> str:
        """What it shows now, as wide as it is."""
        return self._call("capture-pane", "-p", *["-e"] * styles).rstrip()

    def until(self, wanted: Callable[[str], bool]) -> str:
        end = time.monotonic() + 20
        while not wanted(text := self.text()):
            assert time.monotonic() < end, f"that was never shown:\n{text}"
            time.sleep(0.05)
        return text

    def press(self, *keys: str) -> None:
        """As tmux calls them: ``C-c``, ``Enter``."""
        self._call("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._call("resize-window", "-x", str(columns), "-y", str(rows))

    def cursor_is_shown(self) -> bool:
        return self._call("display", "-p", "#{cursor_flag}").strip() == "1"

    def close(self) -> None:
        self._call("kill-server")

    def _call(self, *words: str) -> str:
        return subprocess.run([*self._server, *words], check=True, capture_output=True, text=True, timeout=20).stdout
