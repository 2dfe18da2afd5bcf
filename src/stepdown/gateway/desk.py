"""The gateway's desk: what becomes of a request. One router, one mode, and a bounded memory of which unit runs on which model.

Nothing here waits: what the ledger knows has been published by the recorder's thread, and what is to be written goes there.
"""

import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from stepdown.budget import exhausted, used_up
from stepdown.catalog import Model
from stepdown.decision import Context, Decision, Needs, Retry
from stepdown.fit import fit
from stepdown.gateway.amounts import Amounts
from stepdown.gateway.asking import Chosen, hops, models, needs_of, reserved, unsigned
from stepdown.gateway.conversations import Conversations
from stepdown.gateway.declared import Asked, asked
from stepdown.gateway.going import Going, nature, placed, stumbled
from stepdown.gateway.hops import Hop, has_credential
from stepdown.gateway.memory import Held, Key, Memory
from stepdown.gateway.modes import MODES
from stepdown.gateway.protocols.signed import INSISTING
from stepdown.gateway.recognised import recognised
from stepdown.gateway.route import Case, Past, Route
from stepdown.gateway.terms import FORBIDDEN, Terms
from stepdown.gateway.wire import Envelope, Unreadable, Wire
from stepdown.gateway.world import World
from stepdown.ledger.records import Person
from stepdown.money import dollars
from stepdown.preferences.schema import ModelChoice
from stepdown.units import TIERS

_PEOPLE: Final = 1_000
"""People whose terms are kept in mind; of more, all are read anew."""


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
        conversations: those that an earlier gateway knew.

    Attributes:
        catch_up: called before a request is decided: learns what other gateways know of its conversation; None does not.
    """

    def __init__(
        self,
        world: World,
        past: Past,
        *,
        project: str,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        conversations: Conversations | None = None,
    ) -> None:
        self.world = world
        self.environ = environ
        self.project = project
        self._past = past
        self._clock = clock
        self._mode = ""
        self._pin: Pinned | None = None
        self._memory = Memory()
        self._terms: dict[Person | None, Terms] = {}
        self.conversations = Conversations() if conversations is None else conversations
        self.catch_up: Callable[[Envelope, Mapping[str, str]], Awaitable[None]] | None = None
        self._count = 0
        self._born = f"{int(clock()):x}{secrets.token_hex(3)}"  # several gateways may be started in one second

    def reload(self, world: World) -> None:
        """Go on with other preferences; what was decided under the old ones is decided anew."""
        self.world = world
        self._memory.clear()
        self._terms.clear()

    @property
    def now(self) -> float:
        """Seconds since the epoch, by the desk's own clock."""
        return self._clock()

    @property
    def mode(self) -> str:
        """What was switched to, else what the preferences say; where routing is off, ``observe``."""
        return self.mode_for(None)

    def mode_for(self, person: Person | None) -> str:
        """The same for somebody whose token may have a mode of its own."""
        preferences = self.world.preferences
        own = "" if person is None else person.mode
        return (own or self._mode or preferences.gateway.mode) if preferences.dynamic_routing.enabled else "observe"

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

    def route(
        self,
        wire: Wire,
        envelope: Envelope,
        headers: Mapping[str, str],
        *,
        dry: bool = False,
        person: Person | None = None,
    ) -> Route:
        """What becomes of a request; header names are in lower case.

        Args:
            wire: its protocol.
            envelope: what it asks for.
            headers: what it says of itself.
            dry: whether this is only a question, of which nothing is remembered.
            person: whose token it came with; None is nobody's.

        Raises:
            Unreadable: it declares what cannot be, names no model and none is set, or asks for what its token may not.
        """
        request = asked(envelope, headers)
        if request.pin and (why := self.unknown_pin(request.pin)):
            raise Unreadable(f"x-stepdown-pin: {why}")
        project = request.project or self.project
        going = None
        if not request.declared and not request.attempt:
            found = recognised(envelope, headers)
            request, going = placed(request, found, self.conversations, project, envelope, dry=dry)
            if going is not None and not dry:
                going.talk.at = self._clock()
        named, choice = self._ceiling(request, wire)
        pin = self.meant(request.pin) if request.pin else (self.pin.pin if self.pin else "")
        needs, name = needs_of(envelope, wire), request.model
        most = self._terms_of(person).lowered(named, needs)
        if most is not named:
            named, choice, name = most, ModelChoice(most.id, most.provider), ""
        case = Case(request, project, wire, envelope, Chosen(named, choice, pin), needs, going, dry, person)
        mode = self.mode_for(person)
        applies = self._applies(request, mode)
        held = self._held(case, applies=applies)
        decision = held.decision
        applied = decision.unchanged == "pinned" or not request.model or applies
        past = self._context_of(case)
        blocked = past.blocked
        wanted = models(
            self.world,
            decision,
            held.shunned,
            case.chosen,
            case.needs,
            blocked,
            applied=applied,
            observes=mode == "observe",
        )
        if going is not None and going.talk.holder:
            wanted = [one for one in wanted if one.ref in {going.talk.holder, named.ref} or one.provider not in INSISTING]
        keeps = self._kept(case, held)
        if keeps is not None:
            wanted = [keeps, *(one for one in wanted if one.ref != keeps.ref)]
            applied = applied or keeps.ref != named.ref
        if going is None and envelope.signed:  # no other model would take what this one has thought
            wanted = [self.world.catalog.find_ref(held.served) or wanted[0]]
            applied = applied or wanted[0].ref != named.ref
        asking = hops(self.world, wanted, name, envelope, wire, case.chosen, credential=has_credential(headers))
        if not asking:
            raise Unreadable(f"{named.ref} cannot be reached on {wire.path}: set providers.{named.provider} in the preferences")
        asking, full = self._allowed(asking, case, past)
        if going is not None and envelope.talk.signers and (applied or going.talk.moved):
            signers = self.conversations.signers.aside() if dry else self.conversations.signers
            authors = going.talk.authors(envelope.talk.signers, named.ref, signers)
            asking = tuple(
                hop if authors == {hop.model.ref} else unsigned(hop, going.talk.signers, envelope.talk.signers)
                for hop in asking
            )
        self._count += 1
        return Route(
            asked=request,
            project=project,
            decision=decision,
            hops=asking,
            applied=applied,
            ceiling=named,
            refused="" if mode == "observe" else full or self._refused(request, past, project),
            id=f"{self._born}-{self._count}",
            held=held if request.unit.id else None,
            going=going,
            lost=self._lost(going, asking[0].model, decision, applied=applied),
            stumbled=held.stumbled,
            person=person,
            expected=Amounts(0.0, 0, 0) if request.attempt else reserved(asking[0].model, envelope),
            counted=mode != "observe" and not request.attempt,
        )

    def _kept(self, case: Case, held: Held) -> Model | None:
        """The model that a unit in the middle is kept on, whatever the mode has become; None where the decision says which.

        A pin ends that, unless thinking would be refused that the turn which is going on has to begin with.
        """
        going, envelope, named = case.going, case.envelope, case.chosen.named
        if going is None or going.begins or held.stumbled:
            return None
        holder = self.world.catalog.find_ref(going.talk.holder)
        bound = envelope.signed and envelope.thinking == "enabled"
        if holder is None or (held.decision.unchanged == "pinned" and not bound) or holder.ref in held.shunned:
            return None
        below = holder.tier is not None and named.tier is not None and holder.tier <= named.tier
        return holder if holder.ref == named.ref or (below and (going.talk.moved or envelope.signed)) else None

    def _context_of(self, case: Case) -> Context:
        """What is known of its project and its person, models that the person may not use being blocked."""
        past = self._past.context(case.project, case.person)
        barred = self._terms_of(case.person).barred
        return msgspec.structs.replace(past, blocked={**past.blocked, **barred}) if barred else past

    def _terms_of(self, person: Person | None) -> Terms:
        if person not in self._terms:
            if len(self._terms) > _PEOPLE:
                self._terms.clear()
            self._terms[person] = Terms(person, self.world.catalog)
        return self._terms[person]

    def _allowed(self, asking: tuple[Hop, ...], case: Case, past: Context) -> tuple[tuple[Hop, ...], str]:
        """Whom of them the token may ask and a model's own budget lets be asked, and what is used up where that is nobody.

        Raises:
            Unreadable: the token may ask nobody of them.
        """
        terms = self._terms_of(case.person)
        mine = tuple(hop for hop in asking if not terms.refuses(hop.model))
        if not mine:
            raise Unreadable(f"{asking[0].model.id} may not be used: {terms.refuses(asking[0].model)}", FORBIDDEN)
        spent = used_up(past.meters) if self.mode_for(case.person) != "observe" else {}
        left = tuple(hop for hop in mine if hop.model.ref not in spent)
        return (left, "") if left else (mine, spent[mine[0].model.ref])

    def _applies(self, request: Asked, mode: str) -> bool:
        """Whether a decision for it holds in a mode."""
        if request.origin == "human":
            return mode == "full"
        return (request.declared or bool(request.origin)) and mode != "observe"

    def _lost(self, going: Going | None, model: Model, decision: Decision, *, applied: bool) -> int:
        """What of a conversation this model has to read anew, in tokens, where it is routing's doing."""
        if going is None or not going.talk.holder or going.talk.holder == model.ref:
            return 0
        if not (going.talk.moved or (applied and decision.downgraded)):
            return 0
        now = self._clock()
        return max(0, going.talk.cached(going.talk.holder, now) - going.talk.cached(model.ref, now))

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

    def _held(self, case: Case, *, applies: bool) -> Held:
        """The unit's decision: the one it already has for as long as that can serve, else a new one."""
        unit, envelope, chosen, going = case.request.unit, case.envelope, case.chosen, case.going
        base = self._context_of(case)
        whose = "" if case.person is None else case.person.name
        key = Key(case.project, unit.type, unit.id, chosen.named.ref, case.wire.name, whose)
        held = self._memory.find(key) if unit.id else None
        if held is not None and (
            (going is None and envelope.signed and held.served)
            or (
                held.pin == chosen.pin
                # What stayed on its ceiling and was refused there says nothing about the next try, which may ask for less.
                and (held.served or held.decision.downgraded)
                and held.decision.ref not in base.blocked
                and self._serves(held.decision, chosen.named, case.needs)
            )
        ):
            if case.dry:
                held = held.copy()
            held.stumbled = ()
            if not (applies and self._raise(case, held, base)):
                return held
        else:
            held = None
        needs = case.needs
        if going is None and envelope.signed:  # by a model that is not remembered here; any other would reject what it signed
            needs = msgspec.structs.replace(needs, features=needs.features | {"thinking signed by another model"})
        if held is None:
            context = self._context(case, base, needs)
            hard = None if going is None else nature(going.found, self.world.preferences.policy)
            held = Held(self.world.router.decide(unit, context, nature=hard), chosen.pin)
        if unit.id and not case.dry:
            self._memory.keep(key, held)
        return held

    def _context(self, case: Case, base: Context, needs: Needs) -> Context:
        """What routing is told: the past, the request, and how its conversation stands."""
        chosen, going = case.chosen, case.going
        reachable = self.world.map.reachable(chosen.named.provider, case.wire)
        return msgspec.structs.replace(
            base,
            ceiling=chosen.choice,
            pin=chosen.pin,
            needs=needs,
            providers=reachable,
            ongoing=None if going is None else going.ongoing(self._clock()),
        )

    def _raise(self, case: Case, held: Held, base: Context) -> bool:
        """Raise a unit that stumbles on less than its ceiling, once, for its rest (SPEC 12)."""
        going, decision = case.going, held.decision
        if going is None or going.errand or going.begins or going.talk.raised or not decision.downgraded:
            return False
        if case.envelope.signed and case.envelope.thinking == "enabled":
            return False  # the turn that is going on has to begin with its own model's thinking
        policy = self.world.preferences.policy
        why = stumbled(case.envelope.talk, going.talk.stop, policy)
        if not why:
            return False
        going.talk.raised = True
        context = msgspec.structs.replace(
            self._context(case, base, case.needs), retry=Retry(tier=decision.tier, model=decision.ref), ongoing=None
        )
        raised = self.world.router.decide(case.request.unit, context, nature=decision.classification)
        cost = going.talk.cached(decision.ref, self._clock())
        reason = f"raised for the rest of the unit: {why}; {cost:,} cached tokens are read anew; {raised.reason}"
        held.stumbled = (decision.ref, why)
        held.decision = msgspec.structs.replace(raised, reason=reason, steps=(reason, *raised.steps))
        return True

    def _serves(self, decision: Decision, named: Model, needs: Needs) -> bool:
        """Whether a unit that has grown still fits the model it was given; the model it named is its client's own business."""
        model = self.world.catalog.find_ref(decision.ref)
        return model is None or model.ref == named.ref or not fit(model, needs).misfit

    def _refused(self, request: Asked, past: Context, project: str) -> str:
        """Why a hard budget lets nothing run; what was spent since the ledger was read, and what is under way, counts."""
        full = exhausted(past.meters)
        if full is not None:
            return f"{full.name} is used up ({full.detail})"
        unseen = self._past.unseen_usd(project)
        for meter in past.meters:
            if meter.hard and not meter.model and meter.remaining is not None and meter.remaining <= unseen:
                return f"{meter.name} is used up ({meter.detail}, and {dollars(unseen)} since or under way)"
        cap = self.world.preferences.per_unit_cost_cap_usd
        if cap is not None and request.declared and request.unit.id:
            spent = self._past.unit_usd(project, request.unit)
            if spent >= cap:
                return (
                    f"{request.unit.type} {request.unit.id} has cost {dollars(spent)}: per_unit_cost_cap_usd is {dollars(cap)}"
                )
        return ""
