import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.agents.failures import kind_of_status, one_line
from stepdown.agents.usage import dollars_of, tokens_of
from stepdown.units import Tokens


def test_the_names_of_every_api_are_understood() -> None:
    anthropic = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    claude = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheCreationInputTokens": 4}
    ours = {"input": 1, "output": 2, "cache_read": 3, "cache_write": 4}
    for usage in (anthropic, claude, ours):
        assert tokens_of(usage) == Tokens(input=1, output=2, cache_read=3, cache_write=4)


def test_openai_counts_cached_tokens_inside_the_prompt() -> None:
    chat = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 7}}
    responses = {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 7}}
    for usage in (chat, responses):
        assert tokens_of(usage) == Tokens(input=3, output=2, cache_read=7)


@pytest.mark.parametrize(
    "usage", [None, {}, [], "x", {"input_tokens": "3"}, {"output_tokens": -1}, {"input": True}, {"other": 1}]
)
def test_what_is_no_count_is_unknown_and_not_zero(usage: object) -> None:
    assert tokens_of(usage) is None


@pytest.mark.parametrize("value", [None, "1", -0.1, float("nan"), float("inf"), True])
def test_what_is_no_cost_is_unknown(value: object) -> None:
    assert dollars_of(value) is None


@given(st.integers(400, 599))
def test_every_error_status_has_a_kind(status: int) -> None:
    assert kind_of_status(status) in {"provider", "rejected", "budget"}
    if status >= 500:
        assert kind_of_status(status) == "provider"


@given(st.text())
def test_a_line_is_a_short_line(text: str) -> None:
    line = one_line(text, 20)
    assert len(line) <= 20
    assert line.isprintable()
