"""Run by the SDKs' own Python: pydantic-ai does the task over one protocol, and says so in a type of its own.

``typed_agent.py URL chat|responses|messages MODEL run|stream``, in the project's directory, the task on standard input.
"""

import asyncio
import sys
from pathlib import Path

import anthropic  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own, as all that follow)
import openai  # type: ignore[import-not-found, unused-ignore]
from pydantic import BaseModel  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai import Agent  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.models.anthropic import AnthropicModel  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.models.openai import (  # type: ignore[import-not-found, unused-ignore]
    OpenAIChatModel,
    OpenAIResponsesModel,
)
from pydantic_ai.providers.anthropic import AnthropicProvider  # type: ignore[import-not-found, unused-ignore]
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found, unused-ignore]

UNIT = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}
KEY = "sk-the-clients-own"


class Result(BaseModel):  # type: ignore[misc, unused-ignore]  # (the same)
    summary: str
    files: list[str]


def agent(url: str, protocol: str, model: str) -> Agent:
    if protocol == "messages":
        theirs = AnthropicProvider(anthropic_client=anthropic.AsyncAnthropic(base_url=url, api_key=KEY, default_headers=UNIT))
        return Agent(AnthropicModel(model, provider=theirs), output_type=Result)
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, default_headers=UNIT)
    kind = OpenAIChatModel if protocol == "chat" else OpenAIResponsesModel
    return Agent(kind(model, provider=OpenAIProvider(openai_client=client)), output_type=Result)


def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text() if Path(path).exists() else "error: no such file"


def write_file(path: str, content: str) -> str:
    """Write a file."""
    Path(path).write_text(content)
    return "ok"


async def main() -> None:
    url, protocol, model, way = sys.argv[1:]
    does = agent(url, protocol, model)
    for tool in (read_file, write_file):
        does.tool_plain(tool)
    if way == "run":
        sys.stdout.write(f"{(await does.run(sys.stdin.read())).output}\n")
        return
    async with does.run_stream(sys.stdin.read()) as running:
        sys.stdout.write(f"{await running.get_output()}\n")


asyncio.run(main())
