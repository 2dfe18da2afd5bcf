"""The gateway's desk: what becomes of a request. One router, one mode, and a bounded memory of which unit runs on which model.

Nothing here waits: what the ledger knows has been published by the recorder's thread, and what is to be written goes there.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from stepdown.budget import exhausted
from stepdown.catalog import Catalog, Model
from stepdown.decision import Context, Decision, Needs
from stepdown.fit import fit
from stepdown.gateway.declared import CONVERSATION, Asked, asked
from stepdown.gateway.hops import Hop, Map, has_credential, own_name
from stepdown.gateway.memory import Held, Key, Memory
from stepdown.gateway.wire import Envelope, Unreadable, Wire
from stepdown.money import dollars
from stepdown.preferences.schema import ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import TIERS, Tokens, Unit

MODES: Final = ("observe", "delegated", "full")
"""What the gateway may change: nothing; declared units; conversations too."""

_STEP: Final = 16_384
"""Prompts are rounded up to a multiple of so many tokens: a growing conversation asks for the same, and is answered fast."""

_USUAL_OUTPUT: Final = 1_000
"""Output tokens set aside for a request while it is under way: agents' answers have a few hundred, and are one tool call."""


class World(msgspec.Struct, frozen=True):
    """Everything that follows from the preferences; made anew when they change."""

    preferences: Preferences
    catalog: Catalog
    router: Router
    map: Map

    @classmethod
    def of(cls, preferences: Preferences, environ: Mapping[str, str]) -> "World":
        """The world of these preferences; a key is looked up in `environ` when it is needed."""
        catalog = Catalog.load(preferences.catalog)
        return cls(preferences, catalog, Router(preferences, catalog), Map(preferences, catalog, environ))


class Past(Protocol):
    """What the desk is told of what has passed; `books.Books` keeps it up to date."""

    def context(self, project: str) -> Context:
        """What routing is told of a project; a world without a past until it has been read."""
        ...

    def unseen_usd(self, project: str) -> float:
        """US dollars of requests that the context does not know yet: those that ended since, and those under way."""
        ...

    def unit_usd(self, project: str, unit: Unit) -> float:
        """US dollars that the requests of a unit have cost."""
        ...


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one request.

    Attributes:
        asked: which unit it belongs to.
        project: whose it is.
        decision: the receipt.
        hops: whom to ask, in this order; the first is what was decided.
        applied: whether the decision holds; else the request goes where it would have gone without us.
        ceiling: the model that the request names.
        reserved_usd: US dollars set aside for it while it is under way.
        refused: why nothing may run; "" otherwise.
        id: names this decision towards the user: the response header ``x-stepdown-decision``.
        held: what is remembered of its unit; None where it has no name.
    """

    asked: Asked
    project: str
    decision: Decision
    hops: tuple[Hop, ...]
    applied: bool
    ceiling: Model
    reserved_usd: float = 0.0
    refused: str = ""
    id: str = ""
    held: Held | None = None


class Chosen(msgspec.Struct, frozen=True):
    """What the user chose for a request: the ceiling, and what it is pinned to ("" is nothing)."""

    named: Model
    choice: ModelChoice
    pin: str


class Pinned(msgspec.Struct, frozen=True):
    """``stepdown pin``: a model or a tier for everything, until a time (seconds since the epoch)."""

    pin: str
    until: float


class Desk:
    """Decides where requests go.

    Args:
        world: from the preferences.
        past: what has passed.
        project: whose requests are counted that name no project.
        environ: where keys are.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        world: World,
        past: Past,
        *,
        project: str,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.world = world
        self.environ = environ
        self.project = project
        self._past = past
        self._clock = clock
        self._mode = ""
        self._pin: Pinned | None = None
        self._memory = Memory()
        self._count = 0
        self._born = f"{int(clock()):x}"

    def reload(self, world: World) -> None:
        """Go on with other preferences; what was decided under the old ones is decided anew."""
        self.world = world
        self._memory.clear()

    @property
    def mode(self) -> str:
        """What was switched to, else what the preferences say; where routing is off, ``observe``."""
        preferences = self.world.preferences
        return (self._mode or preferences.gateway.mode) if preferences.dynamic_routing.enabled else "observe"

    def switch(self, mode: str) -> str:
        """Change the mode while running; why it cannot be, or ""."""
        if mode not in MODES:
            return f"there is no mode '{mode}': {', '.join(MODES)}"
        if mode != "observe" and not self.world.preferences.dynamic_routing.enabled:
            return (
                "routing is off (dynamic_routing.enabled: false), so the gateway only observes; switch it on in the preferences"
            )
        self._mode = mode
        return ""

    @property
    def pin(self) -> Pinned | None:
        """The pin that holds."""
        if self._pin is not None and self._pin.until <= self._clock():
            self._pin = None
        return self._pin

    def set_pin(self, pin: Pinned | None) -> None:
        """Pin everything, or nothing."""
        self._pin = pin

    def route(self, wire: Wire, envelope: Envelope, headers: Mapping[str, str], *, dry: bool = False) -> Route:
        """What becomes of a request; header names are in lower case.

        Args:
            wire: its protocol.
            envelope: what it asks for.
            headers: what it says of itself.
            dry: whether this is only a question, of which nothing is remembered.

        Raises:
            Unreadable: it declares what cannot be, or names no model and none is set.
        """
        request = asked(envelope, headers)
        if request.pin and (why := self.unknown_pin(request.pin)):
            raise Unreadable(f"x-stepdown-pin: {why}")
        project = request.project or self.project
        named, choice = self._ceiling(request, wire)
        pin = self.meant(request.pin) if request.pin else (self.pin.pin if self.pin else "")
        chosen = Chosen(named, choice, pin)
        needs = _needs(envelope, wire)
        held = self._held(request, project, wire, envelope, chosen, needs, dry=dry)
        decision = held.decision
        applied = decision.unchanged == "pinned" or not request.model or (request.declared and self.mode != "observe")
        models = self._models(held, chosen, needs, self._past.context(project).blocked, applied=applied)
        if envelope.signed:  # no other model would take what this one has thought
            models = [self.world.catalog.find_ref(held.served) or models[0]]
            applied = applied or models[0].ref != named.ref
        hops = self._hops(models, request, envelope, wire, chosen, credential=has_credential(headers))
        if not hops:
            raise Unreadable(f"{named.ref} cannot be reached on {wire.path}: set providers.{named.provider} in the preferences")
        self._count += 1
        return Route(
            asked=request,
            project=project,
            decision=decision,
            hops=hops,
            applied=applied,
            ceiling=named,
            reserved_usd=_reserved(hops[0].model, envelope),
            refused="" if self.mode == "observe" else self._refused(request, project),
            id=f"{self._born}-{self._count}",
            held=held if request.unit.id else None,
        )

    def ceiling(self, wire: Wire, envelope: Envelope, headers: Mapping[str, str]) -> Model:
        """The model that a request names, or that the user set where it leaves the choice to us.

        Raises:
            Unreadable: as `route`.
        """
        return self._ceiling(asked(envelope, headers), wire)[0]

    def meant(self, pin: str) -> str:
        """The tier or the model that a pin stands for; "" where it is neither.

        A word of a model's name (``opus``) stands for the one model of the user's own that has it.
        """
        if pin in {str(tier) for tier in TIERS} or self.world.catalog.resolve(pin) is not None:
            return pin
        preferences = self.world.preferences
        choices = (*preferences.models.values(), *preferences.dynamic_routing.tier_models.values())
        found = {choice.model for choice in choices if pin.lower() in choice.model.lower().split("-")}
        return found.pop() if len(found) == 1 else ""

    def unknown_pin(self, pin: str) -> str:
        """Why something cannot be pinned to; "" where it can."""
        if self.meant(pin):
            return ""
        near = self.world.catalog.nearest(pin)
        return f"'{pin}' is neither a tier nor a model of the catalogue" + (f"; did you mean '{near}'?" if near else "")

    def _ceiling(self, request: Asked, wire: Wire) -> tuple[Model, ModelChoice]:
        """The model that is not to be exceeded: the one the request names, else the one the user set for the unit's phase."""
        found = self.world.preferences.model_for(request.unit.phase)
        if request.model:
            named = self.world.map.named(request.model, wire)
            ours = found is not None and self.world.catalog.resolve(found[1].model, found[1].provider) == named
            return named, ModelChoice(named.id, named.provider, found[1].fallbacks if ours and found else ())
        if found is None:
            raise Unreadable("no model is set that could be chosen below: set models.default in the preferences", 404)
        return self.world.map.named(found[1].model, wire), found[1]

    def _held(
        self, request: Asked, project: str, wire: Wire, envelope: Envelope, chosen: Chosen, needs: Needs, *, dry: bool
    ) -> Held:
        """The unit's decision: the one it already has for as long as that can serve, else a new one."""
        unit = request.unit
        base = self._past.context(project)
        key = Key(project, unit.type, unit.id, chosen.named.ref, wire.name)
        held = self._memory.find(key) if unit.id else None
        if held is not None and (
            (envelope.signed and held.served)
            or (
                held.pin == chosen.pin
                # What stayed on its ceiling and was refused there says nothing about the next try, which may ask for less.
                and (held.served or held.decision.downgraded)
                and held.decision.ref not in base.blocked
                and self._serves(held.decision, chosen.named, needs)
            )
        ):
            return held
        if envelope.signed:  # by a model that is not remembered here; any other would reject what it signed
            needs = msgspec.structs.replace(needs, features=needs.features | {"thinking signed by another model"})
        reachable = self.world.map.reachable(chosen.named.provider, wire)
        context = msgspec.structs.replace(base, ceiling=chosen.choice, pin=chosen.pin, needs=needs, providers=reachable)
        held = Held(self.world.router.decide(unit, context), chosen.pin)
        if unit.id and not dry:
            self._memory.keep(key, held)
        return held

    def _serves(self, decision: Decision, named: Model, needs: Needs) -> bool:
        """Whether a unit that has grown still fits the model it was given; the model it named is its client's own business."""
        model = self.world.catalog.find_ref(decision.ref)
        return model is None or model.ref == named.ref or not fit(model, needs).misfit

    def _models(self, held: Held, chosen: Chosen, needs: Needs, blocked: Mapping[str, str], *, applied: bool) -> list[Model]:
        """Which models are asked, in this order: what was decided, the user's fallbacks, the model that was named.

        Where the decision does not hold, it is the model that was named, with its fallbacks unless nothing may be changed.
        """
        named, decision = chosen.named, held.decision
        find, resolve = self.world.catalog.find_ref, self.world.catalog.resolve
        if applied and decision.model:
            first = find(decision.ref) or Model(id=decision.model, provider=decision.provider or named.provider)
            fallbacks = [*map(find, decision.fallbacks), named]
        else:
            first = named
            fallbacks = [] if self.mode == "observe" else [*map(resolve, chosen.choice.fallbacks)]
        return [
            model
            for model in (first, *fallbacks)
            if model is not None
            and (model.ref == named.ref or (model.ref not in held.shunned and (model is first or _may(model, needs, blocked))))
        ]

    def _hops(
        self, models: list[Model], request: Asked, envelope: Envelope, wire: Wire, chosen: Chosen, *, credential: bool
    ) -> tuple[Hop, ...]:
        """How each model is asked; those that cannot be reached are left out."""
        hops: list[Hop] = []
        for model in models:
            hop = self.world.map.hop(model, wire, chosen.named.provider, has_credential=credential)
            if hop is None or any(model.ref == one.model.ref for one in hops):
                continue
            if model.ref == chosen.named.ref and request.model:
                hop = msgspec.structs.replace(hop, named=own_name(model, request.model))
            else:
                hop = _adapted(hop, envelope, wire)
            hops.append(hop)
        return tuple(hops)

    def _refused(self, request: Asked, project: str) -> str:
        """Why a hard budget lets nothing run; what was spent since the ledger was read, and what is under way, counts."""
        meters = self._past.context(project).meters
        full = exhausted(meters)
        if full is not None:
            return f"{full.name} is used up ({full.detail})"
        unseen = self._past.unseen_usd(project)
        for meter in meters:
            if meter.hard and meter.remaining is not None and meter.remaining <= unseen:
                return f"{meter.name} is used up ({meter.detail}, and {dollars(unseen)} since or under way)"
        cap = self.world.preferences.per_unit_cost_cap_usd
        if cap is not None and request.declared and request.unit.id:
            spent = self._past.unit_usd(project, request.unit)
            if spent >= cap:
                return (
                    f"{request.unit.type} {request.unit.id} has cost {dollars(spent)}: per_unit_cost_cap_usd is {dollars(cap)}"
                )
        return ""


def _needs(envelope: Envelope, wire: Wire) -> Needs:
    """What a request asks of a model."""
    return Needs(
        prompt=-(-envelope.prompt // _STEP) * _STEP,
        output=envelope.output or 0,
        # A budget for thinking has to stay below the maximum, so that this cannot be lowered unseen.
        output_adaptable=envelope.thinking != "enabled",
        features=envelope.features,
        protocol=wire.name,
    )


def _may(model: Model, needs: Needs, blocked: Mapping[str, str]) -> bool:
    """Whether a fallback can take the request; what was decided has been asked that already."""
    return model.ref not in blocked and not fit(model, needs).misfit


def _adapted(hop: Hop, envelope: Envelope, wire: Wire) -> Hop:
    """The hop with what has to be changed for its model: the name, and a maximum that is above what the model writes."""
    most, wanted = hop.model.output, envelope.output
    if most is None or wanted is None or wanted <= most:
        return msgspec.structs.replace(hop, named=hop.model.bare_id)
    said = f"{envelope.output_key or wire.output_key} {wanted} -> {most}, the model's cap"
    return msgspec.structs.replace(hop, named=hop.model.bare_id, output=most, adaptations=(said,))


def _reserved(model: Model, envelope: Envelope) -> float:
    """US dollars that a request may cost: its whole prompt at the full price, and a usual answer."""
    output = min(envelope.output or _USUAL_OUTPUT, _USUAL_OUTPUT)
    return model.cost(Tokens(input=envelope.prompt, output=output), longest_prompt=envelope.prompt) or 0.0


def is_conversation(route: Route) -> bool:
    """Whether nobody declared what this request is for."""
    return route.asked.unit.type == CONVERSATION
