import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway import sse
from stepdown.gateway.sse import Events, data_of, name_of

STREAM = "event: a\ndata: {1}\n\n: a comment\n\ndata: x\ndata:y\nid: 7\n\nevent:b\nretry: 5\ndata:  ü\n\ndata: [DONE]\n\n"
SAID = [(b"a", b"{1}"), (b"", b""), (b"", b"x\ny"), (b"b", " ü".encode()), (b"", b"[DONE]")]


def read(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    events = Events()
    found = [event for piece in pieces for event in events.feed(piece)]
    return [(name_of(event), data_of(event)) for event in found + events.close()]


@st.composite
def cut(draw: st.DrawFn, text: bytes) -> list[bytes]:
    """`text` in pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@given(st.data(), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_a_stream_says_the_same_however_it_is_cut_and_whatever_ends_its_lines(data: st.DataObject, end: str, bom: bool) -> None:
    text = (b"\xef\xbb\xbf" if bom else b"") + STREAM.replace("\n", end).encode()
    assert read(data.draw(cut(text))) == SAID


@given(st.binary(max_size=200), st.data())
def test_any_bytes_say_the_same_however_they_are_cut(text: bytes, data: st.DataObject) -> None:
    whole = [said for said in read([text]) if said != (b"", b"")]
    assert [said for said in read(data.draw(cut(text))) if said != (b"", b"")] == whole


def test_an_event_is_given_as_soon_as_it_is_complete() -> None:
    events = Events()
    assert events.feed(b"data: 1\r\n\r") == [b"data: 1"]
    assert events.feed(b"\ndata: 2\n") == []
    assert events.feed(b"\n") == [b"data: 2"]
    assert events.close() == []


def test_the_last_event_counts_without_its_blank_line() -> None:
    assert read([b"data: 1\n\ndata: 2"]) == [(b"", b"1"), (b"", b"2")]


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST", 1000)
    events = Events()
    for _ in range(100):
        assert events.feed(b"x" * 100) == []
        assert len(events._buffer) <= 1000
    assert events.feed(b"rest\n\ndata: after\n\n") == [b"data: after"]


def test_what_is_written_can_be_read() -> None:
    assert read([sse.event("error", b"{}"), sse.event("", b"[DONE]")]) == [(b"error", b"{}"), (b"", b"[DONE]")]
