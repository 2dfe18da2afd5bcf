"""Checks, made with real commands and real files."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

from stepdown.agents.port import Finished
from stepdown.dispatch.checks import AGENT, EXPECTED_OUTPUT, WRITTEN, Check
from stepdown.dispatch.verify import NEEDS_WORD, Finding, Verdict, printable, program_finder, verify

DONE = Finished(text="done")
ENV = dict(os.environ)


def command(text: str, *, asks: bool = False, finds_nothing: bool = False, left_out: str = "") -> Check:
    return Check(kind="command", what=text, source="Verify line", asks=asks, finds_nothing=finds_nothing, left_out=left_out)


def file(path: str, source: str = EXPECTED_OUTPUT) -> Check:
    return Check(kind="file", what=path, source=source)


CHANGE = Check(kind="change", what="a change to the work tree", source=AGENT)
WORD = Check(kind="agent", what="how the agent says it went", source=AGENT)


def check(
    workdir: Path,
    *checks: Check,
    allowed: bool = True,
    finished: Finished = DONE,
    changed: tuple[str, ...] | None = None,
    timeout: float = 20.0,
) -> Verdict:
    return asyncio.run(
        verify(checks, workdir, commands_allowed=allowed, finished=finished, changed=changed, timeout=timeout, env=ENV)
    )


def one(workdir: Path, text: str, *, finds_nothing: bool = False, timeout: float = 20.0) -> Finding:
    return check(workdir, command(text, finds_nothing=finds_nothing), timeout=timeout).findings[0]


def test_a_passing_command_verifies(tmp_path: Path) -> None:
    verdict = check(tmp_path, command("test -d . && echo fine"), WORD)
    assert verdict.verified is True
    assert verdict.failed == ()
    assert verdict.evidence == "1 check passed: test -d . && echo fine"
    assert verdict.findings[0].output == ("fine",)


def test_a_failing_one_says_what_it_said_last(tmp_path: Path) -> None:
    verdict = check(tmp_path, command("true"), command("echo out; echo 3 failed >&2; exit 4"), command("false"))
    assert verdict.verified is False
    assert [finding.detail for finding in verdict.failed] == ["exit 4: 3 failed", "exit 1"]
    assert verdict.evidence == "`echo out; echo 3 failed >&2; exit 4`: exit 4: 3 failed (and 1 more)"


def test_it_runs_in_the_work_directory_with_the_environment_it_is_given(tmp_path: Path) -> None:
    verdict = asyncio.run(
        verify(
            [command('echo "$PWD $WORD"')],
            tmp_path,
            commands_allowed=True,
            finished=DONE,
            changed=None,
            timeout=20,
            env={"PATH": os.environ["PATH"], "WORD": "said"},
        )
    )
    assert verdict.findings[0].output == (f"{tmp_path.resolve()} said",)


@pytest.mark.parametrize(
    "text",
    [
        "no-such-program-here --x",
        "cd . && no-such-program-here",
        "no-such-program-here | grep -q x",
        "./no-such-script.sh",
        "bash no-such-script.sh",
        "./plain",
        "cd /no/such/place && true",
        "cd '/no/such/place' && true",
        "echo '/usr/bin/python3: No module named pytest'; exit 1",
        "echo 'npx canceled due to missing packages and no YES option: [\"vitest\"]'; exit 1",
    ],
)
def test_what_the_machine_lacks_is_no_failure_of_the_work(tmp_path: Path, text: str) -> None:
    (tmp_path / "plain").write_text("not executable")
    finding = one(tmp_path, text)
    assert finding.passed is None
    assert "nothing was checked" in finding.detail
    assert check(tmp_path, command(text)).verified is None


@pytest.mark.parametrize(
    "text",
    [
        "echo '/usr/bin/python3: No module named my_own_package'; exit 1",
        "echo \"ModuleNotFoundError: No module named 'pytest'\"; exit 1",
        "cd missing && true",
        "kill -9 $$",
        "grep x no-such-file",
    ],
)
def test_but_what_the_work_lacks_is(tmp_path: Path, text: str) -> None:
    assert one(tmp_path, text).passed is False


def test_a_command_that_hangs_is_ended_with_all_it_started_and_the_rest_is_not_run(tmp_path: Path) -> None:
    started = time.monotonic()
    verdict = check(tmp_path, command("sleep 61.5 & sleep 61.5"), command("touch ran"), timeout=0.5)
    assert time.monotonic() - started < 10
    assert [finding.detail for finding in verdict.findings] == [
        "did not end within 0.5 s",
        "not run: a check before it did not end",
    ]
    assert verdict.verified is False
    assert not (tmp_path / "ran").exists()
    left = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in left.splitlines() if "sleep 61.5" in line and not line.startswith("Z")]


def test_output_without_an_end_is_bounded_in_time_and_size(tmp_path: Path) -> None:
    finding = one(tmp_path, "yes abcdefghij", timeout=0.5)
    assert finding.passed is False
    assert finding.detail == "did not end within 0.5 s"
    assert len(finding.output) <= 20


def test_a_command_that_waits_for_input_gets_none(tmp_path: Path) -> None:
    assert one(tmp_path, "read answer").detail == "exit 1"


def test_binary_output_is_made_printable(tmp_path: Path) -> None:
    finding = one(tmp_path, r"printf '\033[31mred\033[0m \000\001\377\n'; head -c 100000 /dev/zero; exit 1")
    assert finding.output[0] == "red \ufffd\ufffd\ufffd"
    assert all(line.isprintable() and len(line) <= 300 for line in finding.output)
    assert finding.detail.isprintable()


def test_of_a_progress_bar_only_the_end_is_kept() -> None:
    assert printable("10 %\r50 %\r100 %") == "100 %"
    assert printable("done\r") == "done"
    assert printable("\x1b]0;title\x07a\tb") == "a b"


def test_a_search_that_is_to_find_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    found = one(tmp_path, "grep old a", finds_nothing=True)
    assert (found.passed, found.detail) == (False, "found what should be gone: old")
    assert one(tmp_path, "grep new a", finds_nothing=True).passed is True
    assert one(tmp_path, "grep new b", finds_nothing=True).passed is None


def test_what_sh_lacks_runs_in_bash(tmp_path: Path) -> None:
    if not program_finder(ENV)("bash"):
        pytest.skip("bash is not installed")
    assert one(tmp_path, "diff <(echo a) <(echo a) && [[ -d . ]]").passed is True


def test_without_the_users_word_nothing_of_a_plan_runs(tmp_path: Path) -> None:
    verdict = check(tmp_path, command("touch theirs", asks=True), command("touch mine"), allowed=False)
    assert [finding.detail for finding in verdict.findings] == [NEEDS_WORD, "exit 0"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    alone = check(tmp_path, command("touch theirs", asks=True), WORD, allowed=False)
    assert alone.verified is None
    assert alone.evidence == f"unverified: `touch theirs`: {NEEDS_WORD}"


def test_what_is_left_out_is_not_run_and_says_why(tmp_path: Path) -> None:
    verdict = check(tmp_path, command("touch x", left_out="does not end by itself"))
    assert verdict.findings[0].detail == "not run: it does not end by itself"
    assert list(tmp_path.iterdir()) == []


def test_where_the_agent_says_that_it_failed_no_command_runs(tmp_path: Path) -> None:
    verdict = check(tmp_path, command("touch x"), WORD, finished=Finished(failure="quality", message="gave up\n"))
    assert verdict.verified is False
    assert verdict.evidence == "how the agent says it went: gave up"
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_changes_the_tree_is_named(tmp_path: Path) -> None:
    def look() -> tuple[str, ...]:
        return tuple(sorted(path.name for path in tmp_path.iterdir()))

    (tmp_path / "before").touch()
    verdict = asyncio.run(
        verify(
            [command("touch made"), command("true")],
            tmp_path,
            commands_allowed=True,
            finished=DONE,
            changed=look(),
            timeout=20,
            env=ENV,
            look=look,
        )
    )
    assert [finding.touched for finding in verdict.findings] == [("made",), ()]
    assert verdict.findings[0].line == "`touch made`: exit 0; it changed made"


def test_promised_files(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").touch()
    (tmp_path / "old.py").touch()
    (tmp_path / "app" / "src").mkdir(parents=True)
    (tmp_path / "app" / "src" / "b.ts").touch()
    (tmp_path / "link").symlink_to("/etc")
    names = ("docs/a.md", "docs/", "old.py", "src/b.ts", "gone.md", "link/passwd")
    verdict = check(tmp_path, *map(file, names), changed=("docs/a.md",))
    assert [finding.passed for finding in verdict.findings] == [True, True, None, None, False, None]
    assert verdict.evidence == "gone.md: was promised and is not there"
    assert verdict.findings[3].detail == "is not there, but app/src/b.ts is"
    without_git = check(tmp_path, file("docs/a.md"), changed=None)
    assert without_git.verified is True
    written = check(tmp_path, file("old.py", WRITTEN), changed=())
    assert written.verified is True


@pytest.mark.parametrize(
    ("changed", "passed"),
    [((), False), ((".gsd/T01-SUMMARY.md",), False), (("src/a.py",), True), (None, None)],
)
def test_a_change_where_one_was_due(tmp_path: Path, changed: tuple[str, ...] | None, passed: bool | None) -> None:
    verdict = check(tmp_path, CHANGE, WORD, changed=changed)
    assert verdict.findings[0].passed is passed
    assert verdict.verified is (False if passed is False else None)


def test_nothing_to_check_is_unverified_and_says_so(tmp_path: Path) -> None:
    verdict = check(tmp_path, WORD)
    assert verdict.verified is None
    assert verdict.evidence == "unverified: nothing to check it by"


def test_a_directory_that_is_gone_checks_nothing(tmp_path: Path) -> None:
    verdict = check(tmp_path / "gone", command("true"))
    assert verdict.verified is None
    assert "there is no directory" in verdict.evidence


def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    async def cancelled() -> None:
        async with asyncio.timeout(0.5):
            await verify(
                [command("sleep 62.5; touch late")],
                tmp_path,
                commands_allowed=True,
                finished=DONE,
                changed=None,
                timeout=60,
                env=ENV,
            )

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert time.monotonic() - started < 10
    left = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in left.splitlines() if "sleep 62.5" in line and not line.startswith("Z")]
