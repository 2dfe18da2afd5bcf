"""How a person's budgets are written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.errors import UsageError
from stepdown.ledger import Allowance, Attempt, Outcome
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.records import Person
from stepdown.team.allowances import WINDOWS, allowance, used, written
from stepdown.units import Tokens


@pytest.mark.parametrize(
    ("text", "limit", "unit", "window", "shown"),
    [
        ("20/week", 20.0, "usd", "week", "$20.00/week"),
        ("$20", 20.0, "usd", "month", "$20.00/month"),
        ("7.5 usd per day", 7.5, "usd", "day", "$7.50/day"),
        ("2M tokens/day", 2e6, "tokens", "day", "2.0M tokens/day"),
        ("500k tokens / 5h", 5e5, "tokens", "5h", "500.0k tokens/5h"),
        ("500 requests/day", 500.0, "requests", "day", "500 requests/day"),
        (" 1B TOKENS/project ", 1e9, "tokens", "project", "1.0B tokens in all"),
    ],
)
def test_they_are_written_as_people_say_them(text: str, limit: float, unit: str, window: str, shown: str) -> None:
    read = allowance(text)
    assert (read.limit, read.unit, read.window) == (limit, unit, window)
    assert written(read) == shown


@pytest.mark.parametrize(
    "text", ["", "20/fortnight", "0", "-5", "$5 tokens", "many", "5 apples/day", "1e9", "nan", "20//week", "5 perday"]
)
def test_what_is_none_of_these_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="tokens/day"):
        allowance(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = allowance(text)
    except UsageError:
        return
    assert read.limit > 0
    assert read.window in WINDOWS


def test_what_is_used_is_a_persons_own_in_the_window() -> None:
    now = 1_800_000_000.0
    with MemoryLedger() as ledger:
        for person, started in (("ana", now - 60), ("ana", now - 9 * 86_400), ("ben", now - 60)):
            attempt = Attempt(project="shop", unit_type="t", unit_id=f"{started}{person}", started=started, person=person)
            done = Outcome(tokens=Tokens(input=10), cost_usd=1.0, cost_source="reported", requests=2, finished=now)
            ledger.settle(ledger.begin(attempt), done)
        ana = Person(name="ana")
        assert used(ledger, ana, Allowance(limit=5, window="day"), now) == 1.0
        assert used(ledger, ana, Allowance(limit=5, window="project"), now) == 2.0
        assert used(ledger, ana, Allowance(limit=5, unit="tokens", window="day"), now) == 10
        assert used(ledger, ana, Allowance(limit=5, unit="requests", window="project"), now) == 4
