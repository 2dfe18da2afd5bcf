"""How hard a unit is: as far as its prompt says, which is what routing goes by, and as its work showed afterwards. Pure."""

import msgspec

from stepdown.audit.history import Work
from stepdown.classify import INTROSPECTED, classify
from stepdown.decision import Classification
from stepdown.policy import Policy
from stepdown.sessions.records import Turn
from stepdown.signals import Signals
from stepdown.units import Tier, Unit

_NOTHING_SAID = Signals()


def unit_of(turn: Turn) -> Unit:
    """The unit as routing would see it."""
    return Unit(turn.type or "conversation", turn.id)


def foreseen(turn: Turn, policy: Policy) -> Classification:
    """How hard it is as far as could be known when it began.

    A person's turn is never below standard (SPEC 12): a conversation has no verifier behind it.
    """
    nature = classify(unit_of(turn), turn.signals or _NOTHING_SAID, policy)
    if turn.origin == "human" and nature.tier < Tier.STANDARD:
        return msgspec.structs.replace(nature, tier=Tier.STANDARD, reason=f"{nature.reason}; a person's turn is never lower")
    return nature


def shown(work: Work, policy: Policy) -> Tier:
    """How hard it turned out to be, by what it took: the files it wrote and the requests it made, beside what its prompt says.

    Of work whose tier its type decides that is the type's. The numbers are `Policy`'s ``heavy_files``, ``seen_heavy_requests``,
    ``seen_light_files`` and ``seen_light_requests``.
    """
    turn = work.turn
    unit = unit_of(turn)
    requests = sum(request.count or 1 for request in work.requests)
    if unit.type not in INTROSPECTED and turn.origin != "subagent":
        return classify(unit, turn.signals or _NOTHING_SAID, policy).tier
    if turn.files >= policy.heavy_files or requests >= policy.seen_heavy_requests:
        return Tier.HEAVY
    if turn.files <= policy.seen_light_files and requests <= policy.seen_light_requests:
        return Tier.LIGHT
    tier = classify(unit, turn.signals or _NOTHING_SAID, policy).tier
    return max(tier, Tier.STANDARD) if turn.files > policy.light_files else tier
