import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.switching import Sum, Talk, switch

CATALOG = Catalog.load(on="2026-11-01")
OPUS, SONNET, HAIKU = (CATALOG.resolve(name) for name in ("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5"))
TOKENS = st.integers(0, 180_000)


def found(talk: Talk, **changes: float) -> Sum:
    assert OPUS is not None
    assert SONNET is not None
    worth = switch(OPUS, SONNET, talk, **changes)
    assert worth is not None
    return worth


def test_the_sum_is_that_of_the_specification() -> None:
    worth = found(Talk(cached=100_000, warm=20_000, fresh=3_000, output=500, turns=10), returns=0.2)
    # Opus 4.6: 5, read 0.5, write 6.25, output 25; Sonnet 4.6: 3, 0.3, 3.75, 15 US dollars per million tokens.
    assert worth.each == pytest.approx((0.2 * 100_000 + 2.5 * 3_000 + 10 * 500) / 1e6)
    assert worth.rewrite == pytest.approx((3.75 - 0.3) * 80_000 / 1e6)
    assert worth.returning == pytest.approx(0.2 * (6.25 - 0.5) * 100_000 / 1e6)
    assert worth.net == pytest.approx(10 * worth.each - worth.rewrite - worth.returning)


def test_a_long_conversation_with_one_turn_to_go_stays() -> None:
    assert not found(Talk(cached=150_000, fresh=2_000, output=500, turns=1)).pays
    assert found(Talk(cached=150_000, fresh=2_000, output=500, turns=40)).pays


@given(TOKENS, st.integers(1, 10_000), st.integers(1, 5_000), st.floats(1, 50))
def test_a_free_moment_always_pays_where_nothing_fails(cached: int, fresh: int, output: int, turns: float) -> None:
    assert found(Talk(cached=0, fresh=fresh, output=output, turns=turns), returns=1.0).pays
    assert found(Talk(cached=cached, warm=cached, fresh=fresh, output=output, turns=turns)).rewrite == 0


@given(TOKENS, TOKENS, TOKENS, st.integers(1, 10_000), st.floats(1, 50), st.floats(0, 1), st.floats(0, 5))
def test_what_is_lost_only_ever_speaks_against_it(
    cached: int, more: int, warm: int, fresh: int, turns: float, returns: float, failing: float
) -> None:
    talk = Talk(cached=cached, warm=min(warm, cached), fresh=fresh, output=500, turns=turns)
    worth = found(talk, returns=returns, failing=failing)
    assert worth.rewrite >= 0
    assert worth.returning >= 0
    assert worth.net <= found(talk, returns=returns).net + 1e-9
    assert worth.net <= found(talk).net + 1e-9
    longer = Talk(cached=cached + more, warm=talk.warm, fresh=fresh, output=500, turns=1)
    assert found(longer).rewrite >= worth.rewrite - 1e-12


@given(TOKENS, st.integers(1, 10_000), st.floats(1, 50), st.floats(0.5, 2))
def test_there_and_back_never_gains(cached: int, fresh: int, turns: float, ratio: float) -> None:
    talk = Talk(cached=cached, fresh=fresh, output=500, turns=turns)
    assert OPUS is not None
    assert HAIKU is not None
    there, back = switch(OPUS, HAIKU, talk), switch(HAIKU, OPUS, talk)
    assert there is not None
    assert back is not None
    assert there.net + back.net <= 1e-9
    scaled = switch(OPUS, HAIKU, talk, ratio=ratio)
    assert scaled is not None
    assert (scaled.each <= there.each + 1e-12) == (ratio >= 1) or scaled.each == pytest.approx(there.each)


def test_an_unknown_price_gives_no_sum() -> None:
    assert OPUS is not None
    unpriced = msgspec.structs.replace(OPUS, price=None)
    assert switch(OPUS, unpriced, Talk(cached=10, turns=2)) is None
    assert switch(unpriced, OPUS, Talk(cached=10, turns=2)) is None
