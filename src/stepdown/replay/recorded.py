"""What a recorded decision says of its unit, as far as deciding again needs it. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from stepdown.decision import Classification
from stepdown.ledger.records import Attempt
from stepdown.signals import Signals
from stepdown.units import KNOWN_TYPES, Phase, Unit, type_defaults


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One unit as its first decision saw it.

    Attributes:
        unit: its type and what else decides its ceiling; its texts are not recorded.
        nature: how hard it was taken to be.
        signals: what that rested on; None where nothing was recorded.
        known: whether there is a decision at all; an imported attempt has none.
        ceiling: the provider-qualified ceiling, for phases that the preferences set no model for; else the model it ran on.
        hook_model: a model that a pre-dispatch hook named.
        stood_down: why routing stood down for its pattern; "" where it did not.
        pattern: what learning filed it under.
    """

    unit: Unit
    nature: Classification
    signals: Signals | None = None
    known: bool = False
    ceiling: str = ""
    hook_model: str = ""
    stood_down: str = ""
    pattern: str = ""


class _Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a `stepdown.decision.Decision` that is read; what else it holds, and may come to hold, is passed over."""

    classification: Classification
    phase: Phase | None = None
    model: str = ""
    provider: str = ""
    ceiling: str = ""
    ceiling_origin: str = ""
    unchanged: str = ""
    reason: str = ""
    candidates: tuple[msgspec.Raw, ...] = ()


_RECEIPTS: Final = msgspec.json.Decoder(_Receipt)
_HOOK: Final = "hook "
"""How `Decision.ceiling_origin` begins where the ceiling is the hook's own model."""


def recorded(attempt: Attempt) -> Recorded:
    """What the decision of a first attempt says; from the attempt alone where there is none, or one that cannot be read."""
    unit_type = "".join(filter(str.isprintable, attempt.unit_type)) or "unknown"
    pattern = attempt.pattern or attempt.unit_type
    try:
        receipt = _RECEIPTS.decode(attempt.decision) if attempt.decision else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        receipt = None
    if receipt is None:
        tier = attempt.tier or type_defaults(unit_type)[1]
        nature = Classification(tier=tier, reason="as it ran", tag=pattern.partition(":")[2])
        return Recorded(unit=Unit(unit_type), nature=nature, ceiling=attempt.ceiling or attempt.model, pattern=pattern)
    is_hook = unit_type.startswith("hook/")
    own = receipt.ceiling if is_hook and receipt.ceiling_origin.startswith(_HOOK) else ""
    named = receipt.unchanged == "hook" and not is_hook
    # What the ledger's balance decided beforehand has no candidates; what the expected costs decided will be decided again.
    stood_down = receipt.unchanged == "stood down" and len(receipt.candidates) <= 1
    return Recorded(
        unit=Unit(unit_type, trigger=_trigger(receipt.phase) if is_hook else "", model=own),
        nature=receipt.classification,
        signals=_signals(receipt.classification.signals),
        known=True,
        ceiling=attempt.ceiling or attempt.model,
        hook_model=f"{receipt.provider}/{receipt.model}".removeprefix("/") if named else "",
        stood_down=receipt.reason if stood_down else "",
        pattern=pattern,
    )


def _signals(found: Mapping[str, object]) -> Signals | None:
    """The signals behind a classification, from what `Signals.as_mapping` made of them; None where there is none."""
    if not found:
        return None
    try:
        return msgspec.convert({name: value for name, value in found.items() if name != "from"}, Signals)
    except msgspec.ValidationError:
        return None


def _trigger(phase: Phase | None) -> str:
    """A unit type of that phase: a hook's phase is its trigger's, and nothing else of the trigger matters."""
    if phase is Phase.SUBAGENT:
        return "subagent/any"
    if phase is Phase.DISCUSS:
        return "discuss-any"
    return next((name for name in KNOWN_TYPES if type_defaults(name)[0] is phase), "")
