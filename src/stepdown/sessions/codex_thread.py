"""Where one is in a Codex log: whose part of it, in which task, under which settings."""

from typing import Any, Final

from stepdown.asks import COMPACTION, MEMORY
from stepdown.sessions.codex_lines import born
from stepdown.sessions.values import child, prose, sold_by

_COPYING: Final = 1.0
"""Seconds within which a copy is written at the beginning of a log. Only where tasks have no ids that say it."""
_ORDINARY: Final = frozenset({"", "auto", "default", "standard"})
_ERRANDS: Final = {"compact": COMPACTION, "memory_consolidation": MEMORY}
_LONGEST_KIND: Final = 60


class Thread:
    """A thread as far as its log was read.

    A fork, and many a sub-agent, begins with a copy of what went before, stamped anew. The ids of tasks are copied as they
    were, and begin with the time at which they were given: what is older than the thread itself is a copy.

    Args:
        name: what to call it where the log does not say.

    Attributes:
        name: its id.
        root: the thread that all copies in it go back to; its own id where there are none.
        kind: the type of a sub-agent's units; "" for a user's session.
        project: the directory it works in.
        provider: as `Request.provider`.
        model: as the log names it; "" before it does.
        variant: as `Request.variant`.
        plans: whether it is in plan mode.
        task: the id of the task; "" where they have none.
        dated: whether that id says when it was given.
        copied: whether this part of the log is a copy.
    """

    def __init__(self, name: str) -> None:
        self.name = self.root = name
        self.kind = self.project = self.provider = self.model = self.variant = self.task = ""
        self.plans = self.dated = self.copied = False
        self._began: float | None = None
        self._task_born = 0.0
        self._older: dict[str, float] = {}

    @property
    def owner(self) -> str:
        """Whose work this part tells of: of the threads that are copied here, the youngest that was there already."""
        if not self.copied:
            return self.name
        there = [(since, name) for name, since in self._older.items() if since <= self._task_born]
        return max(there)[1] if there else self.root

    @property
    def is_fork(self) -> bool:
        """Whether it goes on with what another thread began."""
        return bool(self._older)

    def head(self, payload: dict[str, Any], now: float) -> None:
        """A ``session_meta``: of this log, of one that is copied here, or the same once more where it was gone on with."""
        name = payload.get("id")
        if not isinstance(name, str) or not name:
            return
        if self._began is None:
            self.name = self.root = name
            self._began = born(name) or now
            for parent in (payload.get("forked_from_id"), payload.get("parent_thread_id")):
                if isinstance(parent, str) and parent != name:
                    self._older[parent] = born(parent) or 0.0
            self.kind = _subagent(payload.get("source"))
            self.settle(payload)
        elif name != self.name:
            self._older[name] = born(name) or 0.0
            self.root = name

    def settle(self, payload: dict[str, Any]) -> None:
        """What holds from here on: of a ``session_meta``, a ``turn_context``, or a change of settings."""
        self.model = prose(payload.get("model")) or self.model
        self.project = prose(payload.get("cwd")) or self.project
        provider = payload.get("model_provider") or payload.get("model_provider_id")
        if isinstance(provider, str):
            self.provider = sold_by(provider)
        if isinstance(tier := payload.get("service_tier"), str):
            self.variant = "" if tier in _ORDINARY else prose(tier)
        if mode := child(payload, "collaboration_mode").get("mode"):
            self.plans = mode == "plan"

    def enter(self, task: object) -> bool:
        """A task is named; whether it is another one."""
        if not isinstance(task, str) or not task or task == self.task:
            return False
        since = born(task)
        self.task, self.dated, self._task_born = task, since is not None, since or 0.0
        if since is not None:
            self.copied = self._began is not None and since < self._began
        return True

    def at(self, now: float) -> bool:
        """A line of this time comes; whether a copy begins or ends there. Where tasks have no dates, only time tells."""
        if self.dated or not self._older or self._began is None:
            return False
        before, self.copied = self.copied, now < self._began + _COPYING
        return before != self.copied


def _subagent(source: object) -> str:
    """The type of a sub-agent's units, by what its thread says it comes from; "" for a user's."""
    if not isinstance(source, dict):
        return ""
    kind = source.get("subagent") or source.get("internal")
    if isinstance(kind, dict):
        spawned = kind.get("thread_spawn")
        kind = (spawned.get("agent_role") or "default") if isinstance(spawned, dict) else kind.get("other")
    if not isinstance(kind, str) or not kind or not kind.isprintable():
        return "subagent/unknown" if "subagent" in source else ""
    return _ERRANDS.get(kind, f"subagent/{kind[:_LONGEST_KIND]}")
