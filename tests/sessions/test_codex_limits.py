"""The meters of a plan."""

from codex_logs import BEFORE_TASKS, RATES, START, Session, log_of

from stepdown.sessions.records import Limit


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


def test_an_odd_meter_is_left_out() -> None:
    odd: list[object] = [{"used_percent": "much"}, {"used_percent": -1}, {"used_percent": None}, [], 7]
    for window in odd:
        session = Session().ask("Hello").answer(1_000, rates={**RATES, "primary": window})
        assert (log_of(session).limits, len(log_of(session).requests)) == ((), 1)
    session = Session().ask("Hello").answer(1_000, rates={**RATES, "primary": {"used_percent": 120, "resets_at": 1e14}})
    assert [(one.window, one.used, one.resets) for one in log_of(session).limits] == [("", 1.0, None)]
