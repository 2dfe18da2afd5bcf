"""`stepdown audit` over logs on disk: what it shows, what it writes, and one line for whatever cannot be."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import claude_logs
import pytest

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
TOKENS = {"input_tokens": 1_000, "output_tokens": 2_000, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
COST = (1_000 * 5 + 2_000 * 25) / 1e6
"""Of such an answer of Opus 4.6, US dollars."""


def log(home: Path, name: str = "one", answers: int = 3, **fields: Any) -> Path:
    """A session of Claude Code with one turn."""
    lines = [claude_logs.user("write the parser", **fields)]
    lines += [claude_logs.answer(f"{name}-{number}", number + 1.0, usage=TOKENS, **fields) for number in range(answers)]
    return claude_logs.write(home / f".claude/projects/engine/{name}.jsonl", lines)


def audited(call: Call, *arguments: str) -> dict[str, Any]:
    said = call("audit", "--json", *arguments)
    assert (said.returncode, said.stderr) == (0, "")
    document: dict[str, Any] = json.loads(said.stdout)
    return document


def test_what_was_spent_and_what_routing_would_have_saved(home: Path, call: Call) -> None:
    log(home)
    found = audited(call)
    assert found["total"]["usd"] == pytest.approx(3 * COST)
    assert (found["total"]["units"], found["total"]["requests"], found["sessions"]) == (1, 3, 1)
    assert [line["key"] for line in found["projects"]] == [claude_logs.PROJECT]
    full = found["routing"][1]
    assert full["mode"] == "full"
    assert full["net_usd"] == pytest.approx(full["spent_usd"] - full["routed_usd"])
    said = call("audit")
    assert "$0.1" in said.stdout
    assert "engine" in said.stdout


def test_nothing_of_the_users_is_changed(home: Path, call: Call) -> None:
    file = log(home)
    before = file.stat(), file.read_bytes()
    audited(call)
    assert (file.stat().st_mtime_ns, file.read_bytes()) == (before[0].st_mtime_ns, before[1])
    made = {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()}
    assert made == {".claude", ".stepdown"}
    assert {path.name.partition("-wal")[0].partition("-shm")[0] for path in (home / ".stepdown").iterdir()} == {
        "audit-index.db"
    }


def test_no_word_of_a_prompt_is_kept(home: Path, call: Call) -> None:
    log(home)
    audited(call)
    for file in (home / ".stepdown").iterdir():
        assert b"parser" not in file.read_bytes()


def test_a_second_audit_reads_what_is_new(home: Path, call: Call) -> None:
    log(home)
    assert audited(call)["total"]["requests"] == 3
    log(home, "two", answers=2)
    assert audited(call)["total"]["requests"] == 5
    (home / ".claude/projects/engine/one.jsonl").unlink()
    assert audited(call)["total"]["requests"] == 2


def test_without_logs_it_says_where_it_looked(home: Path, call: Call) -> None:
    said = call("audit")
    assert said.returncode == 0
    assert str(home / ".claude/projects") in said.stdout
    assert ".codex" in said.stdout
    assert "--sample" in said.stdout


def test_the_sample_is_said_to_be_one_and_leaves_nothing(home: Path, call: Call) -> None:
    said = call("audit", "--sample")
    assert said.returncode == 0
    assert "invented" in said.stdout
    assert list(home.iterdir()) == []
    found = audited(call, "--sample")
    assert found["sample"]
    assert found["total"]["usd"] > 100
    assert {line["key"] for line in found["agents"]} == {"claude", "codex", "gsd"}


def test_the_summary_fits_a_screen(call: Call) -> None:
    for columns in (80, 120):
        os.environ["COLUMNS"] = str(columns)
        lines = call("audit", "--sample").stdout.splitlines()
        assert len(lines) <= 42
        assert max(map(len, lines)) <= columns


@pytest.mark.parametrize(("since", "requests"), [("2026-06-01", 3), ("2026-06-02", 0), ("2026-06-01T09:00:02+00:00", 2)])
def test_since(home: Path, call: Call, since: str, requests: int) -> None:
    log(home)
    assert audited(call, "--since", since)["total"]["requests"] == requests


def test_one_project_by_name_or_directory(home: Path, call: Call) -> None:
    log(home)
    log(home, "other", cwd="/home/ada/kitchen")
    assert audited(call, "--project", "kitchen")["total"]["requests"] == 3
    assert audited(call, "--project", "/home/ada")["total"]["requests"] == 6
    log(home, "here", cwd=str(Path.cwd()))
    here = audited(call, "--project", ".")
    assert (here["project"], here["total"]["requests"]) == (str(Path.cwd()), 3)
    said = call("audit", "--project", "cellar")
    assert (said.returncode, said.stdout) == (2, "")
    assert "--project cellar" in said.stderr


def test_a_page_that_needs_nothing_else(home: Path, call: Call, tmp_path: Path) -> None:
    log(home)
    page = tmp_path / "audit.html"
    said = call("audit", "--html", page)
    assert str(page) in said.stdout
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert not re.findall(r"(?:src|href)=[\"'](?!#)|url\(|@import|<script", page.read_text())
    missing = call("audit", "--html", tmp_path / "nowhere/audit.html")
    assert missing.returncode == 2
    assert "nowhere" in missing.stderr


def test_anonymous_leaves_out_names_and_paths_everywhere(home: Path, call: Call, tmp_path: Path) -> None:
    log(home, cwd="/home/ada/secret-engine")
    page = tmp_path / "audit.html"
    shown = call("audit", "--anonymous", "--html", page).stdout.replace(str(page), "")
    for text in (shown, page.read_text(), call("audit", "--anonymous", "--json").stdout):
        for secret in ("secret", "/home/ada", str(home)):
            assert secret not in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--since", "yesterday"], "--since"),
        (["--since", "2026-13-01"], "--since"),
        (["--nothing"], "--nothing"),
        (["elsewhere"], "elsewhere"),
    ],
)
def test_a_wrong_call_is_one_line(call: Call, arguments: list[str], named: str) -> None:
    said = call("audit", *arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert named in said.stderr
    assert said.stderr.count("\n") == 1


def test_preferences_with_a_mistake_are_said_before_anything_is_read(home: Path, call: Call, tmp_path: Path) -> None:
    log(home)
    (tmp_path / "stepdown.yaml").write_text("dynamic_routing: {tier_models: {light: 3}}\n")
    said = call("audit")
    assert (said.returncode, said.stdout) == (2, "")
    assert "stepdown.yaml" in said.stderr


def test_the_users_own_prices_and_models_count(home: Path, call: Call, tmp_path: Path) -> None:
    log(home, model="our-own")
    assert audited(call)["total"]["unknown"] == 3
    own = "{provider: anthropic, tier: heavy, context: 200000, output: 32000, price: {input: 1, output: 2}}"
    (tmp_path / "stepdown.yaml").write_text(f"catalog:\n  our-own: {own}\n")
    found = audited(call)["total"]
    assert (found["unknown"], found["usd"]) == (0, pytest.approx(3 * (1_000 + 4_000) / 1e6))


def test_an_index_that_cannot_be_kept_is_said_and_costs_nothing_else(home: Path, call: Call) -> None:
    log(home)
    (home / ".stepdown").write_text("a file, where a directory should be")
    said = call("audit", "--json")
    assert said.returncode == 0
    assert json.loads(said.stdout)["total"]["requests"] == 3
    assert "remembered" in said.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="file permissions do not bind root")
def test_logs_that_may_not_be_read_are_counted(home: Path, call: Call) -> None:
    log(home)
    log(home, "two").chmod(0)
    found = audited(call)
    assert found["total"]["requests"] == 3
    assert any("could not be read" in trouble["what"] for trouble in found["troubles"])


def test_days_are_those_of_the_machines_zone(home: Path, program: Callable[..., Said]) -> None:
    lines = [claude_logs.user("write the parser"), claude_logs.answer("a", 15 * 3600 - 60, usage=TOKENS)]  # 23:59 in UTC
    claude_logs.write(home / ".claude/projects/engine/a.jsonl", lines)
    for zone, day in (("UTC", "2026-06-01"), ("Europe/Berlin", "2026-06-02"), ("America/New_York", "2026-06-01")):
        found = json.loads(program("audit", "--json", TZ=zone).stdout)
        assert (found["zone"], [one["day"] for one in found["days"]]) == (zone, [day])


def test_nothing_of_an_unknown_price_looks_free(home: Path, call: Call, tmp_path: Path) -> None:
    usage = {**TOKENS, "cache_read_input_tokens": 90_000, "cache_creation_input_tokens": 20_000}
    lines = [claude_logs.user("write the parser"), claude_logs.answer("a", 1.0, usage=usage, model="glm-9")]
    claude_logs.write(home / ".claude/projects/engine/a.jsonl", lines)
    page = tmp_path / "audit.html"
    said = call("audit", "--html", page)
    assert "$" not in said.stdout
    assert "$" not in page.read_text()
    assert page.read_text().count("unknown") > 10


AUTUMN = 1_792_969_199.0
"""Sunday, 25 October 2026, 22:59:59 UTC: in Berlin the day ends a second later, and began two hours further from Greenwich."""


@pytest.mark.parametrize(
    ("zone", "called", "days", "times"),
    [
        ("Europe/Berlin", "Europe/Berlin", ["24", "25"], ["00:59", "23:59"]),
        (":Europe/Berlin", "Europe/Berlin", ["24", "25"], ["00:59", "23:59"]),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin", ["24", "25"], ["00:59", "23:59"]),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "UTC+01:00 and UTC+02:00", ["24", "25"], ["00:59", "23:59"]),
        ("UTC+3", "UTC-03:00", ["23", "25"], ["19:59", "19:59"]),
        ("XYZ-3:07:30", "UTC+03:07:30", ["24", "26"], ["02:07", "02:07"]),
        ("garbage", "UTC", ["23", "25"], ["22:59", "22:59"]),
        ("", "UTC", ["23", "25"], ["22:59", "22:59"]),
    ],
)
def test_times_are_of_the_same_zone_as_days(
    home: Path, program: Callable[..., Said], tmp_path: Path, zone: str, called: str, days: list[str], times: list[str]
) -> None:
    """Two turns before and after the clocks went back in Europe, in whatever form the machine says where it is."""
    if zone.startswith("/") and not Path(zone).exists():
        pytest.skip(f"no {zone} here")
    for number, at in enumerate((AUTUMN - 2 * 86_400 - claude_logs.START, AUTUMN - claude_logs.START)):
        lines = [claude_logs.user("write the parser", at - 5), claude_logs.answer(f"a{number}", at, usage=TOKENS)]
        claude_logs.write(home / f".claude/projects/engine/{number}.jsonl", lines)
    page = tmp_path / "audit.html"
    found = json.loads(program("audit", "--json", "--html", page, TZ=zone).stdout)
    assert found["zone"] == called
    assert [one["day"] for one in found["days"]] == [f"2026-10-{day}" for day in days]
    units = page.read_text().partition('id="top"')[2].partition("</table>")[0]
    shown = sorted(re.findall(r"(\d+) Oct 2026, (\d\d:\d\d)", units))
    assert shown == list(zip(days, times, strict=True))
    assert f"those of {called}" in page.read_text()


def test_a_terminal_sees_how_far_it_is(home: Path) -> None:
    log(home)
    leader, follower = pty.openpty()
    program = Path(sys.executable).with_name("stepdown")
    with subprocess.Popen([program, "audit"], stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], 20)[0]:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert process.wait(20) == 0
    os.close(leader)
    assert b"reading logs" in seen
    assert seen.endswith(b"\r\x1b[K")
