"""Single values of a TOML or YAML file changed in its text, a line each. Pure.

Only what stands on one line can be changed here. Whoever calls compares what the text says before and after, so a file that is
written in another way is refused rather than damaged.
"""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

import yaml

Path = Sequence[str]


class Toml:
    """``key = value`` at the top or under a ``[table]``; a path has one or two keys."""

    @staticmethod
    def parse(text: str) -> Any:
        """What the text says.

        Raises:
            ValueError: it is not TOML; with the line.
        """
        return tomllib.loads(text)

    @staticmethod
    def get(text: str, path: Path) -> str | None:
        """A value as it is written; None where there is none."""
        lines = text.splitlines(keepends=True)
        found = _toml_line(lines, path)
        return None if found is None else lines[found].partition("=")[2].strip()

    @staticmethod
    def put(text: str, path: Path, raw: str) -> str:
        """The text with a value in it: in its table, which is added at the end where there is none; without one, at the top."""
        lines = text.splitlines(keepends=True)
        line = f"{path[-1]} = {raw}\n"
        found = _toml_line(lines, path)
        if found is not None:
            lines[found] = line
        elif len(path) == 1:
            lines.insert(0, line)
        elif (header := _toml_header(lines, path[0])) is not None:
            lines.insert(header + 1, line)
        else:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines += ["\n"] * bool(lines) + [f"[{path[0]}]\n", line]
        return "".join(lines)

    @staticmethod
    def remove(text: str, path: Path) -> str:
        """The text without a value, or, where the path leads to an empty table, without that."""
        lines = text.splitlines(keepends=True)
        found = _toml_line(lines, path)
        if found is not None:
            del lines[found]
        elif len(path) == 1 and (header := _toml_header(lines, path[0])) is not None:
            start = header - 1 if header and not lines[header - 1].strip() else header
            del lines[start : header + 1]
        return "".join(lines)


class Yaml:
    """``key: value`` of a mapping that is the whole file; a path has one key."""

    @staticmethod
    def parse(text: str) -> Any:
        """What the text says; an empty one is an empty mapping.

        Raises:
            ValueError: it is not YAML, or no mapping; with the line.
        """
        try:
            said = yaml.safe_load(text)
        except yaml.MarkedYAMLError as problem:
            line = problem.problem_mark.line + 1 if problem.problem_mark else 1
            raise ValueError(f"line {line}: {problem.problem}") from problem
        except yaml.YAMLError as problem:
            raise ValueError(" ".join(str(problem).split())) from problem
        if said is None:
            return {}
        if not isinstance(said, dict):
            raise ValueError("line 1: a mapping is expected")  # noqa: TRY004  (one kind of error for whoever reads a file)
        return said

    @staticmethod
    def get(text: str, path: Path) -> str | None:
        """A value as it is written; None where there is none."""
        lines = text.splitlines(keepends=True)
        found = _yaml_line(lines, path)
        return None if found is None else lines[found].partition(":")[2].strip()

    @staticmethod
    def put(text: str, path: Path, raw: str) -> str:
        """The text with a value in it, at its end where it is new."""
        lines = text.splitlines(keepends=True)
        line = f"{path[-1]}: {raw}\n"
        found = _yaml_line(lines, path)
        if found is not None:
            lines[found] = line
        else:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines.append(line)
        return "".join(lines)

    @staticmethod
    def remove(text: str, path: Path) -> str:
        """The text without a value."""
        lines = text.splitlines(keepends=True)
        found = _yaml_line(lines, path)
        if found is not None:
            del lines[found]
        return "".join(lines)


def _toml_line(lines: list[str], path: Path) -> int | None:
    table = ""
    for number, line in enumerate(lines):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header or line.lstrip().startswith("[["):
            table = header[1] if header else "[["
        elif table == ".".join(path[:-1]) and re.match(rf"\s*{re.escape(path[-1])}\s*=", line):
            return number
    return None


def _toml_header(lines: list[str], table: str) -> int | None:
    pattern = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?$")
    return next((number for number, line in enumerate(lines) if pattern.match(line)), None)


def _yaml_line(lines: list[str], path: Path) -> int | None:
    pattern = re.compile(rf"{re.escape(path[0])}\s*:(\s|$)")
    return next((number for number, line in enumerate(lines) if pattern.match(line)), None)
