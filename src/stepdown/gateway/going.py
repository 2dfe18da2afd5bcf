"""The unit of a conversation that a request belongs to: which one it is, how hard, and whether it stumbles (SPEC 12)."""

import hashlib
from typing import Final

import msgspec

from stepdown.asks import COMPACTION, signals_of
from stepdown.catalog import Model
from stepdown.classify import classify
from stepdown.decision import Classification, Ongoing
from stepdown.gateway.conversations import Conversation, Conversations
from stepdown.gateway.declared import Asked
from stepdown.gateway.recognised import Recognised
from stepdown.gateway.wire import Envelope, Talk
from stepdown.policy import Policy
from stepdown.signals import Signals
from stepdown.units import Tier, Tokens, Unit

CUT_OFF: Final = frozenset({"max_tokens", "length", "max_output_tokens", "incomplete", "model_context_window_exceeded"})
"""Why an answer stopped that was cut off, in the words of the three protocols."""
REFUSED: Final = frozenset({"refusal", "content_filter"})
"""Why one stopped that was a refusal."""
_NOTHING_SAID: Final = Signals()


class Going(msgspec.Struct, frozen=True):
    """A request's place in its conversation.

    Attributes:
        talk: the conversation; a copy, where this is only a question.
        name: its name.
        found: what the request was recognised to be.
        errand: whether it is the agent's summing up of the conversation, which leaves that as it was. What else an agent
            does for itself has a conversation of its own.
        over: the unit that has ended, now that this one begins: its type and id; "" where none has.
    """

    talk: Conversation
    name: str
    found: Recognised
    errand: bool
    over: str = ""

    @property
    def begins(self) -> bool:
        """Whether a unit begins, so that its model may be chosen."""
        return self.found.begins or self.errand or not self.talk.holder

    def ongoing(self, now: float) -> Ongoing | None:
        """How the conversation stands, for the decision; None where nobody holds it."""
        talk = self.talk
        if not talk.holder:
            return None
        return Ongoing(
            holder=talk.holder,
            cached=talk.cached(talk.holder, now),
            warm={ref: talk.cached(ref, now) for ref in talk.warm},
            fresh=round(talk.fresh),
            output=round(talk.output),
            hour=talk.hour,
        )


def placed(
    request: Asked, found: Recognised, conversations: Conversations, project: str, envelope: Envelope, *, dry: bool
) -> tuple[Asked, Going | None]:
    """The request as a part of its conversation's unit; None where nothing tells which conversation that is.

    Args:
        request: what its headers say.
        found: what it was recognised to be.
        conversations: those that are remembered; a unit that begins is noted there.
        project: whose.
        envelope: what it asks for.
        dry: whether this is only a question.
    """
    if not found.conversation:
        return msgspec.structs.replace(request, unit=found.unit, origin=found.origin), None
    name = found.conversation
    known = conversations.find(project, name, dry=dry)
    if known.tools and not envelope.tools and found.unit.type != COMPACTION:
        # What an agent asks beside its work, under the same id: it has neither the same prompt nor the same cache.
        name = f"{name}/aside"
        known = conversations.find(project, name, dry=dry)
    known.tools = known.tools or envelope.tools > 0
    errand, over = found.unit.type == COMPACTION, ""
    if errand:
        unit = _named(found.unit, found.unit.id or f"{name}#{known.units}")
    else:
        known.turns, known.steps = envelope.talk.turns, envelope.talk.steps
        if "stored" not in envelope.features:  # else only the newest part is here
            known.shrink(envelope.prompt)
        asked = _digest(envelope.talk)
        begins = (found.begins and asked != known.asked) or not known.type
        if begins or (found.unit.id and found.unit.id != known.unit_id):
            over = f"{known.type} {known.unit_id}" if known.type else ""
            known.begin(found.unit.type, found.unit.id or f"{name}#{known.units + 1}", asked)
        elif found.begins:  # the same said again: a client that tries once more
            found = msgspec.structs.replace(found, begins=False)
        unit = _named(found.unit, known.unit_id, known.type)
    going = Going(known, name, found, errand, over)
    return msgspec.structs.replace(request, unit=unit, origin=found.origin), going


def _digest(talk: Talk) -> int:
    """What a person said last, and how often a person has spoken, as a number."""
    said = f"{talk.turns}\0{talk.words}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(said, digest_size=7).digest(), "big")


def _named(unit: Unit, unit_id: str, kind: str = "") -> Unit:
    return msgspec.structs.replace(unit, id=unit_id, type=kind or unit.type)


def nature(found: Recognised, policy: Policy) -> Classification | None:
    """How hard a person's turn is: by its words, and never below standard, since nobody checks it; planning stays where it is.

    None for everything else, whose type or plan decides.
    """
    if found.origin != "human":
        return None
    if found.planning:
        return Classification(tier=Tier.HEAVY, reason="planning stays on its model")
    signals = signals_of(found.words, policy) if found.words else _NOTHING_SAID
    hard = classify(found.unit, signals, policy)
    hard = msgspec.structs.replace(hard, reason=hard.reason.replace("the plan says", "what was asked says"))
    if hard.tier < Tier.STANDARD:
        return msgspec.structs.replace(hard, tier=Tier.STANDARD, reason=f"{hard.reason}, and a person's turn is never lower")
    return hard


def stumbled(talk: Talk, stop: str, policy: Policy) -> str:
    """Why a unit that is going on should be raised; "" where nothing was seen to fail.

    Args:
        talk: what its request says of the tools that ran.
        stop: why its last answer stopped.
        policy: ``stumble_errors``, ``watch_repeats``.
    """
    if talk.errors >= policy.stumble_errors:
        return f"{talk.errors} tool results in a row were errors"
    if talk.repeats >= policy.watch_repeats and talk.errors:
        return f"the same call was made {talk.repeats} times in a row and failed"
    if stop in REFUSED:
        return "an answer was a refusal"
    if stop in CUT_OFF:
        return "an answer was cut off"
    return ""


def answered(
    going: Going,
    ref: str,
    tokens: Tokens | None,
    stop: str,
    at: float,
    policy: Policy,
    *,
    moved: bool,
    hour: bool,
    automatic: bool,
) -> None:
    """Note in the conversation that a model has answered; an errand leaves it as it was.

    Args:
        going: the request's place.
        ref: provider-qualified, who answered.
        tokens: what it used; None is unknown.
        stop: why the answer stopped.
        at: now, seconds since the epoch: a cache is kept from its last use on.
        policy: how long caches are kept.
        moved: whether routing chose that model.
        hour: whether what was written is kept for an hour.
        automatic: whether the provider caches every prompt without saying that it was written.
    """
    if not going.errand:
        kept = policy.cache_seconds_long if hour or going.talk.hour else policy.cache_seconds
        going.talk.hour = going.talk.hour or hour
        going.talk.answered(ref, tokens, stop, at + kept, moved=moved, automatic=automatic)


def written_anew(model: Model, tokens: int, *, hour: bool) -> float:
    """US dollars that writing so many tokens into a model's cache cost beyond reading them; 0.0 where it has no price."""
    if not tokens:
        return 0.0
    written = model.cost(Tokens(cache_write=tokens), written_1h=tokens if hour else 0)
    read = model.cost(Tokens(cache_read=tokens))
    return 0.0 if written is None or read is None else written - read
