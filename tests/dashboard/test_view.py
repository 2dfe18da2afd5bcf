"""What the page reads of the ledger says what everybody else says of it."""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import BEGAN, DAY, PROJECT, everything, work

from stepdown.catalog import Catalog
from stepdown.context import build_context
from stepdown.dashboard.view import DAYS, PAGE, Units, read_state, read_units
from stepdown.decision import Context
from stepdown.ledger import Attempt, Ledger, Outcome, PlanMeter, Rating, Record, Use, open_ledger
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.port import GATEWAY
from stepdown.ledger.rules import day_name, day_of
from stepdown.preferences import Budget, DynamicRouting, ModelChoice, Preferences
from stepdown.savings import savings
from stepdown.units import Tier, Tokens

PREFERENCES = Preferences(
    models={"default": ModelChoice("claude-opus-4-6")},
    dynamic_routing=DynamicRouting(enabled=True, learning="threshold"),
)
CATALOG = Catalog.load()
NOW = BEGAN + 40 * DAY
ONE = Outcome(tokens=Tokens(input=10, output=5), cost_usd=0.5, cost_source="reported", finished=BEGAN + 1)


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:{tmp_path / 'ledger.db'}" if request.param == "sqlite" else "memory:") as opened:
        yield opened


def put(ledger: Ledger, unit_id: str, at: float, outcome: Outcome | None = ONE, **known: Any) -> int:
    """An attempt, ended unless there is no outcome; its id."""
    known = {"unit_type": "execute-task", "tier": Tier.LIGHT, "model": "anthropic/claude-haiku-4-5", **known}
    number = ledger.begin(Attempt(project=PROJECT, unit_id=unit_id, started=at, **known))
    if outcome is not None:
        ledger.settle(number, outcome)
    return number


def state(ledger: Ledger, preferences: Preferences = PREFERENCES, now: float = NOW, context: Context | None = None) -> Any:
    return read_state(ledger, preferences, CATALOG, PROJECT, now, context)


def pages(ledger: Ledger, *, failed: bool = False) -> list[Units]:
    """Page after page, to the last."""
    found = [read_units(ledger, PROJECT, failed=failed)]
    while found[-1].before:
        assert len(found) < 100, "it never ends"
        found.append(read_units(ledger, PROJECT, before=found[-1].before, failed=failed))
    return found


def told(*arguments: str) -> str:
    """What the program prints."""
    program = Path(sys.executable).with_name("stepdown")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def names(units: Units) -> list[str]:
    return [row.name for row in units.rows]


# ------------------------------------------------------------------------------------------------------------------- units


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
def test_going_on_to_the_end_shows_every_unit_once(ledger: Ledger, count: int) -> None:
    for number in range(count):
        put(ledger, f"T{number:03}", BEGAN + number // 3)  # several at once
    found = pages(ledger)
    assert [name for page in found for name in names(page)] == [f"execute-task T{n:03}" for n in reversed(range(count))]
    assert all(len(page.rows) == PAGE for page in found[:-1])
    assert found[-1].rows or not count, "nobody is sent on to an empty page"


def test_a_whole_past_is_gone_through_once(ledger: Ledger) -> None:
    everything(ledger)
    units = [(row.attempt.unit_type, row.attempt.unit_id) for page in pages(ledger) for row in page.rows]
    known = {(record.attempt.unit_type, record.attempt.unit_id) for record in ledger.records(PROJECT)}
    assert len(units) == len(set(units))
    assert set(units) == known
    failed = [row for page in pages(ledger, failed=True) for row in page.rows]
    assert {row.attempt.unit_id for row in failed} == {
        record.attempt.unit_id for record in ledger.records(PROJECT) if record.outcome and record.outcome.failure
    }
    assert len({row.name for row in failed}) == len(failed)


_When = st.floats(-1e9, 1e10) | st.integers(0, 3).map(float) | st.sampled_from([1e-5, 1.5e-7, 2**31 + 0.1])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCD"), _When, st.booleans()), max_size=80), st.booleans())
def test_whenever_they_began_every_unit_is_shown_once(attempts: list[tuple[str, float, bool]], failed: bool) -> None:
    ledger = MemoryLedger()
    for name, at, fails in attempts:
        if at >= 0:
            put(ledger, name, at, msgspec.structs.replace(ONE, failure="quality" if fails else None, finished=at))
    shown = [row.attempt.unit_id for page in pages(ledger, failed=failed) for row in page.rows]
    assert len(shown) == len(set(shown))
    assert set(shown) == {name for name, at, fails in attempts if at >= 0 and (fails or not failed)}


@pytest.mark.parametrize(
    "before",
    ["nonsense", "-", "1-", "-1", "nan-1", "inf-3", "1e999-1", f"1-{10**30}", "1--" + "9" * 4000, "1-1-1", "\x00", "1_0-x"],
)
def test_what_was_never_said_begins_at_the_newest(ledger: Ledger, before: str) -> None:
    put(ledger, "T1", BEGAN)
    put(ledger, "T2", BEGAN + 1)
    assert names(read_units(ledger, PROJECT, before=before)) == ["execute-task T2", "execute-task T1"]


def test_a_time_close_to_the_beginning_of_all_is_no_nonsense(ledger: Ledger) -> None:
    for number in range(PAGE + 1):
        put(ledger, f"T{number}", (number + 1) * 1e-6, msgspec.structs.replace(ONE, finished=1.0))
    assert [len(page.rows) for page in pages(ledger)] == [PAGE, 1]


def test_a_unit_is_found_by_how_its_id_begins(ledger: Ledger) -> None:
    for number in range(30):
        put(ledger, f"M001/S0{number % 3}/T{number:02}", BEGAN + number)
    put(ledger, "m001/S01/T04", BEGAN)
    found = read_units(ledger, PROJECT, starts="M001/S01/T0")
    assert names(found) == [f"execute-task M001/S01/T0{number}" for number in (1, 4, 7)]
    assert (found.starts, found.before) == ("M001/S01/T0", "")
    for nothing in ("%", "_", "T", "'", "\udc80", "\x00", "M001/S01/T0 "):
        assert not read_units(ledger, PROJECT, starts=nothing).rows


def test_a_failure_long_ago_is_found_all_the_same(ledger: Ledger) -> None:
    with ledger.batch():
        for number in range(PAGE + 1):
            put(ledger, f"T{number:02}", BEGAN + number, msgspec.structs.replace(ONE, failure="quality"))
            for again in range(25):
                put(ledger, f"T{number:02}", BEGAN + 1000 * (again + 1) + number, cause="again", number=again + 2)
    found = pages(ledger, failed=True)
    assert [len(page.rows) for page in found] == [PAGE, 1]
    assert [name for page in found for name in names(page)] == [f"execute-task T{n:02}" for n in reversed(range(PAGE + 1))]


def test_a_row_is_what_its_attempts_were(ledger: Ledger) -> None:
    failed = Outcome(
        failure="quality",
        verified=False,
        tokens=Tokens(input=100, output=20),
        cost_usd=0.1,
        cost_source="reported",
        finished=BEGAN,
    )
    done = Outcome(
        verified=True,
        tokens=Tokens(input=50, cache_read=30),
        cost_usd=0.4,
        cost_source="priced",
        ceiling_cost_usd=2.0,
        finished=BEGAN + 2,
    )
    put(ledger, "T1", BEGAN, failed, downgraded=True, ceiling="anthropic/claude-opus-4-6")
    put(
        ledger,
        "T1",
        BEGAN + 1,
        done,
        tier=Tier.STANDARD,
        downgraded=True,
        ceiling="anthropic/claude-opus-4-6",
        cause="step up",
        number=2,
    )
    (row,) = read_units(ledger, PROJECT).rows
    assert [record.attempt.tier for record in row.attempts] == [Tier.LIGHT, Tier.STANDARD]
    assert (row.tokens, row.cached, row.ended) == (200, 30, "verified")
    assert row.spent_usd == pytest.approx(0.5)
    assert row.saved_usd == pytest.approx(2.0 - 0.5)
    assert row.saved_usd == savings(row.attempts).net_usd
    assert row.can_be_rated


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome(verified=True, finished=BEGAN), "verified"),
        (Outcome(finished=BEGAN), "unverified"),
        (Outcome(verified=False, failure="quality", finished=BEGAN), "failed"),
        (Outcome(failure="cancelled", finished=BEGAN), "failed"),
        (None, "running"),
    ],
)
def test_how_a_unit_ended_is_said_and_what_it_cost_only_where_that_is_known(
    ledger: Ledger, outcome: Outcome | None, word: str
) -> None:
    number = put(ledger, "T1", BEGAN, outcome, downgraded=True, ceiling="anthropic/claude-opus-4-6")
    if outcome is None:
        ledger.note_use(number, Use(tokens=Tokens(input=7), cost_usd=None))
    (row,) = read_units(ledger, PROJECT).rows
    assert row.ended == word
    assert row.spent_usd is None
    assert row.saved_usd is None
    assert row.can_be_rated == (word in {"verified", "unverified"} or (outcome is not None and outcome.failure == "quality"))


def test_one_cost_that_is_unknown_makes_the_whole_unknown(ledger: Ledger) -> None:
    put(ledger, "T1", BEGAN)
    put(ledger, "T1", BEGAN + 1, msgspec.structs.replace(ONE, cost_usd=None, cost_source="unknown"), number=2)
    (row,) = read_units(ledger, PROJECT).rows
    assert row.spent_usd is None
    assert row.tokens == 30


def test_a_unit_that_the_gateway_has_open_shows_what_it_used_so_far_and_can_be_rated(ledger: Ledger) -> None:
    number = put(ledger, "T1", BEGAN, None, agent=GATEWAY)
    ledger.note_use(number, Use(tokens=Tokens(input=30, cache_read=70), requests=2, cost_usd=0.25))
    (row,) = read_units(ledger, PROJECT).rows
    assert (row.ended, row.can_be_rated) == ("open", True)
    assert (row.tokens, row.cached, row.spent_usd, row.saved_usd) == (100, 70, 0.25, None)


def test_a_unit_of_unknown_tier_cannot_be_rated(ledger: Ledger) -> None:
    put(ledger, "T1", BEGAN, tier=None)
    assert not read_units(ledger, PROJECT).rows[0].can_be_rated


def test_the_rating_that_holds_is_shown_at_its_unit_alone(ledger: Ledger) -> None:
    put(ledger, "T1", BEGAN)
    put(ledger, "T1", BEGAN + 1, unit_type="plan-slice")
    for at, word in enumerate(("over", "under")):
        ledger.rate(
            Rating(
                project=PROJECT,
                unit_type="execute-task",
                unit_id="T1",
                word=word,
                tier=Tier.LIGHT,
                pattern="execute-task",
                at=BEGAN + at,
            )
        )
    assert {row.name: row.rated for row in read_units(ledger, PROJECT).rows} == {
        "plan-slice T1": "",
        "execute-task T1": "under",
    }


def test_other_projects_have_rows_of_their_own(ledger: Ledger) -> None:
    put(ledger, "T1", BEGAN)
    assert not read_units(ledger, "/elsewhere").rows


# --------------------------------------------------------------------------------------------------------------------- sums


def begun_since(ledger: Ledger, since: float) -> list[Record]:
    return [record for record in ledger.records(PROJECT) if record.attempt.started >= since]


def midnight(now: float, days: int) -> float:
    return (now // DAY - (days - 1)) * DAY


@pytest.mark.parametrize("now", [NOW, NOW - 1.0, (NOW // DAY) * DAY, (NOW // DAY) * DAY + 86_399.9])
def test_sums_are_what_the_ledger_spent_and_the_bill_saved(ledger: Ledger, now: float) -> None:
    everything(ledger)
    put(ledger, "tonight", (now // DAY) * DAY, downgraded=True, ceiling="anthropic/claude-opus-4-6")
    expected = {"today": midnight(now, 1), "last 7 days": midnight(now, 7), "in all": 0.0}
    found = {one.span: one for one in state(ledger, now=now).sums}
    assert list(found) == list(expected)
    for span, since in expected.items():
        records = [record for record in begun_since(ledger, since) if record.outcome is not None]
        spent, one = ledger.spent(PROJECT, since=since), found[span]
        reserved = 0.25 if len(begun_since(ledger, since)) > len(records) else 0.0
        assert one.usd == pytest.approx(spent.usd - reserved)
        assert (one.attempts, one.unpriced) == (len(records), spent.unpriced)
        assert one.tokens == spent.tokens
        assert one.cached == sum((record.outcome.tokens or Tokens()).cache_read for record in records if record.outcome)
    everywhere = savings([record for record in ledger.records(PROJECT) if known(record)])
    assert found["in all"].saved.failed_usd == pytest.approx(everywhere.failed_usd)
    assert found["in all"].saved.cache_usd == pytest.approx(everywhere.cache_usd)
    assert found["in all"].saved.downgraded == everywhere.downgraded + sum(
        record.attempt.downgraded and record.attempt.cause == "first" and not known(record)
        for record in ledger.records(PROJECT)
    )


def known(record: Record) -> bool:
    return record.outcome is not None and record.outcome.cost_usd is not None


def test_what_was_saved_is_what_the_bill_says_where_every_cost_is_known(ledger: Ledger) -> None:
    """A unit a day: none lies across midnight. No mean is known yet that would cap it."""
    for number in range(30):
        put(
            ledger,
            f"T{number}",
            midnight(NOW, 1) - number * DAY + 60,
            msgspec.structs.replace(ONE, ceiling_cost_usd=1.0 + number, cache_loss_usd=0.01 * (number % 2)),
            unit_type=f"execute-{number}",
            downgraded=number % 3 > 0,
            ceiling="anthropic/claude-opus-4-6",
        )
    for one, days in zip(state(ledger).sums, (1, 7, 10_000), strict=True):
        expected = savings(begun_since(ledger, midnight(NOW, days)))
        for field in ("cheaper_usd", "failed_usd", "cache_usd", "net_usd", "spent_usd", "counterfactual_usd"):
            assert getattr(one.saved, field) == pytest.approx(getattr(expected, field)), (one.span, field)
        assert (one.saved.runs, one.saved.downgraded) == (expected.runs, expected.downgraded)


def test_each_day_of_the_chart_is_what_that_day_cost(ledger: Ledger) -> None:
    everything(ledger)
    work(ledger, 2, project="/another")
    seen = state(ledger)
    assert [name for name, _, _ in seen.days] == [day_name(day_of(NOW) - back) for back in reversed(range(DAYS))]
    for name, usd, attempts in seen.days:
        begun = dt.datetime.fromisoformat(f"{name}T00:00:00+00:00").timestamp()
        records = [record for record in begun_since(ledger, begun) if record.attempt.started < begun + DAY and record.outcome]
        assert attempts == len(records)
        assert sum(usd.values()) == pytest.approx(sum(record.outcome.cost_usd or 0.0 for record in records if record.outcome))
    assert seen.tones == ["light", "standard", "heavy"]
    drawn = sum(sum(usd.values()) for _, usd, _ in seen.days)
    assert drawn == pytest.approx(sum(sum(one.usd for one in ledger.accounts(PROJECT, since=midnight(NOW, DAYS))) for _ in "1"))


def test_nothing_has_happened_yet(ledger: Ledger) -> None:
    seen = state(ledger)
    assert [(one.attempts, one.usd, one.unpriced) for one in seen.sums] == [(0, 0.0, 0)] * 3
    assert (seen.tones, seen.meters, seen.follows, seen.projects) == ([], [], [], [PROJECT])
    assert len(seen.days) == DAYS


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.sampled_from([None, 0.0, 0.1, 3.0]),
            st.sampled_from([None, "quality", "provider"]),
            st.sampled_from([None, *Tier]),
            st.floats(0, 40 * DAY),
        ),
        max_size=40,
    )
)
def test_sums_and_days_agree_with_each_other(attempts: list[tuple[int, float | None, str | None, Tier | None, float]]) -> None:
    ledger = MemoryLedger()
    for name, cost, failure, tier, at in attempts:
        source = "unknown" if cost is None else "reported"
        outcome = Outcome(cost_usd=cost, cost_source=source, failure=failure, tokens=Tokens(input=3), finished=BEGAN + at)
        put(ledger, f"T{name}", BEGAN + at, outcome, tier=tier)
    seen = state(ledger)
    today, week, whole = seen.sums
    assert today.attempts <= week.attempts <= whole.attempts == len(attempts)
    assert whole.usd == pytest.approx(sum(cost or 0.0 for _, cost, _, _, _ in attempts))
    assert whole.unpriced == sum(cost is None for _, cost, _, _, _ in attempts)
    assert sum(count for _, _, count in seen.days[-7:]) == week.attempts
    assert seen.days[-1][2] == today.attempts
    assert sum(sum(usd.values()) for _, usd, _ in seen.days[-7:]) == pytest.approx(week.usd)


# ---------------------------------------------------------------------------------------- budgets, plans, learned, blocked


def test_budgets_are_shown_as_full_as_routing_takes_them_to_be(ledger: Ledger) -> None:
    everything(ledger)
    wanted = msgspec.structs.replace(
        PREFERENCES,
        budget_ceiling=25.0,
        budget_enforcement="halt",
        budgets=(Budget(unit="usd", limit=1000.0, window="month"), Budget(unit="plan", limit=1.0, window="5h")),
    )
    context = build_context(ledger, wanted, project=PROJECT, now=NOW, catalog=CATALOG)
    seen = state(ledger, wanted)
    assert [(one.name, one.used, one.detail, one.hard) for one in seen.meters] == [
        (one.name, one.used, one.detail, one.hard) for one in context.meters
    ]
    bands = {one.name: one.band for one in seen.meters}
    assert bands["budget_ceiling"] == "all but replan-slice to the cheapest"
    assert bands["5h plan (anthropic)"] == "standard work to light"
    without = msgspec.structs.replace(
        wanted, dynamic_routing=msgspec.structs.replace(wanted.dynamic_routing, budget_pressure=False)
    )
    assert {one.band for one in state(ledger, without).meters} == {"none"}


def test_plans_that_no_budget_names_are_shown_while_their_window_lasts(ledger: Ledger) -> None:
    everything(ledger)  # one of anthropic's that lasts, one of openai's that is over
    ledger.set_plan_meter(PlanMeter(provider="openai", window="5h", used=1.2, resets=None, at=NOW))
    found = {one.name: one for one in state(ledger).meters}
    assert set(found) == {"5h plan (anthropic)", "5h plan (openai)"}
    assert (found["5h plan (anthropic)"].used, found["5h plan (anthropic)"].resets) == (0.62, 3600.0)
    assert (found["5h plan (openai)"].used, found["5h plan (openai)"].resets) == (1.2, None)
    assert found["5h plan (openai)"].band == ""


def test_learned_lines_are_those_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "stepdown.yaml").write_text(
        "models: {default: claude-opus-4-6}\ndynamic_routing: {enabled: true, learning: threshold}\n"
    )
    with open_ledger() as ledger:
        everything(ledger, project=str(tmp_path.resolve()))
        seen = read_state(ledger, PREFERENCES, CATALOG, str(tmp_path.resolve()), time.time(), None)
    said = told("learned", "--project", str(tmp_path))
    assert len(seen.follows) > 1
    for line in seen.follows:
        assert " ".join(line.split()) in " ".join(said.split())
    as_json = json.loads(told("learned", "--json", "--project", str(tmp_path)))
    assert json.loads(msgspec.json.encode(seen.learned))["evidence"] == as_json["evidence"]


def test_a_pattern_that_routing_stood_down_for_is_said(ledger: Ledger) -> None:
    for number in range(60):
        lost = msgspec.structs.replace(ONE, failure="quality", verified=False, cost_usd=1.0)
        done = msgspec.structs.replace(ONE, verified=True, cost_usd=1.0)
        ceiling = {"ceiling": "anthropic/claude-opus-4-6", "pattern": "execute-task"}
        put(ledger, f"T{number}", BEGAN + 100 * number, lost, downgraded=True, **ceiling)
        put(ledger, f"T{number}", BEGAN + 100 * number + 50, done, cause="step up", number=2, tier=Tier.HEAVY, **ceiling)
    seen = state(ledger)
    context = build_context(ledger, PREFERENCES, project=PROJECT, now=NOW, catalog=CATALOG)
    assert seen.learned.stood_down == dict(context.stood_down)
    assert list(seen.learned.stood_down) == ["execute-task"]


def test_what_a_provider_will_not_serve_is_said_for_as_long_as_it_holds(ledger: Ledger) -> None:
    everything(ledger)
    seen = state(ledger)
    assert seen.blocked == {"openai/gpt-5-mini": "404: not for this account"}
    assert seen.blocked_until == {"openai/gpt-5-mini": NOW + DAY}
    assert not state(ledger, now=NOW + DAY + 1).blocked


def test_what_routing_was_told_is_taken_as_it_is(ledger: Ledger) -> None:
    everything(ledger)
    told = Context(now=NOW, blocked={"a/b": "because"})
    seen = state(ledger, context=told)
    assert (seen.blocked, seen.learned.evidence) == ({"a/b": "because"}, {})


def test_the_page_offers_every_project_and_its_own_first(ledger: Ledger) -> None:
    work(ledger, 1, project="/another")
    assert state(ledger).projects == [PROJECT, "/another"]
    work(ledger, 1)
    assert sorted(state(ledger).projects) == ["/another", PROJECT]
    assert state(ledger).projects[0] == PROJECT
