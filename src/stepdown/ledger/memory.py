"""The ledger's plain twin: lists and loops, gone when the program ends. For tests, for ``memory:``, for what only reads."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Self

import msgspec

from stepdown.errors import LedgerError
from stepdown.ledger import accounts, units
from stepdown.ledger.port import NotRunningError
from stepdown.ledger.records import (
    Account,
    Act,
    Attempt,
    Block,
    Cap,
    Conversation,
    Evidence,
    Expectation,
    Hold,
    Key,
    Line,
    Outcome,
    PlanMeter,
    Rating,
    Record,
    Scope,
    Spent,
    Use,
)
from stepdown.ledger.rules import (
    CONVERSATION_SECONDS,
    CONVERSATIONS,
    Forgotten,
    accepted_attempt,
    accepted_block,
    accepted_conversations,
    accepted_evidence,
    accepted_forgotten,
    accepted_import,
    accepted_meter,
    accepted_outcome,
    accepted_rating,
    accepted_use,
    account_of,
    check_cap,
    check_group,
    check_time,
    clean,
    conversation_order,
    counting,
    day_name,
    day_of,
    free_of,
    granted,
    is_pattern_of,
    measured,
    newest_evidence,
    newest_of_units,
    rating_event,
)
from stepdown.units import Tokens

_GROUPED_BY: dict[str, Callable[[Attempt], str]] = {
    "tier": lambda attempt: str(attempt.tier or ""),
    "type": lambda attempt: attempt.unit_type,
    "model": lambda attempt: attempt.model,
    "agent": lambda attempt: attempt.agent,
    "project": lambda attempt: attempt.project,
    "day": lambda attempt: day_name(day_of(attempt.started)),
}


class MemoryLedger:
    """A `Ledger` that remembers as long as the program runs. What it says is what every other ledger has to say."""

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self._evidence: dict[tuple[object, ...], Evidence] = {}
        self._blocks: dict[str, Block] = {}
        self._meters: dict[tuple[str, str], PlanMeter] = {}
        self._ratings: list[Rating] = []
        self._forgotten: list[Forgotten] = []
        self._consents: set[tuple[str, str]] = set()
        self._said: set[str] = set()
        self._conversations: dict[tuple[str, str], Conversation] = {}
        self._holds: dict[tuple[str, Scope, str], float] = {}
        self._keys: dict[str, Key] = {}
        self._gateways: set[str] = set()
        self._acts: list[Act] = []
        self._batching = False

    def begin(self, attempt: Attempt, *, caps: Sequence[Cap] = ()) -> int:
        """See `Ledger.begin`."""
        accepted = accepted_attempt(attempt)
        for cap in caps:
            held = self._held(cap)
            running = _spent(record for record in self._in(cap.scope, cap.since) if record.outcome is None)
            spent = _spent(self._in(cap.scope, cap.since))
            check_cap(cap, measured(spent, cap.measure) + held, measured(running, cap.measure) + held, accepted)
        return self._add(accepted, "run")

    def note_use(self, attempt_id: int, use: Use) -> None:
        """See `Ledger.note_use`."""
        accepted = accepted_use(use)
        self._records[attempt_id] = msgspec.structs.replace(self._running(attempt_id), so_far=accepted)

    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        """See `Ledger.settle`."""
        accepted = accepted_outcome(outcome)
        self._records[attempt_id] = msgspec.structs.replace(self._running(attempt_id), outcome=accepted)

    def records(self, project: str | None = None, *, limit: int | None = None) -> Sequence[Record]:
        """See `Ledger.records`."""
        newest = sorted(self._of(project), key=lambda record: (record.attempt.started, record.id), reverse=True)
        return newest if limit is None else newest[: max(0, limit)]

    def unfinished(self, project: str | None = None) -> Sequence[Record]:
        """See `Ledger.unfinished`."""
        return [record for record in reversed(self.records(project)) if record.outcome is None]

    def of_unit(self, project: str, unit_id: str) -> Sequence[Record]:
        """See `Ledger.of_unit`."""
        return [record for record in reversed(self.records(project)) if record.attempt.unit_id == clean(unit_id)]

    def recent_use(self, pattern: str, *, limit: int = 200) -> Sequence[Use]:
        """See `Ledger.recent_use`."""
        used = [
            Use(tokens=outcome.tokens, requests=outcome.requests or 0, cost_usd=outcome.cost_usd)
            for record in self.records()
            if record.attempt.pattern == clean(pattern)
            and (outcome := record.outcome) is not None
            and outcome.failure is None
            and outcome.tokens is not None
        ]
        return used[: max(0, limit)]

    def newest_of_patterns(self, project: str, *, unit_type: str = "", units: int = 50) -> Sequence[Record]:
        """See `Ledger.newest_of_patterns`."""
        patterns: defaultdict[str, list[Record]] = defaultdict(list)
        for record in self.records(project):
            if any(one.covers_attempt(record.attempt) for one in self._forgotten):
                continue
            if is_pattern_of(record.attempt.pattern, unit_type):
                patterns[record.attempt.pattern].append(record)
        return [account_of(record) for _, newest in sorted(patterns.items()) for record in newest_of_units(newest, units)]

    def spent(
        self, project: str | None = None, *, since: float = 0.0, person: str | None = None, model: str | None = None
    ) -> Spent:
        """See `Ledger.spent`."""
        return _spent(self._in(Scope(project=project, person=person, model=model), since))

    def set_aside(self, holder: str, more: Sequence[Hold], caps: Sequence[Cap]) -> Sequence[float]:
        """See `Ledger.set_aside`."""
        return [self._set_aside(holder, one, caps) for one in more]

    def _set_aside(self, holder: str, more: Hold, caps: Sequence[Cap]) -> float:
        of = [cap for cap in caps if (cap.scope, cap.measure) == (more.scope, more.measure)]
        key = (holder, more.scope, more.measure)
        own, held = max(0.0, self._holds.get(key, 0.0)), self._held(more)
        left = [free_of(cap, measured(_spent(self._in(cap.scope, cap.since)), cap.measure), held) for cap in of]
        amount = granted(more, left, held - own)
        self._holds[key] = own + amount
        return amount

    def hold(self, holder: str, holds_: Sequence[Hold]) -> None:
        """See `Ledger.hold`; nobody else has this ledger, so that nothing has to expire."""
        self._holds |= {(holder, one.scope, one.measure): one.amount for one in holds_}

    def there(self, gateway: str) -> None:
        """See `Ledger.there`; nobody else has this ledger, so that nobody is taken for dead."""
        self._gateways.add(clean(gateway))

    def gateways(self) -> frozenset[str]:
        """See `Ledger.gateways`."""
        return frozenset(self._gateways)

    def now(self) -> float:
        """See `Ledger.now`."""
        return time.time()

    def put_key(self, key: Key) -> None:
        """See `Ledger.put_key`."""
        self._keys[key.person.name] = key

    def keys(self) -> Sequence[Key]:
        """See `Ledger.keys`."""
        return [key for _, key in sorted(self._keys.items())]

    def saw(self, name: str, at: float) -> None:
        """See `Ledger.saw`."""
        check_time("at", at)
        key = self._keys.get(name)
        if key is not None and (key.person.seen is None or key.person.seen < at):
            self._keys[name] = msgspec.structs.replace(key, person=msgspec.structs.replace(key.person, seen=at))

    def note_act(self, act: Act) -> None:
        """See `Ledger.note_act`."""
        check_time("at", act.at)
        self._acts.append(msgspec.structs.replace(act, id=len(self._acts) + 1))

    def acts(self, *, limit: int | None = None, before: int | None = None) -> Sequence[Act]:
        """See `Ledger.acts`."""
        found = [act for act in reversed(self._acts) if before is None or act.id < before]
        return found if limit is None else found[: max(0, limit)]

    def breakdown(self, by: str, project: str | None = None) -> Sequence[Line]:
        """See `Ledger.breakdown`."""
        check_group(by)
        groups: defaultdict[str, list[tuple[Attempt, Outcome]]] = defaultdict(list)
        for record in self._of(project):
            if record.outcome is not None:
                groups[_GROUPED_BY[by](record.attempt)].append((record.attempt, record.outcome))
        return sorted((_line(key, ended) for key, ended in groups.items()), key=lambda line: (-line.usd, line.key))

    def accounts(self, project: str | None = None, *, since: float = 0.0, daily: bool = False) -> Sequence[Account]:
        """See `Ledger.accounts`."""
        return accounts.of_records(self._of(project), since, daily=daily)

    def projects(self) -> Sequence[str]:
        """See `Ledger.projects`."""
        return accounts.projects_of(self._records.values())

    def stamp(self) -> int:
        """See `Ledger.stamp`."""
        kept = (self._records, self._evidence, self._blocks, self._meters, self._conversations, self._keys)
        others = (self._ratings, self._forgotten, list(self._holds.items()), self._acts)
        return hash(msgspec.json.encode([*(list(each.values()) for each in kept), *others]))

    def units(
        self,
        project: str,
        *,
        limit: int = 50,
        before: tuple[float, int] | None = None,
        id_starts: str = "",
        failed: bool = False,
    ) -> Sequence[Sequence[Record]]:
        """See `Ledger.units`."""
        return units.of_records(self.records(project), limit=limit, before=before, id_starts=id_starts, failed=failed)

    def every_unit(self, project: str | None = None) -> Iterator[Sequence[Record]]:
        """See `Ledger.every_unit`."""
        return units.every_of_records(self._of(project))

    def expectations(self) -> Mapping[tuple[str, str], Expectation]:
        """See `Ledger.expectations`."""
        groups: defaultdict[tuple[str, str], list[tuple[Tokens, int | None]]] = defaultdict(list)
        for attempt, outcome in ((record.attempt, record.outcome) for record in self._records.values()):
            if attempt.model and outcome is not None and outcome.failure is None and outcome.tokens is not None:
                groups[attempt.unit_type, attempt.model].append((outcome.tokens, outcome.requests))
        return {key: _expectation(used) for key, used in groups.items()}

    def add_evidence(self, events: Sequence[Evidence]) -> None:
        """See `Ledger.add_evidence`."""
        for event in [accepted_evidence(event) for event in events]:
            key = (event.pattern, event.tier, event.at, event.project, event.unit_id, event.source)
            self._evidence.setdefault(key, event)

    def evidence(
        self, *, limit: int = 50, rating_weight: float = 2.0, with_forgotten: bool = False
    ) -> Mapping[str, Sequence[Evidence]]:
        """See `Ledger.evidence`."""
        forgotten = () if with_forgotten else self._forgotten
        return newest_evidence(self._evidence.values(), self.ratings(), forgotten, limit=limit, rating_weight=rating_weight)

    def forget(self, pattern: str | None, at: float, *, project: str | None = None) -> int:
        """See `Ledger.forget`."""
        said = accepted_forgotten(pattern, project, at)
        events = [*self._evidence.values(), *(rating_event(rating, 1.0) for rating in self.ratings())]
        covered = sum(said.covers(event) for event in counting(events, self._forgotten))
        self._forgotten.append(said)
        return covered

    def rate(self, rating: Rating) -> None:
        """See `Ledger.rate`."""
        self._ratings.append(accepted_rating(rating))

    def ratings(self, project: str | None = None) -> Sequence[Rating]:
        """See `Ledger.ratings`."""
        held: dict[tuple[str, str, str], Rating] = {}
        for rating in reversed(self._ratings):
            held.setdefault((rating.project, rating.unit_type, rating.unit_id), rating)
        return [rating for rating in held.values() if project is None or rating.project == clean(project)]

    def rating(self, project: str, unit_type: str, unit_id: str) -> Rating | None:
        """See `Ledger.rating`."""
        key = (clean(unit_type), clean(unit_id))
        return next((one for one in self.ratings(project) if (one.unit_type, one.unit_id) == key), None)

    def consent(self, project: str, what: str, at: float) -> None:
        """See `Ledger.consent`."""
        check_time("at", at)
        self._consents.add((clean(project), clean(what)))

    def consents(self, project: str) -> frozenset[str]:
        """See `Ledger.consents`."""
        return frozenset(what for agreed, what in self._consents if agreed == clean(project))

    def first_time(self, key: str, at: float) -> bool:
        """See `Ledger.first_time`."""
        check_time("at", at)
        is_new = clean(key) not in self._said
        self._said.add(clean(key))
        return is_new

    def block(self, block: Block) -> None:
        """See `Ledger.block`."""
        accepted = accepted_block(block)
        self._blocks[accepted.model] = accepted

    def blocks(self, now: float) -> Sequence[Block]:
        """See `Ledger.blocks`."""
        return sorted((block for block in self._blocks.values() if block.until > now), key=lambda block: block.model)

    def unblock(self, model: str | None = None) -> int:
        """See `Ledger.unblock`."""
        cleared = list(self._blocks) if model is None else [name for name in self._blocks if name == clean(model)]
        for name in cleared:
            del self._blocks[name]
        return len(cleared)

    def set_plan_meter(self, meter: PlanMeter) -> None:
        """See `Ledger.set_plan_meter`."""
        accepted = accepted_meter(meter)
        known = self._meters.get((accepted.provider, accepted.window))
        if known is None or accepted.at >= known.at:
            self._meters[accepted.provider, accepted.window] = accepted

    def plan_meters(self) -> Sequence[PlanMeter]:
        """See `Ledger.plan_meters`."""
        return [meter for _, meter in sorted(self._meters.items())]

    def remember(self, states: Iterable[Conversation]) -> None:
        """See `Ledger.remember`."""
        accepted = accepted_conversations(states)
        if not accepted:
            return
        since = max(one.at for one in accepted.values()) - CONVERSATION_SECONDS
        known = (self._conversations | accepted).values()
        newest = sorted((one for one in known if one.at >= since), key=conversation_order)[-CONVERSATIONS:]
        self._conversations = {(one.project, one.id): one for one in newest}

    def conversations(self, since: float) -> Sequence[Conversation]:
        """See `Ledger.conversations`."""
        return sorted((one for one in self._conversations.values() if one.at >= since), key=conversation_order)

    def conversation(self, project: str, name: str) -> Conversation | None:
        """See `Ledger.conversation`."""
        return self._conversations.get((clean(project), clean(name)))

    def forget_conversations(self, before: float) -> int:
        """See `Ledger.forget_conversations`."""
        kept = {key: one for key, one in self._conversations.items() if not one.at < before}
        forgotten = len(self._conversations) - len(kept)
        self._conversations = kept
        return forgotten

    def import_records(self, project: str, source: str, records: Sequence[tuple[Attempt, Outcome]]) -> int:
        """See `Ledger.import_records`."""
        known = {_identity(record.source, record.attempt) for record in self._records.values()}
        new = 0
        for attempt, outcome in accepted_import(project, source, records):
            identity = _identity(source, attempt)
            if identity not in known:
                known.add(identity)
                self.settle(self._add(attempt, source), outcome)
                new += 1
        return new

    @contextmanager
    def batch(self) -> Iterator[None]:
        """See `Ledger.batch`."""
        if self._batching:
            raise LedgerError("a batch of the ledger is under way already")
        before = {name: value.copy() for name, value in vars(self).items() if name != "_batching"}
        self._batching = True
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise
        finally:
            self._batching = False

    def one_state(self) -> AbstractContextManager[None]:
        """See `Ledger.one_state`: nobody else writes here."""
        return nullcontext()

    def close(self) -> None:
        """Nothing to release, but for a batch that would go on."""
        if self._batching:
            raise LedgerError("the ledger cannot be closed inside of a batch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _add(self, attempt: Attempt, source: str) -> int:
        attempt_id = len(self._records) + 1
        self._records[attempt_id] = Record(id=attempt_id, attempt=attempt, source=source)
        return attempt_id

    def _running(self, attempt_id: int) -> Record:
        record = self._records.get(attempt_id)
        if record is None:
            raise NotRunningError(f"there is no attempt {attempt_id} in the ledger")
        if record.outcome is not None:
            raise NotRunningError(f"attempt {attempt_id} has ended already")
        return record

    def _in(self, scope: Scope, since: float) -> list[Record]:
        said = {name: clean(value) for name in ("project", "person", "model") if (value := getattr(scope, name)) is not None}
        return [
            record
            for record in self._records.values()
            if record.attempt.started >= since and all(getattr(record.attempt, name) == value for name, value in said.items())
        ]

    def _held(self, of: Cap | Hold) -> float:
        return sum(
            amount
            for (_, scope, measure), amount in self._holds.items()
            if (scope, measure) == (of.scope, of.measure) and amount > 0
        )

    def _of(self, project: str | None) -> list[Record]:
        wanted = None if project is None else clean(project)
        return [record for record in self._records.values() if wanted is None or record.attempt.project == wanted]


def _spent(records: Iterable[Record]) -> Spent:
    usd, tokens, requests, unpriced, attempts = 0.0, 0, 0, 0, 0
    for record in records:
        attempts += 1
        if record.outcome is None:
            usd += max(record.attempt.reserved_usd, record.so_far.cost_usd or 0.0)
            tokens += record.so_far.tokens.total
            requests += record.so_far.requests
            continue
        usd += record.outcome.cost_usd or 0.0
        unpriced += record.outcome.cost_usd is None
        tokens += record.outcome.tokens.total if record.outcome.tokens else 0
        requests += record.outcome.requests or 0
    return Spent(usd=usd, tokens=tokens, requests=requests, unpriced=unpriced, attempts=attempts)


def _identity(source: str, attempt: Attempt) -> tuple[object, ...]:
    """What makes an imported attempt the same one as before."""
    return (source, attempt.project, attempt.unit_type, attempt.unit_id, attempt.started)


def _line(key: str, ended: Sequence[tuple[Attempt, Outcome]]) -> Line:
    outcomes = [outcome for _, outcome in ended]
    comparable = [
        (outcome.cost_usd, outcome.ceiling_cost_usd)
        for outcome in outcomes
        if outcome.cost_usd is not None and outcome.ceiling_cost_usd is not None
    ]
    return Line(
        key=key,
        attempts=len(ended),
        failed=sum(outcome.failure is not None for outcome in outcomes),
        unverified=sum(outcome.failure is None and outcome.verified is None for outcome in outcomes),
        downgraded=sum(attempt.downgraded for attempt, _ in ended),
        unpriced=sum(outcome.cost_usd is None for outcome in outcomes),
        usd=sum(outcome.cost_usd or 0.0 for outcome in outcomes),
        ceiling_usd=sum(ceiling for _, ceiling in comparable),
        comparable_usd=sum(cost for cost, _ in comparable),
        tokens=sum((outcome.tokens for outcome in outcomes if outcome.tokens is not None), Tokens()),
    )


def _expectation(used: Sequence[tuple[Tokens, int | None]]) -> Expectation:
    requests = [count for _, count in used if count is not None]
    return Expectation(
        tokens=sum((tokens for tokens, _ in used), Tokens()).scaled(1 / len(used)),
        requests=sum(requests) / len(requests) if requests else None,
        units=len(used),
    )
