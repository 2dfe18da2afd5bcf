from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stepdown.practice.metering import LOOKBACK, PromptCache, blocks, count, prompt_tokens
from stepdown.units import Tokens

MARK = {"type": "ephemeral"}
LONG = "lorem ipsum " * 600


def request(*texts: str, marked: tuple[int, ...] = (), ttl: str = "") -> dict[str, Any]:
    mark = MARK | ({"ttl": ttl} if ttl else {})
    parts = [{"type": "text", "text": text} | ({"cache_control": mark} if i in marked else {}) for i, text in enumerate(texts)]
    return {"messages": [{"role": "user", "content": parts}]}


def test_without_a_mark_everything_is_input() -> None:
    body = request(LONG, "end")
    assert PromptCache().bill("m", body, 0.0) == Tokens(input=prompt_tokens(body))


def test_a_marked_prefix_is_written_and_then_read() -> None:
    cache, body = PromptCache(), request(LONG, "end", marked=(0,))
    first = cache.bill("m", body, 0.0)
    second = cache.bill("m", body, 1.0)
    assert first.cache_write == second.cache_read == count("user" + LONG)
    assert first.cache_read == second.cache_write == 0
    assert first.input == second.input == count("userend")


def test_a_growing_conversation_reads_what_the_last_turn_wrote() -> None:
    cache = PromptCache()
    first = cache.bill("m", request(LONG, marked=(0,)), 0.0)
    second = cache.bill("m", request(LONG, "more", "and more", marked=(2,)), 1.0)
    assert second.cache_read == first.cache_write
    assert second.cache_write == count("usermore") + count("userand more")
    assert second.input == 0


def test_too_many_blocks_between_the_marks_lose_the_cache() -> None:
    cache = PromptCache()
    cache.bill("m", request(LONG, marked=(0,)), 0.0)
    far = request(LONG, *["x"] * (LOOKBACK + 1), marked=(LOOKBACK + 1,))
    assert cache.bill("m", far, 1.0).cache_read == 0


def test_models_share_nothing() -> None:
    cache, body = PromptCache(), request(LONG, marked=(0,))
    cache.bill("haiku", body, 0.0)
    assert cache.bill("sonnet", body, 1.0).cache_read == 0


def test_a_changed_prefix_is_not_found() -> None:
    cache = PromptCache()
    cache.bill("m", request(LONG, marked=(0,)), 0.0)
    assert cache.bill("m", request("y" + LONG, marked=(0,)), 1.0).cache_read == 0


def test_a_prefix_lives_five_minutes_after_its_last_use_or_an_hour() -> None:
    cache, body = PromptCache(), request(LONG, marked=(0,))
    cache.bill("m", body, 0.0)
    assert cache.bill("m", body, 299.0).cache_read
    assert cache.bill("m", body, 590.0).cache_read
    assert not cache.bill("m", body, 900.0).cache_read
    hour = request("z" + LONG, marked=(0,), ttl="1h")
    cache.bill("m", hour, 0.0)
    assert cache.bill("m", hour, 3599.0).cache_read


def test_a_short_prefix_is_not_cached() -> None:
    cache, body = PromptCache(), request("short", marked=(0,))
    cache.bill("m", body, 0.0)
    assert cache.bill("m", body, 1.0) == Tokens(input=count("usershort"))


def test_a_mark_on_the_request_itself_caches_all_of_it() -> None:
    cache, body = PromptCache(), request(LONG) | {"cache_control": MARK}
    cache.bill("m", body, 0.0)
    assert cache.bill("m", body, 1.0) == Tokens(cache_read=prompt_tokens(body))


@given(
    st.lists(st.lists(st.tuples(st.text(max_size=6_000), st.booleans()), min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_the_kinds_always_add_up_to_the_prompt(turns: list[list[tuple[str, bool]]]) -> None:
    cache = PromptCache()
    for now, turn in enumerate(turns):
        marked = tuple(index for index, (_, mark) in enumerate(turn) if mark)
        body = request(*(text for text, _ in turn), marked=marked)
        billed = cache.bill("m", body, float(now))
        assert billed.prompt == prompt_tokens(body)
        assert min(billed.input, billed.cache_read, billed.cache_write) >= 0


def test_the_order_of_a_prefix_is_tools_system_messages() -> None:
    body = {"messages": [{"role": "user", "content": "c"}], "system": "b", "tools": [{"name": "a"}]}
    assert [block.text for block in blocks(body)] == ['{"name":"a"}', "b", "userc"]
