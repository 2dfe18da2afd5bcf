"""Claude Code's logs in every state of repair: what is damaged is counted, the rest is read."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claude_logs import (
    SESSION,
    START,
    USAGE,
    answer,
    read,
    result,
    tool,
    user,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

from stepdown.sessions.bounded import lines
from stepdown.sessions.claude import ClaudeCode
from stepdown.sessions.claude_lines import decoded
from stepdown.sessions.claude_reading import Reading
from stepdown.sessions.records import Log


class TestBadInput:
    def test_each_kind_of_damage_is_counted_and_the_rest_is_read(self, tmp_path: Path) -> None:
        good = [json.dumps(line).encode() for line in (user("One"), answer("A", 1), answer("B", 2))]
        file = write(
            tmp_path / "s.jsonl",
            [
                b"\xef\xbb\xbf" + good[0] + b"\r\n",
                b"\n",
                b"\0\0\0\0\n",
                b"\0\0" + good[1] + b"\n",
                b"not json\n",
                b"[1, 2]\n",
                b"[" * 100_000 + b"\n",
                b'{"type": "of the future", "more": 1}\n',
                good[2].replace(b"Done.", b"Do\xff\xfene \\ud83e") + b"\n",
                good[2][:-30],
            ],
        )
        log = ClaudeCode().read(file)
        assert [one.key for one in log.requests] == ["msg_A:req_A", "msg_B:req_B"]
        assert log.troubles == {"lines that are not JSON": 3, "half-written lines": 1}

    @pytest.mark.parametrize("count", [-1, 10**12, 10**30, "many", [], 1.5])
    def test_impossible_counts_are_no_counts(self, count: object) -> None:
        log = read(user("One"), answer("A", 1, usage={**USAGE, "output_tokens": count}), answer("B", 2))
        assert [one.key for one in log.requests] == ["msg_B:req_B"]
        assert log.troubles == {"answers with impossible token counts": 1}

    @pytest.mark.parametrize("count", ["12", 12.0])
    def test_a_number_may_be_written_otherwise(self, count: object) -> None:
        assert read(user("One"), answer("A", 1, usage={**USAGE, "output_tokens": count})).requests[0].output == 12

    def test_other_spacing_and_order_say_the_same(self) -> None:
        parts = (user("One"), answer("A", 1, content=[tool("Edit", "t", file_path="a")]), result("t", "no", 2, error=True))
        spaced = [json.dumps(part, indent=1, sort_keys=True).replace("\n", " ").encode() + b"\n" for part in parts]
        assert read(*spaced) == read(*[json.dumps(part, separators=(",", ":")).encode() + b"\n" for part in parts])

    def test_a_field_of_another_form_spoils_only_itself(self) -> None:
        odd = user([{"type": "text", "text": "One"}, {"type": "image"}, "and this"], cwd=7, sessionId=None)
        call = {**tool("Edit", "t"), "input": "a.py"}
        log = read(odd, answer("A", 1, content=[call], requestRef=[1]))
        assert (log.turns[0].session, log.turns[0].calls, len(log.requests)) == (SESSION, 1, 1)

    def test_answers_without_counts_or_times(self) -> None:
        bare, untimed = answer("A", 1), answer("B", 1)
        del bare["message"]["usage"], bare["timestamp"], untimed["timestamp"]
        assert read(bare, untimed).troubles == {"answers without token counts": 1, "answers without a time": 1}

    def test_clocks_of_other_zones(self) -> None:
        log = read(
            user("One", timestamp="2026-06-01T11:00:00+02:00"),
            answer("A", 0, timestamp="2026-06-01T09:00:05"),
            answer("B", 0, timestamp="yesterday"),
        )
        assert log.turns[0].at == START
        assert [one.at for one in log.requests] == [START + 5, START + 5]
        assert log.troubles == {"times without a zone, read as UTC": 1}

    def test_a_line_that_is_too_long_is_skipped_and_not_held(self, tmp_path: Path) -> None:
        file = write(tmp_path / "s.jsonl", [b"short\n", b"x" * 3_000_000 + b"\n", b"exactly 10", b"\n", b"x" * 11])
        with file.open("rb") as stream:
            assert list(lines(stream, 10)) == [b"short\n", None, b"exactly 10\n", None]
        reading = Reading(SESSION)
        reading.take(None)
        assert reading.log().troubles == {"lines longer than 64 MB": 1}

    @given(st.binary(max_size=300))
    def test_no_bytes_are_too_odd(self, noise: bytes) -> None:
        read(noise, json.dumps(user("One")).encode()[:-1] + b"," + noise + b"}\n")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(answer("A", 1))), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        st.sampled_from(sorted(answer("A", 1)["message"])),
        st.sampled_from(["user", "assistant", "system", "cost-state", "api-request", "progress"]),
    )
    def test_no_form_is_too_odd_and_what_is_read_can_be_kept(self, odd: Any, field: str, kind: str) -> None:
        line = answer("A", 1, type=kind, modelUsage={"m": odd}, id=odd, agentId=odd)
        line["message"][field] = odd
        log = read(user("One"), line, {"type": kind, field: odd, "message": odd})
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log

    @given(st.integers(0, 6), st.integers(0, 400))
    def test_a_log_cut_anywhere_gives_what_was_whole(self, whole: int, cut: int) -> None:
        all_lines = [json.dumps(line).encode() + b"\n" for line in [user("One"), *(answer(f"A{n}", n) for n in range(1, 8))]]
        log = read(*all_lines[: whole + 1], all_lines[whole + 1][: min(cut, 400)])
        assert len(log.requests) == whole
        assert log.troubles == ({"half-written lines": 1} if cut else {})


def test_a_decoded_line_holds_no_result_of_a_tool() -> None:
    line = decoded(json.dumps(result("t", "secret", 1)).encode())
    assert line is not None
    assert "secret" not in repr(line)
