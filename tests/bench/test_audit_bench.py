import itertools
import json
import sys
from pathlib import Path

import msgspec
import pytest

from bench.audit import logs, rules, side
from bench.audit.running import NotHere, Sheet, environment, run, sheet_of_ours, sheet_of_theirs, theirs
from stepdown.audit.records import Audit, Day, Line
from stepdown.units import Tokens


def test_the_logs_have_the_proportions_of_real_ones(tmp_path: Path) -> None:
    size = logs.write(tmp_path, 5_000_000)

    lines = [line for file in tmp_path.rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    results = sum(len(line) for line in lines if "toolUseResult" in json.loads(line))
    assert 5_000_000 <= size < 12_000_000
    assert 0.6 < results / size < 0.85
    assert max(map(len, lines)) < 60_000


def test_a_log_that_grows_gets_one_more_answer(tmp_path: Path) -> None:
    logs.write(tmp_path, 100_000)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.jsonl")}

    grown = logs.grow(tmp_path)

    after = grown.read_bytes()
    assert after.startswith(before[grown])
    answer = json.loads(after[len(before[grown]) :])
    assert answer["message"]["usage"]["output_tokens"] > 0
    assert answer["requestId"].encode() not in before[grown]


def test_each_rule_has_a_day_and_files_of_its_own() -> None:
    made = [*rules.claude_rules(), *rules.codex_rules()]

    assert len({rule.day for rule in made}) == len(made)
    names = list(itertools.chain.from_iterable(rule.files for rule in made))
    assert len(set(names)) == len(names)


def test_a_verdict_is_unexpected_where_the_explanation_does_not_hold() -> None:
    rule = rules.Rule("odd", "claude", "2026-06-01", {})
    key = "2026-06-01", "m"
    one, other = (Sheet({key: (10, 0, 0, 0)}, {key: usd}, {}) for usd in (1.0, 2.0))

    assert rules.judged([rule], one, one)[0].expected
    assert not rules.judged([rule], one, other)[0].expected
    assert rules.judged([rule._replace(why="a reason")], one, other)[0].expected
    assert not rules.judged([rule._replace(why="a reason")], one, one)[0].expected


def test_unknown_dollars_are_no_dollars() -> None:
    rule = rules.Rule("odd", "claude", "2026-06-01", {})
    key = "2026-06-01", "m"
    zero = Sheet({key: (10, 0, 0, 0)}, {key: 0.0}, {})

    verdict = rules.judged([rule], zero, zero._replace(unknown={key: 1}))[0]

    assert verdict.ours == (10, None)
    assert not verdict.same


def test_both_programs_are_brought_into_one_shape() -> None:
    tokens = Tokens(input=1, output=2, cache_read=3, cache_write=4)
    line = Line(key="m", units=1, requests=1, tokens=tokens, usd=0.25)
    audit = Audit(made=0.0, zone="UTC", days=(Day(day="2026-06-01", total=line, models=(line,)),))
    model = {"inputTokens": 1, "outputTokens": 2, "cacheReadTokens": 3, "cacheCreationTokens": 4}
    claude = {"daily": [{"date": "2026-06-01", "modelBreakdowns": [{**model, "modelName": "m", "cost": 0.25}]}]}
    codex = {"daily": [{"date": "2026-06-01", "costUSD": 0.25, "models": {"m": model}}]}

    for theirs_said, by_model in ((claude, True), (codex, False)):
        said = msgspec.json.encode(theirs_said)
        assert sheet_of_theirs(said, by_model=by_model) == sheet_of_ours(msgspec.json.encode(audit), by_model=by_model)


def test_totals_compare_day_by_day_so_that_errors_do_not_cancel_out() -> None:
    days = ("2026-06-01", "m"), ("2026-06-02", "m")
    one = Sheet({days[0]: (1, 0, 0, 0), days[1]: (2, 0, 0, 0)}, {days[0]: 1.0, days[1]: 2.0}, {})
    other = Sheet({days[0]: (2, 0, 0, 0), days[1]: (1, 0, 0, 0)}, {days[0]: 2.0, days[1]: 1.0}, {})

    model, together = side.totals(one, other)

    assert (model.days, model.same_tokens, model.same_cents) == (2, 0, 0)
    assert model.theirs == model.ours == (3, 3.0)
    assert together == model._replace(name="together")
    assert side.totals(one, one)[0].same_cents == 2


def test_a_program_that_is_missing_or_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="no-such-program is not installed"):
        theirs("no-such-program", "claude")
    with pytest.raises(NotHere, match="ended with 3: no luck"):
        run(
            [sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"],
            environment(tmp_path, tmp_path),
        )


def test_a_run_is_measured(tmp_path: Path) -> None:
    program = "import time; kept = bytearray(b'x' * 60_000_000); time.sleep(0.3); print(len(kept))"

    ran = run([sys.executable, "-c", program], environment(tmp_path, tmp_path), watch=True)

    assert ran.said == b"60000000\n"
    assert 0.3 <= ran.seconds < 60
    assert 60_000_000 < ran.memory < 300_000_000
    assert ran.largest > 60_000_000
