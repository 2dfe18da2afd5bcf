"""Whom to ask, in which order, and what each is sent: from a decision to hops (SPEC section 12). Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepdown.catalog import Model
from stepdown.decision import Decision, Needs
from stepdown.fit import fit
from stepdown.gateway.amounts import Amounts
from stepdown.gateway.hops import Hop, own_name
from stepdown.gateway.wire import Envelope, Wire
from stepdown.gateway.world import World
from stepdown.preferences.schema import ModelChoice
from stepdown.units import Tokens

_STEP: Final = 16_384
"""Prompts are rounded up to a multiple of so many tokens: a growing conversation asks for the same, and is answered fast."""

_USUAL_OUTPUT: Final = 1_000
"""Output tokens set aside for a request while it is under way: agents' answers have a few hundred, and are one tool call."""


class Chosen(msgspec.Struct, frozen=True):
    """What the user chose for a request: the ceiling, and what it is pinned to ("" is nothing)."""

    named: Model
    choice: ModelChoice
    pin: str


def needs_of(envelope: Envelope, wire: Wire) -> Needs:
    """What a request asks of a model."""
    return Needs(
        prompt=-(-envelope.prompt // _STEP) * _STEP,
        output=envelope.output or 0,
        # A budget for thinking has to stay below the maximum, so that this cannot be lowered unseen.
        output_adaptable=envelope.thinking != "enabled",
        features=envelope.features,
        protocol=wire.name,
    )


def models(
    world: World,
    decision: Decision,
    shunned: set[str],
    chosen: Chosen,
    needs: Needs,
    blocked: Mapping[str, str],
    *,
    applied: bool,
    observes: bool,
) -> list[Model]:
    """Which models are asked, in this order: what was decided, the user's fallbacks, the model that was named.

    Where the decision does not hold, it is the model that was named, with its fallbacks unless nothing may be changed.

    Args:
        world: the models there are.
        decision: the unit's.
        shunned: models that have rejected a request of it.
        chosen: what the user chose.
        needs: what the request asks of a model.
        blocked: models that may not be asked.
        applied: whether the decision holds.
        observes: whether nothing may be changed.
    """
    named = chosen.named
    find, resolve = world.catalog.find_ref, world.catalog.resolve
    if applied and decision.model:
        first = find(decision.ref) or Model(id=decision.model, provider=decision.provider or named.provider)
        fallbacks = [*map(find, decision.fallbacks), named]
    else:
        first = named
        fallbacks = [] if observes else [*map(resolve, chosen.choice.fallbacks)]
    return [
        model
        for model in (first, *fallbacks)
        if model is not None
        and (model.ref == named.ref or (model.ref not in shunned and (model is first or _may(model, needs, blocked))))
    ]


def hops(
    world: World, wanted: Sequence[Model], named: str, envelope: Envelope, wire: Wire, chosen: Chosen, *, credential: bool
) -> tuple[Hop, ...]:
    """How each model is asked; those that cannot be reached are left out.

    Args:
        world: who is reached where.
        wanted: the models, in this order.
        named: the model as the request names it; "" where it leaves the choice to us.
        envelope: the request.
        wire: its protocol.
        chosen: what the user chose.
        credential: whether the client brought one.
    """
    found: list[Hop] = []
    for model in wanted:
        hop = world.map.hop(model, wire, chosen.named.provider, has_credential=credential)
        if hop is None or any(model.ref == one.model.ref for one in found):
            continue
        if model.ref == chosen.named.ref and named:
            hop = msgspec.structs.replace(hop, named=own_name(model, named))
        else:
            hop = _adapted(hop, envelope, wire)
        found.append(hop)
    return tuple(found)


def reserved(model: Model, envelope: Envelope) -> Amounts:
    """What a request may use: its whole prompt at the full price, and a usual answer."""
    output = min(envelope.output or _USUAL_OUTPUT, _USUAL_OUTPUT)
    tokens = Tokens(input=envelope.prompt, output=output)
    return Amounts(model.cost(tokens, longest_prompt=envelope.prompt) or 0.0, tokens.total)


def unsigned(hop: Hop, signers: Mapping[int, str], digests: Sequence[int]) -> Hop:
    """The hop with the thinking left out that other models signed: no model takes back what another has thought (SPEC 12)."""
    foreign = frozenset(digest for digest in digests if signers.get(digest, hop.model.ref) != hop.model.ref)
    if not foreign:
        return hop
    whose = sorted({signers[digest] for digest in foreign})
    said = f"{len(foreign)} thinking block{'' if len(foreign) == 1 else 's'} of {', '.join(whose)} left out"
    return msgspec.structs.replace(hop, foreign=foreign, adaptations=(*hop.adaptations, said))


def _may(model: Model, needs: Needs, blocked: Mapping[str, str]) -> bool:
    """Whether a fallback can take the request; what was decided has been asked that already."""
    return model.ref not in blocked and not fit(model, needs).misfit


def _adapted(hop: Hop, envelope: Envelope, wire: Wire) -> Hop:
    """The hop with what has to be changed for its model: the name, and a maximum that is above what the model writes."""
    most, asked = hop.model.output, envelope.output
    if most is None or asked is None or asked <= most:
        return msgspec.structs.replace(hop, named=hop.model.bare_id)
    said = f"{envelope.output_key or wire.output_key} {asked} -> {most}, the model's cap"
    return msgspec.structs.replace(hop, named=hop.model.bare_id, output=most, adaptations=(said,))
