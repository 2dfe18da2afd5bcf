"""Any history of calls leaves both ledgers saying the same: the sums that triggers keep equal a scan of everything."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from postgres_server import Cluster

from stepdown.errors import BudgetError, LedgerError
from stepdown.ledger import (
    Account,
    Attempt,
    Cap,
    Conversation,
    Evidence,
    Hold,
    Ledger,
    Line,
    Outcome,
    Rating,
    Scope,
    Spent,
    Use,
    open_ledger,
)
from stepdown.ledger.rules import GROUPS
from stepdown.ledger.units import place
from stepdown.units import TIERS, Tokens

DAY = 86_400.0
times = st.floats(0, 4 * DAY) | st.sampled_from([0.0, DAY, 2 * DAY, 3 * DAY])
money = st.floats(0, 100) | st.sampled_from([0.0, 0.1, 0.25])
counts = st.integers(0, 10**7)
tokens = st.builds(Tokens, input=counts, output=counts, cache_read=counts, cache_write=counts)
names = st.sampled_from(["", "a", "b"])
patterns = st.sampled_from(["", "a", "a:b", "b"])
attempts = st.builds(
    Attempt,
    project=st.sampled_from(["/a", "/b"]),
    unit_type=st.sampled_from(["execute-task", "plan-slice"]),
    unit_id=names,
    tier=st.sampled_from([*TIERS, None]),
    model=names,
    ceiling=names,
    downgraded=st.booleans(),
    title=st.text(max_size=5),
    agent=names,
    started=times,
    reserved_usd=money,
    expected=tokens,
    pattern=names,
    number=st.integers(1, 3),
    cause=st.sampled_from(["first", "step up"]),
    person=st.sampled_from(["", "ana", "bo"]),
)
outcomes = st.builds(
    Outcome,
    failure=st.sampled_from([None, "quality", "provider"]),
    message=st.text(max_size=5),
    verified=st.sampled_from([None, True, False]),
    tokens=st.none() | tokens,
    cost_usd=st.none() | money,
    ceiling_cost_usd=st.none() | money,
    cache_loss_usd=money,
    requests=st.none() | counts,
    finished=times,
    evidence=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    kept=names,
)
uses = st.builds(Use, tokens=tokens, requests=counts, cost_usd=st.none() | money, ended=st.booleans(), cache_loss_usd=money)
ratings = st.builds(
    Rating,
    project=st.sampled_from(["/a", "/b"]),
    unit_type=st.just("execute-task"),
    unit_id=names,
    word=st.sampled_from(["over", "under", "ok"]),
    tier=st.sampled_from(TIERS),
    pattern=patterns,
    model=names,
    at=st.sampled_from([1.0, 2.0, 3.0, 4.0]),
)
# A cap between two sums that differ in their last digit would tell the twins apart: these lie beside what attempts cost.
scopes = st.builds(
    Scope,
    project=st.sampled_from([None, "/a", "/b"]),
    person=st.sampled_from([None, "", "ana"]),
    model=st.sampled_from([None, "a"]),
)
measures = st.sampled_from(["usd", "tokens", "requests"])
limits = st.sampled_from([0.0371, 33.3333, 77.7777])
caps = st.builds(Cap, name=st.just("cap"), limit=limits, since=times, measure=measures, scope=scopes)
held = st.sampled_from([-1.0, 0.0, 0.0217, 7.0])
holds = st.builds(Hold, scope=scopes, measure=measures, amount=held, least=held, alone=st.booleans())
events = st.builds(
    Evidence,
    at=st.sampled_from([1.0, 2.0, 3.0, 4.0]),
    pattern=patterns,
    tier=st.sampled_from(TIERS),
    success=st.booleans(),
    project=names,
    unit_id=names,
)


talks = st.builds(
    Conversation,
    project=st.sampled_from(["/a", "/b"]),
    id=names,
    at=st.floats(0, 20 * DAY) | st.sampled_from([0.0, DAY, 7 * DAY, 8 * DAY]),
    state=st.binary(max_size=5),
)


def close(line: Account | Line | Spent) -> dict[str, Any]:
    """Sums of floating-point numbers depend on their order in the last digits."""
    return {
        name: pytest.approx(value) if isinstance(value := getattr(line, name), float) else value
        for name in line.__struct_fields__
    }


def exact(line: Account | Line | Spent) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


def answer(call: Callable[[], object]) -> object:
    try:
        return call()
    except (BudgetError, LedgerError) as error:
        return str(error)


class Twins(RuleBasedStateMachine):
    ids = Bundle[int]("ids")

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.memory: Ledger = open_ledger("memory:")
        self.place = self.address()
        self.other = self.stack.enter_context(open_ledger(self.place))

    def address(self) -> str:
        """Where the other ledger is, which is a new one."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.stack.close()

    @rule(target=ids, attempt=attempts)
    def begin(self, attempt: Attempt) -> int:
        attempt_id = self.memory.begin(attempt)
        assert self.other.begin(attempt) == attempt_id
        return attempt_id

    @rule(attempt=attempts, caps=st.lists(caps, min_size=1, max_size=2))
    def begin_below_caps(self, attempt: Attempt, caps: list[Cap]) -> None:
        expected = answer(lambda: self.memory.begin(attempt, caps=caps))
        assert answer(lambda: self.other.begin(attempt, caps=caps)) == expected

    @rule(holder=names, more=st.lists(holds, max_size=2), caps=st.lists(caps, max_size=2))
    def set_aside(self, holder: str, more: list[Hold], caps: list[Cap]) -> None:
        asked = [msgspec.structs.replace(one, amount=abs(one.amount)) for one in more]
        expected = self.memory.set_aside(holder, asked, caps)
        assert list(self.other.set_aside(holder, asked, caps)) == [pytest.approx(one, rel=1e-9, abs=1e-6) for one in expected]

    @rule(holder=names, now=st.lists(holds, max_size=2))
    def hold(self, holder: str, now: list[Hold]) -> None:
        self.memory.hold(holder, now)
        self.other.hold(holder, now)

    @rule(attempt_id=ids, use=uses)
    def note_use(self, attempt_id: int, use: Use) -> None:
        expected = answer(lambda: self.memory.note_use(attempt_id, use))
        assert answer(lambda: self.other.note_use(attempt_id, use)) == expected

    @rule(rating=ratings)
    def rate(self, rating: Rating) -> None:
        self.memory.rate(rating)
        self.other.rate(rating)

    @rule(attempt_id=ids, outcome=outcomes)
    def settle(self, attempt_id: int, outcome: Outcome) -> None:
        expected = answer(lambda: self.memory.settle(attempt_id, outcome))
        assert answer(lambda: self.other.settle(attempt_id, outcome)) == expected

    @rule(new=st.lists(st.tuples(attempts, uses, st.none() | outcomes), max_size=3), known=ids, breaks=st.booleans())
    def batch(self, new: list[tuple[Attempt, Use, Outcome | None]], known: int, *, breaks: bool) -> None:
        def fill(ledger: Ledger) -> list[object]:
            said: list[object] = []
            with ledger.batch():
                for attempt, use, outcome in new:
                    attempt_id = ledger.begin(attempt)
                    ledger.note_use(attempt_id, use)
                    said.append(attempt_id)
                    if outcome is not None:
                        ledger.settle(attempt_id, outcome)
                    said.append(answer(lambda use=use: ledger.note_use(known, use)))  # type: ignore[misc]  # (a default)
                if breaks:
                    raise LedgerError("broken off")
            return said

        assert answer(lambda: fill(self.other)) == answer(lambda: fill(self.memory))

    @rule(target=ids, past=st.lists(st.tuples(attempts, outcomes), max_size=4), source=st.sampled_from(["gsd", "other"]))
    def import_records(self, past: list[tuple[Attempt, Outcome]], source: str) -> Any:
        new = self.memory.import_records("/a", source, past)
        assert self.other.import_records("/a", source, past) == new
        return multiple()

    @rule(new=st.lists(events, max_size=6))
    def add_evidence(self, new: list[Evidence]) -> None:
        self.memory.add_evidence(new)
        self.other.add_evidence(new)

    @rule(pattern=patterns | st.none(), project=names | st.none(), at=st.sampled_from([1.0, 2.0, 3.0, 4.0]))
    def forget(self, pattern: str | None, project: str | None, at: float) -> None:
        forgotten = self.memory.forget(pattern, at, project=project)
        assert self.other.forget(pattern, at, project=project) == forgotten

    @rule(states=st.lists(talks, max_size=4))
    def remember(self, states: list[Conversation]) -> None:
        self.memory.remember(states)
        self.other.remember(states)

    @rule(before=st.floats(0, 20 * DAY))
    def forget_conversations(self, before: float) -> None:
        assert self.other.forget_conversations(before) == self.memory.forget_conversations(before)

    @rule(since=st.floats(0, 20 * DAY))
    def same_conversations(self, since: float) -> None:
        assert list(self.other.conversations(since)) == list(self.memory.conversations(since))

    @rule()
    def reopen(self) -> None:
        self.other.close()
        self.other = self.stack.enter_context(open_ledger(self.place))

    @rule(since=times, whose=scopes)
    def same_spending(self, since: float, whose: Scope) -> None:
        of = {"person": whose.person, "model": whose.model}
        assert exact(self.other.spent(whose.project, since=since, **of)) == close(
            self.memory.spent(whose.project, since=since, **of)
        )

    @rule(by=st.sampled_from(GROUPS), project=st.sampled_from([None, "/a", "/b"]))
    def same_breakdown(self, by: str, project: str | None) -> None:
        # By name: two groups of equal cost may change places in the last digit.
        memory = sorted(self.memory.breakdown(by, project), key=lambda line: line.key)
        sqlite = sorted(self.other.breakdown(by, project), key=lambda line: line.key)
        assert [exact(line) for line in sqlite] == [close(line) for line in memory]

    @rule(since=times, project=st.sampled_from([None, "/a", "/b"]), daily=st.booleans())
    def same_accounts(self, since: float, project: str | None, *, daily: bool) -> None:
        memory, other = (ledger.accounts(project, since=since, daily=daily) for ledger in (self.memory, self.other))
        assert [exact(account) for account in other] == [close(account) for account in memory]

    @rule(limit=st.integers(0, 3), starts=names, failed=st.booleans())
    def same_units(self, limit: int, starts: str, *, failed: bool) -> None:
        """Page after page, and by their names."""
        before, pages = None, 0
        while pages < 4:
            pages += 1
            sqlite = self.other.units("/a", limit=limit, before=before, failed=failed)
            assert list(sqlite) == list(self.memory.units("/a", limit=limit, before=before, failed=failed))
            if not sqlite:
                break
            before = place(sqlite[-1], failed=failed)
        named = self.other.units("/a", limit=limit, id_starts=starts, failed=failed)
        assert list(named) == list(self.memory.units("/a", limit=limit, id_starts=starts, failed=failed))

    @rule(project=st.sampled_from([None, "/a", "/b"]))
    def same_bill(self, project: str | None) -> None:
        units = list(self.other.every_unit(project))
        assert units == list(self.memory.every_unit(project))
        assert sorted(one.id for unit in units for one in unit) == sorted(one.id for one in self.other.records(project))

    @rule(limit=st.sampled_from([None, 0, 1, 3]))
    def same_records(self, limit: int | None) -> None:
        assert list(self.other.records(limit=limit)) == list(self.memory.records(limit=limit))

    @rule(project=st.sampled_from([None, "/a", "/b"]), name=names, limit=st.integers(0, 3))
    def same_attempts(self, project: str | None, name: str, limit: int) -> None:
        assert list(self.other.unfinished(project)) == list(self.memory.unfinished(project))
        assert list(self.other.of_unit(project or "/a", name)) == list(self.memory.of_unit(project or "/a", name))
        assert list(self.other.recent_use(name, limit=limit)) == list(self.memory.recent_use(name, limit=limit))
        accounts = self.memory.newest_of_patterns(project or "/a", unit_type=name, units=limit)
        assert list(self.other.newest_of_patterns(project or "/a", unit_type=name, units=limit)) == list(accounts)
        assert list(self.other.ratings(project)) == list(self.memory.ratings(project))

    @rule(limit=st.integers(0, 3), with_forgotten=st.booleans())
    def same_evidence(self, limit: int, *, with_forgotten: bool) -> None:
        expected = self.memory.evidence(limit=limit, with_forgotten=with_forgotten)
        assert self.other.evidence(limit=limit, with_forgotten=with_forgotten) == expected

    @rule(project=st.sampled_from(["/a", "/b"]), unit_id=names)
    def same_rating(self, project: str, unit_id: str) -> None:
        memory, other = (ledger.rating(project, "execute-task", unit_id) for ledger in (self.memory, self.other))
        assert memory == other

    @invariant()
    def same_projects(self) -> None:
        assert self.other.projects() == self.memory.projects()

    @invariant()
    def same_expectations(self) -> None:
        assert self.other.expectations() == self.memory.expectations()


class SqliteTwins(Twins):
    def address(self) -> str:
        return str(Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "ledger.db")


class PostgresTwins(Twins):
    cluster: Cluster

    def address(self) -> str:
        return self.stack.enter_context(self.cluster.database())


STEPS = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_sqlite_says_what_memory_says() -> None:
    run_state_machine_as_test(SqliteTwins, settings=STEPS)


def test_postgres_says_what_memory_says(cluster: Cluster) -> None:
    PostgresTwins.cluster = cluster
    run_state_machine_as_test(PostgresTwins, settings=STEPS)
