"""The savings claim, on units made up for it: what is computed by hand here, the program must find."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.calibration import tier_of
from bench.claim import tables
from bench.claim.__main__ import main
from bench.claim.failing import MEASURED_ON, Failing, Measured, never, read_measured
from bench.claim.priors import growths
from bench.claim.routes import Routes, Setup, setups
from bench.claim.split import Split, expected, total
from bench.claim.study import LEARNED, RECORDED, Result, interval, study, with_light_share
from bench.claim.units import Finished, read_recorded, used
from stepdown.catalog import Catalog, Model
from stepdown.classify import classify
from stepdown.expectations import Expectations
from stepdown.policy import DEFAULT_POLICY
from stepdown.signals import introspect
from stepdown.units import Tier, Tokens, Unit

_CATALOG = Catalog.load(on="2026-11-23")
_SETUPS = {setup.name: setup for setup in setups()}
_UNITS = """\
project,unit_type,unit_id,model,input,output,cache_read,cache_write,cost_usd,requests
a,execute-task,M001/S01/T01,claude-opus-4-6,0,0,1000000,0,0.5,20
a,execute-task,M001/S01/T02,claude-opus-4-6,0,0,2000000,0,1.0,40
a,complete-slice,M001/S01,claude-opus-4-6,0,0,1000000,0,0.5,20
b,plan-milestone,M001,claude-sonnet-4-6,0,0,1000000,0,0.3,20
b,research-slice,M001/S01,claude-sonnet-4-6,0,0,1000000,0,0.3,20
b,run-uat,M001/S01,nobody-knows-it,0,0,0,0,0,0
"""
_FEATURES = """\
project,unit_id,plan_chars,files,steps,estimated_steps,estimated_files
a,M001/S01/T01,900,1,2,2,1
a,M001/S01/T02,5000,7,9,9.0,7.0
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    outcomes = tmp_path / "outcomes"
    outcomes.mkdir()
    (outcomes / "gsd_units.csv").write_text(_UNITS, encoding="utf-8")
    (outcomes / "gsd_execute_task_features.csv").write_text(_FEATURES, encoding="utf-8")
    solved = {"t1": (1, 1, 1), "t2": (0, 1, 1), "t3": (0, 0, 1), "t4": (0, 0, 0)}
    rows = [f"{task},{model},{by[tier.rank]}" for task, by in solved.items() for tier, model in MEASURED_ON.items()]
    (outcomes / "swebench_verified_django.csv").write_text("\n".join(["task,model,resolved", *rows, ""]), encoding="utf-8")
    return tmp_path


def _finished(
    unit_type: str = "complete-slice", *, read: int = 1_000_000, project: str = "a", requests: float = 20
) -> Finished:
    return Finished(
        project=project,
        unit=Unit(unit_type, "M001/S01"),
        model="claude-opus-4-6",
        tokens=Tokens(cache_read=read),
        requests=requests,
    )


def _study(units: Sequence[Finished], setup: Setup, chance: float = 0.0) -> Result:
    failing = Failing("made up", "", lambda _needed, _failed, _tier: chance)
    return study(units, setup, [failing], _CATALOG, Expectations({}, DEFAULT_POLICY))


def _split(unit_type: str, setup: str, chance: float) -> Split:
    return _study([_finished(unit_type)], _SETUPS[setup], chance).splits("made up")[0]


def test_without_failing_a_unit_saves_the_difference_of_two_prices() -> None:
    light, standard, heavy = (_split(name, "opus", 0) for name in ("complete-slice", "research-slice", "plan-milestone"))
    # A million tokens read from the cache: $0.10 on haiku-4-5, $0.30 on sonnet-4-6, $0.50 on opus-4-6.
    assert [split.spent for split in (light, standard, heavy)] == pytest.approx([0.1, 0.3, 0.5])
    assert [split.share for split in (light, standard, heavy)] == pytest.approx([0.8, 0.4, 0.0])


def test_failing_is_paid_for_along_the_walk() -> None:
    split = _split("complete-slice", "opus", 0.5)
    # Haiku; then sonnet for every second unit; then opus for every fourth.
    assert split.spent == pytest.approx(0.1 + 0.5 * 0.3 + 0.25 * 0.5)
    # Haiku or sonnet or opus succeeds, or opus fails as well, which it would have done without routing: each at $0.50.
    assert split.counterfactual == pytest.approx(0.5)
    assert split.failed == pytest.approx(0.5 * 0.1 + 0.25 * 0.3)
    assert split.escalated == pytest.approx(0.5)


def test_what_always_fails_costs_what_was_tried_below_the_ceiling() -> None:
    split = _split("complete-slice", "opus", 1.0)
    assert (split.net, split.failed, split.cheaper) == pytest.approx((-0.4, 0.4, 0.0))


@given(
    unit_type=st.sampled_from(["complete-slice", "research-slice", "plan-milestone", "execute-task"]),
    setup=st.sampled_from(sorted(_SETUPS)),
    chances=st.tuples(*[st.floats(0, 1)] * 3),
    ratio=st.floats(0.2, 5),
)
def test_the_split_adds_up(unit_type: str, setup: str, chances: tuple[float, float, float], ratio: float) -> None:
    one, routes = _finished(unit_type), Routes(_SETUPS[setup], _CATALOG)
    route = routes.of(one)
    assert route is not None

    def ratios(model: Model) -> float:
        return 1.0 if model.tier is Tier.HEAVY else ratio

    split = expected(one, route, lambda _n, _f, tier: chances[tier.rank], longest_prompt=100_000, ratio=ratios)
    assert split.net == pytest.approx(split.cheaper - split.failed - split.cache, abs=1e-9)
    assert split.cache == 0
    if not route.steps[0].downgraded:
        assert split.net == pytest.approx(0)


@given(
    files=st.integers(0, 12),
    steps=st.integers(0, 30),
    estimated_steps=st.none() | st.integers(0, 80),
    estimated_files=st.none() | st.integers(0, 12),
)
def test_a_plan_made_of_features_is_classified_as_its_features_are(
    tmp_path_factory: pytest.TempPathFactory, files: int, steps: int, estimated_steps: int | None, estimated_files: int | None
) -> None:
    row = {
        "project": "a",
        "unit_id": "M001/S01/T01",
        "plan_chars": "900",
        "files": str(files),
        "steps": str(steps),
        "estimated_steps": "" if estimated_steps is None else f"{estimated_steps}.0",
        "estimated_files": "" if estimated_files is None else f"{estimated_files}.0",
    }
    outcomes = tmp_path_factory.mktemp("data") / "outcomes"
    outcomes.mkdir()
    (outcomes / "gsd_units.csv").write_text("\n".join(_UNITS.splitlines()[:2]), encoding="utf-8")
    features = f"{','.join(row)}\n{','.join(row.values())}\n"
    (outcomes / "gsd_execute_task_features.csv").write_text(features, encoding="utf-8")
    (one,) = read_recorded(outcomes.parent)
    found = classify(one.unit, introspect(one.unit, DEFAULT_POLICY), DEFAULT_POLICY)
    assert found.tier is tier_of(row, DEFAULT_POLICY)


def test_units_are_read_with_the_features_of_their_plans(data: Path) -> None:
    units = read_recorded(data)
    assert [one.planned for one in units] == [True, True, False, False, False, False]
    result = _study(units, _SETUPS["opus"])
    assert [line.route.needed for line in result.lines] == [
        Tier.LIGHT,
        Tier.HEAVY,
        Tier.LIGHT,
        Tier.HEAVY,
        Tier.STANDARD,
    ]  # the unit without tokens is left out


def test_a_project_whose_prompts_are_longer_than_any_window_did_not_count_its_requests(data: Path) -> None:
    path = data / "outcomes" / "gsd_units.csv"
    path.write_text(_UNITS + "a,plan-slice,M001/S02,claude-opus-4-6,0,0,9000000,0,1,2\n", encoding="utf-8")
    units = read_recorded(data)
    assert {one.requests for one in units if one.project == "a"} == {0}
    assert {one.requests for one in units if one.project == "b"} == {20, 0}
    assert all(one.mean_prompt < 200_000 for one in units)


def test_the_ceiling_may_be_the_model_a_unit_ran_on(data: Path) -> None:
    result = _study([*read_recorded(data), _finished()], _SETUPS["as they ran"])
    assert {line.route.ceiling.id for line in result.lines} == {"claude-opus-4-6", "claude-sonnet-4-6"}


def test_a_ceiling_that_nobody_knows_is_counted_and_not_compared() -> None:
    unknown = Finished(project="a", unit=Unit("run-uat"), model="nobody-knows-it", tokens=Tokens(input=5), requests=1)
    result = _study([unknown], _SETUPS["as they ran"])
    assert (len(result.lines), result.unpriced) == (0, 1)


def test_a_prompt_beyond_the_window_is_counted() -> None:
    result = _study([_finished(requests=8), _finished(requests=2)], _SETUPS["opus"])
    # 125,000 tokens on average fit into haiku's 200,000, their double does not; 500,000 never do.
    assert (result.overlong, result.perhaps_overlong) == (1, 2)
    own = study(
        [_finished(requests=4)],
        _SETUPS["opus"],
        [Failing("none", "", never)],
        _CATALOG,
        Expectations({}, DEFAULT_POLICY),
        by_own_prompts=True,
    )
    assert own.lines[0].route.steps[0].model.id == "claude-sonnet-4-6"


def test_learned_ratios_scale_both_sides(data: Path) -> None:
    row = "b,research-slice,M001/S0{},claude-{}-4-6,0,0,{},0,0.3,20\n"
    learned = "".join(row.format(number, "sonnet", 500_000) + row.format(number, "opus", 1_000_000) for number in range(2, 9))
    (data / "outcomes" / "gsd_units.csv").write_text(_UNITS.splitlines()[0] + "\n" + learned, encoding="utf-8")
    units = read_recorded(data)
    expectations = Expectations(used(units, _CATALOG), DEFAULT_POLICY)
    result = study(units, _SETUPS["opus"], [Failing("none", "", never)], _CATALOG, expectations)
    recorded, scaled = (result.splits("none", view) for view in (RECORDED, LEARNED))
    assert recorded[0].spent == pytest.approx(0.15)
    assert scaled[0].spent == pytest.approx(0.15)  # it ran on sonnet
    assert scaled[1].spent == pytest.approx(0.15)  # it ran on opus, and sonnet needs half the tokens
    assert scaled[1].counterfactual == pytest.approx(0.25)  # the lower of what it used at opus's prices, and opus's own


def test_rescues_are_measured_on_what_failed(data: Path) -> None:
    measured = read_measured(data)
    light, standard, heavy = Tier.LIGHT, Tier.STANDARD, Tier.HEAVY
    assert [measured(heavy, (), tier) for tier in (light, standard, heavy)] == [0.75, 0.5, 0.25]
    assert measured(heavy, (light,), standard) == pytest.approx(2 / 3)
    assert measured(heavy, (light, standard), heavy) == 0.5
    assert measured(heavy, (standard,), standard) == 1.0
    assert Measured([(True, True, True)])(heavy, (light,), standard) == 1.0  # nothing was ever rescued


def test_an_interval_needs_two_groups_and_holds_its_estimate() -> None:
    same = [[Split(spent=spent, counterfactual=2 * spent)] for spent in (1.0, 2.0, 3.0)]
    assert interval(same[:1]) is None
    assert interval(same) == pytest.approx((0.5, 0.5))
    mixed = [*same, [Split(spent=4.0, counterfactual=4.0)]]
    ends = interval(mixed)
    assert ends is not None
    low, high = ends
    assert low < total(split for group in mixed for split in group).share < high
    assert interval(mixed) == ends


def test_more_light_work_is_weighed_by_what_it_costs() -> None:
    units = [_finished("complete-slice"), _finished("research-slice"), _finished("plan-milestone"), _finished("plan-milestone")]
    result = _study(units, _SETUPS["opus"])
    assert with_light_share(result, "made up", 0.25) == pytest.approx(total(result.splits("made up")).share)
    assert with_light_share(result, "made up", 1.0) == pytest.approx(0.8)
    assert with_light_share(_study(units[1:], _SETUPS["opus"]), "made up", 0.5) is None


@pytest.mark.parametrize(
    ("share", "said"), [(0.19, "missed"), (0.197, "holds"), (0.25, "holds"), (0.304, "holds"), (0.31, "more"), (-0.1, "missed")]
)
def test_a_promise_is_compared_in_whole_percent(share: float, said: str) -> None:
    assert tables.verdict(share, 0.2, 0.3) == said


def test_a_project_that_loses_is_named() -> None:
    result = _study([_finished(project="cheap"), _finished("plan-milestone", project="dear")], _SETUPS["opus"], 1.0)
    assert tables.losing(result, "made up", RECORDED) == ["cheap (-80.0%)"]


def test_growth_is_bounded_by_what_was_written() -> None:
    # Ten requests; each writes 1,000 tokens on top of a prefix of 500.
    read = sum(500 + 1_000 * number for number in range(10))
    one = Finished(
        project="a",
        unit=Unit("execute-task"),
        model="claude-opus-4-6",
        tokens=Tokens(cache_read=read, cache_write=10_000),
        requests=10,
    )
    (even,), (most,) = growths([one, _finished()])
    assert even == pytest.approx(10_500 / 6_000)
    assert even < most


def test_the_tables_and_the_numbers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--data", str(data)])
    printed = capsys.readouterr().out
    assert "6 units of 2 projects; 1 have no tokens" in printed
    assert "# Promises" in printed
    main(["--data", str(data), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["units"] == 6
    claims = {(claim["setup"], claim["failing"], claim["tokens"]): claim for claim in found["claims"]}
    assert len(claims) == len(_SETUPS) * 3 * 2
    opus = claims["opus", "none", "as recorded"]
    # Two light units and a standard one of a million tokens each; heavy ones of two million and of one.
    assert (opus["ceiling_usd"], opus["spent_usd"]) == pytest.approx((3.0, 2 * 0.1 + 0.3 + 1.0 + 0.5))
    assert opus["projects"]["a"]["saved"] == pytest.approx(0.4)


def test_a_missing_column_is_named(data: Path) -> None:
    path = data / "outcomes" / "gsd_units.csv"
    path.write_text(_UNITS.replace("cache_write", "written"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"gsd_units\.csv: no column cache_write"):
        main(["--data", str(data)])


def test_a_number_that_is_none_is_named_with_its_line(data: Path) -> None:
    path = data / "outcomes" / "gsd_units.csv"
    path.write_text(_UNITS.replace("2000000", "many"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"gsd_units\.csv, line 3: .*many"):
        main(["--data", str(data)])


def test_data_without_the_models_that_stand_for_the_tiers_says_so(data: Path) -> None:
    (data / "outcomes" / "swebench_verified_django.csv").write_text("task,model,resolved\nt1,gpt-4,1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no task that gpt-5-mini-2025-08-07"):
        main(["--data", str(data)])
