import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog.names import provider_name, split_window, without_date


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("claude-sonnet-4-5", ""),
        ("grok-4-0709", ""),
        ("codestral-2508", ""),
        ("model-20251301", ""),
        ("model-2025-0807", ""),
        ("model-20250929-fast", ""),
        ("20250929", ""),
    ],
)
def test_only_a_real_date_at_the_end_is_a_date_suffix(name: str, expected: str) -> None:
    assert without_date(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-opus-4-6[1m]", ("claude-opus-4-6", 1_000_000)),
        ("claude-opus-4-6[1M]", ("claude-opus-4-6", 1_000_000)),
        ("claude-opus-4-6[200k]", ("claude-opus-4-6", 200_000)),
        ("claude-opus-4-6", ("claude-opus-4-6", 0)),
        ("claude-opus-4-6[fast]", ("claude-opus-4-6[fast]", 0)),
        ("claude-opus-4-6[0m]", ("claude-opus-4-6[0m]", 0)),
        ("[1m]", ("", 1_000_000)),
    ],
)
def test_a_window_suffix_is_a_number_of_thousands_or_millions(name: str, expected: tuple[str, int]) -> None:
    assert split_window(name) == expected


def test_providers_go_by_the_names_that_resellers_and_agents_use() -> None:
    assert [provider_name(word) for word in ("moonshotai", "Z-AI", " x-ai ", "mistralai", "qwen", "acme")] == [
        "moonshot",
        "zai",
        "xai",
        "mistral",
        "alibaba",
        "acme",
    ]


@given(st.text())
def test_any_text_can_be_taken_apart(name: str) -> None:
    bare, window = split_window(name)
    assert name.startswith(bare)
    assert (window == 0) == (bare == name)
    assert name.startswith(without_date(name))
    assert provider_name(provider_name(name)) == provider_name(name)
