"""Run by the SDKs' own Python: claude-agent-sdk does the task with the Claude Code that comes with it.

``claude_agent.py URL MODEL``, in the project's directory, the task on standard input.
"""

import asyncio
import sys
from pathlib import Path

from claude_agent_sdk import (  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own)
    ClaudeAgentOptions,
    ResultMessage,
    query,
)


async def main() -> None:
    url, model = sys.argv[1:]
    options = ClaudeAgentOptions(
        model=model,
        cwd=Path.cwd(),
        permission_mode="acceptEdits",
        max_turns=9,
        setting_sources=[],
        env={
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "sk-the-clients-own",
            "ANTHROPIC_CUSTOM_HEADERS": "x-stepdown-unit: execute-task\nx-stepdown-unit-id: T01",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    )
    failed = True
    async for said in query(prompt=sys.stdin.read(), options=options):
        if isinstance(said, ResultMessage):
            sys.stdout.write(f"{said.subtype} {said.result}\n")
            failed = said.is_error
    sys.exit(failed)


asyncio.run(main())
