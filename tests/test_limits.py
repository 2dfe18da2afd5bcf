"""Which budgets a piece of work is under: each of a project, a person, the team or a model."""

import msgspec

from stepdown.budget import exhausted, fullest, used_up
from stepdown.catalog import Catalog
from stepdown.context import build_context, caps, meters
from stepdown.ledger import Allowance, Attempt, Outcome, Person, Scope
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.port import Ledger
from stepdown.limits import limits
from stepdown.preferences import Preferences
from stepdown.preferences.schema import Budget
from stepdown.units import Tokens

NOW = 1_770_000_000.0
CATALOG = Catalog.load()
OPUS, HAIKU = "anthropic/claude-opus-4-6", "anthropic/claude-haiku-4-5"
PREFERENCES = Preferences(
    budget_ceiling=25.0,
    budgets=(
        Budget(unit="usd", limit=10.0, window="day"),
        Budget(unit="usd", limit=100.0, window="month", per="team"),
        Budget(unit="requests", limit=50.0, window="week", per="person"),
        Budget(unit="usd", limit=5.0, window="day", per="team", model="claude-opus-4-6"),
        Budget(unit="plan", limit=0.9, window="5h"),
    ),
)
ANA = Person(name="ana", projects=("/shop",), budgets=(Allowance(limit=20.0, window="week"),))


def spend(ledger: Ledger, usd: float, *, project: str = "/shop", person: str = "ana", model: str = HAIKU) -> None:
    attempt = Attempt(project=project, unit_type="execute-task", unit_id="T", started=NOW - 60, person=person, model=model)
    outcome = Outcome(cost_usd=usd, tokens=Tokens(input=10), requests=2, finished=NOW - 30)
    ledger.settle(ledger.begin(attempt), outcome)


def test_every_budget_has_a_name_and_a_scope() -> None:
    found = {one.name: one for one in limits(PREFERENCES, "/shop", ANA, CATALOG.resolve)}
    assert {name: one.scope for name, one in found.items()} == {
        "budget_ceiling": Scope(project="/shop"),
        "day budget": Scope(project="/shop"),
        "the team's month budget": Scope(),
        "ana's week budget (requests)": Scope(person="ana"),
        "the team's day budget of claude-opus-4-6": Scope(model=OPUS),
        "ana's own week budget": Scope(person="ana"),
    }
    assert all(one.hard for one in found.values())
    soft = msgspec.structs.replace(PREFERENCES, budget_enforcement="warn")
    assert not any(one.hard for one in limits(soft, "/shop", ANA, CATALOG.resolve))


def test_who_has_no_token_is_one_person_to_a_budget_per_person() -> None:
    [found] = [one for one in limits(PREFERENCES, "/shop", None, CATALOG.resolve) if one.scope.person is not None]
    assert found.scope == Scope(person="")


def test_each_budget_counts_its_own() -> None:
    ledger = MemoryLedger()
    spend(ledger, 1.0)
    spend(ledger, 2.0, model=OPUS)
    spend(ledger, 4.0, person="bo")
    spend(ledger, 8.0, project="/elsewhere", person="bo", model=OPUS)
    read = {one.name: one.detail for one in meters(ledger, PREFERENCES, "/shop", NOW, person=ANA)}
    assert read == {
        "budget_ceiling": "$7.00 of $25.00",
        "day budget": "$7.00 of $10.00",
        "the team's month budget": "$15.00 of $100.00",
        "ana's week budget (requests)": "4 of 50 requests",
        "the team's day budget of claude-opus-4-6": "$10.00 of $5.00",
        "ana's own week budget": "$3.00 of $20.00",
    }
    assert [one.name for one in caps(PREFERENCES, "/shop", NOW)] == ["budget_ceiling", "day budget", "the team's month budget"]
    assert len(caps(PREFERENCES, "/shop", NOW, model=OPUS)) == 4


def test_a_models_budget_blocks_that_model_and_presses_nothing_down() -> None:
    ledger = MemoryLedger()
    spend(ledger, 6.0, project="/elsewhere", model=OPUS)
    context = build_context(ledger, PREFERENCES, project="/shop", now=NOW)
    assert context.blocked == {OPUS: "the team's day budget of claude-opus-4-6 is used up ($6.00 of $5.00)"}
    assert exhausted(context.meters) is None
    deciding = fullest(context.meters)
    assert deciding is not None
    assert deciding.used < 0.5
    soft = msgspec.structs.replace(PREFERENCES, budget_enforcement="warn")
    assert not build_context(ledger, soft, project="/shop", now=NOW).blocked
    assert not used_up(meters(ledger, soft, "/shop", NOW))


def test_a_budget_of_a_model_that_nobody_knows_counts_nothing() -> None:
    odd = Preferences(budgets=(Budget(unit="usd", limit=1.0, window="day", model="gpt-99-nano"),))
    assert limits(odd, "/shop", None, CATALOG.resolve) == ()
