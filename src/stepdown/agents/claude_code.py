"""The `claude` agent: the real Claude Code program does the unit, told the model, and is read as it works."""

import asyncio
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from stepdown.agents import program
from stepdown.agents.claude_events import Transcript
from stepdown.agents.claude_settings import configured_model
from stepdown.agents.failures import one_line
from stepdown.agents.port import Event, Finished, Job
from stepdown.agents.process import Child
from stepdown.errors import AgentError
from stepdown.preferences.schema import AgentSettings, Preferences, ProviderSettings

_INSTALL: Final = "npm install -g @anthropic-ai/claude-code"

_RETRIES: Final = "2"
"""How often Claude Code may repeat a failing request by itself. Left alone it tries ten times, for minutes; the fallback
chain is the better answer."""

_LINGER: Final = 5.0
"""Seconds it gets after its result to save its session and leave by itself."""

_OURS: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": _RETRIES,
}
"""Variables set for Claude Code unless the user's environment says otherwise."""

_NESTING: Final = frozenset({"CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT"})
"""Variables by which Claude Code knows that it runs inside itself, as it does where it starts `stepdown run`."""


class ClaudeCodeAgent:
    """Drives ``claude -p`` and reads its event stream. It never skips permissions; the user's `args` may.

    Costs are Claude Code's own: it prices the model it asked for, also where a gateway let another one answer.
    """

    name = "claude"

    def __init__(self, settings: AgentSettings, *, base_url: str = "", api_key_env: str = "", cwd: Path | None = None) -> None:
        """Take the settings; nothing starts.

        Args:
            settings: ``agents.claude``; `command` names the program where it is not on the PATH.
            base_url: where its requests go; "" leaves that to its own configuration.
            api_key_env: the variable that holds the key, where it is not ANTHROPIC_API_KEY.
            cwd: where ``node_modules`` is looked for; None is the current directory.
        """
        self._settings = settings
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._cwd = cwd

    def providers(self) -> frozenset[str] | None:
        """Anthropic's alone."""
        return frozenset({"anthropic"})

    def check(self) -> str | None:
        """Whether the program is there."""
        if find_program(self._settings.command, self._cwd):
            return None
        return program.missing("Claude Code", "claude", self._settings.command, _INSTALL)

    def configured_model(self, project: Path) -> str:
        """What its settings say."""
        return configured_model(project)

    def _arguments(self, job: Job) -> list[str]:
        arguments = ["-p", "--output-format", "stream-json", "--verbose"]
        if job.model is not None:
            arguments += ["--model", job.model.id]
        if self._settings.permission_mode:
            arguments += ["--permission-mode", self._settings.permission_mode]
        if job.cost_cap is not None:
            arguments += ["--max-budget-usd", f"{max(job.cost_cap, 0.0001):.4f}"]
        return [*arguments, *self._settings.args]

    def _environment(self, job: Job) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _NESTING}
        added: dict[str, str] = {}
        if self._base_url:
            added["ANTHROPIC_BASE_URL"] = self._base_url
        if self._api_key_env and os.environ.get(self._api_key_env):
            added["ANTHROPIC_API_KEY"] = os.environ[self._api_key_env]
        return {**_OURS, **kept, **added, **job.env}

    async def run(self, job: Job) -> AsyncIterator[Event]:
        """Do the unit.

        Raises:
            AgentError: the program is not there or does not start.
        """
        found = find_program(self._settings.command, self._cwd)
        if not found:
            raise AgentError(str(self.check()))
        command = [*found, *self._arguments(job)]
        child = await Child.start(command, workdir=job.workdir, env=self._environment(job), said=job.prompt)
        async with child:
            transcript, clock = Transcript(), asyncio.get_running_loop().time
            deadline = clock() + job.timeout
            try:
                while (line := await child.line(deadline)) is not None:
                    for event in transcript.read(program.decoded(line)):
                        yield event
                    if transcript.finished is not None:
                        deadline = min(deadline, clock() + _LINGER)
            except TimeoutError:
                if transcript.finished is None:
                    message = f"stalled: Claude Code was still running after {job.timeout:g} s, stopped"
                    yield transcript.unfinished("quality", message)
                    return
            yield transcript.finished or _ended(child, transcript)


def from_preferences(preferences: Preferences, base_url: str) -> ClaudeCodeAgent:
    """The agent as ``agents.claude`` and ``providers.anthropic`` describe it."""
    provider = preferences.providers.get("anthropic", ProviderSettings())
    settings = preferences.agents.get("claude", AgentSettings())
    return ClaudeCodeAgent(settings, base_url=base_url or provider.base_url, api_key_env=provider.api_key_env)


def find_program(command: Sequence[str] = (), cwd: Path | None = None) -> tuple[str, ...]:
    """How to start Claude Code: as the settings say, or from the PATH, ``node_modules``, claude-agent-sdk; () if nowhere."""
    found = program.find("claude", command, cwd)
    bundled = None if found or command else _bundled()
    return (str(Path(bundled).absolute()),) if bundled else found


def _bundled() -> str | None:
    """The program inside the claude-agent-sdk distribution, if that is installed."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / "_bundled"
    return shutil.which(folder / ("claude.exe" if os.name == "nt" else "claude"))


def _ended(child: Child, transcript: Transcript) -> Finished:
    """It stopped without a result: a wrong argument, a crash, somebody's signal."""
    why = child.last_error or "it said nothing"
    return transcript.unfinished(
        "quality", one_line(f"Claude Code ended without a result (exit code {child.exit_code}): {why}")
    )
