from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from works import CATALOG, START, growing, history, request, turn

from stepdown.audit.history import LATE, gather
from stepdown.audit.price import Prices
from stepdown.sessions.records import Counted, Limit, Log

PRICES = Prices(CATALOG)


def test_an_answer_that_several_files_hold_counts_once_and_belongs_to_the_first() -> None:
    first = Log(requests=(request(key="a"), request(key="b", at=START + 1)), turns=(turn(session="old"),))
    fork = Log(
        requests=(request(key="a"), request(key="b", at=START + 1), request(key="c", at=START + 2)),
        turns=(turn(session="new"),),
    )
    for files in permutations([first, fork]):
        found = gather({"claude": files}, PRICES)
        assert found.duplicates == 2
        assert [(work.turn.session, len(work.requests)) for work in found.units] == [("old", 2), ("new", 1)]


def test_of_two_copies_the_fuller_one_says_what_was_used() -> None:
    half = Log(requests=(request(key="a", output=3), request(key="b", at=START + 1)), turns=(turn(session="old"),))
    whole = Log(requests=(request(key="a", output=900), request(key="c", at=START + 2)), turns=(turn(session="new"),))
    found = gather({"claude": [half, whole]}, PRICES)
    assert [(work.turn.session, [one.output for one in work.requests]) for work in found.units] == [
        ("old", [900, 500]),
        ("new", [500]),
    ]
    assert found.units[0].costs[0] == PRICES.cost(request(output=900))


def test_answers_without_a_key_are_all_counted() -> None:
    assert len(history([turn()], [request(), request()]).units[0].requests) == 2


def test_the_same_key_of_two_agents_is_two_answers() -> None:
    log = Log(requests=(request(key="a"),), turns=(turn(),))
    assert len(gather({"claude": [log], "codex": [log]}, PRICES).units) == 2


def test_units_stand_in_the_order_of_their_first_request() -> None:
    found = history([turn(id="late"), turn(id="early")], [request(turn=0, at=START + 9), request(turn=1)])
    assert [work.turn.id for work in found.units] == ["early", "late"]


def test_since_leaves_out_requests_and_meters_before_it() -> None:
    log = Log(
        requests=tuple(growing(10)),
        turns=(turn(),),
        limits=(Limit(START - 1, "5h", 0.5), Limit(START + 100, "5h", 0.9)),
    )
    found = gather({"claude": [log]}, PRICES, since=START + 45)
    assert len(found.units[0].requests) == 5
    assert [state.used for state in found.limits["claude"]] == [0.9]


def test_a_project_is_its_directory_what_is_below_it_or_its_name() -> None:
    places = ["/home/ada/shop", "/home/ada/shop/web", "/home/bo/shop", "/home/ada/shopping", ""]
    turns = [turn(project=place) for place in places]
    log = Log(requests=tuple(request(turn=number) for number in range(len(places))), turns=tuple(turns))

    def of(project: str) -> list[str]:
        return [work.turn.project for work in gather({"claude": [log]}, PRICES, project=project).units]

    assert of("/home/ada/shop") == ["/home/ada/shop", "/home/ada/shop/web"]
    assert of("shop") == ["/home/ada/shop", "/home/bo/shop"]
    assert of("nothing") == []


def test_the_last_count_of_a_session_holds_wherever_it_stands() -> None:
    old = Log(counted=(Counted("s1", "opus", START, 1, 1, 1, 1, 1.0),))
    new = Log(counted=(Counted("s1", "opus", START + 5, 2, 2, 2, 2, 2.0),))
    for files in permutations([old, new]):
        assert [one.usd for one in gather({"claude": files}, PRICES).counted["claude"]] == [2.0]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), max_size=6))
def test_every_key_is_counted_exactly_once(files: list[list[str]]) -> None:
    logs = [
        Log(
            requests=tuple(request(key=key, at=START + number) for number, key in enumerate(dict.fromkeys(keys))),
            turns=(turn(),),
        )
        for keys in files
    ]
    found = gather({"claude": logs}, PRICES)
    counted = [one.key for work in found.units for one in work.requests]
    assert sorted(counted) == sorted({key for keys in files for key in keys})
    assert found.duplicates + len(counted) == sum(len(log.requests) for log in logs)


def test_what_is_dated_in_the_future_is_named_and_left_out() -> None:
    log = Log(requests=(request(), request(at=START + 10**9)), turns=(turn(),))
    found = gather({"claude": [log]}, PRICES, until=START + 60)
    assert [len(work.requests) for work in found.units] == [1]
    assert found.troubles == {LATE: 1}


def test_notes_are_about_what_was_asked_for() -> None:
    old = Log(requests=(request(key="a"), request(key="b", at=START + 1)), turns=(turn(),), troubles={"odd lines": 3})
    copy = Log(requests=(request(key="a"), request(key="c", at=START + 2)), turns=(turn(),))
    new = Log(requests=(request(key="d", at=START + 500),), turns=(turn(project="/home/ada/kitchen"),), troubles={"half": 1})
    everything = gather({"claude": [old, copy, new]}, PRICES)
    assert (everything.duplicates, everything.troubles) == (1, {"odd lines": 3, "half": 1})
    for part in (
        gather({"claude": [old, copy, new]}, PRICES, since=START + 400),
        gather({"claude": [old, copy, new]}, PRICES, project="kitchen"),
    ):
        assert (part.duplicates, part.troubles) == (0, {"half": 1})
