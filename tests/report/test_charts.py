import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.report.charts import Box, bar, nice_ticks, stacked, waterfall

AMOUNTS = st.floats(0, 1e9, allow_nan=False)
CHANGES = st.floats(-1e6, 1e6, allow_nan=False)
SLACK = 0.01
"""Percent of the plot that rounding may move an edge."""


def inside(box: Box) -> bool:
    edges = (box.x, box.y, 100 - box.x - box.width, 100 - box.y - box.height)
    return min(edges) >= -SLACK and box.width >= 0 and box.height >= 0


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(29.1, [0, 10, 20, 30]), (0.07, [0, 0.02, 0.04, 0.06, 0.08]), (100, [0, 25, 50, 75, 100]), (0, [0, 1])],
)
def test_ticks_are_round_amounts(most: float, ticks: list[float]) -> None:
    assert nice_ticks(most) == pytest.approx(ticks)


@given(st.floats(1e-12, 1e15))
def test_ticks_reach_what_is_drawn_and_are_few(most: float) -> None:
    ticks = nice_ticks(most)
    assert ticks[0] == 0
    assert most * (1 - 1e-9) <= ticks[-1] <= most * 2.5
    assert 3 <= len(ticks) <= 5


@given(st.lists(st.dictionaries(st.sampled_from("abc"), AMOUNTS), max_size=70))
def test_stacked_parts_are_as_high_as_their_amounts(columns: list[dict[str, float]]) -> None:
    chart = stacked(columns, "abc", [str(number) for number in range(len(columns))])
    most = chart.ticks[-1][0]
    assert all(map(inside, chart.boxes))
    assert math.isclose(
        sum(box.height for box in chart.boxes),
        sum(100 * amount / most for column in columns for amount in column.values()),
        abs_tol=SLACK * (len(chart.boxes) + 1),
    )
    assert len(chart.labels) <= 6


def test_stacks_grow_from_the_ground_in_order() -> None:
    low, high = stacked([{"b": 3.0, "a": 1.0}], "ab", ["x"]).boxes
    assert (low.tone, high.tone) == ("a", "b")
    assert low.y + low.height == pytest.approx(100)
    assert high.y + high.height == pytest.approx(low.y)


@given(st.lists(st.tuples(st.sampled_from("abc"), AMOUNTS), max_size=5))
def test_the_parts_of_a_bar_fill_it(parts: list[tuple[str, float]]) -> None:
    boxes = bar(parts)
    assert all(map(inside, boxes))
    if any(amount > 0 for _, amount in parts):
        assert sum(box.width for box in boxes) == pytest.approx(100, abs=SLACK)
    else:
        assert boxes == ()


@given(AMOUNTS, st.lists(st.tuples(st.just("x"), CHANGES), min_size=1, max_size=4), st.tuples(CHANGES, CHANGES))
def test_each_step_of_a_waterfall_begins_where_the_last_ended(
    start: float, changes: list[tuple[str, float]], uncertain: tuple[float, float]
) -> None:
    steps = waterfall(start, changes, uncertain)
    assert all(map(inside, steps.boxes))
    for (_, _, level), before, after in zip(steps.levels, steps.boxes, steps.boxes[1:], strict=False):
        for box in (before, after):
            assert min(abs(level - box.y), abs(level - box.y - box.height)) <= SLACK
    _, top, bottom = steps.whisker
    assert 0 <= top <= bottom <= 100
