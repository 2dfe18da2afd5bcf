"""An invented history of five weeks, written as the agents' own log files: what an audit looks like, without anyone's history.

Every run writes the same. Nobody's work is in it: projects, prompts and numbers are made up, in usual proportions (prompts grow
and are read from the cache, most requests are small, a few turns cost most of the money).
"""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from stepdown.audit.sample_claude import ASKS, OFTEN, PLANNING, Chat
from stepdown.audit.sample_others import codex, gsd

SEED: Final = 20_261_120
FIRST: Final = datetime(2026, 10, 19, tzinfo=UTC)
"""A Monday."""
DAYS: Final = 33
"""The last one is Friday 2026-11-20."""
PROJECTS: Final = ("webshop", "etl", "notes-app")

_DAY: Final = 86_400
_WINDOW: Final = 5 * 3_600
_SHARES: Final = (5, 3, 2)
_REFUSED: Final = frozenset({10, 17, 31})
"""Days on which the plan's window runs full."""
_COPIED: Final = {8: 2, 22: 1}
"""Days after which a session is resumed or forked, and how many of its turns are copied."""
_PLANNED: Final = frozenset({2, 15, 29})
"""Days that begin in plan mode."""
_WEEKEND: Final = 5


def write(folder: Path) -> Mapping[str, str]:
    """Write the sample's logs: about 3 MB, in the layout of Claude Code, Codex and GSD.

    Args:
        folder: an empty directory; it becomes the home of the invented user.

    Returns:
        The environment in which the readers find these logs and nobody else's.

    Raises:
        OSError: it cannot be written.
    """
    rng = Random(SEED)  # noqa: S311 - an invented history, not a secret
    for path, content in itertools.chain(
        _claude(rng, folder), codex(rng, folder, FIRST.timestamp()), gsd(rng, folder, FIRST.timestamp())
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = {
        "CLAUDE_CONFIG_DIR": ".claude",
        "CODEX_HOME": ".codex",
        "PI_CODING_AGENT_DIR": ".pi/agent",
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
    }
    return {"HOME": str(folder)} | {name: str(folder / place) for name, place in places.items()}


def _claude(rng: Random, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Claude Code's sessions, one to three a working day."""
    for day in range(DAYS):
        morning = FIRST.timestamp() + day * _DAY
        if day % 7 >= _WEEKEND and day != DAYS - 1 and rng.random() > 0.2:
            continue
        at = morning + rng.uniform(7.5, 9.5) * 3_600
        for number in range(1 if day in _REFUSED else rng.randint(1, 3)):
            cwd = str(folder / rng.choices(PROJECTS, _SHARES)[0])
            chat = Chat(rng, cwd, at)
            if number == 0 and day in _PLANNED:
                chat.ask(PLANNING)
            _turns(chat, rng.randint(1, 4) if day not in _REFUSED else 8)
            if day in _REFUSED:
                chat.refuse(at // 3_600 * 3_600 + _WINDOW)
            yield from chat.files(folder / ".claude" / "projects")
            at = chat.at + rng.uniform(900, 6_000)
            if number == 0 and day in _COPIED:
                other = chat.again(min(_COPIED[day], len(chat.ends)), at)
                _turns(other, 2)
                yield from other.files(folder / ".claude" / "projects")
                at = other.at + 900


def _turns(chat: Chat, count: int) -> None:
    for kind in chat.rng.choices(ASKS, OFTEN, k=count):
        chat.ask(kind)
        chat.at += chat.rng.uniform(60, 1_500)
