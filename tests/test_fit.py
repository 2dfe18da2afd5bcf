"""A model serves a piece of work whole, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog.records import Model
from stepdown.decision import Needs
from stepdown.fit import fit

MODEL = Model(
    id="m",
    provider="p",
    context=200_000,
    output=64_000,
    features=frozenset({"tools", "images"}),
    protocols=("messages", "chat"),
)


def test_what_fits_fits_without_a_word() -> None:
    assert fit(MODEL, Needs(prompt=100_000, output=8_000)) == fit(MODEL, Needs())


def test_a_missing_feature_is_named() -> None:
    assert "thinking" in fit(MODEL, Needs(features=frozenset({"tools", "thinking"}))).misfit


def test_unknown_means_does_not_fit() -> None:
    blank = Model(id="m", provider="p", features=frozenset({"tools"}))
    assert "unknown" in fit(blank, Needs()).misfit
    assert "output cap" in fit(Model(id="m", provider="p", context=10, features=frozenset({"tools"})), Needs()).misfit
    assert fit(Model(id="m", provider="p"), Needs()).misfit


def test_a_maximum_is_clamped_and_a_demand_is_not() -> None:
    clamped = fit(MODEL, Needs(prompt=1000, output=128_000))
    assert not clamped.misfit
    assert clamped.adaptations == ("max_tokens 128000 -> 64000, the model's cap",)
    assert "64,000" in fit(MODEL, Needs(prompt=1000, output=128_000, output_adaptable=False)).misfit


def test_the_protocol_must_be_served() -> None:
    assert not fit(MODEL, Needs(protocol="chat")).misfit
    assert "responses" in fit(MODEL, Needs(protocol="responses")).misfit


@given(st.integers(0, 400_000), st.integers(0, 100_000))
def test_prompt_and_output_together_never_exceed_the_window(prompt: int, output: int) -> None:
    fits = fit(MODEL, Needs(prompt=prompt, output=output))
    assert bool(fits.misfit) == (prompt + min(output, 64_000) > 200_000)
