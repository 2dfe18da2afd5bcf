"""Units: where they begin, what they are, how they end; compaction."""

import json

import pytest
from codex_logs import BEFORE_RECORDS, BEFORE_TASKS, START, VERSIONS, Session, log_of, name, numbers, read, types

from stepdown.sessions.codex_reading import UNCOUNTED, UNLOGGED
from stepdown.sessions.records import Log


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


def test_sessions_that_count_nothing_are_named() -> None:
    assert log_of(Session(BEFORE_TASKS).ask("Hello").call()).troubles == {UNCOUNTED: 1}
    assert log_of(Session(BEFORE_TASKS).ask("Hello")).troubles == {}  # nothing was answered
    oldest = [
        {"id": "205976f5-99cf-436a-90f6-0a6eed363a25", "timestamp": "2025-08-01T00:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "id": None, "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    ]
    assert read("\n".join(map(json.dumps, oldest)).encode()) == Log(troubles={UNCOUNTED: 1})
