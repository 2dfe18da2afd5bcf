"""Answers, each once, and what makes their price."""

import pytest
from codex_logs import BEFORE_RECORDS, BEFORE_TASKS, RATES, VERSIONS, Session, log_of, numbers, usage

from stepdown.sessions.codex_answers import UNNAMED, UNTIMED
from stepdown.sessions.values import IMPOSSIBLE


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


def test_a_model_that_is_not_named_is_not_guessed() -> None:
    session = Session(BEFORE_TASKS).say("Hello").answer(1_000).context().answer(1_200)
    log = log_of(session)
    assert [request.model for request in log.requests] == ["", "gpt-5.4"]
    assert log.troubles == {UNNAMED: 1}


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


def test_an_answer_without_any_time_is_not_dated_by_guess() -> None:
    session = Session().ask("Hello").answer(1_000)
    for line in session.lines:
        line["timestamp"] = "yesterday"
    log = log_of(session)
    assert (log.requests, log.troubles) == ((), {UNTIMED: 1})
