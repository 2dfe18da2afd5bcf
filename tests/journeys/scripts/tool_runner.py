"""Run by the SDKs' own Python: anthropic's tool runner does the task, ``plain`` or ``stream``.

``tool_runner.py URL plain|stream``, in the project's directory, the task on standard input. Prints the last stop reason.
"""

import sys
from pathlib import Path

import anthropic  # type: ignore[import-not-found, unused-ignore]  # (in an environment of its own)

UNIT = {"x-stepdown-unit": "complete-slice", "x-stepdown-unit-id": "S01"}


@anthropic.beta_tool  # type: ignore[misc, untyped-decorator, unused-ignore]  # (the same)
def read_file(path: str) -> str:
    """Read a file.

    Args:
        path: which.
    """
    return Path(path).read_text() if Path(path).exists() else "error: no such file"


@anthropic.beta_tool  # type: ignore[misc, untyped-decorator, unused-ignore]  # (the same)
def write_file(path: str, content: str) -> str:
    """Write a file.

    Args:
        path: which.
        content: what.
    """
    Path(path).write_text(content)
    return "ok"


def main() -> None:
    url, way = sys.argv[1:]
    client = anthropic.Anthropic(base_url=url, api_key="sk-the-clients-own", default_headers=UNIT)
    stop = ""
    for said in client.beta.messages.tool_runner(
        model="claude-sonnet-4-6",
        max_tokens=4000,
        tools=[read_file, write_file],
        messages=[{"role": "user", "content": sys.stdin.read()}],
        stream=way == "stream",
    ):
        stop = (said.get_final_message() if way == "stream" else said).stop_reason
    sys.stdout.write(f"{stop}\n")


main()
