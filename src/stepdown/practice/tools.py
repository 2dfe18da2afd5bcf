"""The practice agent's tools: reading and writing files, inside its directory and nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stepdown.errors import StepdownError

_MOST: Final = 200_000
"""Characters of a file that one call shows."""


class ToolError(StepdownError):
    """The tool cannot do that."""


def _schema(**properties: str) -> dict[str, Any]:
    shown = {name: {"type": "string", "description": words} for name, words in properties.items()}
    return {"type": "object", "properties": shown, "required": list(properties)}


_PATH: Final = "Relative to the project's directory"

TOOLS: Final = (
    {"name": "read_file", "description": "Show a text file.", "input_schema": _schema(path=_PATH)},
    {
        "name": "write_file",
        "description": "Create a text file, or replace one.",
        "input_schema": _schema(path=_PATH, content="The whole file"),
    },
    {
        "name": "append_file",
        "description": "Add to the end of a text file.",
        "input_schema": _schema(path=_PATH, content="What is added"),
    },
)
"""What the model is offered, as the Messages API wants it."""


def use(workdir: Path, name: str, values: Mapping[str, Any]) -> str:
    """Call one tool; what it answers.

    Raises:
        ToolError: no such tool, a path out of `workdir` (by ``..``, absolute or through a link), or the file system refuses.
    """
    given = values.get("path")
    if not isinstance(given, str) or not given:
        raise ToolError(f"{name} needs a path")
    path = _inside(workdir, given)
    try:
        if name == "read_file":
            with path.open(encoding="utf-8", errors="replace") as file:
                return file.read(_MOST)
        content = values.get("content")
        if name not in {"write_file", "append_file"} or not isinstance(content, str):
            raise ToolError(f"there is no tool '{name}' with these arguments")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if name == "write_file" else "a", encoding="utf-8", errors="replace", newline="") as file:
            file.write(content)
    except OSError as problem:
        raise ToolError(f"{given}: {problem.strerror}") from problem
    return f"{given}: {len(content)} characters written"


def _inside(workdir: Path, given: str) -> Path:
    root = workdir.resolve()
    try:
        path = (root / given).resolve()
    except (OSError, ValueError, RuntimeError) as problem:  # a NUL character, a loop of links
        raise ToolError("that is no path") from problem
    if not path.is_relative_to(root):
        raise ToolError(f"{given} is outside of the project")
    if ".git" in path.relative_to(root).parts:
        raise ToolError(f"{given} belongs to git")
    return path
