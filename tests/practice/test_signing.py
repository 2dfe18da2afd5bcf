from hypothesis import given
from hypothesis import strategies as st

from stepdown.practice.signing import sign, signer

NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1)


@given(NAMES, st.text())
def test_a_signature_names_who_signed(model: str, words: str) -> None:
    assert signer(sign(model, words), words) == model


@given(NAMES, st.text(), st.text())
def test_other_words_are_not_signed(model: str, words: str, others: str) -> None:
    assert (signer(sign(model, words), others) == model) == (words == others)


@given(st.text() | st.none() | st.integers())
def test_what_nobody_signed_has_no_signer(signature: object) -> None:
    assert not signer(signature, "words")
