"""Run by the SDKs' own Python: pydantic-ai does several tasks in one conversation, with tools.

``typed_turns.py URL chat|responses|messages MODEL``, in the project's directory; the tasks are a JSON array on standard input.
"""

import asyncio
import json
import sys
from pathlib import Path

import anthropic  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own, as all that follow)
import openai  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai import Agent  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.models.anthropic import AnthropicModel  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.models.openai import (  # type: ignore[import-not-found, unused-ignore]
    OpenAIChatModel,
    OpenAIResponsesModel,
)
from pydantic_ai.providers.anthropic import AnthropicProvider  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found, unused-ignore]

KEY = "sk-the-clients-own"


def agent(url: str, protocol: str, model: str) -> Agent:
    if protocol == "messages":
        theirs = AnthropicProvider(anthropic_client=anthropic.AsyncAnthropic(base_url=url, api_key=KEY))
        return Agent(AnthropicModel(model, provider=theirs))
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY)
    kind = OpenAIChatModel if protocol == "chat" else OpenAIResponsesModel
    return Agent(kind(model, provider=OpenAIProvider(openai_client=client)))


def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text() if Path(path).exists() else "error: no such file"


def write_file(path: str, content: str) -> str:
    """Write a file."""
    Path(path).write_text(content)
    return "ok"


async def main() -> None:
    url, protocol, model = sys.argv[1:]
    does = agent(url, protocol, model)
    for tool in (read_file, write_file):
        does.tool_plain(tool)
    said: list[object] = []
    for text in json.load(sys.stdin):
        done = await does.run(text, message_history=said)
        said = done.all_messages()
        sys.stdout.write(f"{done.output}\n")


asyncio.run(main())
