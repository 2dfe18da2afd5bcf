"""What a simulation looks like on the screen."""

import msgspec
import pytest

from stepdown.replay.compare import Comparison, Sums, TierLine
from stepdown.replay.suggest import Option, Suggestion, Tried
from stepdown.report.simulation import best_sentence, difference, render_comparison, render_suggestion
from stepdown.report.tables import text_width

OPUS = "anthropic/claude-opus-4-6"
KNOWN = Sums(runs=8, then_usd=10.0, now_usd=7.5, low_usd=-4.0, high_usd=-1.0)
SHOWN = Comparison(
    runs=12,
    running=1,
    recorded=KNOWN,
    listed=Sums(),
    unknown=4,
    tiers=(
        TierLine(tier="light", then=0, now=5, now_models=("anthropic/claude-haiku-4-5", "a/b", "c/d")),
        TierLine(tier="heavy", then=12, now=7, then_models=(OPUS,), now_models=(OPUS,)),
    ),
    escalations_then=0,
    escalations_now=1.25,
    failed_then=0,
    failed_now=0.0,
    missed_now=0.4,
    moved=5,
    guessed=3,
    refused=1,
    stood_down=2,
    without_signals=1,
    unverified=12,
)
TRIED = Tried(option=Option((("thresholds.heavy_steps", 12),)), sums=KNOWN, moved=30, guessed=4, failures=0.25)


def text(shown: Comparison, check: tuple[float, float] | None = (10.0, 10.0), width: int = 200) -> str:
    return "\n".join(render_comparison(shown, heading="12 runs", check=check, width=width))


def test_sums_tiers_and_what_could_not_be_compared() -> None:
    shown = text(SHOWN)
    for part in (
        "Spent, as recorded  $10.00  8 runs",
        "As simulated        ~$7.50  estimated",
        "Difference          -$2.50  (25 % less), 95 % range -$4.00 to -$1.00",
        "light          0    5  none -> claude-haiku-4-5, b, 1 more",
        "heavy         12    7  claude-opus-4-6",
        "failed, and nothing noticed  unknown  ~0.4",
        "Self-check: the same preferences replayed: $10.00 against $10.00 recorded.\n",
        "5 runs would have started on another model; how 3 would have ended there is not in the record.",
        "Not compared: 4 since a price or what they used is unknown and 1 that have not ended. They are in no sum.",
        "1 run would have met a full budget",
    ):
        assert part in shown
    assert "At list prices" not in shown


def test_a_self_check_that_is_off_says_why() -> None:
    assert "They differ where" in text(SHOWN, check=(11.0, 10.0))
    assert "Self-check" not in text(SHOWN, check=None)


def test_what_has_no_recorded_cost_stands_apart() -> None:
    shown = text(msgspec.structs.replace(SHOWN, recorded=Sums(), listed=KNOWN))
    assert "At list prices, as it ran  ~$10.00  8 runs without a cost" in shown
    assert "as recorded" not in shown


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        (Sums(), "none"),
        (Sums(runs=1, then_usd=2.0, now_usd=2.0), "none"),
        (Sums(runs=2, then_usd=2.0, now_usd=3.0, low_usd=0.0, high_usd=2.0), "+$1.00 (50 % more), 95 % range $0.00 to +$2.00"),
        (Sums(runs=2, then_usd=0.0, now_usd=3.0, low_usd=1.0, high_usd=4.0), "+$3.00, 95 % range +$1.00 to +$4.00"),
    ],
)
def test_a_difference_in_words(sums: Sums, said: str) -> None:
    assert difference(sums) == said


def test_it_fits_a_narrow_terminal() -> None:
    for line in text(SHOWN, width=60).splitlines():
        assert text_width(line) <= 60


def test_alternatives_with_the_reason_against_each() -> None:
    same = msgspec.structs.replace(TRIED, option=Option((("thresholds.light_steps", 5),)), moved=0, against="changes nothing")
    other = msgspec.structs.replace(same, option=Option((("thresholds.light_steps", 4),)))
    lost = msgspec.structs.replace(TRIED, option=Option((("escalate_to", "ceiling"),)), against="saves nothing")
    shown = "\n".join(
        render_suggestion(Suggestion(runs=50, switched_on=False, tried=(TRIED, same, other, lost), best=TRIED), width=200)
    )
    assert "thresholds.heavy_steps: 12  ~$2.50  $1.00 to $4.00            30        4      +0.2  yes" in shown
    assert "saves nothing" in shown
    assert "Would have changed nothing: thresholds.light_steps: 4, 5" in shown
    assert "~$2.50 of $10.00 (95 % range $1.00 to $4.00): 30 runs" in best_sentence(TRIED)
