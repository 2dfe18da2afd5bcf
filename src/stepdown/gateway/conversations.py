"""What is remembered of each conversation: the unit that is going on, who answered last, whose cache holds what (SPEC 12).

One thread changes it. What it holds is small and bounded, and survives a restart by way of the ledger; without it the next
request is taken as the conversation's first, which costs a cache and nothing else.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from stepdown.units import Tokens

REMEMBERED: Final = 4096
"""Conversations that are remembered; the one that was silent longest is forgotten."""
_SIGNED: Final = 512
"""Thinking blocks of one conversation whose author is remembered; of more, those are forgotten that are not replayed now."""
_SIGNED_BY_ALL: Final = 100_000
"""The same of all conversations together; about ten megabytes."""
_SHRUNK: Final = 0.5
"""A prompt that is shorter than this share of the one before was compacted, or begun anew: no cache holds it."""
_FADES: Final = 0.7
"""Weight of the past in the running means of what a request adds."""
_FRESH, _OUTPUT = 1_500, 400
"""Tokens that a request adds to the prompt and that an answer has, before any was seen in a conversation. The medians of the
recorded plan trees lie near (`python -m bench.expectations`)."""


class _State(msgspec.Struct, array_like=True):
    """What is kept of a conversation; `Conversation` says what the fields are. New ones come last, for older gateways."""

    units: int = 0
    type: str = ""
    unit_id: str = ""
    holder: str = ""
    raised: bool = False
    moved: bool = False
    hour: bool = False
    tools: bool = False
    asked: int = 0
    warm: dict[str, tuple[int, float]] = {}
    signed: dict[str, list[int]] = {}
    prompt: int = 0
    fresh: float = _FRESH
    output: float = _OUTPUT
    stop: str = ""
    turns: int = 0
    steps: int = 0


class Conversation:
    """One conversation, as it stands between two of its requests.

    Attributes:
        units: how many units have begun in it.
        type: the present unit's type; "" before the first.
        unit_id: the present unit's id.
        holder: provider-qualified, who answered last; "" is nobody yet.
        raised: whether the present unit has been raised.
        moved: whether it is with its holder because routing chose so.
        tools: whether its requests offer tools; one without them is none of its own.
        asked: a digest of what its present unit was begun with, so that the same said again is no other unit.
        hour: whether its client has what it writes kept in caches for an hour.
        warm: per provider-qualified model, tokens of this conversation in its cache, and until when (seconds since the epoch).
        signers: per digest of a thinking block, the model that signed it.
        prompt: the last prompt in tokens, as the provider counted it.
        fresh: running mean of the tokens that a request adds.
        output: running mean of an answer's tokens.
        stop: why the last answer stopped, in the protocol's own word.
        turns: how often a person had spoken when its last request came (`Talk.turns`).
        steps: rounds of tools since then (`Talk.steps`).
        at: when that was, seconds since the epoch; the ledger has it beside the rest.
    """

    units: int
    type: str
    unit_id: str
    holder: str
    raised: bool
    moved: bool
    hour: bool
    tools: bool
    asked: int
    warm: dict[str, tuple[int, float]]
    prompt: int
    fresh: float
    output: float
    stop: str
    turns: int
    steps: int

    def __init__(self, state: bytes = b"", at: float = 0.0) -> None:
        self.at = at
        kept = _decoder.decode(state) if state else _State()
        for name in _KEPT:
            setattr(self, name, getattr(kept, name))
        self.signers = {digest: ref for ref, digests in kept.signed.items() for digest in digests}

    def state(self) -> bytes:
        """All of it, for the ledger."""
        signed: dict[str, list[int]] = {}
        for digest, ref in self.signers.items():
            signed.setdefault(ref, []).append(digest)
        return _encoder.encode(_State(**{name: getattr(self, name) for name in _KEPT}, signed=signed))

    def leads_to(self, turns: int, steps: int) -> bool:
        """Whether a request may be the next after the last one here, or one before that: nobody has had another in between.

        Args:
            turns: how often a person has spoken.
            steps: rounds of tools since.
        """
        return (turns, steps) <= (self.turns, self.steps + 1) or (turns, steps) == (self.turns + 1, 0)

    def begin(self, kind: str, unit_id: str, asked: int = 0) -> None:
        """Another unit begins."""
        self.units += 1
        self.type, self.unit_id, self.raised, self.stop, self.asked = kind, unit_id, False, "", asked

    def shrink(self, prompt: int) -> None:
        """The next prompt has about so many tokens: where it is much shorter than the last, no cache holds it."""
        if prompt < self.prompt * _SHRUNK:
            self.warm.clear()

    def authors(self, signers: Sequence[int], named: str, elsewhere: "Signers") -> frozenset[str]:
        """Who signed the thinking that is replayed; what was not there before is from whoever answered last.

        Args:
            signers: digests, in the order of the conversation.
            named: whose it is taken to be where nobody remembers.
            elsewhere: who signed what in all conversations: a client that trims its history may begin another one with it.
        """
        for digest in signers:
            if digest not in self.signers:
                # Of a client that goes between models by itself, only the one it names now is known to be asked with this.
                self.signers[digest] = elsewhere.find(digest) or (self.holder if self.moved else named)
                elsewhere.note(digest, self.signers[digest])
        if len(self.signers) > _SIGNED:  # who signed what is still replayed must not change: a model's view only ever grows
            self.signers = {digest: self.signers[digest] for digest in signers}
        return frozenset(self.signers.get(digest, named) for digest in signers)

    def cached(self, ref: str, now: float) -> int:
        """Tokens of it that stand in a model's cache."""
        tokens, until = self.warm.get(ref, (0, 0.0))
        return tokens if now <= until else 0

    def answered(
        self, ref: str, tokens: Tokens | None, stop: str, until: float, *, moved: bool, automatic: bool = False
    ) -> None:
        """A model answered.

        Args:
            ref: provider-qualified, which.
            tokens: what it used; None is unknown.
            stop: why it stopped.
            until: how long its cache keeps what it read and wrote, seconds since the epoch.
            moved: whether routing chose it.
            automatic: whether its provider caches every prompt without saying that it was written.
        """
        self.holder, self.stop, self.moved = ref, stop, moved
        if tokens is None or not tokens.total:
            return
        added = max(0, tokens.prompt - self.prompt) if self.prompt else 0
        if added:
            self.fresh = _FADES * self.fresh + (1 - _FADES) * added
        self.output = _FADES * self.output + (1 - _FADES) * tokens.output
        self.prompt = tokens.prompt
        kept = tokens.prompt if automatic else tokens.cache_read + tokens.cache_write
        if kept:
            self.warm[ref] = (kept, until)


_KEPT: Final = tuple(name for name in _State.__struct_fields__ if name != "signed")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_State)


class Signers:
    """Who signed which thinking block, over all conversations; of too many the oldest are forgotten."""

    def __init__(self, *, dry: bool = False) -> None:
        self._known: dict[int, str] = {}
        self._dry = dry

    def aside(self) -> "Signers":
        """The same, for a question: nothing is noted."""
        copy = Signers(dry=True)
        copy._known = self._known
        return copy

    def find(self, digest: int) -> str:
        """The provider-qualified model; "" where nobody remembers."""
        return self._known.get(digest, "")

    def note(self, digest: int, ref: str) -> None:
        """A model has signed a block."""
        if self._dry:
            return
        self._known[digest] = ref
        if len(self._known) > _SIGNED_BY_ALL:
            del self._known[next(iter(self._known))]


Name = tuple[str, str]
"""A project, and the conversation's name in it."""


class Conversations:
    """The conversations that were seen last.

    Args:
        kept: what an earlier gateway knew: project, name and `Conversation.state`, the oldest first.

    Attributes:
        signers: who signed what, in all of them.
    """

    def __init__(self, kept: Iterable[tuple[str, str, bytes]] = ()) -> None:
        self.signers = Signers()
        self._known: OrderedDict[Name, Conversation] = OrderedDict()
        for project, name, state in kept:
            try:
                talk = self._known[project, name] = Conversation(state)
            except (msgspec.DecodeError, msgspec.ValidationError, ValueError):  # of another version: it begins anew
                continue
            for digest, ref in talk.signers.items():
                self.signers.note(digest, ref)
        self._bound()

    def find(self, project: str, name: str, *, dry: bool = False) -> Conversation:
        """A conversation; a new one where it is not known, of which nothing is kept if this is only a question."""
        key = (project, name)
        found = self._known.get(key)
        if found is None:
            found = Conversation()
            if not dry:
                self._known[key] = found
                self._bound()
        elif dry:
            found = Conversation(found.state(), found.at)
        else:
            self._known.move_to_end(key)
        return found

    def known(self, project: str, name: str) -> Conversation | None:
        """A conversation as it is; None where it is not known."""
        return self._known.get((project, name))

    def learn(self, project: str, name: str, state: bytes, at: float) -> Conversation | None:
        """Take over what another gateway knows of a conversation, unless its last request came here; how it stands then.

        Args:
            project: whose.
            name: its name.
            state: what that gateway knows (`Conversation.state`).
            at: seconds since the epoch, when its last request came there.
        """
        known = self._known.get((project, name))
        if known is not None and known.at >= at:
            return known
        try:
            learnt = Conversation(state, at)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError):  # of another version
            return known
        for digest, ref in learnt.signers.items():
            self.signers.note(digest, ref)
        self._known[project, name] = learnt
        self._known.move_to_end((project, name))
        self._bound()
        return learnt

    def newest(self, name: str, seen: Callable[[str], bool] = lambda _: True) -> tuple[str, Conversation] | None:
        """Of the conversations with this name, in whatever project is `seen`, the one that spoke last, and its project."""
        there_are = ((project, talk) for (project, known), talk in reversed(self._known.items()) if known == name)
        return next((one for one in there_are if seen(one[0])), None)

    def __len__(self) -> int:
        return len(self._known)

    def _bound(self) -> None:
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
