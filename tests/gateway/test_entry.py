"""However often an entry is written, and whatever happens in between, the ledger has each request once."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.errors import LedgerError
from stepdown.gateway.entry import End, Entry, Place, Sum, one_request, put
from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.units import Tokens

ATTEMPT = Attempt(project="/p", unit_type="conversation", unit_id="s1", agent="gateway", started=5.0, key="gateway-x-1.1")
END = End(at=9.0)

counts = st.integers(0, 1000)
tokens = st.none() | st.builds(Tokens, input=counts, output=counts, cache_read=counts, cache_write=counts)
costs = st.none() | st.sampled_from([0.0, 0.25, 1.5])
failures = st.sampled_from([None, "provider", "rejected", "cancelled"])
losses = st.sampled_from([0.0, 0.25])
requests = st.builds(one_request, tokens, costs, costs, st.integers(0, 3), failures, cache_loss_usd=losses)
steps = st.lists(
    requests | st.sampled_from(["write", "fail", "fail late", "ended elsewhere", "reopen", "move away"]), max_size=20
)


def recorded(ledgers: list[Ledger]) -> Sum:
    """Everything that is in any ledger."""
    total = Sum()
    for record in (record for ledger in ledgers for record in ledger.records()):
        ended = record.outcome
        use = record.so_far if ended is None else ended
        total += Sum(
            tokens=use.tokens or Tokens(),
            requests=use.requests or 0,
            usd=use.cost_usd or 0.0,
            cache_loss_usd=use.cache_loss_usd,
        )
    return total


def write(ledger: Ledger, entry: Entry, opening: int, how: str = "") -> int:
    """As the writer does it; the number of the opening that is next."""
    with contextlib.ExitStack() as stack:
        if how == "fail":
            stack.enter_context(contextlib.suppress(ZeroDivisionError))
        with ledger.batch():
            place = put(ledger, entry, opening)
            if how == "fail":
                1 / 0  # noqa: B018 - for the exception
    if how:  # a "fail late" is a commit that came through without anybody being told
        if entry.place.opening == -1:
            entry.place = msgspec.structs.replace(entry.place, opening=0)
        return opening + 1
    entry.place = place
    return opening


@given(steps)
def test_a_ledger_has_each_request_once_whatever_happens(steps: list[Sum | str]) -> None:
    ledgers: list[Ledger] = [open_ledger("memory:")]
    entry, opening, total, is_certain = Entry(Place(attempt=ATTEMPT)), 1, Sum(), True
    for step in steps:
        match step:
            case Sum():
                entry.used += step
                total += step
            case "reopen":
                opening += 1
            case "move away":
                if is_certain:  # nobody can know what is in a file that is gone if its last commit was not heard of
                    ledgers.append(open_ledger("memory:"))
                    opening += 1
            case "ended elsewhere":
                for record in ledgers[-1].unfinished():
                    used = record.so_far
                    ended = Outcome(
                        tokens=used.tokens,
                        requests=used.requests,
                        cost_usd=used.cost_usd,
                        cache_loss_usd=used.cache_loss_usd,
                        finished=9.0,
                    )
                    ledgers[-1].settle(record.id, ended)
            case how:
                opening = write(ledgers[-1], entry, opening, how.removeprefix("write"))
                is_certain = how == "write" or (is_certain and how == "fail")
    entry.end = END
    opening = write(ledgers[-1], entry, opening, "fail late")
    for _ in range(2):
        opening = write(ledgers[-1], entry, opening)
        entry.place = msgspec.structs.replace(entry.place, opening=0)  # as one that is read from the journal
    found = recorded(ledgers)
    assert (found.tokens, found.requests, found.cache_loss_usd) == (total.tokens, total.requests, total.cache_loss_usd)
    if not total.unpriced:
        assert found.usd == pytest.approx(total.usd)
    assert all(record.outcome is not None for record in ledgers[-1].records())
    keys = [record.attempt.key for record in ledgers[-1].records()]
    assert len(set(keys)) == len(keys)


def outcome_of(*used: Sum, end: End = END) -> Outcome:
    return sum(used, Sum()).outcome(end)


def test_requests_that_went_well_make_a_success_that_nothing_checked() -> None:
    first = one_request(Tokens(input=1, output=2), 0.5, 1.0, 1, None)
    second = one_request(Tokens(input=10), 0.25, 0.5, 1, None)
    expected = Outcome(
        tokens=Tokens(input=11, output=2),
        cost_usd=0.75,
        cost_source="priced",
        ceiling_cost_usd=1.5,
        requests=2,
        finished=9.0,
    )
    assert outcome_of(first, second) == expected


@pytest.mark.parametrize(
    ("used", "end", "failure"),
    [
        ([("provider", 1), (None, 1)], END, None),
        ([(None, 1), ("provider", 1)], END, None),
        ([("provider", 1), ("rejected", 1)], END, "rejected"),
        ([(None, 0)], END, "cancelled"),
        ([], END, "cancelled"),
        ([(None, 1)], End(at=9.0, failure="budget", message="full"), "budget"),
    ],
)
def test_it_failed_where_every_request_failed_or_somebody_says_so(
    used: list[tuple[str | None, int]], end: End, failure: str | None
) -> None:
    ended = outcome_of(*(one_request(None, None, None, requests, kind) for kind, requests in used), end=end)
    assert ended.failure == failure
    assert bool(ended.message) == (failure is not None)


def test_what_a_provider_refused_cost_nothing_and_what_is_not_known_is_not_nothing() -> None:
    known = one_request(Tokens(input=1), 0.5, 1.0, 1, None)
    refused = one_request(None, None, None, 1, "provider")
    assert (outcome_of(refused, known).cost_usd, outcome_of(refused, known).ceiling_cost_usd) == (0.5, 1.0)
    assert outcome_of(refused).tokens is None
    for unknown in (
        one_request(None, None, None, 1, "cancelled"),
        one_request(Tokens(input=1), None, None, 1, "provider"),
        one_request(None, None, None, 1, None),
    ):
        ended = outcome_of(known, unknown)
        assert (ended.cost_usd, ended.cost_source, ended.ceiling_cost_usd) == (None, "unknown", None)
        assert (known + unknown).use().cost_usd is None


@pytest.mark.parametrize(
    ("tokens", "cost", "requests"),
    [(Tokens(input=-1), 0.0, 1), (Tokens(output=2**60), 0.0, 1), (None, float("nan"), 1), (None, -1.0, 1), (None, 0.0, -1)],
)
def test_what_cannot_be_is_refused_before_it_is_added(tokens: Tokens | None, cost: float, requests: int) -> None:
    with pytest.raises(LedgerError):
        one_request(tokens, cost, 0.0, requests, None)


def test_a_unit_ended_by_somebody_else_goes_on_as_another_attempt() -> None:
    with contextlib.closing(open_ledger("memory:")) as ledger:
        entry = Entry(Place(attempt=ATTEMPT), used=one_request(Tokens(input=5), 0.5, 0.5, 1, None))
        write(ledger, entry, 1)
        ledger.settle(1, Outcome(failure="cancelled", tokens=Tokens(input=5), requests=1, cost_usd=0.5, finished=9.0))
        entry.used += one_request(Tokens(input=7), 0.25, 0.25, 1, None)
        write(ledger, entry, 1)
        [first, second] = sorted(ledger.records(), key=lambda record: record.id)
        assert (second.attempt.key, second.attempt.number, second.so_far.tokens) == ("gateway-x-1.2", 2, Tokens(input=7))
        assert first.outcome is not None
        assert first.outcome.failure == "cancelled"
