"""A request taken apart: its parts by key, what it asks of a model, how large it is. What the three protocols share. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from stepdown.gateway import edit
from stepdown.gateway.wire import Unreadable

NOTHING: Final = msgspec.Raw(b"")
"""A value that is not there."""

TEXT: Final = 4
"""Bytes of JSON a token: English and code run at 3 to 5 characters a token, and escapes make JSON longer than its text."""

IMAGE: Final = 1600
"""Tokens of an image: Anthropic bills width x height / 750 up to about this; OpenAI's largest tiling is a little below."""

PAGED: Final = 20
"""Bytes of a base64 document a token: about 3,000 tokens for a page of 60 KB."""

MOST_TOOLS: Final = 128
"""Tools that OpenAI's protocols take at most."""

UNFORCED: Final = frozenset({b'"auto"', b'"none"'})
"""Values of OpenAI's ``tool_choice`` that leave it to the model whether it calls a tool, or forbid it."""

ORDINARY_EFFORT: Final = frozenset({"low", "medium", "high"})
"""What every model with `effort` takes; the others (``none``, ``minimal``, ``xhigh``, ``max``) only some."""

_SESSION_HEADERS: Final = ("x-claude-code-session-id", "thread-id", "session-id", "x-session-id", "x-session-affinity")
_LONGEST_SESSION: Final = 200
_BRACKET: Final = ord("[")
_ID: Final = re.compile(rb'"[a-zA-Z0-9_-]{1,64}"')
_number: Final = msgspec.json.Decoder(float)
_whole: Final = msgspec.json.Decoder(int)
_text: Final = msgspec.json.Decoder(str)
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_T = TypeVar("_T")

Known = Mapping[str, tuple[str, ...]]
"""Per key of a protocol the features that a request with it asks for; most ask for none."""


class Request:
    """A request on its way to an envelope.

    What is strange in it is no reason to refuse it: the provider does that in its own words. It asks for a feature that nobody
    offers (``odd:messages``), so that it goes to the model it names and to no other.

    Attributes:
        parts: per top-level key its value, as it is written.
        spans: per top-level key where that stands.
        features: what was found so far that it asks of a model.
        size: bytes of text that the model reads, as far as they were counted.
        tokens: tokens of what is not text.
    """

    __slots__ = ("features", "parts", "size", "spans", "tokens")

    def __init__(self, body: bytes) -> None:
        self.parts, self.spans = edit.members(body)
        self.features: set[str] = set()
        self.size = 0
        self.tokens = 0

    def model(self) -> str:
        """The model it names.

        Raises:
            Unreadable: it names none.
        """
        model = self.text("model")
        if not model:
            raise Unreadable("the request names no model: 'model' has to be a text that is not empty")
        return model

    def has(self, key: str) -> bool:
        """Whether a key is there and not null."""
        return self.parts.get(key, b"null") != b"null"

    def is_true(self, key: str) -> bool:
        """Whether a flag is set."""
        return self.parts.get(key) == b"true"

    def read(self, key: str, decoder: msgspec.json.Decoder[_T]) -> _T | None:
        """A part, decoded; None where it is not there, or not what it should be."""
        return self.decode(self.parts[key], decoder, key) if self.has(key) else None

    def decode(self, part: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T], where: str) -> _T | None:
        """A piece of a part, decoded; likewise."""
        try:
            return decoder.decode(part)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.features.add(f"odd:{where}")
            return None

    def text(self, key: str) -> str:
        """A part that is a text; "" where it is not."""
        return self.read(key, _text) or ""

    def whole(self, key: str) -> int | None:
        """A part that is a whole number of at least 0."""
        number = self.read(key, _whole)
        return number if number is not None and number >= 0 else None

    def fields(self, key: str) -> dict[str, msgspec.Raw]:
        """A part that is an object: the values of its keys, without those that are null."""
        found = self.read(key, _fields) or {}
        return {name: value for name, value in found.items() if bytes(value) != b"null"}

    def ask_for_keys(self, known: Known) -> None:
        """Ask for what its top-level keys stand for; one that is not known (``param:NAME``) is for the model it names alone."""
        for key, value in self.parts.items():
            asked = known.get(key)
            if asked is None and value != b"null":
                self.features.add(f"param:{key}")
            elif asked and value not in _UNSET:
                self.features.update(asked)

    def ask_for_sampling(self, *keys: str) -> None:
        """Ask for ``sampling`` where a parameter of it has a value other than 1, the default; thinking models refuse others."""
        for key in keys:
            if self.read(key, _number) not in {None, 1.0}:
                self.features.add("sampling")

    def ask_for_effort(self, effort: str) -> str:
        """Ask for an effort; it is given back."""
        if effort:
            self.features.add("effort")
            if effort not in ORDINARY_EFFORT:
                self.features.add(f"effort:{effort}")
        return effort

    def ask_for_id(self, call: msgspec.Raw) -> None:
        """Ask for ``tool_ids:odd`` where a call's id has letters or a length that not every provider takes."""
        if call is not NOTHING and _ID.fullmatch(call) is None:
            self.features.add("tool_ids:odd")

    def add_sizes(self, *keys: str) -> None:
        """Count parts as text that the model reads."""
        self.size += sum(len(self.parts.get(key, b"")) for key in keys)

    def add_image(self, image: msgspec.Raw) -> None:
        """Ask for ``images``; the bytes of one do not count as text."""
        self.features.add("images")
        self.size -= len(bytes(image))
        self.tokens += IMAGE

    def add_document(self, document: msgspec.Raw) -> None:
        """Likewise for a document, which models that see read page by page."""
        self.features.add("images")
        length = len(bytes(document))
        self.size -= length
        self.tokens += max(IMAGE, length // PAGED)

    @property
    def prompt(self) -> int:
        """Its prompt in tokens, estimated."""
        return max(0, self.size) // TEXT + self.tokens


_UNSET: Final = frozenset({b"null", b"false", b"[]", b"{}", b'""'})


def is_list(value: msgspec.Raw) -> bool:
    """Whether a value is a list; most are long texts, which nobody needs to decode to see that they are none."""
    return value is not NOTHING and memoryview(value)[0] == _BRACKET


class _Schema(msgspec.Struct, gc=False):
    properties: dict[str, msgspec.Raw] = {}


_schema: Final = msgspec.json.Decoder(_Schema)
_MOST_FIELDS: Final = 20


def quietly(decoder: msgspec.json.Decoder[_T], part: bytes | msgspec.Raw) -> _T | None:
    """A part, decoded; None where it is not what it should be, which its reader has noted already or need not."""
    try:
        return decoder.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fields_asked(schema: msgspec.Raw) -> tuple[str, ...]:
    """The names of the fields that a JSON schema asks for; () where it does not say, or names very many."""
    found = quietly(_schema, schema)
    return tuple(found.properties) if found is not None and len(found.properties) <= _MOST_FIELDS else ()


class Tools(msgspec.Struct, frozen=True):
    """What was found in a list of tools: how many, and what they ask of a model."""

    count: int
    features: frozenset[str]


NO_TOOLS: Final = Tools(0, frozenset())


class Remembered(Generic[_T]):
    """A reader that remembers: an agent sends the same hundred kilobytes of tools with every request, and its instructions.

    To read them takes as long as everything else together; to see that they are the same as before takes a tenth of that.

    Args:
        read: reads such a part.
    """

    MOST: Final = 32
    LONGEST: Final = 1024 * 1024

    def __init__(self, read: Callable[[bytes], _T]) -> None:
        self._read = read
        self._known: dict[tuple[int, bytes], tuple[bytes, _T]] = {}

    def __call__(self, part: bytes) -> _T:
        """What is in `part`; of the last `MOST` different ones it is known."""
        key = len(part), part[-64:]
        known = self._known.get(key)
        if known is not None and known[0] == part:
            return known[1]
        found = self._read(part)
        if len(part) <= self.LONGEST:
            self._known[key] = part, found
            if len(self._known) > self.MOST:
                del self._known[next(iter(self._known))]
        return found


def session(headers: Mapping[str, str], *others: str) -> str:
    """The client's own id of the conversation: the first that is there and fit to be written down; "" where none is.

    Args:
        headers: of the request, names in lower case. A thread is narrower than the session it belongs to, and comes first.
        others: what else it may be, after the headers.
    """
    for found in (*(headers.get(name, "") for name in _SESSION_HEADERS), *others):
        if found and found.isprintable() and len(found) <= _LONGEST_SESSION:
            return found
    return ""
