"""The scripted model behind the practice provider: it reads what is to be written and asks the client's tools to write it.

One turn looks at the files, one writes them, one says so. It keeps nothing between requests: where it stands follows from
the conversation alone, as with a real model.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from stepdown.agents.program import mapping, records
from stepdown.practice import aider, content, forms, messages, shell, showing, subagents
from stepdown.practice.messages import Reply

_UNIT: Final = re.compile(r"^[\"']?## UNIT:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_UNIT_ID: Final = re.compile(r"\s*([^\s#]\S*?):?[ \t]")
_ASIDE: Final = re.compile(r"<document name=.*?</document>", re.DOTALL)
_SECTION: Final = re.compile(r"^#{1,6}[ \t]+(?:files to write|expected outputs?)\b.*$", re.IGNORECASE | re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]", re.MULTILINE)
_BULLET: Final = re.compile(r"^[ \t]*[-*+][ \t]+(.*)$", re.MULTILINE)
_QUOTED: Final = re.compile(r"`([^`\n]+)`")
_PATH: Final = re.compile(r"^(?!.*(?:^|/)\.\.(?:/|$))[^\s/*?<>|:\\$~][^*?<>|:\\\n]*$")
_WORKDIR: Final = re.compile(r"working (?:in the )?directory:[ \t]*(/[^\n]*?)[ \t]*$", re.IGNORECASE | re.MULTILINE)

_PATHS: Final = ("path", "file_path", "filePath", "absolute_path", "filename")
"""What clients call the argument that says which file."""

_ANY_OBJECT: Final = {"properties": {"practice": {"const": True}}}

_MOST_TARGETS: Final = 25


def unit_name(text: str) -> str:
    """What ``## UNIT: Execute Task T01`` names; "" where nothing is named."""
    found = _UNIT.search(_ASIDE.sub("", text))
    return found[1] if found else ""


def unit_in_full(text: str) -> str:
    """Name and id, ``Execute Task T01 (M001/S02/T01)``: tasks of two slices have one name, and not the same work."""
    found = _UNIT.search(text := _ASIDE.sub("", text))
    if found is None:
        return ""
    named = _UNIT_ID.match(text, found.end())
    return f"{found[1]} ({named[1]})" if named else found[1]


def targets(text: str) -> list[str]:
    """The files that a prompt asks for: the bullets below ``## Files to write`` and ``## Expected Output``, in order.

    What a prompt quotes as a document of the project is not asked for.
    """
    text = _ASIDE.sub("", text)
    found: dict[str, None] = {}
    for section in _SECTION.finditer(text):
        after = _HEADING.search(text, section.end())
        for bullet in _BULLET.findall(text, section.end(), after.start() if after else len(text)):
            quoted = _QUOTED.search(bullet)
            path = quoted[1].strip() if quoted else bullet.split(" ")[0].rstrip(",;:")
            if _PATH.match(path) and PurePosixPath(path).suffix and not path.endswith("/"):
                found[str(PurePosixPath(path))] = None
    return list(found)[:_MOST_TARGETS]


class Tool(msgspec.Struct, frozen=True):
    """A tool of the client's that the script understands: its name, and what it calls a path and a file's content."""

    name: str
    path: str
    text: str = ""

    def call(self, path: str, text: str = "") -> dict[str, Any]:
        """The content block that calls it."""
        values = {self.path: path} | ({self.text: text} if self.text else {})
        return {"type": "tool_use", "id": messages.new_id("toolu"), "name": self.name, "input": values}


class _Tools(msgspec.Struct, frozen=True):
    read: Tool | None = None
    write: Tool | None = None
    append: Tool | None = None


def _understand(body: Mapping[str, Any]) -> _Tools:
    """Which of the tools offered can read, write and append, by the names of their arguments."""
    found: dict[str, Tool] = {}
    if mapping(body, "tool_choice").get("type") == "none":
        return _Tools()
    for tool in records(body.get("tools")):
        name, properties = str(tool.get("name", "")), mapping(mapping(tool, "input_schema"), "properties")
        path = next((key for key in _PATHS if key in properties), "")
        kind = next((kind for kind in ("append", "write", "read") if name.lower() in {kind, f"{kind}_file"}), "")
        if path and kind and (kind == "read" or "content" in properties):
            found[kind] = Tool(name, path, "" if kind == "read" else "content")
    return _Tools(**found)


class _Call(msgspec.Struct, frozen=True):
    """A call made earlier in the conversation, and what came of it."""

    tool: str
    path: str
    answer: str | None
    failed: bool


def _history(body: Mapping[str, Any]) -> list[_Call]:
    results = {str(part.get("tool_use_id")): part for part in _parts(body, "user") if part.get("type") == "tool_result"}
    calls = []
    for part in _parts(body, "assistant"):
        if part.get("type") == "tool_use":
            result, values = results.get(str(part.get("id"))), mapping(part, "input")
            path = next((str(values[key]) for key in _PATHS if key in values), "")
            answer = None if result is None else _text(result.get("content"))
            failed = bool(result and result.get("is_error")) or showing.is_error(answer or "")
            calls.append(_Call(str(part.get("name")), path, answer, failed))
    return calls


def _parts(body: Mapping[str, Any], role: str) -> Iterator[Mapping[str, Any]]:
    for message in body["messages"]:
        if message["role"] == role and not isinstance(message["content"], str):
            yield from message["content"]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _workdir(body: Mapping[str, Any]) -> str:
    """The directory that the client says it works in; "" where it does not say."""
    system = body.get("system")
    texts = [_text(system)] + [_text(message["content"]) for message in body["messages"][:3]]
    found = _WORKDIR.search("\n".join(texts))
    return found[1] if found else ""


def answer(body: Mapping[str, Any]) -> Reply:
    """The next turn of the conversation."""
    if tool := shell.offered(records(body.get("tools"))):
        submits = shell.SUBMIT in messages.human_text(body)
        return shell.commanded(_answer(shell.with_files(body, tool)), tool, submits=submits)
    made = [mapping(part, "input") for part in _parts(body, "assistant") if part.get("type") == "tool_use"]
    handed = subagents.calls(messages.human_text(body), records(body.get("tools")), made)
    return _use("Others can do that.", handed) if handed else _answer(body)


def _answer(body: Mapping[str, Any]) -> Reply:
    text = messages.human_text(body)
    unit, model = unit_name(text), str(body["model"])
    form = mapping(mapping(body, "output_config"), "format")
    if str(form.get("type")) in {"json_schema", "json_object"}:
        filled = forms.filled(mapping(form, "schema") or _ANY_OBJECT)
        return Reply(({"type": "text", "text": msgspec.json.encode(filled).decode()},))
    tools, calls = _understand(body), _history(body)
    wanted = targets(text)
    said = f"{_text(body.get('system'))}\n\n{text}"
    if not body.get("tools") and (edits := aider.answer(said, wanted, (unit, unit_in_full(text)))):
        return edits
    named = mapping(body, "tool_choice").get("type") == "tool"
    if tools.write is None or not wanted or named:
        return _end(f"This is the practice provider, answering as {model}: no model was asked.", body)
    located = {_located(path, tools.write, _workdir(body)): path for path in wanted}
    seen = {call.path: call for call in calls if tools.read and call.tool == tools.read.name}
    unseen = [path for path in located if path not in seen] if tools.read else []
    if unseen and tools.read:
        return _use("Looking at what is there.", [tools.read.call(path) for path in unseen])
    done = {call.path: call for call in calls if call.tool in {tool.name for tool in (tools.write, tools.append) if tool}}
    passing = unit_in_full(text)
    steps = [
        _write(tools, place, path, (unit, passing), seen.get(place)) for place, path in located.items() if place not in done
    ]
    for place, path in located.items():
        if place not in seen or seen[place].failed:
            for name, words in content.companions(path).items():
                beside = _located(name, tools.write, _workdir(body))
                if beside not in done:
                    steps.append(tools.write.call(beside, words))
    due = [step for step in steps if step]
    if due:
        return _use("Writing what the unit promises.", due)
    failed = sorted(path for path, call in done.items() if call.failed)
    outcome = (
        f"{len(failed)} of {len(done)} files could not be written: {', '.join(failed)}." if failed else "All of it is there."
    )
    return _end(f"{unit or 'The unit'}: {outcome} {content.BY}", body)


def _end(words: str, body: Mapping[str, Any]) -> Reply:
    """A last word; where the client insists on a tool, the call that ends its work: the tool named, or its last one."""
    choice, offered = mapping(body, "tool_choice"), records(body.get("tools"))
    names = {"any": [tool.get("name") for tool in offered], "tool": [choice.get("name")]}.get(str(choice.get("type")), [])
    for tool in reversed(offered):
        if tool.get("name") in names:
            values = forms.filled(mapping(tool, "input_schema"))
            call = {"type": "tool_use", "id": messages.new_id("toolu"), "name": tool["name"], "input": values}
            return _use("Filling in the form.", [call])
    return _say(words, str(body["model"]))


def _located(path: str, tool: Tool, workdir: str) -> str:
    """Where a tool wants a path: absolute for those that ask for a file's path in full."""
    return str(PurePosixPath(workdir) / path) if workdir and tool.path != "path" else path


def _write(tools: _Tools, place: str, path: str, unit: tuple[str, str], seen: _Call | None) -> dict[str, Any] | None:
    """The call that brings one file about; None where it is best left alone. `unit` is its name, short and in full."""
    assert tools.write is not None
    if seen is None or seen.failed or seen.answer is None:
        return tools.write.call(place, content.fresh(path, unit[0]))
    line = content.addition(path, unit[1])
    if line is None or line in seen.answer:
        return None
    if tools.append is not None:
        return tools.append.call(place, f"\n{line}\n")
    assert tools.read is not None
    present = showing.whole(seen.answer, argument=tools.read.path, tool=tools.read.name)
    if present is None:
        return None
    return tools.write.call(place, f"{present.rstrip()}\n\n{line}\n")


def _use(words: str, calls: list[dict[str, Any]]) -> Reply:
    return Reply(({"type": "text", "text": words}, *calls), "tool_use")


def _say(words: str, model: str) -> Reply:
    """A last word: stronger models say more, so that their output differs as it does in life."""
    parts = set(re.split(r"[-./ ]", model.lower()))
    more = 4 if parts & {"opus", "pro", "max", "heavy"} else 2 if parts & {"sonnet", "medium"} else 1
    asides = (
        "",
        " The instructions were followed in the order in which they stand.",
        " The files named in the prompt were taken as they are, and no others were touched.",
        " A stronger model would explain its reasons here; practice has none.",
    )
    return Reply(({"type": "text", "text": words + "".join(asides[:more])},))


REFUSAL: Final = Reply(
    ({"type": "text", "text": "I can't help with that. (The practice provider was told to refuse.)"},), "refusal"
)
WRONG: Final = Reply(({"type": "text", "text": "Done. (The practice provider was told to claim so and do nothing.)"},))


def bounded(reply: Reply, most: int) -> Reply:
    """The reply cut to `most` output tokens, the way a model is: ``max_tokens`` as the reason for stopping."""
    if reply.tokens <= most:
        return reply
    words = "".join(str(block.get("text", "")) for block in reply.content) or "..."
    return Reply(({"type": "text", "text": words[: most * 4]},), "max_tokens")
