import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from works import CATALOG, HAIKU, OPUS, SONNET, START, request, turn

from stepdown.audit.check import checks
from stepdown.audit.history import History, gather
from stepdown.audit.price import Prices
from stepdown.audit.records import Check
from stepdown.sessions.records import Counted, Log, Request, Turn
from stepdown.units import Tokens

PRICES = Prices(CATALOG)
# What one `request()` of works.py holds, and what it costs on Opus 4.6 (5, 25, 0.5, 6.25 US dollars per million tokens).
ONE = Tokens(input=100, output=500, cache_read=18_000, cache_write=1_900)
ONE_USD = (100 * 5 + 500 * 25 + 18_000 * 0.5 + 1_900 * 6.25) / 1e6


def counted(times: float = 1, usd: float | None = ONE_USD, **changes: object) -> Counted:
    """An agent's count of so many such requests."""
    tokens = {kind: round(getattr(ONE, kind) * times) for kind in ("input", "output", "cache_read", "cache_write")}
    plain: dict[str, object] = {"session": "s1", "model": OPUS, "at": 0.0, "usd": usd, **tokens}
    return Counted(**{**plain, **changes})  # type: ignore[arg-type]  # a test's own words


def log(requests: list[Request], counts: list[Counted], *turns: Turn) -> Log:
    return Log(requests=tuple(requests), turns=turns or (turn(),), counted=tuple(counts))


def checked(*logs: Log, agent: str = "claude", since: float = 0.0, project: str = "") -> Check:
    (check,) = checks(gather({agent: logs}, PRICES, since=since, project=project))
    return check


def test_both_sums_stand_beside_each_other() -> None:
    check = checked(log([request(), request(at=START + 1)], [counted(2, 2 * ONE_USD)]))
    assert (check.agent, check.sessions, check.differing, check.notes) == ("claude", 1, 0, ())
    assert check.ours == check.theirs == Tokens(input=200, output=1_000, cache_read=36_000, cache_write=3_800)
    assert check.theirs_usd == pytest.approx(0.06775)
    assert check.ours_usd == pytest.approx(0.06775)


def test_agents_that_do_not_count_are_not_compared() -> None:
    assert checks(gather({"pi": [log([request()], [])]}, PRICES)) == ()
    assert checks(gather({"claude": [log([], [counted()])]}, PRICES)) == ()
    assert checks(History((), {}, {}, 0, {})) == ()


def test_sessions_that_only_one_side_knows_are_not_compared() -> None:
    mine, unread, uncounted = (log([request(turn=0)], [counted()]), log([], [counted(session="s2")]), turn(session="s3"))
    check = checked(mine, unread, log([request()], [], uncounted))
    assert (check.sessions, check.theirs, check.ours, check.unlogged) == (1, ONE, ONE, Tokens())
    assert check.notes == ("1 session left out: no log has a request of it",)


def test_sub_agents_and_errands_belong_to_their_session() -> None:
    turns = turn(), turn(conversation="a1", type="subagent/Explore", origin="subagent")
    main = log([request(), request(turn=1, model=HAIKU)], [counted(), counted(model=HAIKU)], *turns)
    assert checked(main).ours == ONE + ONE
    beside = log([request(model=HAIKU)], [], turns[1])
    assert checked(log([request()], [counted(), counted(model=HAIKU)]), beside).ours == ONE + ONE


def test_names_are_compared_without_the_suffix_of_a_window_or_a_date() -> None:
    dated = request(model=f"{HAIKU}-20251001")
    counts = [counted(model=f"{OPUS}[1m]"), counted(model=OPUS), counted(model=HAIKU, usd=PRICES.cost(dated))]
    check = checked(log([request(), request(at=START + 1), dated], counts))
    assert (check.differing, check.ours, check.notes) == (0, ONE.scaled(3), ())


def test_what_was_counted_for_models_that_no_log_has_a_request_of_stays_in_the_count() -> None:
    titles, lost = counted(9, model=HAIKU, usd=0.95), counted(2, model=SONNET, usd=0.5, session="s2")
    same = log([request()], [counted(session="s2"), lost], turn(session="s2"))
    check = checked(log([request()], [counted(), titles]), same)
    assert (check.sessions, check.differing) == (2, 2)
    assert (check.theirs, check.ours) == (ONE.scaled(13), ONE.scaled(2))
    assert check.theirs_usd == pytest.approx(2 * ONE_USD + 1.45)
    assert check.ours_usd == pytest.approx(2 * ONE_USD)
    assert check.unlogged == ONE.scaled(11)
    assert check.unlogged_usd == pytest.approx(1.45)
    assert check.notes == ()  # the models that both know agree


def test_dollars_for_models_that_no_log_has_may_be_unknown() -> None:
    check = checked(log([request()], [counted(), counted(model=HAIKU, usd=None)]))
    assert (check.theirs_usd, check.unlogged, check.unlogged_usd) == (None, ONE, None)
    check = checked(log([request()], [counted(usd=None)]))
    assert (check.theirs_usd, check.unlogged, check.unlogged_usd) == (None, Tokens(), 0.0)


def test_that_the_models_which_both_know_differ_is_said_beside_it() -> None:
    check = checked(log([request()], [counted(usd=3 * ONE_USD), counted(9, model=HAIKU)]))
    assert check.notes == ("1 session with the same tokens and other dollars: counted by another list of prices",)
    (note,) = checked(log([request()], [counted(0.5), counted(9, model=HAIKU)])).notes
    assert note.startswith("1 session with less in its count")


def test_a_session_answered_by_other_models_is_compared_over_all_of_them() -> None:
    """A gateway reroutes: the agent counts what it asked for, the log says who answered."""
    check = checked(log([request(), request(model=SONNET)], [counted(2, 2 * ONE_USD)]))
    assert (check.theirs, check.ours, check.differing) == (ONE.scaled(2), ONE.scaled(2), 0)
    assert check.theirs_usd is not None
    assert check.ours_usd is not None
    assert check.ours_usd < check.theirs_usd
    assert check.notes == (
        "1 session answered by another model than the one it counts: compared over all its models, its dollars differ",
    )


@pytest.mark.parametrize(
    ("times", "said"), [(3, "1 session with more in its count"), (0.5, "1 session with less in its count")]
)
def test_a_count_that_differs_is_said_to_and_why_it_may(times: float, said: str) -> None:
    check = checked(log([request()], [counted(times)]))
    assert check.differing == 1
    (note,) = check.notes
    assert note.startswith(said)


def test_requests_after_the_count_are_left_out() -> None:
    """The program was killed before it counted again."""
    check = checked(log([request(), request(at=START + 9)], [counted(at=START)]))
    assert (check.ours, check.differing) == (ONE, 0)
    assert check.notes == ("1 request left out: made after the last count of its session",)


def test_other_prices_are_noted() -> None:
    check = checked(log([request()], [counted(usd=3 * ONE_USD)]))
    assert (check.differing, check.notes) == (
        0,
        ("1 session with the same tokens and other dollars: counted by another list of prices",),
    )


def test_dollars_that_either_side_does_not_know_are_unknown() -> None:
    assert checked(log([request()], [counted(usd=None)])).theirs_usd is None
    check = checked(log([request(model="claude-nova-9")], [counted(model="claude-nova-9")]))
    assert (check.ours_usd, check.theirs_usd) == (None, ONE_USD)
    assert check.notes == ("1 request without a known price: dollars are not compared",)


def test_a_session_found_twice_counts_once() -> None:
    whole = log([request(key="a"), request(key="b", at=START + 1)], [counted(2, 2 * ONE_USD, at=START + 1)])
    older = log([request(key="a")], [counted(at=START)])
    for logs in ((whole, older), (older, whole), (whole, whole)):
        check = checked(*logs)
        assert (check.sessions, check.differing, check.ours) == (1, 0, ONE.scaled(2))


def test_of_several_counts_the_newest_holds_or_the_one_that_has_come_furthest() -> None:
    newest, furthest, stale = counted(at=START + 1), counted(1), counted(0.5)
    for counts in ([newest, counted(3, at=START)], [counted(3, at=START), newest], [stale, furthest], [furthest, stale]):
        check = checked(log([request()], []), *(log([], [count]) for count in counts))
        assert (check.theirs, check.sessions) == (ONE, 1)


def test_answers_without_tokens_are_no_model_of_their_own() -> None:
    nothing = request(model="<synthetic>", input=0, output=0, cache_read=0, cache_write=0)
    check = checked(log([request(), nothing], [counted(), counted(0, model=HAIKU)]))
    assert (check.differing, check.ours, check.notes) == (0, ONE, ())


def test_a_fork_whose_count_holds_what_it_was_forked_from_is_left_out() -> None:
    first = log([request(key="a")], [counted()])
    fork = log([request(key="a"), request(key="b", at=START + 1)], [counted(2, session="s2")], turn(session="s2"))
    check = checked(first, fork)
    assert (check.sessions, check.theirs, check.ours, check.differing) == (1, ONE, ONE, 0)
    assert [note[:18] for note in check.notes] == ["1 session left out"]


def test_sessions_of_which_only_a_part_was_asked_for_are_left_out() -> None:
    early = log([request(), request(at=START + 9)], [counted(2)])
    late = log([request(at=START + 8)], [counted(session="s2")], turn(session="s2", project="/home/bo"))
    assert checked(early, late, since=START + 5).theirs == ONE
    wandering = log(
        [request(), request(turn=1)], [counted(2, session="s3")], turn(session="s3"), turn(session="s3", project="/home/bo")
    )
    assert checked(late, wandering, project="/home/bo").theirs == ONE


requests = st.builds(
    request,
    turn=st.integers(0, 5),
    at=st.integers(0, 50).map(lambda number: START + number),
    model=st.sampled_from([OPUS, SONNET, HAIKU]),
    input=st.integers(0, 1_000),
    output=st.integers(0, 1_000),
    cache_read=st.integers(0, 1_000),
    cache_write=st.integers(0, 1_000),
)


@given(st.lists(requests, min_size=1, max_size=20), st.randoms())
def test_an_agent_that_counts_what_it_logs_never_differs_whatever_the_order(made: list[Request], chance: Random) -> None:
    turns = tuple(turn(session=f"s{number % 3}") for number in range(6))
    sums: dict[tuple[str, str], tuple[Tokens, float]] = {}
    for one in made:
        key = (turns[one.turn].session, one.model)
        tokens, usd = sums.get(key, (Tokens(), 0.0))
        sums[key] = tokens + one.tokens, usd + (PRICES.cost(one) or 0.0)
    counts = [
        Counted(session, model, 0.0, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, usd)
        for (session, model), (tokens, usd) in sums.items()
    ]
    history = gather({"claude": [log(made, counts, *turns)]}, PRICES)
    found = checks(history)
    for check in found:
        assert (check.differing, check.notes) == (0, ())
        assert check.ours == check.theirs
        assert (check.unlogged, check.unlogged_usd) == (Tokens(), 0.0)
        assert check.ours_usd is not None
        assert check.theirs_usd is not None
        assert math.isclose(check.ours_usd, check.theirs_usd, abs_tol=1e-9)
    assert bool(found) == any(one.tokens.total for one in made)
    units, said = list(history.units), list(history.counted["claude"])
    chance.shuffle(units)
    chance.shuffle(said)
    again = History(tuple(units), {}, {"claude": said}, 0, {}, history.partial)
    assert checks(again) == found
