"""What is read of Codex's logs, in the forms that its versions have had. The real program: `tests/journeys/test_audit.py`."""

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from codex_logs import BEFORE_RECORDS, BEFORE_TASKS, NOW, START, VERSIONS, Session, name, usage
from hypothesis import given
from hypothesis import strategies as st

from stepdown.audit.history import gather
from stepdown.audit.price import Prices
from stepdown.catalog.catalogue import Catalog
from stepdown.sessions.codex import Codex
from stepdown.sessions.codex_answers import UNNAMED, UNTIMED
from stepdown.sessions.codex_lines import lines
from stepdown.sessions.codex_reading import NOT_JSON, UNCOUNTED, UNLOGGED, ZONELESS, Reading
from stepdown.sessions.records import Counted, Limit, Log, Turn
from stepdown.sessions.values import HALF_WRITTEN, IMPOSSIBLE, TOO_LONG

PATCH = "*** Begin Patch\n*** Add File: docs/a guide.md\n+hello\n*** Update File: src/b.py\n@@\n-x\n+y\n*** End Patch"
RATES = {"limit_id": "codex", "rate_limit_reached_type": None}


def read(raw: bytes, file: str = "rollout-of-nobody") -> Log:
    reading = Reading(file)
    for line in lines(io.BytesIO(raw)):
        reading.take(line)
    return reading.log()


def log_of(session: Session) -> Log:
    return read(session.bytes())


def numbers(log: Log) -> list[tuple[int, int, int, int]]:
    """Input, read and written, output of each request."""
    return [(one.input, one.cache_read, one.cache_write, one.output) for one in log.requests]


def types(log: Log) -> list[tuple[str, str, str]]:
    return [(turn.type, turn.id, turn.origin) for turn in log.turns]


def a_session(version: str = NOW) -> Session:
    session = Session(version)
    session.ask("Add a page about prices").call().answer(1_000, 0, 100, 50, 20).patch(PATCH).answer(1_300, 1_000, 0, 30).done()
    return session.ask("And translate it").answer(1_500, 1_200, 0, 40).done()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_each_form_says_the_same(version: str) -> None:
    session = a_session(version)
    log = log_of(session)
    assert numbers(log) == [(900, 0, 100, 50), (300, 1_000, 0, 30), (300, 1_200, 0, 40)]
    assert [request.turn for request in log.requests] == [0, 0, 1]
    assert {(one.model, one.provider, one.variant, one.searches) for one in log.requests} == {("gpt-5.4", "openai", "", 0)}
    assert types(log) == [("execute-task", "", "human")] * 2
    first, second = log.turns
    assert (first.conversation, first.session, first.project) == (session.id, session.id, "/home/me/shop")
    assert (first.files, first.calls, first.errors, first.ended, first.fresh) == (2, 2, 0, "", False)
    assert first.signals is not None
    assert (second.files, second.calls) == (0, 0)
    assert START < first.at < log.requests[0].at < log.requests[1].at < second.at
    assert len({request.key for request in log.requests}) == 3
    assert log.counted == (Counted(session.id, "gpt-5.4", log.counted[0].at, 1_500, 120, 2_200, 100),)
    assert log.troubles == {}


def test_no_text_of_anyone_is_kept() -> None:
    said = msgspec.json.encode(log_of(a_session()))
    for word in (b"prices", b"translate", b"guide", b"Begin Patch"):
        assert word not in said


@pytest.mark.parametrize("version", VERSIONS)
def test_a_count_that_is_said_again_is_no_answer(version: str) -> None:
    session = Session(version).ask("Hello").answer(1_000, 0, 0, 50)
    own = (1_000, 0, 0, 50, 0)
    session.count(own).count(own, {**RATES, "primary": {"used_percent": 9.0, "window_minutes": 300}}).count((0, 0, 0, 0, 0))
    assert numbers(log_of(session)) == [(1_000, 0, 0, 50)]


def test_answers_of_the_same_size_are_two() -> None:
    session = Session().ask("Hello").answer(1_000, 0, 0, 50).answer(1_000, 0, 0, 50)
    log = log_of(session)
    assert numbers(log) == [(1_000, 0, 0, 50)] * 2
    assert len({request.key for request in log.requests}) == 2


def test_where_an_answer_is_told_only_by_the_total_it_is_what_was_added() -> None:
    session = Session(BEFORE_RECORDS).ask("Hello").answer(1_000, 0, 0, 50)
    session.total = (2_500, 800, 0, 80, 0)
    session.event("token_count", info={"total_token_usage": usage(session.total)})
    assert numbers(log_of(session)) == [(1_000, 0, 0, 50), (700, 800, 0, 30)]


def test_a_total_that_begins_anew_goes_on_with_what_it_says() -> None:
    session = Session(BEFORE_TASKS).ask("Hello").answer(1_000, 0, 0, 50)
    session.total = (0, 0, 0, 0, 0)
    log = log_of(session.ask("More").answer(700, 0, 0, 20))
    assert numbers(log) == [(1_000, 0, 0, 50), (700, 0, 0, 20)]
    assert [(one.input, one.output) for one in log.counted] == [(1_700, 70)]


def test_what_codex_counted_is_kept_by_the_model_it_grew_under() -> None:
    session = Session().ask("Hello").answer(1_000, 0, 0, 50)
    session.model = "gpt-5.4-mini"
    session.ask("More").answer(3_000, 1_000, 0, 70)
    assert [(one.model, one.input, one.cache_read, one.output) for one in log_of(session).counted] == [
        ("gpt-5.4", 1_000, 0, 50),
        ("gpt-5.4-mini", 2_000, 1_000, 70),
    ]


# Forks.


@pytest.mark.parametrize("version", [BEFORE_RECORDS, BEFORE_TASKS])
def test_a_copy_in_a_fork_has_the_keys_of_its_origin(version: str) -> None:
    session = a_session(version)
    fork = session.forked(at=START + 500)
    fork.ask("Another way").answer(1_500, 1_200, 0, 40)
    grandchild = fork.forked(at=START + 900)
    grandchild.ask("Yet another").answer(2_000, 1_500, 0, 60)
    origin, child, last = log_of(session), log_of(fork), log_of(grandchild)
    keys = [request.key for request in origin.requests]
    assert [request.key for request in child.requests][:3] == keys
    assert [request.key for request in last.requests][:4] == [request.key for request in child.requests]
    assert len({request.key for request in last.requests}) == 5
    assert [(one.session, one.input, one.output) for one in child.counted] == [(fork.id, 300, 40)]
    # Whatever the order they are read in, each answer is there once, where it was first.
    history = gather({"codex": [last, child, origin]}, Prices(Catalog.load()))
    assert history.duplicates == 7
    assert [(work.turn.conversation, len(work.requests)) for work in history.units] == [
        (session.id, 2),
        (session.id, 1),
        (fork.id, 1),
        (grandchild.id, 1),
    ]
    # Of a fork's fork of then, nothing says which part is whose: that the first one's count is not compared is right.
    assert history.partial == {"codex": frozenset() if version == BEFORE_RECORDS else frozenset({session.id})}


def test_a_copy_belongs_to_the_thread_that_it_was_made_in() -> None:
    session = a_session(BEFORE_RECORDS)
    fork = session.forked(at=START + 500)
    fork.ask("Another way").answer(1_500, 1_200, 0, 40)
    log = log_of(fork.forked(at=START + 900).ask("Yet another").answer(2_000, 1_500, 0, 60))
    assert [turn.conversation for turn in log.turns] == [session.id, session.id, fork.id, name(START + 900)]


def test_a_fork_that_copies_nothing_goes_on_with_a_sum_that_is_not_its_own() -> None:
    session = a_session()
    fork = Session(at=START + 500, forked_from_id=session.id, history_mode="paginated")
    fork.total = session.total
    fork.ask("Another way")
    fork.count((1_500, 1_200, 0, 40, 0))  # refused, say: the sum and the last answer are those of the origin
    log = log_of(fork.answer(1_600, 1_200, 0, 45))
    assert numbers(log) == [(400, 1_200, 0, 45)]
    assert [(one.input, one.cache_read, one.output) for one in log.counted] == [(400, 1_200, 45)]


def test_meters_in_a_copy_are_those_of_its_origin() -> None:
    window = {"used_percent": 50.0, "window_minutes": 300, "resets_at": START + 3_600}
    session = Session(BEFORE_RECORDS).ask("Hello").answer(1_000, 0, 0, 50, rates={**RATES, "primary": window})
    assert len(log_of(session).limits) == 1
    assert log_of(session.forked(at=START + 500)).limits == ()


# Sub-agents.


@pytest.mark.parametrize(
    ("source", "kind", "origin"),
    [
        (
            {"subagent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1, "agent_role": "explorer"}}},
            "explorer",
            "subagent",
        ),
        ({"subagent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1, "agent_role": None}}}, "default", "subagent"),
        ({"subagent": "review"}, "review", "subagent"),
        ({"subagent": {"other": "guardian"}}, "guardian", "subagent"),
        ({"subagent": "compact"}, "compaction", "agent"),
        ({"subagent": "memory_consolidation"}, "memory", "agent"),
        ({"internal": "memory_consolidation"}, "memory", "agent"),
        ({"subagent": {"something": {"new": 1}}}, "unknown", "subagent"),
        ({"subagent": "two\nlines"}, "unknown", "subagent"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_sub_agents_thread_is_units_of_its_kind(version: str, source: object, kind: str, origin: str) -> None:
    log = log_of(Session(version, source=source).ask("Look around").call().answer(1_000, 0, 0, 50))
    assert types(log) == [(f"subagent/{kind}", "", origin)]
    assert log.turns[0].signals is None
    assert log.turns[0].calls == 1


def test_each_task_of_a_sub_agent_is_a_unit_whether_its_prompt_can_be_read_or_not() -> None:
    session = Session(source={"subagent": {"thread_spawn": {"agent_role": "worker"}}})
    session.begin().context().answer(1_000, 0, 0, 50).done()
    session.begin().context().answer(1_100, 900, 0, 50).done()
    log = log_of(session)
    assert types(log) == [("subagent/worker", "", "subagent")] * 2
    assert [request.turn for request in log.requests] == [0, 1]


def test_what_a_sub_agent_copies_is_no_work_of_a_sub_agent() -> None:
    session = a_session(BEFORE_RECORDS)
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": session.id, "agent_role": None}}}
    child = session.forked(at=START + 500, source=spawned)
    log = log_of(child.ask("Look around").answer(900, 0, 0, 10).done())
    assert types(log) == [("execute-task", "", "human")] * 2 + [("subagent/default", "", "subagent")]
    assert [turn.conversation for turn in log.turns] == [session.id, session.id, child.id]
    assert [one.input for one in log.counted] == [900]


def test_a_copy_that_leaves_out_settings_is_no_trouble() -> None:
    session = a_session(BEFORE_RECORDS)
    child = session.forked(at=START + 500)
    child.lines = [line for line in child.lines if line["type"] != "turn_context"]
    log = log_of(child.ask("Go on").answer(900, 0, 0, 10))
    assert [request.model for request in log.requests] == ["", "", "", "gpt-5.4"]
    assert log.troubles == {}


# Units.


def test_a_prompt_that_names_a_unit_of_a_plan_is_that_unit() -> None:
    prompt = "## UNIT: Execute Task T01\n\nM001/S01/T01: write two files.\n"
    assert types(log_of(Session().ask(prompt).answer(1_000))) == [("execute-task", "M001/S01/T01", "plan")]
    sub = Session(source={"subagent": "review"}).ask(prompt).answer(1_000)
    assert types(log_of(sub)) == [("execute-task", "M001/S01/T01", "plan")]


def test_plan_mode_is_planning_wherever_the_log_says_it() -> None:
    session = Session().ask("How?", mode="plan").answer(1_000).done().ask("Do it").answer(1_200).done()
    assert [turn.type for turn in log_of(session).turns] == ["plan-slice", "execute-task"]
    late = Session(BEFORE_TASKS).say("How?")
    late.add("turn_context", {"model": "gpt-5.4", "collaboration_mode": {"mode": "plan"}}).answer(1_000)
    assert [turn.type for turn in log_of(late).turns] == ["plan-slice"]


def test_prompts_that_are_sent_together_are_one_unit_and_one_sent_later_is_another() -> None:
    session = Session().ask("Do this").say("and that").call().answer(1_000).say("no, stop, otherwise").answer(1_200)
    log = log_of(session)
    assert [request.turn for request in log.requests] == [0, 1]
    assert len(log.turns) == 2


def test_what_codex_itself_puts_in_as_a_users_message_begins_nothing() -> None:
    session = Session(BEFORE_RECORDS).ask("Do this").answer(1_000)
    session.item(
        "message", role="user", content=[{"type": "input_text", "text": "Warning: apply_patch was requested via shell."}]
    )
    session.event("user_message", message="<environment_context>\n  <cwd>/home/me</cwd>\n</environment_context>", images=[])
    log = log_of(session.answer(1_100))
    assert [request.turn for request in log.requests] == [0, 0]
    assert len(log.turns) == 1


def test_a_reviews_own_prompt_in_the_log_of_its_parent_begins_nothing() -> None:
    session = Session().ask("Hello").answer(1_000)
    item = {"type": "UserMessage", "content": [{"type": "text", "text": "look at it"}]}
    session.event("item_completed", thread_id=name(START + 50), turn_id=name(START + 50), item=item)
    assert len(log_of(session).turns) == 1


def test_what_an_editor_puts_before_a_prompt_says_nothing_of_the_work() -> None:
    plain = log_of(Session().ask("Fix a typo in README.md").answer(1_000))
    around = "# Context from my IDE setup:\n\n## Open tabs:\n- migrate.py: src/migrate.py\n\n## My request for Codex:\n"
    editor = log_of(Session().ask(f"{around}Fix a typo in README.md\n").answer(1_000))
    assert [turn.signals for turn in editor.turns] == [turn.signals for turn in plain.turns]


def test_work_that_nobody_asked_for_is_a_unit_as_well() -> None:
    log = log_of(Session().begin().context().call().answer(1_000))
    assert types(log) == [("execute-task", "", "human")]
    assert log.turns[0].signals is None


@pytest.mark.parametrize(
    "call",
    [
        {"kind": "custom_tool_call", "name": "apply_patch", "input": PATCH},
        {"kind": "function_call", "name": "apply_patch", "arguments": json.dumps({"input": PATCH})},
        {"kind": "function_call", "name": "shell", "arguments": json.dumps({"command": ["apply_patch", PATCH]})},
        {"kind": "function_call", "name": "exec_command", "arguments": json.dumps({"cmd": f"apply_patch <<'E'\n{PATCH}\nE\n"})},
        {"kind": "custom_tool_call", "name": "exec", "input": f"text(await tools.apply_patch({json.dumps(PATCH)}))"},
        {"kind": "custom_tool_call", "name": "exec", "input": f"text(await tools.apply_patch(`{PATCH}`))"},
    ],
)
def test_files_are_those_a_patch_adds_or_updates_however_it_is_applied(call: dict[str, Any]) -> None:
    session = Session().ask("Write").item(call.pop("kind"), **call).item("function_call", **{**call, "type": "function_call"})
    (turn,) = log_of(session.answer(1_000)).turns
    assert (turn.files, turn.calls) == (2, 2)


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ('{"output":"no\\n","metadata":{"exit_code":1,"duration_seconds":0.1}}', True),
        ('{"output":"\\"exit_code\\":1","metadata":{"exit_code":0,"duration_seconds":0.1}}', False),
        ("Exit code: 3\nWall time: 0 seconds\nOutput:\n", True),
        ("Exit code: 0\nWall time: 0 seconds\nOutput:\nExit code: 3\n", False),
        ("Chunk ID: 1b82dd\nWall time: 0.0000 seconds\nProcess exited with code 127\nOutput:\n", True),
        ("Chunk ID: 1b82dd\nWall time: 0.0000 seconds\nProcess exited with code 0\nOutput:\nProcess exited with code 1", False),
        ("Wall time: 0.0000 seconds\nOutput:\nExit code: 1\nOutput:\n", True),
        ([{"type": "input_text", "text": "Script failed\nWall time 0.2 seconds\nOutput:\n"}], True),
        ([{"type": "input_text", "text": "Script completed\nWall time 0.2 seconds\nOutput:\n"}], False),
        ({"content": "not there", "success": False}, True),
        ({"content": "there", "success": True}, False),
        ("Exit code: -1\nOutput:\n", True),
        ("the words Exit code: 1 within a text", False),
        (None, False),
    ],
)
def test_errors_are_what_codex_marked_as_failed(output: object, failed: bool) -> None:
    session = Session().ask("Do it").call(output).answer(1_000)
    for raw in (session.bytes(), session.bytes(indent=None)):  # as it is written, and with spaces
        assert read(raw).turns[0].errors == failed


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (("turn_aborted", {"reason": "interrupted"}), "stopped"),
        (("turn_aborted", {"reason": "review_ended"}), ""),
        (("task_complete", {"error": {"message": "x", "codex_error_info": "usage_limit_exceeded"}}), "limit"),
        (("task_complete", {"error": {"message": "x", "codex_error_info": {"http_connection_failed": {}}}}), "error"),
        (("task_complete", {"error": None}), ""),
        (("error", {"message": "You've hit your usage limit. Try again in 3 days."}), "limit"),
        (("error", {"message": "stream disconnected before completion"}), "error"),
    ],
)
def test_how_a_unit_ended(end: tuple[str, dict[str, object]], how: str) -> None:
    kind, said = end
    session = Session().ask("One").answer(1_000).done().ask("Two").answer(1_100)
    assert [turn.ended for turn in log_of(session.event(kind, turn_id=session.task, **said)).turns] == ["", how]


def test_a_task_that_fails_before_it_had_a_prompt_says_nothing_of_the_unit_before() -> None:
    session = Session().ask("One").answer(1_000).done().begin()
    session.event("task_complete", turn_id=session.task, error={"message": "compaction failed", "codex_error_info": "other"})
    assert [turn.ended for turn in log_of(session).turns] == [""]


# Compaction.


@pytest.mark.parametrize("version", VERSIONS)
def test_compaction_is_a_unit_of_its_own_and_the_next_begins_fresh(version: str) -> None:
    session = Session(version).ask("One").answer(90_000, 0, 0, 500).done()
    session.begin().answer(90_600, 90_000, 0, 900).compact().count((0, 0, 0, 0, 0)).done()
    log = log_of(session.ask("Two").answer(3_000, 0, 0, 40).done().ask("Three").answer(3_100, 3_000, 0, 40))
    assert [log.turns[request.turn].type for request in log.requests] == [
        "execute-task",
        "subagent/compaction",
        "execute-task",
        "execute-task",
    ]
    assert [(turn.origin, turn.fresh) for turn in log.turns] == [
        ("human", False),
        ("agent", False),
        ("human", True),
        ("human", False),
    ]
    assert {turn.conversation for turn in log.turns} == {session.id}
    assert log.troubles == {}


def test_compaction_amid_a_unit_leaves_the_rest_of_it_where_it_was() -> None:
    session = Session().ask("One").call().answer(90_000, 0, 0, 500).call().answer(90_600, 90_000, 0, 900).compact()
    log = log_of(session.answer(3_000, 0, 0, 40).done().ask("Two").answer(3_100, 3_000, 0, 40))
    assert [log.turns[request.turn].type for request in log.requests] == [
        "execute-task",
        "subagent/compaction",
        "execute-task",
        "execute-task",
    ]
    assert log.requests[0].turn == log.requests[2].turn
    assert not any(turn.fresh for turn in log.turns)


def test_compaction_by_the_provider_is_the_answer_that_the_log_names() -> None:
    session = Session().ask("One").answer(90_000, 0, 0, 500, response="resp_a").call()
    own = (90_600, 90_000, 0, 900, 0)
    session.total = (180_600, 90_000, 0, 1_400, 0)
    session.record(own, "resp_b").context().compact(message="", compaction_response_id="resp_b")
    session.total = (90_000, 0, 0, 500, 0)  # in `token_count` it is not contained
    session.count((0, 0, 0, 0, 0))
    log = log_of(session.answer(3_000, 0, 0, 40))
    assert [log.turns[request.turn].type for request in log.requests] == ["execute-task", "subagent/compaction", "execute-task"]
    assert numbers(log) == [(90_000, 0, 0, 500), (600, 90_000, 0, 900), (3_000, 0, 0, 40)]


def test_compaction_that_the_log_tells_no_tokens_of_is_named() -> None:
    session = Session(BEFORE_RECORDS).ask("One").call().answer(90_000, 0, 0, 500).call()
    log = log_of(session.compact(message="").answer(3_000, 0, 0, 40))
    assert [log.turns[request.turn].type for request in log.requests] == ["execute-task"] * 2
    assert log.troubles == {UNLOGGED: 1}


# Meters.


def test_meters_are_told_once_per_state() -> None:
    def rates(primary: float, secondary: float) -> dict[str, object]:
        five = {"used_percent": primary, "window_minutes": 300, "resets_at": int(START) + 3_600}
        week = {"used_percent": secondary, "window_minutes": 10_080, "resets_at": int(START) + 86_400}
        return {**RATES, "primary": five, "secondary": week}

    session = Session().ask("One")
    session.answer(1_000, rates=rates(10, 50)).answer(1_100, rates=rates(10, 50)).answer(1_200, rates=rates(12.5, 50))
    log = log_of(session)
    at = [request.at for request in log.requests]
    assert [(one.window, one.used, one.resets, one.reached) for one in log.limits] == [
        ("5h", 0.1, START + 3_600, False),
        ("week", 0.5, START + 86_400, False),
        ("5h", 0.125, START + 3_600, False),
    ]
    assert at[0] <= log.limits[0].at < at[1] < at[2] <= log.limits[2].at


def test_a_reset_that_is_said_in_seconds_from_now_is_the_same_state() -> None:
    session = Session(BEFORE_TASKS).ask("One")
    for left in (3_600, 3_597, 3_594):
        window = {"used_percent": 10.0, "window_minutes": 299, "resets_in_seconds": left}
        session.answer(1_000, rates={"primary": window, "secondary": None})
    (limit,) = log_of(session).limits
    assert (limit.window, limit.used) == ("299m", 0.1)
    assert limit.resets == limit.at + 3_600


def test_the_meter_of_a_single_model_is_not_the_plans() -> None:
    window = {"used_percent": 99.0, "window_minutes": 300}
    session = Session().ask("One").answer(1_000, rates={**RATES, "limit_id": "codex_other", "primary": window})
    assert log_of(session).limits == ()


def test_a_full_window_is_the_one_that_refused() -> None:
    full = {"used_percent": 100.0, "window_minutes": 300, "resets_at": START + 600}
    week = {"used_percent": 40.0, "window_minutes": 10_080, "resets_at": START + 9_000}
    session = Session().ask("One").answer(1_000, rates={**RATES, "primary": full, "secondary": week}).done().ask("Two")
    session.event("task_complete", turn_id=session.task, error={"message": "", "codex_error_info": "usage_limit_exceeded"})
    log = log_of(session)
    assert log.limits[-1] == Limit(log.limits[-1].at, "5h", 1.0, START + 600, reached=True)
    assert sum(one.reached for one in log.limits) == 1
    assert log.turns[-1].ended == "limit"


def test_a_refusal_without_a_meter_is_said_without_one() -> None:
    session = Session().ask("One")
    session.event("error", message="x", codex_error_info="usage_limit_exceeded")
    (limit,) = log_of(session).limits
    assert (limit.window, limit.used, limit.resets, limit.reached) == ("", None, None, True)
    reached = Session().ask("One").answer(1_000, rates={"rate_limit_reached_type": "rate_limit_reached"})
    assert [one.reached for one in log_of(reached).limits] == [True]


# What makes a price another.


def test_another_tier_of_service_is_told_as_long_as_it_holds() -> None:
    session = Session().ask("One")
    settings = {"model": "gpt-5.4", "model_provider_id": "openai"}
    session.event("thread_settings_applied", thread_settings={**settings, "service_tier": "priority"}).answer(1_000)
    session.event("thread_settings_applied", thread_settings={**settings, "service_tier": "default"}).answer(1_100)
    session.event("thread_settings_applied", thread_settings={**settings, "service_tier": "flex"}).answer(1_200)
    session.event("thread_settings_applied", thread_settings=settings).answer(1_300)
    assert [request.variant for request in log_of(session).requests] == ["priority", "", "flex", ""]


def test_searches_belong_to_the_answer_they_were_made_for() -> None:
    session = Session().ask("One")
    for action in ({"type": "search", "query": "x"}, {"type": "open_page", "url": "x"}, {"type": "search", "query": "y"}):
        session.item("web_search_call", status="completed", action=action)
    session.answer(1_000).answer(1_100).item("web_search_call", status="completed")
    log = log_of(session)
    assert [request.searches for request in log.requests] == [2, 1]
    assert log.turns[0].calls == 4


@pytest.mark.parametrize(("named", "ours"), [("openai", "openai"), ("my-own-proxy", ""), ("openrouter", "openrouter")])
def test_the_provider_is_told_where_stepdown_knows_it(named: str, ours: str) -> None:
    session = Session(model_provider=named).ask("One").answer(1_000)
    assert [request.provider for request in log_of(session).requests] == [ours]


# Bad input.


def test_a_model_that_is_not_named_is_not_guessed() -> None:
    session = Session(BEFORE_TASKS).say("Hello").answer(1_000).context().answer(1_200)
    log = log_of(session)
    assert [request.model for request in log.requests] == ["", "gpt-5.4"]
    assert log.troubles == {UNNAMED: 1}


def test_sessions_that_count_nothing_are_named() -> None:
    assert log_of(Session(BEFORE_TASKS).ask("Hello").call()).troubles == {UNCOUNTED: 1}
    assert log_of(Session(BEFORE_TASKS).ask("Hello")).troubles == {}  # nothing was answered
    oldest = [
        {"id": "205976f5-99cf-436a-90f6-0a6eed363a25", "timestamp": "2025-08-01T00:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "id": None, "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    ]
    assert read("\n".join(map(json.dumps, oldest)).encode()) == Log(troubles={UNCOUNTED: 1})


@pytest.mark.parametrize(
    ("own", "trouble", "kept"),
    [
        ({"input_tokens": -5, "output_tokens": 1}, IMPOSSIBLE, []),
        ({"input_tokens": "many", "output_tokens": 1}, IMPOSSIBLE, []),
        ({"input_tokens": 1e30, "output_tokens": 1}, IMPOSSIBLE, []),
        ({"input_tokens": 2.5, "output_tokens": 1}, IMPOSSIBLE, []),
        ([], IMPOSSIBLE, []),
        ({"input_tokens": 100, "cached_input_tokens": 150, "output_tokens": 1}, IMPOSSIBLE, [(0, 100, 0, 1)]),
        ({"input_tokens": 100, "cached_input_tokens": None, "output_tokens": 1}, "", [(100, 0, 0, 1)]),
        ({"input_tokens": 100.0, "output_tokens": 1}, "", [(100, 0, 0, 1)]),
    ],
)
@pytest.mark.parametrize("as_record", [True, False])
def test_odd_numbers_are_named_and_not_counted(own: object, trouble: str, kept: list[object], as_record: bool) -> None:
    session = Session().ask("Hello")
    if as_record:
        session.add("token_usage_record", {"turn_id": session.task, "usage": own})
    else:
        session.event("token_count", info={"last_token_usage": own})
    log = log_of(session)
    assert numbers(log) == kept
    assert log.troubles == ({trouble: 1} if trouble else {})


def test_an_odd_meter_is_left_out() -> None:
    odd: list[object] = [{"used_percent": "much"}, {"used_percent": -1}, {"used_percent": None}, [], 7]
    for window in odd:
        session = Session().ask("Hello").answer(1_000, rates={**RATES, "primary": window})
        assert (log_of(session).limits, len(log_of(session).requests)) == ((), 1)
    session = Session().ask("Hello").answer(1_000, rates={**RATES, "primary": {"used_percent": 120, "resets_at": 1e14}})
    assert [(one.window, one.used, one.resets) for one in log_of(session).limits] == [("", 1.0, None)]


def test_lines_that_are_no_lines_are_counted_and_the_rest_is_read() -> None:
    whole = a_session().bytes().splitlines(keepends=True)
    odd = [b"not json\n", b'{"timestamp":"2026-05\n', b"[1, 2]\n", b"\n", b"\0\0\0\n", b'{"type":"event_msg","payload":null}\n']
    log = read(b"".join([*whole[:4], *odd, *whole[4:]]) + b'{"timestamp":"2026-05-28T2')
    assert log.troubles == {NOT_JSON: 3, HALF_WRITTEN: 1}
    assert log.requests == log_of(a_session()).requests


def test_a_line_that_is_too_long_is_passed_over_without_being_held() -> None:
    raw = b'{"type":"a"}\n' + b"x" * 700_000 + b"\n" + b'{"type":"b"}\n' + b"y" * 50
    assert list(lines(io.BytesIO(raw), longest=40)) == [b'{"type":"a"}\n', None, b'{"type":"b"}\n', None]
    reading = Reading("x")
    reading.take(None)
    assert reading.log().troubles == {TOO_LONG: 1}


def test_bytes_that_are_no_utf_8_do_not_hide_what_a_line_says() -> None:
    session = Session().ask("Hello §").answer(1_000).call("§").ask("More §").answer(1_100)
    raw = session.bytes().replace("§".encode(), b"\xff\xfe")
    assert read(raw).requests == log_of(session).requests
    half = session.bytes().replace("§".encode(), b"\\ud83d")
    assert read(half).requests == log_of(session).requests


def test_times_of_other_zones_are_the_same_moments() -> None:
    session = Session().ask("Hello").answer(1_000)
    for line in session.lines:
        hour = int(line["timestamp"][11:13])
        line["timestamp"] = f"{line['timestamp'][:11]}{hour + 2:02}{line['timestamp'][13:-1]}+02:00"
    assert log_of(session) == log_of(Session().ask("Hello").answer(1_000))


def test_times_without_a_zone_are_utc_and_said_to_be() -> None:
    session = Session().ask("Hello").answer(1_000)
    raw = session.bytes().replace(b'Z","type"', b'","type"')
    log = read(raw)
    assert log.requests == log_of(session).requests
    assert log.troubles.keys() == {ZONELESS}


def test_an_answer_without_any_time_is_not_dated_by_guess() -> None:
    session = Session().ask("Hello").answer(1_000)
    for line in session.lines:
        line["timestamp"] = "yesterday"
    log = log_of(session)
    assert (log.requests, log.troubles) == ((), {UNTIMED: 1})


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_stands_where_something_else_should_it_is_read(data: st.DataObject) -> None:
    window = {"used_percent": 5.0, "window_minutes": 300, "resets_at": 1}
    session = Session(source={"subagent": {"thread_spawn": {"agent_role": "worker"}}}, forked_from_id="x").ask("One")
    session.call().answer(90_000, rates={**RATES, "primary": window}).compact().done(error={"message": "x"})
    line = data.draw(st.sampled_from(session.lines))
    place: Any = line
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not (isinstance(place[key], dict | list) and place[key]) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ODD)
    log = log_of(session)
    assert all(0 <= request.turn < len(log.turns) for request in log.requests)
    assert all(min(request.input, request.output, request.cache_read, request.cache_write) >= 0 for request in log.requests)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log


def _shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(one, dice) for one in value]
    if not isinstance(value, dict):
        return value
    items = list(value.items())
    dice.shuffle(items)
    return {key: _shuffled(one, dice) for key, one in items}


def everything(version: str) -> Session:
    session = a_session(version).call("Exit code: 2\nOutput:\n")
    session.event("exec_command_end", call_id="1", aggregated_output='"type":"token_count"', exit_code=2)
    session.item("reasoning", summary=[], encrypted_content="x" * 50)
    session.ask("Go on", mode="plan").answer(90_000, rates={**RATES, "primary": {"used_percent": 5, "window_minutes": 300}})
    return session.begin().answer(90_600).compact().done().ask("More").answer(3_000)


@given(st.randoms(use_true_random=False), st.sampled_from(VERSIONS))
def test_the_order_of_keys_and_the_spaces_between_them_change_nothing(dice: random.Random, version: str) -> None:
    session = everything(version)
    plain = log_of(session)
    assert plain.requests
    session.lines = [_shuffled(line, dice) for line in session.lines]
    assert log_of(session) == plain
    assert read(session.bytes(indent=None, separators=(" , ", " : "))) == plain


@given(st.data())
def test_a_log_that_is_cut_anywhere_says_what_stands_in_it_so_far(data: st.DataObject) -> None:
    session = everything(data.draw(st.sampled_from(VERSIONS)))
    raw, whole = session.bytes(), log_of(session)
    log = read(raw[: data.draw(st.integers(0, len(raw)))])
    keys = [request.key for request in whole.requests]
    assert [request.key for request in log.requests] == keys[: len(log.requests)]
    assert set(log.troubles) <= {HALF_WRITTEN, UNCOUNTED}
    assert not log.requests or UNCOUNTED not in log.troubles


# Where they are.


def test_they_are_looked_for_in_codexs_home(tmp_path: Path) -> None:
    source = Codex()
    assert (source.name, source.title) == ("codex", "Codex")
    assert source.places({"HOME": "/home/me"}, []) == [
        Path("/home/me/.codex/sessions"),
        Path("/home/me/.codex/archived_sessions"),
    ]
    assert source.places({"HOME": "/home/me", "CODEX_HOME": "/c"}, []) == [Path("/c/sessions"), Path("/c/archived_sessions")]
    assert list(source.files(tmp_path / "nowhere")) == []


def test_every_thread_is_found_in_the_order_they_began_and_nothing_else(tmp_path: Path) -> None:
    later, first = Session(at=START + 9_000).write(tmp_path), a_session().write(tmp_path)
    packed = first.with_name("rollout-2026-05-29-x.jsonl.zst")
    packed.write_bytes(b"(\xb5/\xfd")
    (tmp_path / "notes.jsonl").write_text("{}\n")
    (tmp_path / "rollout-x.txt").write_text("{}\n")
    assert list(Codex().files(tmp_path)) == [first, later, packed]
    assert Codex().stamp(first) == (first.stat().st_size, first.stat().st_mtime_ns)


def test_a_place_that_cannot_be_listed_says_why(tmp_path: Path) -> None:
    circle = tmp_path / "sessions"
    circle.symlink_to(circle)
    with pytest.raises(OSError, match="symbolic links"):
        list(Codex().files(circle))


def test_a_file_is_read_and_one_that_cannot_be_says_why(tmp_path: Path) -> None:
    file = a_session().write(tmp_path)
    assert Codex().read(file) == log_of(a_session())
    with pytest.raises(FileNotFoundError):
        Codex().read(tmp_path / "rollout-gone.jsonl")
    with pytest.raises(OSError, match="compressed with zstd"):
        Codex().read(tmp_path / "rollout-x.jsonl.zst")


@pytest.mark.parametrize("lose", [lambda raw: raw.partition(b"\n")[2], lambda raw: raw.replace(b'"id":', b'"ID":', 1)])
def test_a_thread_whose_head_is_lost_is_called_as_its_file(tmp_path: Path, lose: Callable[[bytes], bytes]) -> None:
    session = a_session()
    file = session.write(tmp_path)
    file.write_bytes(lose(file.read_bytes()))
    log = Codex().read(file)
    assert {turn.session for turn in log.turns} == {session.id}
    assert [request.key for request in log.requests] == [request.key for request in log_of(session).requests]


def test_what_is_written_while_it_is_read_is_read_the_next_time(tmp_path: Path) -> None:
    file = a_session().write(tmp_path)
    before = Codex().stamp(file)
    with file.open("ab") as stream:
        stream.write(Session().ask("x").bytes())
    os.utime(file, ns=(before[1] + 1, before[1] + 1))
    assert Codex().stamp(file) != before


def test_turns_are_records_that_can_be_kept() -> None:
    log = log_of(everything(NOW))
    assert all(isinstance(turn, Turn) for turn in log.turns)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(log), type=Log) == log
