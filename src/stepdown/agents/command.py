"""The `command` agent: any command line does the unit."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stepdown.agents.failures import one_line
from stepdown.agents.port import Event, Finished, Job, Started, Step
from stepdown.agents.process import Child
from stepdown.agents.usage import dollars_of, tokens_of
from stepdown.errors import AgentError, PreferencesError
from stepdown.preferences.schema import AgentSettings, Preferences

PLACEHOLDERS: Final = ("model", "provider", "model_ref", "prompt", "prompt_file", "unit_id", "unit_type", "workdir")
"""What may stand in braces in the command line. ``{{word}}`` stands for itself in single braces."""

KINDS: Final = frozenset({"provider", "rejected", "quality", "budget", "cancelled"})

_PLACEHOLDER: Final = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
_KEY: Final = "agents.command.command"


class CommandAgent:
    """Runs a command line per unit. Exit code 0 is success; what it prints last may say more.

    The last line of standard output may be a JSON object: ``usage`` (tokens by Anthropic's, OpenAI's or our names),
    ``cost_usd`` or ``total_cost_usd``, ``model``, ``is_error``, ``failure`` (a kind of SPEC 8), ``message``, ``result``.
    Without it tokens and cost are unknown.
    """

    name = "command"

    def __init__(self, settings: AgentSettings) -> None:
        """Take the command line.

        Raises:
            PreferencesError: a placeholder that does not exist.
        """
        self._settings = settings
        self._command = (*settings.command, *settings.args)
        for argument in self._command:
            for found in _PLACEHOLDER.finditer(argument):
                if found[2] and found[2] not in PLACEHOLDERS:
                    valid = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
                    raise PreferencesError(f"{_KEY}: there is no {{{found[2]}}}; there are {valid}")

    def providers(self) -> frozenset[str] | None:
        """Any: only the command knows."""
        return None

    def check(self) -> str | None:
        """Whether there is a command line and its program is installed."""
        if not self._settings.command:
            return (
                f'no command line is set: write one under {_KEY}, as in ["my-agent", "--model", "{{model}}", "{{prompt_file}}"]'
            )
        program = self._settings.command[0]
        if not _PLACEHOLDER.search(program) and shutil.which(program) is None:
            return f"'{program}' is not installed or not on the PATH: install it, or change {_KEY}"
        return None

    def configured_model(self, project: Path) -> str:  # noqa: ARG002 - the port's signature
        """Not known."""
        return ""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        """Run it once.

        Raises:
            AgentError: it cannot start.
        """
        if not self._settings.command:
            raise AgentError(str(self.check()))
        with tempfile.TemporaryDirectory(prefix="stepdown-") as folder:
            prompt_file = Path(folder) / "prompt.md"
            _write(prompt_file, job.prompt)
            command = [self._filled(argument, job, prompt_file) for argument in self._command]
            prompted = any("{prompt" in argument for argument in self._command)
            try:
                child = await Child.start(
                    command, workdir=job.workdir, env={**os.environ, **job.env}, said="" if prompted else job.prompt
                )
            except AgentError as problem:
                raise AgentError(f"{problem}; install it, or change {_KEY}") from problem
            async with child:
                yield Started(model=job.model.id if job.model else "")
                last, deadline = "", asyncio.get_running_loop().time() + job.timeout
                try:
                    while (line := await child.line(deadline)) is not None:
                        if line.strip():
                            last = line
                            yield Step("text", detail=one_line(line))
                except TimeoutError:
                    yield Finished(failure="quality", message=f"stalled: still running after {job.timeout:g} s, stopped")
                    return
                yield _finished(child, _report(last))

    def _filled(self, argument: str, job: Job, prompt_file: Path) -> str:
        values = {
            "model": job.model.id if job.model else "",
            "provider": job.model.provider if job.model else "",
            "model_ref": job.model.ref if job.model else "",
            "prompt": job.prompt,
            "prompt_file": str(prompt_file),
            "unit_id": job.unit.id,
            "unit_type": job.unit.type,
            "workdir": str(job.workdir),
        }
        return _PLACEHOLDER.sub(lambda found: f"{{{found[1]}}}" if found[1] else values[found[2]], argument)


def from_preferences(preferences: Preferences, base_url: str) -> CommandAgent:
    """The agent as ``agents.command`` describes it.

    Raises:
        PreferencesError: a placeholder that does not exist, or a base URL, which only the command itself can use.
    """
    if base_url:
        raise PreferencesError(f"the command agent cannot be given a base URL: write it into {_KEY}")
    return CommandAgent(preferences.agents.get("command", AgentSettings()))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


def _report(line: str) -> Mapping[str, Any]:
    """The JSON object that `line` is; empty where it is none."""
    try:
        found = msgspec.json.decode(line.strip())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _finished(child: Child, report: Mapping[str, Any]) -> Finished:
    """What came of it, by its exit code and what it reported."""
    code, failure, message = child.exit_code, None, ""
    said = str(report.get("message") or report.get("result") or "")
    if code:
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        failure, message = "quality", f"{how}: {child.last_error or said or 'it said nothing on standard error'}"
    elif report.get("is_error") is True:
        failure, message = "quality", said or "the command reported an error of its own"
    if report.get("failure") in KINDS:
        failure, message = str(report["failure"]), said or message or "the command reported this failure itself"
    model = report.get("model")
    return Finished(
        failure=failure,
        message=one_line(message),
        tokens=tokens_of(report.get("usage")),
        cost_usd=dollars_of(report.get("cost_usd", report.get("total_cost_usd"))),
        billed="cost_usd" in report,
        model=model if isinstance(model, str) else "",
        text=str(report.get("result") or ""),
    )
