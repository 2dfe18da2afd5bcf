import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepdown.money import count, dollars, share


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        (math.nan, "unknown"),
        (0.0, "$0.00"),
        (1.84, "$1.84"),
        (1234.5, "$1,234.50"),
        (0.995, "$0.99"),
        (0.1, "$0.10"),
        (0.0999, "$0.10"),
        (0.042, "$0.042"),
        (0.0042, "$0.0042"),
        (0.000012, "$0.000012"),
        (0.0000012, "$0.000001"),
        (0.0000001, "<$0.000001"),
        (-0.12, "-$0.12"),
        (-1e-9, ">-$0.000001"),
    ],
)
def test_dollars(amount: float | None, shown: str) -> None:
    assert dollars(amount) == shown


def test_an_estimate_is_marked_and_the_unknown_stays_unknown() -> None:
    assert (dollars(1.84, estimated=True), dollars(None, estimated=True)) == ("~$1.84", "unknown")
    assert dollars(-0.12, estimated=True) == "-~$0.12"


@settings(deadline=None)
@given(st.floats(1e-6, 1e9))
def test_what_is_there_never_looks_free(amount: float) -> None:
    shown = float(dollars(amount).replace("$", "").replace(",", ""))
    assert shown > 0
    assert shown == pytest.approx(amount, rel=0.06, abs=5.1e-7)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (8_449, "8.4k"),
        (999_960, "1.0M"),
        (61_300_000, "61.3M"),
        (1_200_000_000, "1.2B"),
    ],
)
def test_counts(number: int, shown: str) -> None:
    assert count(number) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(42, 100, "42 %"), (1, 1000, "<1 %"), (0, 10, "0 %"), (1, 0, ""), (5, 5, "100 %")]
)
def test_shares(part: float, whole: float, shown: str) -> None:
    assert share(part, whole) == shown
