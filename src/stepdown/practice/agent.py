"""The practice agent: a small real agent, over real HTTP, against the practice provider. It spends nothing and says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from stepdown.agents.failures import kind_of_status, one_line
from stepdown.agents.port import Event, Finished, Job, Started, Step, Used
from stepdown.agents.usage import tokens_of
from stepdown.practice import tools
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.served import ATTEMPT, used
from stepdown.preferences.schema import Preferences, ProviderSettings
from stepdown.units import Tokens

_MODEL: Final = "practice"
"""What it asks for where nothing was decided."""

_MOST_REQUESTS: Final = 20
"""Tool rounds before it gives up; the scripted model needs three."""

_ASKING: Final = aiohttp.ClientTimeout(total=15.0)
"""Time for the question what an attempt was billed for; the provider itself may wait a few seconds of it."""

_CACHED: Final = {"type": "ephemeral"}

_SYSTEM: Final = (
    "You are the practice agent of stepdown. You work in one project directory and only through your tools: read_file, "
    "write_file and append_file. Look at a file before you change it. Write every file that the unit asks for, leave all "
    "others alone, and end with one sentence about what you did."
)


class PracticeAgent:
    """Does a unit with three tools and a scripted model.

    Give it a provider to look into its log; otherwise it runs one of its own while it works. Its log, faults and cache then
    last as long as the agent: see `provider`.
    """

    name = "practice"

    def __init__(self, provider: PracticeProvider | None = None, *, base_url: str = "") -> None:
        """Take a provider, or the URL of anything that speaks Anthropic Messages; without both it brings its own."""
        self.provider = provider or PracticeProvider()
        self._base_url = base_url

    async def __aenter__(self) -> Self:
        """Keep its provider up between units; without this each unit starts and stops it."""
        if not self._base_url:
            await self.provider.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._base_url:
            await self.provider.__aexit__(kind, error, trace)

    def providers(self) -> frozenset[str] | None:
        """Any: the practice provider answers to every model's name."""
        return None

    def check(self) -> str | None:
        """Always ready."""
        return None

    def configured_model(self, project: Path) -> str:  # noqa: ARG002 - the port's signature
        """Not known."""
        return ""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        """Do the unit.

        Raises:
            ProviderError: its own provider cannot listen on loopback.
        """
        async with contextlib.AsyncExitStack() as stack:
            url = self._base_url or (await stack.enter_async_context(self.provider)).url
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()))
            conversation = _Conversation(session, f"{url.rstrip('/')}/v1/messages?beta=true", job)
            yield Started(model=conversation.model)
            while conversation.finished is None:
                for event in await conversation.turn():
                    yield event
            yield conversation.finished

    async def used(self, attempt: str) -> tuple[Tokens, int] | None:
        """What the provider billed an attempt for, and in how many requests, by what it was told in STEPDOWN_ATTEMPT.

        None where that cannot be known: the provider has gone, it is not a practice provider, or it was this agent's own in
        a program that has ended.
        """
        if not self._base_url:
            known = any(served.attempt == attempt for served in self.provider.log)
            return used(self.provider.log, attempt) if attempt and known else None
        if not attempt:
            return None
        url = f"{self._base_url.rstrip('/')}/practice/usage"
        try:
            async with (
                aiohttp.ClientSession(timeout=_ASKING) as session,
                session.get(url, params={"attempt": attempt}) as response,
            ):
                bill = msgspec.json.decode(await response.read(), type=_Bill) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return None if bill is None else (bill.tokens, bill.requests)


def from_preferences(preferences: Preferences, base_url: str) -> PracticeAgent:
    """The practice agent; ``providers.practice.base_url`` names a practice provider that is not its own."""
    return PracticeAgent(base_url=base_url or preferences.providers.get("practice", ProviderSettings()).base_url)


class _Bill(msgspec.Struct):
    """What ``GET /practice/usage`` answers."""

    requests: int
    tokens: Tokens


class _Failed(Exception):  # noqa: N818 - it carries a `Finished`, it is not an error of the program
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Conversation:
    """One attempt: messages so far, tokens so far, and how it ended."""

    def __init__(self, session: aiohttp.ClientSession, url: str, job: Job) -> None:
        self.model = job.model.id if job.model else _MODEL
        self.finished: Finished | None = None
        self._session = session
        self._url = url
        self._job = job
        self._deadline = asyncio.get_running_loop().time() + job.timeout
        self._messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": _prompt(job)}]}]
        self._tokens = Tokens()
        self._requests = 0

    async def turn(self) -> Sequence[Event]:
        """One request, and the tools it calls for."""
        try:
            answer = await self._ask()
        except _Failed as problem:
            return self._end(problem.kind, str(problem))
        tokens = tokens_of(answer.get("usage")) or Tokens()
        self._tokens += tokens
        self._requests += 1
        events: list[Event] = [Used(tokens, model=str(answer.get("model", "")))]
        content = [block for block in answer.get("content") or () if isinstance(block, dict)]
        text = " ".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
        if text:
            events.append(Step("text", detail=one_line(text)))
        calls = [block for block in content if block.get("type") == "tool_use"]
        if answer.get("stop_reason") == "tool_use" and calls:
            self._messages += [{"role": "assistant", "content": content}, {"role": "user", "content": self._use(calls, events)}]
            return [*events, *self._too_far()]
        reasons = {"refusal": "the model refused", "max_tokens": "the answer was cut off at its limit of tokens"}
        reason = reasons.get(str(answer.get("stop_reason")), "")
        return [*events, *self._end("quality" if reason else None, reason, text)]

    def _use(self, calls: Sequence[Mapping[str, Any]], events: list[Event]) -> list[dict[str, Any]]:
        """Call the tools; their results for the model, and what happened for the screen."""
        results = []
        for call in calls:
            name, values = str(call.get("name")), call.get("input") or {}
            events.append(Step("tool", name=name, detail=one_line(str(values.get("path", "")))))
            try:
                said, failed = tools.use(self._job.workdir, name, values), False
            except tools.ToolError as problem:
                said, failed = str(problem), True
            # That a file is not there yet is an answer to the question whether it is, not a mistake.
            events.append(Step("result", name=name, detail=one_line(said), error=failed and name != "read_file"))
            results.append({"type": "tool_result", "tool_use_id": call.get("id"), "content": said, "is_error": failed})
        return results

    def _too_far(self) -> Sequence[Event]:
        """The end, where the attempt has used up what it may use."""
        cap, model = self._job.cost_cap, self._job.model
        cost = model.cost(self._tokens) if model else None
        if cap is not None and cost is not None and cost > cap:
            return self._end("budget", f"the cost cap of ${cap:.2f} is reached (${cost:.2f} at list price)")
        if self._requests >= _MOST_REQUESTS:
            return self._end("quality", f"no end after {_MOST_REQUESTS} requests")
        return ()

    def _end(self, failure: str | None, message: str = "", text: str = "") -> Sequence[Event]:
        self.finished = Finished(
            failure=failure,
            message=message,
            tokens=self._tokens,
            requests=self._requests,
            model=self.model,
            text=text,
        )
        return ()

    async def _ask(self) -> Mapping[str, Any]:
        """Send the conversation; the answer.

        Raises:
            _Failed: with its kind and one line.
        """
        body = {
            "model": self.model,
            "max_tokens": 8_000,
            "system": [{"type": "text", "text": _SYSTEM, "cache_control": _CACHED}],
            "tools": tools.TOOLS,
            "messages": _marked(self._messages),
        }
        headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", **_named(self._job)}
        try:
            async with (
                asyncio.timeout_at(self._deadline),
                self._session.post(self._url, data=msgspec.json.encode(body), headers=headers) as response,
            ):
                status, raw = response.status, await response.read()
        except TimeoutError as problem:
            raise _Failed("quality", f"stalled: no end after {self._job.timeout:g} s, stopped") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise _Failed("provider", one_line(f"the connection to the provider failed: {problem}")) from problem
        return _read(status, raw)


def _read(status: int, raw: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if status >= 400:
        error = found.get("error") if isinstance(found, dict) else None
        words = str(error.get("message", "")) if isinstance(error, dict) else "no error message that can be read"
        raise _Failed(kind_of_status(status), one_line(f"the provider answered {status}: {words}"))
    if not isinstance(found, dict) or not isinstance(found.get("content"), list):
        raise _Failed("provider", f"the provider answered {status} with something that is not a message")
    return found


def _named(job: Job) -> dict[str, str]:
    """The headers that declare the attempt and the unit, where their ids can stand in one."""
    named = {ATTEMPT: job.env.get("STEPDOWN_ATTEMPT", "")}
    if job.unit.id.isascii() and job.unit.type.isascii():
        named |= {"x-stepdown-unit": job.unit.type, "x-stepdown-unit-id": job.unit.id} if job.unit.id else {}
    return {name: value for name, value in named.items() if value and value.isascii() and value.isprintable()}


def _prompt(job: Job) -> str:
    """The prompt, with the plan's files named where it does not name them itself."""
    missing = [path for path in job.writes if f"`{path}`" not in job.prompt]
    if not missing:
        return job.prompt
    return job.prompt + "\n\n## Files to write\n\n" + "".join(f"- `{path}`\n" for path in missing)


def _marked(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The conversation with a cache mark at its end, so that the next request finds all of it in the cache."""
    *before, last = messages
    *parts, end = last["content"]
    return [*before, {**last, "content": [*parts, {**end, "cache_control": _CACHED}]}]
