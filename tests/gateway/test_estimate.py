"""What a request used where no answer says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.estimate import SAMPLE, estimated, text_in
from stepdown.units import Tokens

WORDS = "a word or two "


def messages(text: str) -> dict[str, object]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def chat(text: str) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return {"id": "chatcmpl-" + "x" * 29, "model": "gpt-5.5", "choices": [choice], "usage": None, "obfuscation": "y" * 9}


def responses(text: str) -> dict[str, object]:
    return {"type": "response.output_text.delta", "item_id": "msg_" + "z" * 48, "output_index": 0, "delta": text}


@pytest.mark.parametrize("form", [messages, chat, responses])
@pytest.mark.parametrize("words", [1, 8])
def test_what_was_written_is_found_by_its_text(form: object, words: int) -> None:
    """However much there is around it."""
    assert callable(form)
    stream = b"".join(b"data: " + json.dumps(form(WORDS * words)).encode() + b"\n\n" for _ in range(300))
    used = estimated(None, prompt=77, size=len(stream), sample=stream[:SAMPLE])
    written = 300 * words * len(WORDS)
    assert used.input == 77
    assert written / 4 * 0.9 < used.output < written / 4 * 1.1


def test_what_was_told_of_the_prompt_is_kept() -> None:
    told = Tokens(input=5, cache_read=700, cache_write=3, output=90)
    assert estimated(told, prompt=9999, size=40, sample=b"") == told
    assert estimated(told, prompt=9999, size=4000, sample=b"") == Tokens(input=5, cache_read=700, cache_write=3, output=1000)


def test_an_answer_in_one_piece_is_taken_for_text() -> None:
    assert estimated(None, prompt=1, size=400, sample=b"").output == 100


@given(st.binary(max_size=200), st.integers(0, 10**9))
def test_any_bytes_have_a_length(sample: bytes, size: int) -> None:
    used = estimated(None, prompt=1, size=size, sample=sample)
    assert 0 <= used.output <= size
    assert text_in(sample) >= 0
