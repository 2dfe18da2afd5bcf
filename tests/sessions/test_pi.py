import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pi_story import START, answered, asked, call, entry, header, iso, result, told, write

from stepdown.sessions import values
from stepdown.sessions.pi import Pi
from stepdown.sessions.pi_entries import ONLY_SUMS, SUMMARIES
from stepdown.sessions.records import Log
from stepdown.sessions.values import HALF_WRITTEN, IMPOSSIBLE, TOO_LONG, UNCOUNTED

UNIT = "## UNIT: Execute Task T01\n\nM001/S01/T01: write two files.\n\n## Files to write\n\n- `a.md`\n- `src/b.py`\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions/--home-me-shop--/2026-11-23T15-29-22-000Z_0a1b.jsonl"


def read(file: Path, *entries: dict[str, Any]) -> Log:
    return Pi().read(write(file, entries))


def test_a_prompt_and_what_it_led_to(file: Path) -> None:
    log = read(
        file,
        header(),
        {"type": "model_change", "id": "b", "parentId": None, "timestamp": iso(START), "provider": "openai", "modelId": "x"},
        asked(1, UNIT),
        answered(2, call("read", path="a.md"), call("write", path="a.md"), call("edit", path="src/b.py")),
        result(3, failed=True),
        result(4),
        answered(5, call("edit", path="a.md")),
        asked(6, "Fix the typo in README.md"),
        answered(7, provider="openai-of-mine", model="gpt-5.4-mini"),
    )
    assert not log.troubles
    first, second = log.turns
    assert (first.type, first.id, first.origin) == ("execute-task", "M001/S01/T01", "plan")
    assert (first.files, first.calls, first.errors, first.at) == (2, 4, 1, START + 1)
    assert (first.session, first.conversation, first.project) == ("0a1b", "0a1b", "/home/me/shop")
    assert first.signals is not None
    assert first.signals.files == 2
    assert (second.type, second.id, second.origin, second.calls) == ("execute-task", "", "human", 0)
    assert [(one.turn, one.at, one.provider) for one in log.requests] == [
        (0, START + 2.5, "anthropic"),
        (0, START + 5.5, "anthropic"),
        (1, START + 7.5, ""),
    ]
    one = log.requests[0]
    assert (one.input, one.output, one.cache_read, one.cache_write, one.usd) == (7, 11, 13, 17, 0.02)
    assert len({one.key for one in log.requests}) == 3


def test_copies_in_forks_are_known_by_what_they_say_whatever_ids_they_got(file: Path) -> None:
    story = [asked(1, "Do it"), answered(2)]
    anew = [one | {"id": f"new{number}", "parentId": None} for number, one in enumerate(story)]
    without = [{key: value for key, value in one.items() if key not in ("id", "parentId")} for one in story]
    original = read(file, header(), *story)
    for copies, more in ((story, asked(3, "More")), (anew, asked(3, "More")), (without, asked(3, "More"))):
        fork = read(file, header(id="0c2d", parentSession=str(file)), *copies, more, answered(4))
        assert fork.requests[0].key == original.requests[0].key
        assert fork.requests[1].key != original.requests[0].key


def test_a_branch_within_a_session_is_told_once(file: Path) -> None:
    log = read(file, header(), asked(1, "Do it"), answered(2), asked(3, "No, so"), answered(4), answered(2))
    assert len(log.requests) == 2
    assert [one.turn for one in log.requests] == [0, 1]


def test_a_summary_empties_the_cache_and_its_own_request_is_missing(file: Path) -> None:
    summary = {
        "type": "compaction",
        "id": "c",
        "parentId": "b",
        "timestamp": iso(START + 3),
        "summary": "...",
        "tokensBefore": 9,
    }
    log = read(file, header(), asked(1, "Do it"), answered(2), summary, asked(4, "Go on"), answered(5), asked(6, "And"))
    assert [turn.fresh for turn in log.turns] == [False, True, False]
    assert log.troubles == {SUMMARIES: 1}


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"stopReason": "stop"}, ""),
        ({"stopReason": "aborted"}, "stopped"),
        ({"stopReason": "error", "errorMessage": "529 overloaded"}, "error"),
        ({"stopReason": "error", "errorMessage": "You have hit your ChatGPT usage limit (plus plan)."}, "limit"),
    ],
)
def test_how_a_turn_ended(file: Path, changes: dict[str, Any], ended: str) -> None:
    nothing = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0, "cost": {"total": 0}}
    log = read(file, header(), asked(1, "Do it"), answered(2, usage=nothing, **changes))
    assert log.turns[0].ended == ended
    assert not log.requests
    assert log.troubles == ({} if ended else {UNCOUNTED: 1})
    assert read(file, header(), asked(1, "Do it"), answered(2, **changes), answered(3)).turns[0].ended == ""


def test_what_an_extension_puts_in_goes_on_with_what_is_under_way(file: Path) -> None:
    log = read(
        file, header(), asked(1, "Do it"), told(2, "memory", "Remember this."), answered(3), told(4, "x", UNIT), answered(5)
    )
    assert [(turn.origin, turn.id) for turn in log.turns] == [("human", ""), ("plan", "M001/S01/T01")]


def test_what_pi_did_not_get_from_a_person_begins_nothing(file: Path) -> None:
    notice = "<system-reminder>The file was changed.</system-reminder>"
    log = read(file, header(), asked(1, "Do it"), answered(2), asked(3, notice), answered(4))
    assert len(log.turns) == 1
    assert len(log.requests) == 2


def test_a_subagent_is_a_unit_of_its_own(file: Path) -> None:
    messages = [answered(number)["message"] for number in (3, 4)]
    fresh = {"agent": "scout", "task": "Find it", "messages": messages, "usage": {"input": 14, "turns": 2}}
    used = {"input": 100, "output": 20, "cacheRead": 0, "cacheWrite": 0, "cost": 0.5, "turns": 3}
    summed = {"agent": "worker", "task": "Do it", "model": "gpt-5.4", "messages": [], "usage": used}
    forked = {"agent": "worker", "messages": messages, "sessionFile": "/home/me/.pi/agent/sessions/x.jsonl"}
    idle = {"agent": "idle", "messages": [], "usage": {"input": 0, "turns": 0}}
    back = result(5, mode="parallel", results=[fresh, summed, forked, idle])
    log = read(file, header(), asked(1, "Look around"), answered(2), back, back, answered(6))
    assert [(turn.type, turn.origin) for turn in log.turns] == [
        ("execute-task", "human"),
        ("subagent/scout", "subagent"),
        ("subagent/worker", "subagent"),
    ]
    assert len({turn.conversation for turn in log.turns}) == 3
    assert log.turns[1].at == START + 3
    assert [(one.turn, one.count, one.prompt) for one in log.requests] == [
        (0, 1, 37),
        (1, 1, 37),
        (1, 1, 37),
        (2, 3, 100),
        (0, 1, 37),
    ]
    assert log.requests[3].usd == 0.5
    assert log.troubles == {ONLY_SUMS: 1}


def test_no_price_is_no_price(file: Path) -> None:
    usage = {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0, "cost": {"total": 0}}
    assert read(file, header(), asked(1, "Do it"), answered(2, usage=usage)).requests[0].usd is None


def test_a_log_in_pieces(file: Path) -> None:
    write(file, [header(), asked(1, "Do it"), answered(2)])
    cut = "\ud83d of a pair that was cut"
    with file.open("ab") as stream:
        stream.write(json.dumps(answered(3, call("write", path=cut))).encode() + b"\n")
        stream.write(json.dumps(answered(4)).encode().replace(b"Done.", b"\xff\xfe") + b"\r\n\n")
        stream.write(b'[1]\n{"type": "message"}\n{"type": "message", "message": 7}\n{"type": 9}\n')
        for usage in ({"input": -1}, {"output": 1.5}, {"cacheRead": "many"}, {"cacheWrite": 1e300}):
            stream.write(json.dumps(answered(5, usage=usage)).encode() + b"\n")
        stream.write(json.dumps(answered(6)).encode()[:-9])
    log = Pi().read(file)
    assert len(log.requests) == 3
    assert log.troubles == {HALF_WRITTEN: 2, IMPOSSIBLE: 4}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log


def test_a_line_without_end_is_left_out_and_the_rest_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_LONGEST", 4096)
    long = told(3, "memory", "x" * 20_000)
    log = read(file, header(), asked(1, "Do it"), answered(2), long, answered(4))
    assert (len(log.requests), log.troubles) == (2, {TOO_LONG: 1})


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["type", "id", "timestamp", "message", "role", "content", "usage", "model", "provider", "details", "input"]
)


@settings(max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 3), NAMES, ODD), max_size=4))
def test_nothing_in_a_log_is_ever_raised(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str, object]]
) -> None:
    story = [
        header(),
        asked(1, UNIT),
        answered(2, call("edit", path="a")),
        result(3, results=[{"messages": [answered(4)["message"]]}]),
    ]
    for number, name, odd in changes:
        message = story[number].get("message")
        usage = message.get("usage") if isinstance(message, dict) else None
        for inner in (story[number], message, usage):
            if isinstance(inner, dict) and name in inner:
                inner[name] = odd
    log = Pi().read(write(tmp_path_factory.mktemp("odd") / "x.jsonl", story))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log
    assert all(0 <= one.turn < len(log.turns) and one.prompt + one.output > 0 for one in log.requests)


def test_where_it_looks(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert Pi().places(home, []) == [tmp_path / ".pi/agent/sessions"]
    assert Pi().places(home | {"PI_CODING_AGENT_DIR": "~/pi"}, []) == [tmp_path / "pi/sessions"]
    assert Pi().places(home | {"PI_CODING_AGENT_SESSION_DIR": "/s"}, [])[1:] == [Path("/s")]


def test_what_it_finds(file: Path) -> None:
    place = file.parent.parent
    assert list(Pi().files(place)) == []
    write(file, [header()])
    beside = write(place / "old.jsonl", [header()])
    (file.parent / "notes.txt").write_text("")
    assert list(Pi().files(place)) == [file, beside]
    before = Pi().stamp(file)
    write(file, [header(), asked(1, "Do it")])
    assert Pi().stamp(file) != before
    assert list(Pi().files(file)) == []
    with pytest.raises(OSError, match="No such file"):
        Pi().read(place / "gone.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(file: Path) -> None:
    write(file, [header()]).chmod(0)
    with pytest.raises(PermissionError):
        Pi().read(file)


def test_entries_of_a_kind_not_known_are_passed_over(file: Path) -> None:
    log = read(
        file, header(), entry(1, {"role": "bashExecution", "command": "ls"}), {"type": "label", "id": "l"}, {"type": "custom"}
    )
    assert log == Log()
