"""Claude Code's logs: what is read of them, in all their versions and states of repair."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from claude_logs import (
    PROJECT,
    SESSION,
    START,
    USAGE,
    answer,
    compacted,
    cost_state,
    failure,
    named,
    old_answer,
    read,
    result,
    tool,
    user,
    write,
)

from stepdown.sessions.claude import ClaudeCode
from stepdown.sessions.records import Counted, Log
from stepdown.sessions.source import Source


def types(log: Log) -> list[str]:
    return [turn.type for turn in log.turns]


class TestAnswers:
    def test_one_answer_in_several_lines_is_one_request_with_the_last_usage(self) -> None:
        started = {**USAGE, "output_tokens": 1}
        log = read(
            user("Fix it"),
            answer("A", 1, usage=started, content=[{"type": "thinking", "thinking": "..."}]),
            answer("A", 2, content=[tool("Bash", "t1", command="ls")]),
            result("t1", "a b", 3),
            answer("A", 4, content=[tool("Bash", "t2", command="ls")]),
            answer("B", 5),
        )
        assert [(one.key, one.output, one.turn) for one in log.requests] == [
            ("msg_A:req_A", 20, 0),
            ("msg_B:req_B", 20, 0),
        ]
        assert log.turns[0].calls == 2
        assert log.troubles == {}

    def test_a_line_that_is_there_twice_counts_once(self) -> None:
        line = answer("A", 1, content=[tool("Edit", "t1", file_path="a.py")])
        log = read(user("Fix it"), line, answer("B", 2), line)
        assert (len(log.requests), log.turns[0].calls) == (2, 1)

    def test_a_later_line_with_less_output_does_not_count(self) -> None:
        log = read(user("Fix it"), answer("A", 1), answer("A", 2, usage={**USAGE, "output_tokens": 2}))
        assert [one.output for one in log.requests] == [20]

    def test_everything_that_changes_the_price(self) -> None:
        usage = {
            "input_tokens": 5,
            "output_tokens": 6,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9},
            "service_tier": "priority",
            "speed": "fast",
            "inference_geo": "us",
        }
        (one,) = read(user("Fix it"), answer("A", 1, usage=usage)).requests
        assert (one.input, one.output, one.cache_read, one.cache_write, one.written_1h) == (5, 6, 7, 30, 20)
        assert (one.searches, one.variant) == (3, "fast+priority+us")

    @pytest.mark.parametrize("plain", [None, "", "standard"])
    def test_the_ordinary_price_has_no_name(self, plain: str | None) -> None:
        usage = {**USAGE, "service_tier": plain, "speed": plain, "inference_geo": "" if plain else None}
        assert read(user("Fix it"), answer("A", 1, usage=usage)).requests[0].variant == ""

    def test_of_caches_only_the_kinds_may_be_said(self) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 8}}
        (one,) = read(user("Fix it"), answer("A", 1, usage=usage)).requests
        assert (one.cache_write, one.written_1h) == (8, 8)

    @pytest.mark.parametrize(
        ("model", "message", "provider"),
        [
            ("claude-opus-4-6", "msg_01", "anthropic"),
            ("claude-sonnet-4-5-20250929", "msg_01", "anthropic"),
            ("claude-sonnet-4-5-20250929", "msg_bdrk_01", ""),
            ("claude-sonnet-4-5-20250929", "msg_vrtx_01", ""),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "msg_01", ""),
            ("claude-sonnet-4-5@20250929", "msg_01", ""),
            ("glm-4.7", "msg_01", ""),
        ],
    )
    def test_who_sold_it_is_said_only_where_it_is_certain(self, model: str, message: str, provider: str) -> None:
        line = answer("A", 1, model=model)
        line["message"]["id"] = message
        (one,) = read(user("Fix it"), line).requests
        assert (one.model, one.provider) == (model, provider)

    def test_an_old_log_says_its_cost_and_has_no_request_ids(self) -> None:
        (one,) = read(user("Fix it"), old_answer("A", 1), old_answer("A", 2)).requests
        assert (one.key, one.usd) == ("msg_A", 0.25)

    def test_answers_without_any_id_are_each_counted(self) -> None:
        line = old_answer("A", 1)
        del line["message"]["id"]
        assert [one.key for one in read(user("Fix it"), line, line).requests] == ["", ""]


class TestTurns:
    def test_a_persons_words_begin_a_turn_and_nothing_else_does(self) -> None:
        log = read(
            user("Add a parser", 0),
            answer("A", 1, content=[tool("Edit", "t1", file_path="a.py"), tool("Write", "t2", file_path="b.py")]),
            result("t1", "no such text", 2, error=True),
            answer("B", 3, content=[tool("Edit", "t3", file_path="a.py"), tool("Read", "t4", file_path="c.py")]),
            user("<system-reminder>Mind the tests.</system-reminder>", 4),
            user("a skill's text", 5, isMeta=True),
            user("<task-notification>done</task-notification>", 6),
            answer("C", 7),
            user(
                [{"type": "text", "text": "<ide_opened_file>x</ide_opened_file>"}, {"type": "text", "text": "And test it"}], 8
            ),
            answer("D", 9),
        )
        assert [one.turn for one in log.requests] == [0, 0, 0, 1]
        first, second = log.turns
        assert (first.type, first.origin, first.files, first.calls, first.errors) == ("execute-task", "human", 2, 4, 1)
        assert (first.session, first.conversation, first.project) == (SESSION, SESSION, PROJECT)
        assert (first.at, second.at) == (START, START + 8)
        assert second.signals is not None

    def test_a_prompt_that_names_a_unit_is_that_unit(self) -> None:
        (turn,) = read(user("## UNIT: Execute Task T01\n\nM001/S01/T01: write two files.\n"), answer("A", 1)).turns
        assert (turn.type, turn.id, turn.origin) == ("execute-task", "M001/S01/T01", "plan")

    def test_plan_mode_by_its_mark_and_in_older_logs_by_how_it_is_left(self) -> None:
        left = [tool("ExitPlanMode", "t1", plan="...")]
        old = user("Plan it", 4)
        del old["permissionMode"]
        log = read(
            user("Plan it", 0, permissionMode="plan"),
            answer("A", 1),
            user("Do it", 2),
            answer("B", 3, content=left),
            old,
            old_answer("C", 5, content=[{**left[0], "id": "t2"}]),
        )
        assert types(log) == ["plan-slice", "execute-task", "plan-slice"]

    def test_a_command_is_a_turn_once_it_asks_the_model_something(self) -> None:
        name = "<command-message>{0}</command-message>\n<command-name>/{0}</command-name>\n<command-args></command-args>"
        log = read(
            user("Hello", 0),
            answer("A", 1),
            user(name.format("cost"), 2),
            user("<local-command-stdout>$1</local-command-stdout>", 3),
            result("t0", "late", 4),
            answer("B", 5),
            user(name.format("review"), 6),
            user("Review the branch, all of it", 7, isMeta=True),
            answer("C", 8),
        )
        assert [one.turn for one in log.requests] == [0, 0, 1]
        assert log.turns[1].origin == "human"

    def test_how_turns_end(self) -> None:
        log = read(
            user("One", 0),
            answer("A", 1),
            user([{"type": "text", "text": "[Request interrupted by user for tool use]"}], 2),
            user("Two", 3),
            failure("API Error: 529 overloaded", 4),
            user("Three", 5),
            failure("API Error: 529 overloaded", 6),
            answer("B", 7),
            user("Four", 8),
            failure("5-hour limit reached ∙ resets 3pm", 9),
        )
        assert [turn.ended for turn in log.turns] == ["stopped", "error", "", "limit"]
        assert [(one.window, one.reached, one.resets) for one in log.limits] == [("5h", True, None)]
        assert len(log.requests) == 2

    def test_after_a_compaction_turns_are_fresh_until_one_is_answered(self) -> None:
        log = read(
            user("One", 0),
            answer("A", 1),
            *compacted(2),
            user("Two", 3),
            user("Rather this", 4),
            answer("B", 5),
            user("Three", 6),
            answer("C", 7),
        )
        # The second prompt was taken back before anything was asked.
        assert [turn.fresh for turn in log.turns] == [False, True, True, False]

    def test_a_compaction_in_the_middle_of_a_turn_leaves_the_next_one_its_cache(self) -> None:
        log = read(user("One", 0), answer("A", 1), *compacted(2), answer("B", 3), user("Two", 4), answer("C", 5))
        assert [turn.fresh for turn in log.turns] == [False, False]
        assert [one.turn for one in log.requests] == [0, 0, 1]

    def test_what_the_agent_asks_for_itself_is_a_unit_of_its_own(self) -> None:
        log = read(
            user("One", 0),
            answer("A", 1, requestRef="r1"),
            named("r1", "repl_main_thread", 1),
            named("r2", "generate_session_title", 2),
            answer("B", 3, requestRef="r2"),
            answer("C", 4),
        )
        assert [(log.turns[one.turn].type, log.turns[one.turn].origin) for one in log.requests] == [
            ("execute-task", "human"),
            ("hook/title", "agent"),
            ("execute-task", "human"),
        ]
        assert log.troubles == {}


class TestSubagents:
    def test_a_file_of_its_own_and_the_kind_beside_it(self, tmp_path: Path) -> None:
        marks: dict[str, Any] = {"isSidechain": True, "agentId": "a17"}
        file = tmp_path / SESSION / "subagents" / "agent-a17.jsonl"
        write(
            file, [user("Look around", 0, **marks), answer("A", 1, **marks), user("More", 2, **marks), answer("B", 3, **marks)]
        )
        assert types(ClaudeCode().read(file)) == ["subagent/agent"]
        file.with_suffix(".meta.json").write_text('{"agentType": "Explore"}')
        (turn,) = ClaudeCode().read(file).turns
        assert (turn.type, turn.origin, turn.session, turn.conversation) == (
            "subagent/Explore",
            "subagent",
            SESSION,
            f"{SESSION}/a17",
        )

    def test_its_own_lines_may_say_the_kind(self) -> None:
        marks: dict[str, Any] = {"isSidechain": True, "agentId": "a17"}
        log = read(user("Look", 0, **marks), answer("A", 1, attributionAgent="code reviewer", **marks))
        assert types(log) == ["subagent/codereviewer"]

    @pytest.mark.parametrize(
        ("agent", "kind"),
        [("acompact-0a1b2c3d", "subagent/compaction"), ("aprompt_suggestion-0a1b2c", "hook/prompt-suggestion")],
    )
    def test_errands_are_known_by_their_ids(self, agent: str, kind: str) -> None:
        marks: dict[str, Any] = {"isSidechain": True, "agentId": agent}
        (turn,) = read(user("Sum it up", 0, **marks), answer("A", 1, **marks)).turns
        assert (turn.type, turn.origin) == (kind, "agent")

    def test_older_side_chains_are_told_apart_by_their_roots(self) -> None:
        side = {"isSidechain": True}
        log = read(
            user("One", 0),
            answer("M", 1, content=[tool("Task", "t1", prompt="Look left", subagent_type="Explore")]),
            user("Look left", 2, uuid="l1", parentUuid=None, **side),
            user("Look right", 2, uuid="r1", parentUuid=None, **side),
            old_answer("L", 3, uuid="l2", parentUuid="l1", **side),
            old_answer("R", 4, uuid="r2", parentUuid="r1", **side),
            user([{"type": "tool_result", "content": "x", "is_error": True}], 5, uuid="l3", parentUuid="l2", **side),
            {"type": "progress", "uuid": "l4", "parentUuid": "l3", "isSidechain": True, "sessionId": SESSION},
            old_answer("L2", 6, uuid="l5", parentUuid="l4", **side),
            answer("M2", 7),
        )
        assert types(log) == ["execute-task", "subagent/Explore", "subagent/agent"]
        assert [one.turn for one in log.requests] == [0, 1, 2, 1, 0]
        assert [turn.errors for turn in log.turns] == [0, 1, 0]
        assert len({turn.conversation for turn in log.turns}) == 3


class TestCounted:
    def test_the_last_count_of_a_session_holds(self) -> None:
        first = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheCreationInputTokens": 4, "costUSD": 0.5}
        last = {**first, "outputTokens": 20, "costUSD": 0.75}
        other = {"inputTokens": 9}
        log = read(user("One"), answer("A", 1), cost_state({"m": first}), cost_state({"m": last, "n": other}))
        assert log.counted == (
            Counted(SESSION, "m", START + 1, 1, 20, 3, 4, usd=0.75),
            Counted(SESSION, "n", START + 1, 9, 0, 0, 0),
        )

    def test_requests_without_tokens_are_counted_unless_they_failed(self) -> None:
        retried = {"type": "system", "subtype": "api_error", "sessionId": SESSION}
        log = read(
            user("One"),
            named("r1", "sdk", 1),
            retried,
            named("r2", "sdk", 2),
            answer("A", 3, requestRef="r2"),
            named("r3", "compact", 4),
            named("r4", "sdk", 5),
            failure("API Error: 500", 6),
        )
        assert log.troubles == {"requests that the log names but gives no tokens of": 1}


class TestPlaces:
    def test_where_logs_are(self, tmp_path: Path) -> None:
        source: Source = ClaudeCode()
        home = str(tmp_path)
        assert source.places({"HOME": home}, []) == [tmp_path / ".claude/projects", tmp_path / ".config/claude/projects"]
        elsewhere = {"HOME": home, "XDG_CONFIG_HOME": "/x"}
        assert source.places(elsewhere, [])[1] == Path("/x/claude/projects")
        assert source.places({"HOME": home, "CLAUDE_CONFIG_DIR": "/a, ~/b,,/a"}, []) == [
            Path("/a/projects"),
            tmp_path / "b/projects",
        ]

    def test_sessions_before_their_subagents_and_no_circles(self, tmp_path: Path) -> None:
        for name in ("p/b.jsonl", "p/a/subagents/agent-1.jsonl", "p/a.jsonl", "p/notes.txt", "c.jsonl"):
            write(tmp_path / name, [])
        (tmp_path / "p" / "again").symlink_to(tmp_path)
        (tmp_path / "p" / "self.jsonl").symlink_to(tmp_path / "p" / "self.jsonl")
        found = [str(file.relative_to(tmp_path)) for file in ClaudeCode().files(tmp_path)]
        assert found == ["c.jsonl", "p/a.jsonl", "p/b.jsonl", "p/a/subagents/agent-1.jsonl"]
        assert list(ClaudeCode().files(tmp_path / "nothing")) == []
        assert list(ClaudeCode().files(tmp_path / "c.jsonl")) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
    def test_what_may_not_be_listed_is_said_after_the_rest(self, tmp_path: Path) -> None:
        write(tmp_path / "z" / "s.jsonl", [])
        closed = tmp_path / "a"
        closed.mkdir(mode=0)
        files = ClaudeCode().files(tmp_path)
        assert next(iter(files)) == tmp_path / "z" / "s.jsonl"
        with pytest.raises(PermissionError):
            list(files)
        closed.chmod(0o700)

    def test_a_log_that_grew_has_another_stamp(self, tmp_path: Path) -> None:
        file = write(tmp_path / "s.jsonl", [user("One")])
        before = ClaudeCode().stamp(file)
        write(file, [user("One"), answer("A", 1)])
        assert before[0] < ClaudeCode().stamp(file)[0]


def test_a_log_keeps_no_text_of_anyone() -> None:
    word = "quetzalcoatl"
    log = read(user(word), answer("A", 1, content=[{"type": "text", "text": word}]), result("t", word, 2))
    assert word not in msgspec.json.encode(log).decode()
