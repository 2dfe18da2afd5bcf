"""A client that offers its model a shell instead of tools for files: the script's few calls as commands, and back again.

The script knows ``read_file``, ``write_file`` and ``append_file``. Codex offers ``exec_command``, or for some models only
``exec``, which runs JavaScript that may call it. Since the script keeps nothing between requests, what it asked for earlier
has to be found again in its own commands.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from stepdown.agents.program import mapping, records
from stepdown.practice.messages import Reply, new_id
from stepdown.practice.tools import TOOLS

COMMAND: Final = "exec_command"
"""Codex's function tool for a command line."""

SOURCE: Final = "exec"
"""Codex's custom tool for JavaScript, which reaches the same as ``tools.exec_command``."""

_NESTED: Final = re.compile(r"tools\.exec_command\((\{.*\})\)", re.DOTALL)
_CODE: Final = re.compile(r"^Process exited with code (-?\d+)$", re.MULTILINE)
_OUTPUT: Final = re.compile(r"^Output:\n", re.MULTILINE)
_MISSING: Final = "(there is no such file)"
_WRITES: Final = {">": "write_file", ">>": "append_file"}

FILE_TOOLS: Final = TOOLS
"""What the script is told that such a client offers."""


def command(name: str, values: Mapping[str, Any]) -> str:
    """The command line that does what a call of one of `FILE_TOOLS` asks for."""
    path = str(values["path"])
    if name == "read_file":
        # That a file is not there yet is an answer, not a command that failed.
        return f"test ! -e {shlex.quote(path)} && echo {shlex.quote(_MISSING)} || cat -- {shlex.quote(path)}"
    sign = next(sign for sign, tool in _WRITES.items() if tool == name)
    folder, text = str(PurePosixPath(path).parent), str(values["content"])
    return f"mkdir -p -- {shlex.quote(folder)} && printf %s {shlex.quote(text)} {sign} {shlex.quote(path)}"


def understood(line: str) -> tuple[str, dict[str, str]] | None:
    """The call that `command` made this line of; None for any other line."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    match words:
        case ["test", "!", "-e", _, "&&", "echo", _, "||", "cat", "--", path]:
            return "read_file", {"path": path}
        case ["mkdir", "-p", "--", _, "&&", "printf", "%s", text, (">" | ">>") as sign, path]:
            return _WRITES[sign], {"path": path, "content": text}
    return None


_SHELLS: Final = frozenset({"bash", "shell", "execute_bash", "run_command"})
_WRITERS: Final = frozenset({"write", "write_file"})
SUBMIT: Final = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""How mini-swe-agent wants to be told that the work is done."""


def offered(tools: Sequence[Mapping[str, Any]]) -> str:
    """The name of the tool that takes a ``command``, where that is all a client offers to write files with; "" for none."""
    names = [str(tool.get("name")) for tool in tools if "command" in mapping(mapping(tool, "input_schema"), "properties")]
    if any(str(tool.get("name")).lower() in _WRITERS for tool in tools):
        return ""
    return next((name for name in names if name.lower() in _SHELLS), "")


def with_files(body: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """A request that offers a shell as if it offered tools for files, and as if those had been called."""
    called: set[str] = set()
    said = [{**message, "content": _retold(message["content"], tool, called)} for message in body["messages"]]
    return {**body, "tools": [*body["tools"], *FILE_TOOLS], "messages": said}


def _retold(content: object, tool: str, called: set[str]) -> object:
    if isinstance(content, str):
        return content
    parts = []
    for part in records(content):
        found = understood(str(mapping(part, "input").get("command", ""))) if part.get("name") == tool else None
        if found:
            called.add(str(part.get("id")))
            parts.append({**part, "name": found[0], "input": found[1]})
        elif part.get("type") == "tool_result" and str(part.get("tool_use_id")) in called:
            shown, failed = observed(part.get("content"))
            parts.append({**part, "content": shown, "is_error": failed})
        else:
            parts.append(dict(part))
    return parts


def observed(content: object) -> tuple[str, bool]:
    """What a command printed, and whether it failed or found no file; as text, or as mini-swe-agent's record of both."""
    shown = content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in records(content))
    try:
        record = msgspec.json.decode(shown, type=dict[str, Any])
    except msgspec.DecodeError:
        record = {}
    if "returncode" in record:
        output = str(record.get("output", ""))
        return output, record["returncode"] != 0 or output.strip() == _MISSING
    return shown, shown.strip() == _MISSING


def commanded(reply: Reply, tool: str, *, submits: bool) -> Reply:
    """The script's calls of tools for files as commands; its last word as well, where the client wants one for that.

    Args:
        reply: the script's.
        tool: the client's tool for commands, see `offered`.
        submits: whether the client was told to end with `SUBMIT`.
    """
    said: list[Mapping[str, Any]] = []
    for block in reply.content:
        call = block["type"] == "tool_use" and block["name"] != tool
        said.append({**block, "name": tool, "input": {"command": command(block["name"], block["input"])}} if call else block)
    if submits and reply.stop == "end_turn":
        said.append({"type": "tool_use", "id": new_id("toolu"), "name": tool, "input": {"command": SUBMIT}})
        return Reply(tuple(said), "tool_use")
    return Reply(tuple(said), reply.stop)


def source(line: str) -> str:
    """JavaScript for Codex's ``exec`` that runs a command line and shows what came of it."""
    return f"text(await tools.exec_command({msgspec.json.encode({'cmd': line}).decode()}));"


def command_in(javascript: str) -> str:
    """The command line that `source` was made of; "" for any other JavaScript."""
    found = _NESTED.search(javascript)
    if found is None:
        return ""
    try:
        return str(msgspec.json.decode(found[1], type=dict[str, Any]).get("cmd", ""))
    except msgspec.DecodeError:
        return ""


def result(shown: str) -> tuple[str, bool]:
    """What a command printed, and whether it failed or found no file, from the text in which Codex tells its model.

    That is a few lines about the run, then ``Output:`` and the output; for JavaScript the output is the record of the
    command as JSON. Text of another shape is an error of Codex's own: the command did not run.
    """
    start = _OUTPUT.search(shown)
    if start is None:
        return shown, True
    before, output = shown[: start.start()], shown[start.end() :]
    code = _CODE.search(before)
    if code is not None:
        return output, code[1] != "0" or output.strip() == _MISSING
    try:
        record = msgspec.json.decode(output, type=dict[str, Any])
    except msgspec.DecodeError:
        return output, True
    output = str(record.get("output", ""))
    return output, record.get("exit_code") != 0 or output.strip() == _MISSING
