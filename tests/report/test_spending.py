import json
from pathlib import Path

import msgspec
import pytest

from stepdown.ledger import Attempt, Ledger, Outcome, open_ledger
from stepdown.report.spending import spending_report
from stepdown.report.spending_text import render_text, savings_sentence
from stepdown.report.tables import text_width
from stepdown.savings import Savings
from stepdown.units import Tier, Tokens

PROJECT = "/home/me/märz-项目"
STARTED = 1_770_000_000.0
CEILING = "anthropic/claude-sonnet-4-6"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(str(tmp_path / "ledger.db"))


def add(
    ledger: Ledger,
    number: int,
    *,
    cost: float | None = 0.25,
    source: str = "reported",
    ceiling: float | None = 1.0,
    downgraded: bool = True,
    failure: str | None = None,
    unit_type: str = "execute-task",
    project: str = PROJECT,
    verified: bool | None = True,
    cause: str = "first",
    loss: float = 0.0,
) -> int:
    attempt_id = ledger.begin(
        Attempt(
            project=project,
            unit_type=unit_type,
            unit_id=f"T{number:02}",
            tier=Tier.LIGHT if downgraded else Tier.STANDARD,
            model="anthropic/claude-haiku-4-5" if downgraded else CEILING,
            ceiling=CEILING,
            downgraded=downgraded,
            started=STARTED + 3600 * len(ledger.records()),
            reserved_usd=0.5,
            cause=cause,
        )
    )
    outcome = Outcome(
        failure=failure,
        verified=verified,
        tokens=Tokens(input=1_000, output=500, cache_read=100_000),
        cost_usd=cost,
        cost_source="unknown" if cost is None else source,
        ceiling_cost_usd=ceiling,
        cache_loss_usd=loss,
        finished=STARTED + 3600 * attempt_id,
    )
    ledger.settle(attempt_id, outcome)
    return attempt_id


def small_project(ledger: Ledger) -> None:
    add(ledger, 1)
    add(ledger, 2, source="priced")
    add(ledger, 3, failure="quality", cost=0.0625)
    add(ledger, 3, downgraded=False, cost=1.0, cause="step up")
    add(ledger, 4, cost=None)
    add(ledger, 5, unit_type="plan-slice", downgraded=False, cost=0.5)
    ledger.begin(Attempt(project=PROJECT, unit_type="run-uat", unit_id="S01", started=STARTED, reserved_usd=0.5))


def test_the_bill_of_a_small_project(ledger: Ledger) -> None:
    small_project(ledger)
    assert (
        render_text(spending_report(ledger, PROJECT), 80)
        == """\
Spending of märz-项目, 2 Feb 2026: 7 attempts at 6 units

                               attempts  failed  tokens   spent  share  no price
Model
  anthropic/claude-sonnet-4-6         2          203.0k   $1.50   73 %
  anthropic/claude-haiku-4-5          4       1  406.0k  ~$0.56   27 %         1
Unit type
  execute-task                        5       1  507.5k  ~$1.56   76 %         1
  plan-slice                          1          101.5k   $0.50   24 %
Tier
  standard                            2          203.0k   $1.50   73 %
  light                               4       1  406.0k  ~$0.56   27 %         1
Total                                 6       1  609.0k  ~$2.06                1

Spent                     ~$2.06  estimated: in part tokens at list price
Reserved                  ~$0.50  for 1 attempt not ended
At the ceiling            ~$3.50  what 4 units would have cost on it
Saved by cheaper models   ~$1.50  at the same or the ceiling's own use
Lost to failed attempts  ~$0.062  by models below the ceiling
Lost to cache             ~$0.00  none measured
Failed attempts                1  1 quality
Stepped up                     1  1 of them then succeeded
Dynamic routing saved ~$1.44 (4 units downgraded); 1 unit of unknown cost not
compared

Note: 1 attempt of unknown cost not included"""
    )


def test_what_a_change_of_model_cost_is_told(ledger: Ledger) -> None:
    add(ledger, 1, loss=0.125)
    add(ledger, 2, downgraded=False, cost=1.5, ceiling=1.0, loss=0.5)
    report = spending_report(ledger, PROJECT)
    assert (report.savings.cache_usd, report.savings.net_usd) == (0.625, 0.25)
    lines = render_text(report, 100).splitlines()
    assert "Lost to cache ~$0.62 caches written anew after a change of model" in [" ".join(line.split()) for line in lines]
    assert "Dynamic routing saved ~$0.25 (1 unit downgraded)" in lines
    # In a span that begins after the unit for which the model was changed, nothing was downgraded, and a cache was lost.
    later = spending_report(ledger, PROJECT, since=STARTED + 1)
    assert (later.savings.downgraded, later.savings.net_usd) == (0, -0.5)
    assert render_text(later, 100).splitlines()[-1] == (
        "Dynamic routing cost ~$0.50 more than the ceiling would have (0 units downgraded)"
    )


def test_attempts_are_not_units(ledger: Ledger) -> None:
    add(ledger, 1, failure="quality")
    add(ledger, 1, cause="step up", failure="provider")
    add(ledger, 1, cause="fallback")
    add(ledger, 2, failure="quality")
    add(ledger, 2, cause="step up", failure="quality")
    add(ledger, 3)
    report = spending_report(ledger, PROJECT)
    assert (report.units, report.total.units, report.total.attempts, report.total.failed) == (3, 3, 6, 4)
    assert (report.failures, report.stepped_up, report.rescued) == ({"quality": 3, "provider": 1}, 2, 1)
    assert [(line.key, line.units) for line in report.models] == [("anthropic/claude-haiku-4-5", 3)]
    document = report.as_json()
    assert (document["failures"], document["stepped_up"], document["savings"]["rescued"]) == (report.failures, 2, 1)
    text = render_text(report, 100)
    assert text.startswith("Spending of märz-项目, 2 Feb 2026: 6 attempts at 3 units\n")
    assert "4  3 quality, 1 provider" in text
    assert "2  1 of them then succeeded" in text


def test_a_project_without_failures_counts_one_thing(ledger: Ledger) -> None:
    add(ledger, 1)
    add(ledger, 2)
    lines = render_text(spending_report(ledger, PROJECT), 100).splitlines()
    assert lines[0].endswith(": 2 attempts")
    assert "units" not in lines[2]
    assert not any(line.startswith(("Failed attempts", "Stepped up")) for line in lines)


def test_every_amount_says_how_it_is_known(ledger: Ledger) -> None:
    small_project(ledger)
    report = spending_report(ledger, PROJECT)
    assert (report.total.spent.provenance, report.total.spent.unknown) == ("estimated", 1)
    assert {line.key: line.spent.provenance for line in report.types} == {"execute-task": "estimated", "plan-slice": "measured"}
    add(ledger, 9, unit_type="rewrite-docs", cost=None)
    [unknown] = [line for line in spending_report(ledger, PROJECT).types if line.key == "rewrite-docs"]
    assert (unknown.spent.usd, unknown.spent.provenance, str(unknown.spent)) == (None, "unknown", "unknown")
    assert report.counterfactual.provenance == "estimated"


def test_the_report_agrees_with_the_ledgers_own_sums(ledger: Ledger) -> None:
    small_project(ledger)
    report = spending_report(ledger, PROJECT)
    for by, lines in (("tier", report.tiers), ("type", report.types), ("model", report.models)):
        expected = {
            line.key: (line.attempts, line.failed, line.unverified, line.downgraded, line.usd) for line in ledger.breakdown(by)
        }
        assert {
            line.key: (line.attempts, line.failed, line.unverified, line.downgraded, line.spent.usd or 0.0) for line in lines
        } == expected
    assert (report.total.spent.usd or 0) + report.reserved_usd == ledger.spent(PROJECT).usd


def test_as_json_is_json_and_says_the_net(ledger: Ledger) -> None:
    small_project(ledger)
    report = spending_report(ledger, PROJECT)
    document = json.loads(json.dumps(report.as_json()))
    assert document["savings"]["net_usd"] == report.savings.net_usd == 1.4375
    assert document["savings"]["provenance"] == "estimated"
    assert document["total"]["spent"] == {"usd": 2.0625, "provenance": "estimated", "unknown": 1}
    assert document["types"][0]["key"] == "execute-task"


def test_a_report_of_a_span_leaves_the_rest_out(ledger: Ledger) -> None:
    small_project(ledger)
    report = spending_report(ledger, PROJECT, since=STARTED + 3600 * 4.5)
    assert (report.total.attempts, report.running) == (1, 0)


def test_all_projects_are_told_apart(ledger: Ledger) -> None:
    add(ledger, 1, project="/a", cost=0.25)
    add(ledger, 1, project="/b", cost=0.5)
    report = spending_report(ledger)
    assert [line.key for line in report.projects] == ["/b", "/a"]
    assert render_text(report, 80).startswith("Spending of all projects, 2 Feb 2026: 2 attempts\n")
    assert spending_report(ledger, "/a").projects == ()


def test_an_empty_project_says_so(ledger: Ledger) -> None:
    assert render_text(spending_report(ledger, PROJECT)) == "Spending of märz-项目: nothing recorded yet"


def test_an_imported_past_claims_no_saving_and_no_success(ledger: Ledger) -> None:
    attempt = Attempt(project=PROJECT, unit_type="execute-task", unit_id="T01", model="m", started=STARTED)
    ledger.import_records(PROJECT, "gsd", [(attempt, Outcome(cost_usd=2.5, cost_source="reported", finished=STARTED))])
    text = render_text(spending_report(ledger, PROJECT), 200)
    assert "1 attempt, imported" in text
    assert "Spent  $2.50  measured" in text
    assert "Dynamic routing" not in text
    assert "nothing checked the work of 1 attempt" in text
    assert "Tier" not in text


def test_only_unknown_costs_are_not_zero(ledger: Ledger) -> None:
    add(ledger, 1, cost=None)
    report = spending_report(ledger, PROJECT)
    assert (report.total.spent.usd, report.counterfactual.usd) == (None, None)
    text = render_text(report, 80)
    assert "What dynamic routing saved is unknown (1 unit downgraded)" in text
    assert "$0.00" not in text


def test_many_types_are_summed_up_in_one_line(ledger: Ledger) -> None:
    for number in range(9):
        add(ledger, number, unit_type=f"type-{number}", cost=float(9 - number), source="priced" if number == 8 else "reported")
    report = spending_report(ledger, PROJECT)
    lines = render_text(report, 80, rows=4).splitlines()
    [rest] = [line for line in lines if " 6 more " in line]
    assert rest.split() == ["6", "more", "6", "609.0k", "~$21.00", "47", "%"]
    assert sum(" type-" in line for line in lines) == 3
    assert sum(" type-" in line for line in render_text(report, 80, rows=9).splitlines()) == 9


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 120, 200])
@pytest.mark.parametrize("color", [False, True])
def test_it_fits_one_screen(ledger: Ledger, width: int, color: bool) -> None:
    small_project(ledger)
    for number in range(15):
        add(ledger, 20 + number, unit_type=f"an-invented-type-of-unit-{number}")
    lines = render_text(spending_report(ledger), width, color).splitlines()
    assert max(text_width(line) for line in lines) <= width
    assert any("\x1b[" in line for line in lines) is color
    if width >= 80:
        assert len(lines) <= 40


def test_a_project_cannot_drive_the_terminal(ledger: Ledger) -> None:
    add(ledger, 1, project="/home/me/\x1b]0;title\x07", unit_type="execute-task\x1b[2J")
    for project in (None, "/home/me/\x1b]0;title\x07"):
        assert "\x1b" not in render_text(spending_report(ledger, project))


SAVED = Savings(runs=10, downgraded=9, cheaper_usd=2.1, failed_usd=0.26)


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        (SAVED, "Dynamic routing saved ~$1.84 (9 units downgraded)"),
        (msgspec.structs.replace(SAVED, downgraded=1), "Dynamic routing saved ~$1.84 (1 unit downgraded)"),
        (
            msgspec.structs.replace(SAVED, failed_usd=2.22),
            "Dynamic routing cost ~$0.12 more than the ceiling would have (9 units downgraded)",
        ),
        (
            msgspec.structs.replace(SAVED, unknown=2),
            "Dynamic routing saved ~$1.84 (9 units downgraded); 2 units of unknown cost not compared",
        ),
        (Savings(runs=3), "Dynamic routing changed nothing (0 units downgraded)"),
        (Savings(downgraded=2, unknown=2), "What dynamic routing saved is unknown (2 units downgraded)"),
    ],
)
def test_the_sentence_says_what_is_true(saved: Savings, sentence: str) -> None:
    assert savings_sentence(saved) == sentence
