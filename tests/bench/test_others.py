"""Other routers in a replay: on tasks made up for it, and with this repository's own driver as the program that is asked."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.others.__main__ import fields_of, parser
from bench.others.ask import Answers, Head, own, read
from bench.others.install import Installed, Refused, home, install, installed
from bench.others.peers import PEERS, Peer, Setting, Way
from bench.others.replay import OURS, UNCHECKED, blind, compare, merged, stepped
from bench.others.table import Asked, as_json, facts, notes
from bench.routing.data import Dataset, Field, Run, Task
from bench.routing.episode import Episode, episode
from bench.routing.verifier import Verifier
from stepdown.errors import UsageError

_MODELS = ("small", "middle", "large")
_PERFECT = Verifier(1.0, 0.0)
_SOLVED = {"t1": (1, 1, 1), "t2": (0, 1, 1), "t3": (0, 0, 1), "t4": (0, 0, 0)}
_COSTS = (0.1, 0.3, 1.0)


def _field(solved: Mapping[str, tuple[int, int, int]] = _SOLVED) -> Field:
    tasks = []
    for name, by in solved.items():
        light, standard, heavy = ((Run(bool(each), cost, 10),) for each, cost in zip(by, _COSTS, strict=True))
        tasks.append(Task(name, f"Change {name}", (light, standard, heavy)))
    return Field(datasets=("made-up",), models=_MODELS, tasks=tuple(tasks))


def _lines(*lines: object) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


_HEAD = {"version": "1", "import_ms": 2.0, "first_ms": 3.0, "note": ""}


@st.composite
def _episodes(draw: st.DrawFn) -> tuple[Episode, list[int]]:
    rows = draw(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=12))
    verifier = Verifier(draw(st.floats(0, 1)), draw(st.floats(0, 1)))
    starts = [draw(st.integers(0, 2)) for _ in rows]
    return episode(_field({f"t{place}": row for place, row in enumerate(rows)}), verifier, draw(st.integers(0, 50))), starts


@given(_episodes())
def test_stepping_up_pays_every_attempt_and_counts_the_last(drawn: tuple[Episode, list[int]]) -> None:
    one, starts = drawn
    for course, trials, start in zip(stepped(one, starts), one.trials, starts, strict=True):
        tried = trials[course.started : course.ended + 1]
        assert course.started == start
        assert course.cost == pytest.approx(sum(trial.run.cost for trial in tried))
        assert course.solved == tried[-1].run.solved
        assert course.steps_up == len(tried) - 1
        assert all(trial.flagged for trial in tried[:-1])
        assert course.ended == 2 or not tried[-1].flagged


def test_without_a_verifier_every_task_is_tried_once() -> None:
    courses = stepped(episode(_field(), UNCHECKED, 1), [0, 0, 1, 2])
    assert [(course.ended, course.solved, course.cost) for course in courses] == [
        (0, True, 0.1),
        (0, False, 0.1),
        (1, False, 0.3),
        (2, False, 1.0),
    ]


def test_a_perfect_verifier_finds_the_first_model_that_solves() -> None:
    courses = stepped(episode(_field(), _PERFECT, 1), [0, 0, 0, 0])
    assert [course.ended for course in courses] == [0, 1, 2, 2]
    assert [course.cost for course in courses] == pytest.approx([0.1, 0.4, 1.4, 1.4])


@given(_episodes())
def test_a_blind_deal_keeps_the_shares(drawn: tuple[Episode, list[int]]) -> None:
    one, starts = drawn
    assert sorted(blind(one, starts)) == sorted(starts)
    assert blind(one, starts) == blind(one, starts)


def test_routers_that_chose_alike_share_a_line() -> None:
    same = dict.fromkeys(_SOLVED, 0)
    found = merged({"Yard 0.0": same, "Other": dict.fromkeys(_SOLVED, 1), "Yard 0.3": dict(same)}, _field())
    assert found == {"Yard 0.0, 0.3": same, "Other": dict.fromkeys(_SOLVED, 1)}


def test_a_comparison_has_every_choice_its_blind_deal_and_the_bars() -> None:
    chosen = {"Mixed": {"t1": 0, "t2": 0, "t3": 2, "t4": 2}, "Flat": dict.fromkeys(_SOLVED, 0)}
    plain = compare(_field(), chosen, UNCHECKED, seeds=3)
    names = [score.policy for score in plain.policies]
    assert names == ["always-light", "always-standard", "always-heavy", "Mixed", "random like Mixed", "Flat", OURS]
    mixed = plain.of("Mixed")
    assert mixed.solved_rate == 0.5
    assert mixed.cost_usd == pytest.approx(0.55)
    assert mixed.share == {"light": 0.5, "standard": 0.0, "heavy": 0.5}
    assert plain.of("Flat").solved_rate == plain.of("always-light").solved_rate
    checked = compare(_field(), chosen, _PERFECT, seeds=3)
    assert checked.of("Mixed").solved_rate == 0.75
    assert checked.of("Mixed").escalations == 0.25
    assert checked.of("light+escalate").cost_usd == pytest.approx((0.1 + 3 * 1.1) / 4)


def test_answers_are_read_with_their_times() -> None:
    said = [{"id": f"t{place}", "tier": "heavy" if place else "light", "decide_us": float(place)} for place in range(100)]
    answers = read(_lines(_HEAD, *said), {each["id"]: "" for each in said if isinstance(each["id"], str)})
    assert isinstance(answers, Answers)
    assert (answers.ranks["t0"], answers.ranks["t1"]) == (0, 2)
    assert (answers.median_us, answers.p99_us) == (49.5, 98.0)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (b"", "cannot be read"),
        (b"Traceback\n", "cannot be read"),
        (_lines(_HEAD, {"id": "a", "tier": "enormous", "decide_us": 1.0}), "enormous"),
        (_lines(_HEAD), "answered for 0 of 1 tasks"),
        (_lines(_HEAD, {"id": "b", "tier": "light", "decide_us": 1.0}), "answered for 1 of 1 tasks"),
    ],
)
def test_an_answer_that_is_none_is_refused(output: bytes, says: str) -> None:
    answer = read(output, {"a": "text"})
    assert isinstance(answer, Refused)
    assert says in answer.reason


def test_the_shipped_router_answers_its_driver(tmp_path: Path) -> None:
    many = "\n".join(f"{step}. Write `src/part{step}.py`" for step in range(1, 12))
    answers = own({"plain": "Change a thing", "long": f"Do\n\n## Steps\n\n{many}"}, tmp_path / "home")
    assert isinstance(answers, Answers), answers
    assert answers.ranks == {"plain": 1, "long": 2}
    assert answers.head.import_ms > 0


def _peer(step: str) -> Peer:
    return Peer(name="made-up", driver="", ways=(Way("odd", ((step,),)),), settings=(), made_for="", how="")


def test_what_does_not_install_says_why(tmp_path: Path) -> None:
    found = install(_peer("--no-such-option"), tmp_path)
    assert isinstance(found, Refused)
    assert found.reason.startswith("odd: ")
    assert isinstance(installed(_peer(""), tmp_path), Refused)


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    record = Installed(way="odd", seconds=1.0, size=2)
    home(_peer(""), tmp_path).mkdir()
    (home(_peer(""), tmp_path) / "installed.json").write_bytes(msgspec.json.encode(record))
    assert install(_peer("--no-such-option"), tmp_path) == record


def test_every_setting_has_a_name_of_its_own() -> None:
    labels = [setting.label for peer in PEERS for setting in peer.settings]
    assert len(labels) == len(set(labels))


def test_tables_say_who_is_there_and_who_is_not() -> None:
    setting: Setting = PEERS[0].settings[0]
    head = Head(version="9.9", import_ms=1500.0, first_ms=12.0, note="half of it abstains")
    answers = Answers(head=head, ranks=dict.fromkeys(_SOLVED, 0), median_us=2500.0, p99_us=9000.0)
    record = Installed(way="in part", seconds=1.0, size=5_000_000, refused=("more than 3 GB",))
    asked, missing = [Asked(label=setting.label, answers=answers, installed=record)], {"gone": Refused("no such thing")}
    assert [cell.strip() for cell in facts(asked).splitlines()[2].strip("|").split("|")] == [
        setting.label,
        "9.9",
        "2.50",
        "9.00",
        "12",
        "1500",
        "5",
    ]
    said = notes(asked, missing)
    assert "half of it abstains" in said
    assert "more than 3 GB" in said
    assert "gone: does not take part: no such thing." in said
    report = compare(_field(), {setting.label: answers.ranks}, UNCHECKED, seeds=1)
    found = json.loads(as_json(asked, missing, [report]))
    assert found["reports"][0]["tasks"] == len(_SOLVED)
    assert found["routers"][0]["answers"]["ranks"] == answers.ranks


def test_models_are_named_all_or_none() -> None:
    data = [Dataset(name="made-up", runs={}, texts={})]
    with pytest.raises(UsageError, match="all three"):
        fields_of(parser().parse_args(["--light", "small"]), data)
    with pytest.raises(UsageError, match="none of the published models"):
        fields_of(parser().parse_args([]), data)
