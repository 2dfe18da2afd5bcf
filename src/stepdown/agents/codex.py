"""The `codex` agent: the real Codex program does the unit, told the model, and is read as it works."""

import asyncio
import os
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from stepdown.agents import program
from stepdown.agents.codex_events import Transcript
from stepdown.agents.failures import one_line
from stepdown.agents.port import Event, Finished, Job
from stepdown.agents.process import Child
from stepdown.errors import AgentError, PreferencesError
from stepdown.preferences.schema import AgentSettings, Preferences, ProviderSettings

SANDBOXES: Final = ("read-only", "workspace-write", "danger-full-access")
"""What ``agents.codex.permission_mode`` may be: Codex's own words for what its commands may do. It never asks in between:
what the sandbox does not allow fails."""

_INSTALL: Final = "npm install -g @openai/codex"
_KEY: Final = "OPENAI_API_KEY"

_RETRIES: Final = 2
"""How often Codex may repeat a failing request by itself, where the provider is one of ours to describe. Left alone it makes
thirty tries; the fallback chain is the better answer."""

_LINGER: Final = 5.0
"""Seconds it gets after its turn to save its session and leave by itself."""


class CodexAgent:
    """Drives ``codex exec --json`` and reads its event stream. It never goes without a sandbox; the user's `args` may.

    Codex tells no costs, and its tokens only at the end of a turn that succeeded. It knows no cost cap.
    """

    name = "codex"

    def __init__(self, settings: AgentSettings, *, base_url: str = "", api_key_env: str = "", cwd: Path | None = None) -> None:
        """Take the settings; nothing starts.

        Args:
            settings: ``agents.codex``; `command` names the program where it is not on the PATH.
            base_url: where its requests go; "" leaves that to its own configuration. Without a path, ``/v1`` is meant.
            api_key_env: the variable that holds the key, where it is not OPENAI_API_KEY.
            cwd: where ``node_modules`` is looked for; None is the current directory.

        Raises:
            PreferencesError: a `permission_mode` that Codex does not have.
        """
        if settings.permission_mode and settings.permission_mode not in SANDBOXES:
            known = ", ".join(SANDBOXES)
            raise PreferencesError(f"agents.codex.permission_mode: there is no '{settings.permission_mode}'; there are {known}")
        self._settings = settings
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._cwd = cwd

    def providers(self) -> frozenset[str] | None:
        """OpenAI's alone."""
        return frozenset({"openai"})

    def check(self) -> str | None:
        """Whether the program is there."""
        if program.find("codex", self._settings.command, self._cwd):
            return None
        return program.missing("Codex", "codex", self._settings.command, _INSTALL)

    def configured_model(self, project: Path) -> str:  # noqa: ARG002 - the port's signature
        """What its ``config.toml`` says."""
        return configured_model()

    def _arguments(self, job: Job) -> list[str]:
        sandbox = self._settings.permission_mode or "workspace-write"
        arguments = ["exec", "--json", "--skip-git-repo-check", "--sandbox", sandbox]
        if job.model is not None:
            arguments += ["--model", job.model.id]
        if self._base_url:
            arguments += ["--config", 'model_provider="stepdown"', "--config", f"model_providers.stepdown={self._provider()}"]
        return [*arguments, *self._settings.args, "-"]

    def _provider(self) -> str:
        """A provider of our own as an inline table of TOML, so that no file of the user's is touched."""
        key = self._api_key_env or (_KEY if os.environ.get(_KEY) else "")
        table: dict[str, str | int] = {
            "name": "stepdown",
            "base_url": self._base_url if urlsplit(self._base_url).path.strip("/") else f"{self._base_url.rstrip('/')}/v1",
            "wire_api": "responses",
            **({"env_key": key} if key else {}),
            "request_max_retries": 0,
            "stream_max_retries": _RETRIES,
        }
        # A string of JSON is one of TOML.
        return "{" + ", ".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in table.items()) + "}"

    def _environment(self, job: Job) -> dict[str, str]:
        added: dict[str, str] = {}
        if self._api_key_env and not self._base_url and os.environ.get(self._api_key_env):
            added["CODEX_API_KEY"] = os.environ[self._api_key_env]
        return {**os.environ, **added, **job.env}

    async def run(self, job: Job) -> AsyncIterator[Event]:
        """Do the unit.

        Raises:
            AgentError: the program is not there or does not start.
        """
        found = program.find("codex", self._settings.command, self._cwd)
        if not found:
            raise AgentError(str(self.check()))
        command = [*found, *self._arguments(job)]
        child = await Child.start(command, workdir=job.workdir, env=self._environment(job), said=job.prompt)
        async with child:
            transcript, clock = Transcript(job.model.id if job.model else ""), asyncio.get_running_loop().time
            deadline = clock() + job.timeout
            try:
                while (line := await child.line(deadline)) is not None:
                    for event in transcript.read(program.decoded(line)):
                        yield event
                    if transcript.finished is not None:
                        if transcript.finished.failure is not None:
                            break  # it may be waiting for what will not come
                        deadline = min(deadline, clock() + _LINGER)
            except TimeoutError:
                if transcript.finished is None:
                    message = f"stalled: Codex was still running after {job.timeout:g} s, stopped"
                    yield transcript.unfinished("quality", message)
                    return
            yield transcript.finished or _ended(child, transcript)


def from_preferences(preferences: Preferences, base_url: str) -> CodexAgent:
    """The agent as ``agents.codex`` and ``providers.openai`` describe it.

    Raises:
        PreferencesError: a ``permission_mode`` that Codex does not have.
    """
    provider = preferences.providers.get("openai", ProviderSettings())
    settings = preferences.agents.get("codex", AgentSettings())
    return CodexAgent(settings, base_url=base_url or provider.base_url, api_key_env=provider.api_key_env)


def configured_model(*, environ: Mapping[str, str] = os.environ) -> str:
    """The model Codex uses when nobody names one: ``model`` of its ``config.toml``; "" where that is not said or readable."""
    home = Path(environ.get("CODEX_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".codex")
    try:
        found = tomllib.loads((home / "config.toml").read_text(encoding="utf-8")).get("model")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _ended(child: Child, transcript: Transcript) -> Finished:
    """It stopped without a turn: a wrong argument, a broken configuration, a crash, somebody's signal."""
    why = next((line for line in child.errors if line.lower().startswith("error")), child.last_error) or "it said nothing"
    return transcript.unfinished("quality", one_line(f"Codex ended without a result (exit code {child.exit_code}): {why}"))
