"""What is heard of a conversation while its messages are walked through, first to last. What the three protocols share. Pure.

An agent sends its whole conversation with every request, so most of it is only stepped over: a text is decoded where a person
may have written it, a tool's result never is.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stepdown import asks
from stepdown.gateway.protocols.signed import digest, digest_of
from stepdown.gateway.wire import Speaker, Talk

LONGEST: Final = 20_000
"""Characters of what a person said last that are kept, and of what an agent asks for itself."""
BEGINNING: Final = 2_000
"""Characters of the opening and of the instructions that are kept."""
_FAR: Final = 8_000
"""Bytes of a system prompt that are decoded at first."""
_ENOUGH: Final = BEGINNING + 400
"""Characters in which the beginning stands, and the billing line of Claude Code before it."""

Text = str | bytes | msgspec.Raw
"""A text of a request: decoded already, or as it is written."""

_text: Final = msgspec.json.Decoder(str)
_REMINDER: Final = b'"<system-reminder>'
_REMINDED: Final = b"</system-reminder>"
_TOLD_BY_AGENTS: Final = ("<system-reminder>", "<collaboration_mode>")
_LEAVES_PLANNING: Final = frozenset({b'"ExitPlanMode"', b'"exit_plan_mode"'})

_HEAD: Final = 400
"""Bytes of a tool's result in which a failure is looked for, and of a reminder in which a mode is: they are said first."""
_FAILED: Final = re.compile(
    rb'(?:\A|"(?:text|output)" ?: ?)"(?:<tool_use_error>|\[?(?:\w{0,40}Error|error|ERROR)\b|Traceback \(most recent|ENOENT|'
    rb"File not found|File does not exist|Permission denied)"
    rb'|\A"(?:Chunk ID[^"]{0,200})?Process exited with code -?[1-9]|\A"?\{[^}]{0,300}(?:exit_?|return)code\\?" ?: ?-?[1-9]'
    rb'|\A"<returncode>-?[1-9]'
)
"""How results begin that are errors, for clients that set no flag: as Codex, Qwen Code, pi and mini-swe-agent write them."""


class Instructions(msgspec.Struct, frozen=True):
    """A system prompt: how what lasts of it begins, and whether it is marked as a sub-agent's."""

    text: str = ""
    delegated: bool = False


def instructions(texts: Iterable[Text]) -> Instructions:
    """A system prompt of these parts."""
    kept: list[str] = []
    length, marked = 0, False
    for raw in texts:
        text, delegated = asks.lasting(_beginning(raw))
        marked |= delegated
        if text and length < BEGINNING:
            kept.append(text)
            length += len(text)
    return Instructions("\n".join(kept)[:BEGINNING], marked)


class Heard:
    """A conversation on its way to a `Talk`."""

    __slots__ = (
        "_answered",
        "_asked",
        "_delegated",
        "_instructions",
        "_last",
        "_leaving",
        "_opening",
        "_planning",
        "_results",
        "_rounds",
        "_signers",
        "_steps",
        "_turns",
        "_words",
    )

    def __init__(self) -> None:
        self._last: Speaker = ""
        self._words = self._opening = self._instructions = ""
        self._asked: Sequence[Text] = ()
        self._turns = self._steps = 0
        self._planning = self._delegated = self._leaving = False
        self._answered = True
        self._results: list[tuple[bool, Text]] = []
        self._rounds: list[list[tuple[msgspec.Raw, msgspec.Raw]]] = []
        self._signers: list[int] = []

    def instructed(self, told: Instructions) -> None:
        """The system prompt; the first one counts."""
        if not self._instructions:
            self._instructions = told.text
            self._delegated |= told.delegated

    def noted(self, texts: Iterable[Text]) -> None:
        """What the agent put among the messages as the system: the instructions, where there are none yet; plan mode."""
        if not self._instructions:
            self.instructed(instructions(texts))
        else:
            for raw in texts:
                if _may_plan(raw):
                    self._plan(_decoded(raw))

    def said(self, texts: Sequence[Text], *, results: bool = False, shows: bool = False) -> None:
        """A message of the user, which a person wrote, or the agent, or both.

        Args:
            texts: its texts.
            results: whether it holds results of tools as well.
            shows: whether it shows an image or a document.
        """
        words: list[str] = []
        errand = ""
        for text in filter(None, map(self._unreminded, texts)):
            if asks.errand(text):
                errand = text
            elif found := asks.written_by_a_person(text):
                words.append(found)
            elif asks.is_example(text):
                self._turns, self._opening = 0, ""
        if errand:
            self._last, self._asked = "agent", (errand,)
        elif words or (shows and not texts):
            self._person("\n".join(words)[:LONGEST])
        elif not results:
            self._last, self._asked = "agent", texts

    def _unreminded(self, raw: Text) -> str:
        """A text, unless it is one reminder from end to end: the most of a first message are, and long, so none is decoded."""
        written = raw if isinstance(raw, str) else bytes(raw)
        if isinstance(written, bytes) and written.startswith(_REMINDER):
            end = written.find(_REMINDED) + len(_REMINDED)
            if not written[end:-1].replace(b"\\n", b"").strip():
                if _may_plan(written[:_HEAD]):
                    self._plan(_decoded(written))
                return ""
        text = _decoded(written)
        if _may_plan(text) and any(tag in text for tag in _TOLD_BY_AGENTS):
            self._plan(text)
        return text

    def _person(self, words: str) -> None:
        self._last, self._words = "human", words
        self._turns += 1
        self._steps = 0
        self._answered = True
        self._results.clear()
        self._rounds.clear()
        if not self._opening:
            self._opening = words[:BEGINNING]

    def _plan(self, text: str) -> None:
        planning = asks.plan_mode(text)
        if planning is not None:
            self._planning = planning

    def called(self, name: msgspec.Raw, arguments: msgspec.Raw) -> None:
        """The model called a tool. Calls without a result between them are one round."""
        if self._answered:
            self._rounds.append([])
            self._answered = False
        self._rounds[-1].append((name, arguments))
        if bytes(name) in _LEAVES_PLANNING:
            self._leaving = True

    def answered(self, result: Text, *, failed: bool = False) -> None:
        """A tool's result; `failed` is what the client says of it."""
        self._last = "tool"
        if not self._answered or not self._steps:
            self._steps += 1
            self._answered = True
        self._results.append((failed, result))
        if self._leaving:  # a person has looked at the plan, and agreed or not
            self._planning &= failed
            self._leaving = False

    def signed(self, signature: Text) -> None:
        """A block that a model signed, by what `stepdown.gateway.protocols.signed` knows it by."""
        self._signers.append(digest(signature) if isinstance(signature, str) else _digest(bytes(signature)))

    def talk(self, fields: tuple[str, ...] = ()) -> Talk:
        """What was heard.

        Args:
            fields: those that the answer is to have.
        """
        return Talk(
            last=self._last,
            words=self._words,
            opening=self._opening,
            instructions=self._instructions,
            asked="\n".join(map(_decoded, self._asked))[:LONGEST] if self._last == "agent" else "",
            turns=self._turns,
            steps=self._steps,
            errors=self._errors(),
            repeats=self._repeats(),
            planning=self._planning,
            signers=tuple(self._signers),
            delegated=self._delegated,
            fields=fields,
        )

    def _errors(self) -> int:
        """How many of the last results are errors, without one between them that is none."""
        errors = 0
        for failed, result in reversed(self._results):
            if not failed and not _is_failure(result):
                break
            errors += 1
        return errors

    def _repeats(self) -> int:
        """How many rounds in a row made the same calls as the last one, itself included."""
        if not self._rounds:
            return 0
        last = [(bytes(name), bytes(arguments)) for name, arguments in self._rounds[-1]]
        repeats = 0
        for calls in reversed(self._rounds):
            if len(calls) != len(last) or [(bytes(name), bytes(arguments)) for name, arguments in calls] != last:
                break
            repeats += 1
        return repeats


def _decoded(raw: Text) -> str:
    """A text; "" where it is none: the provider says so, in its own words."""
    if isinstance(raw, str):
        return raw
    try:
        return _text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _beginning(raw: Text) -> str:
    """A text, or no less of it than anybody looks at: it may have thousands of characters, and is cut before it is decoded.

    It is cut at a space, which is inside no escape and no letter.
    """
    if isinstance(raw, str):
        return raw
    written = bytes(raw)
    cut = written.rfind(b" ", 0, _FAR) if len(written) > _FAR else 0
    text = _decoded(written[:cut] + b'"') if cut > 0 else ""
    return text if len(text) > _ENOUGH else _decoded(written)


@functools.lru_cache(maxsize=2048)
def _digest(signature: bytes) -> int:
    """Of a signature as it is written. Each comes again with every request, and is long."""
    if signature[:1] == b'"' and b"\\" not in signature:  # most by far: base64 needs no escapes
        return digest(signature[1:-1])
    try:
        return digest_of(signature)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return digest(signature)


def _may_plan(raw: Text) -> bool:
    """Whether a text may tell of plan mode; quick, and sure where it says no."""
    if isinstance(raw, str):
        return "lan " in raw or " Mode" in raw
    written = bytes(raw)
    return b"lan " in written or b" Mode" in written


def _is_failure(result: Text) -> bool:
    """Whether a tool's result begins like an error."""
    head = f'"{result[:_HEAD]}'.encode("utf-8", "replace") if isinstance(result, str) else bytes(result)[:_HEAD]
    return _FAILED.search(head) is not None
