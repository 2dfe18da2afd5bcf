"""What a reader of Claude Code's logs keeps while it reads: the time, conversations, turns that more may belong to."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from stepdown.sessions.records import Turn

_PLAUSIBLE: Final = (datetime(2000, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp())


class Clock:
    """The time that a line says, worked out only where it is asked for.

    Attributes:
        said: by the newest line that says any.
        zoneless: how many times that were asked for had no zone.
    """

    __slots__ = ("_known", "_now", "said", "zoneless")

    def __init__(self) -> None:
        self.said = ""
        self.zoneless = 0
        self._known = ""
        self._now = 0.0

    @property
    def now(self) -> float:
        """Seconds since the epoch; where a line says none of this age it is that of the line before, 0.0 at the beginning."""
        if self.said != self._known:
            self._known = self.said
            try:
                when = datetime.fromisoformat(self.said)
            except ValueError:
                return self._now
            if when.tzinfo is None:
                self.zoneless += 1
                when = when.replace(tzinfo=UTC)
            seconds = when.timestamp()
            if _PLAUSIBLE[0] <= seconds < _PLAUSIBLE[1]:
                self._now = seconds
        return self._now


class Open:
    """A turn that more may belong to.

    Attributes:
        turn: as far as it is known.
        mode_known: whether the log says in which mode it began.
        files: what it wrote.
        calls: see `Turn.calls`.
        errors: see `Turn.errors`.
    """

    __slots__ = ("calls", "errors", "files", "mode_known", "turn")

    def __init__(self, turn: Turn, *, mode_known: bool) -> None:
        self.turn = turn
        self.mode_known = mode_known
        self.files: set[str] = set()
        self.calls = 0
        self.errors = 0

    def alter(self, **changes: str) -> None:
        """Something else is known of it."""
        self.turn = msgspec.structs.replace(self.turn, **changes)

    def go_on(self, at: float) -> None:
        """Another answer came: whatever seemed to have ended it did not."""
        if self.turn.ended:
            self.alter(ended="")
        if not self.turn.at:
            self.turn = msgspec.structs.replace(self.turn, at=at)

    def closed(self) -> Turn:
        """The turn, nothing more belonging to it."""
        return msgspec.structs.replace(self.turn, files=len(self.files), calls=self.calls, errors=self.errors)


class Conversation:
    """A session, or a sub-agent of one.

    Attributes:
        name: see `Turn.conversation`.
        agent: its id, or that of the side chain's first line; "" for a session.
        kind: the sub-agent's, as its lines say.
        asked: which prompt began it (a sub-agent), by its hash.
        fresh: compacted, and nothing was answered since.
        command: a command was given, and what it stands for, until it is known whether it asks the model anything.
    """

    __slots__ = ("agent", "asked", "command", "current", "fresh", "kind", "name")

    def __init__(self, name: str, agent: str) -> None:
        self.name = name
        self.agent = agent
        self.kind = ""
        self.asked = 0
        self.fresh = False
        self.command: list[str] | None = None
        self.current: int | None = None
