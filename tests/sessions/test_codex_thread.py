"""Forks, which copy what went before, and sub-agents."""

import pytest
from codex_logs import (
    BEFORE_RECORDS,
    BEFORE_TASKS,
    RATES,
    START,
    VERSIONS,
    Session,
    a_session,
    log_of,
    name,
    numbers,
    types,
)

from stepdown.audit.history import gather
from stepdown.audit.price import Prices
from stepdown.catalog.catalogue import Catalog


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


@pytest.mark.parametrize(("named", "ours"), [("openai", "openai"), ("my-own-proxy", ""), ("openrouter", "openrouter")])
def test_the_provider_is_told_where_stepdown_knows_it(named: str, ours: str) -> None:
    session = Session(model_provider=named).ask("One").answer(1_000)
    assert [request.provider for request in log_of(session).requests] == [ours]
