"""What Claude Code says when a plan's window is full."""

from datetime import UTC, datetime

import pytest
from claude_logs import (
    START,
    failure,
    read,
    user,
)
from hypothesis import given
from hypothesis import strategies as st

from stepdown.sessions.claude_limits import limit_reached


class TestLimits:
    NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC).timestamp()

    @pytest.mark.parametrize(
        ("text", "window", "hours"),
        [
            ("5-hour limit reached ∙ resets 3pm", "5h", None),
            ("Session limit reached ∙ resets 3pm (UTC)", "5h", 3.0),
            ("You've hit your session limit · resets 1:30pm (UTC)", "5h", 1.5),
            ("You've hit your limit · resets 12am (Europe/Berlin)", "", 10.0),
            ("You've hit your weekly limit · resets Jun 3 at 4pm (UTC)", "week", 52.0),
            (
                "Weekly limit reached ∙ resets Jan 2, 9am (UTC)",
                "week",
                (datetime(2027, 1, 2, 9, tzinfo=UTC).timestamp() - NOON) / 3600,
            ),
            ("You've hit your session limit · resets 1pm (Nowhere/Atall)", "5h", None),
            ("You've hit your session limit · resets Feb 31, 1pm (UTC)", "5h", None),
            ("Opus weekly limit reached ∙ resets Oct 9, 5pm", "opus", None),
            ("Claude usage limit reached. Your limit will reset at 1pm (UTC).", "", 1.0),
        ],
    )
    def test_window_and_reset_as_far_as_they_are_certain(self, text: str, window: str, hours: float | None) -> None:
        limit = limit_reached(text, self.NOON)
        assert limit is not None
        assert (limit.window, limit.reached) == (window, True)
        assert limit.resets == (None if hours is None else self.NOON + hours * 3600)

    def test_the_oldest_words_say_the_second(self) -> None:
        limit = limit_reached("Claude AI usage limit reached|1735689600", 1735680000.0)
        assert limit is not None
        assert limit.resets == 1735689600.0

    @pytest.mark.parametrize(
        "text",
        [
            "API Error: Request rejected (429)",
            "You've hit your monthly spend limit.",
            "Credit balance is too low",
            "The rate limit is documented here",
        ],
    )
    def test_other_failures_are_no_limits_of_a_plan(self, text: str) -> None:
        assert limit_reached(text, self.NOON) is None

    def test_the_same_state_is_said_once(self) -> None:
        full = "5-hour limit reached ∙ resets 3pm"
        log = read(user("One"), failure(full, 1), failure(full, 60), failure(full, 90_000), failure("Weekly limit reached", 2))
        assert [(one.window, one.at - START) for one in log.limits] == [("5h", 1), ("5h", 90_000), ("week", 2)]

    @given(st.text(max_size=200), st.floats(0, 4e9))
    def test_no_text_is_too_odd(self, text: str, at: float) -> None:
        limit_reached(f"5-hour limit reached ∙ resets {text}", at)
