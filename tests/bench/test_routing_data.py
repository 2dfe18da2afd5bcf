"""Data sets are read as documented, and what is wrong with one is said in one line."""

import json
from pathlib import Path

import pytest

from bench.routing.data import BASHKIT, Run, load, select
from stepdown.errors import UsageError

HEAD = "task,model,resolved,cost_usd,api_calls"


def written(directory: Path, *rows: str, name: str = "made", head: str = HEAD) -> Path:
    (directory / f"{name}.csv").write_text("\n".join((head, *rows)) + "\n")
    return directory


def three(task: str) -> list[str]:
    return [f"{task},{model},1,{cost},3" for model, cost in (("small", 0.1), ("middle", 0.2), ("large", 0.4))]


def test_runs_and_texts_are_read(tmp_path: Path) -> None:
    written(tmp_path, *three("a"), "a,small,0,0.3,7")
    (tmp_path / "made_statements.json").write_text(json.dumps({"a": "Do a.\nCarefully."}))
    (dataset,) = load(tmp_path)
    assert dataset.name == "made"
    assert dataset.runs["small"]["a"] == (Run(True, 0.1, 3), Run(False, 0.3, 7))
    assert dataset.texts == {"a": "Do a.\nCarefully."}


def test_tables_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "p,M001,3", name="units", head="project,unit_id,tokens")
    written(tmp_path, *three("a"))
    assert [dataset.name for dataset in load(tmp_path)] == ["made"]


def test_the_files_may_be_one_directory_further_down(tmp_path: Path) -> None:
    (tmp_path / "outcomes").mkdir()
    written(tmp_path / "outcomes", *three("a"))
    assert [dataset.name for dataset in load(tmp_path)] == ["made"]


def test_bashkit_has_its_own_names(tmp_path: Path) -> None:
    head = f"run,{','.join(BASHKIT.values())}"
    written(tmp_path, "r1,t,m,1,0.5,4", "r2,t,m,0,,4", head=head)
    (tmp_path / "made_tasks.jsonl").write_text(json.dumps({"id": "t", "prompt": "List files."}) + "\n")
    (dataset,) = load(tmp_path)
    assert dataset.runs == {"m": {"t": (Run(True, 0.5, 4),)}}
    assert dataset.texts == {"t": "List files."}
    assert dataset.unpriced == 1


def test_only_tasks_that_all_three_were_run_on_are_played(tmp_path: Path) -> None:
    written(tmp_path, *three("a"), *three("b")[:2], "c,other,1,1,1")
    field = select(load(tmp_path), ("small", "middle", "large"))
    assert [task.name for task in field.tasks] == ["a"]
    assert (field.lacking, field.textless) == (1, 1)


def test_data_sets_that_know_all_three_are_played_together(tmp_path: Path) -> None:
    written(tmp_path, *three("a"), name="one")
    written(tmp_path, *three("a"), name="two")
    written(tmp_path, *three("a")[:1], name="three")
    field = select(load(tmp_path), ("small", "middle", "large"))
    assert [task.name for task in field.tasks] == ["one/a", "two/a"]
    assert field.datasets == ("one", "two")


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        (["a,small,1,3"], "task,model,resolved,api_calls", r"made\.csv: the column cost_usd is missing"),
        (["a,small,1,0.1,3", "a,small,maybe,0.1,3"], HEAD, r"made\.csv:3: resolved is 0 or 1, not 'maybe'"),
        (["a,small,1,-0.1,3"], HEAD, r"made\.csv:2: cost_usd is a number, 0 or more, not '-0\.1'"),
        (["a,small,1,nan,3"], HEAD, r"made\.csv:2: cost_usd is a number"),
        (["a,small,1,0.1,few"], HEAD, r"made\.csv:2: api_calls is a number, 0 or more, not 'few'"),
        ([",small,1,0.1,3"], HEAD, r"made\.csv:2: the task is empty"),
        (["p,M001"], "project,unit_id", r"holds no data set"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, rows: list[str], head: str, said: str) -> None:
    written(tmp_path, *rows, head=head)
    with pytest.raises(UsageError, match=said):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_statements_that_are_not_texts_by_task_are_refused(tmp_path: Path, text: str) -> None:
    written(tmp_path, *three("a"))
    (tmp_path / "made_statements.json").write_text(text)
    with pytest.raises(UsageError, match=r"made_statements\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("smal", "middle", "large"), "no run of the model 'smal' .* did you mean 'small'"),
        (("small", "small", "large"), "a tier needs a model of its own"),
        (("small", "middle", "lonely"), "no task was run on all of small, middle, lonely"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(tmp_path: Path, models: tuple[str, str, str], said: str) -> None:
    written(tmp_path, *three("a"), "z,lonely,1,1,1")
    with pytest.raises(UsageError, match=said):
        select(load(tmp_path), models)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a directory"):
        load(tmp_path / "nowhere")
