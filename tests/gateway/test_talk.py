"""What requests say of their conversations, read in all three protocols."""

import json
from typing import Any

import pytest
from example_requests import messages
from hypothesis import given
from hypothesis import strategies as st

from stepdown.gateway.protocols import WIRES, signed
from stepdown.gateway.protocols.heard import BEGINNING, LONGEST
from stepdown.gateway.wire import Talk

REMINDER = "<system-reminder>\nBe good.\n</system-reminder>"
PLAN = "<system-reminder>\nPlan mode is active. The user indicated ...\n</system-reminder>"
LEFT = "<system-reminder>\n## Exited Plan Mode\n\nYou have ...\n</system-reminder>"
PROTOCOLS = pytest.mark.parametrize("protocol", WIRES)


class Story:
    """A conversation, told in the words of a protocol."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.turns: list[dict[str, Any]] = []

    def user(self, *texts: str) -> "Story":
        kind = "input_text" if self.protocol == "responses" else "text"
        self.turns.append({"role": "user", "content": [{"type": kind, "text": text} for text in texts]})
        return self

    def noted(self, text: str) -> "Story":
        role = "developer" if self.protocol == "responses" else "system"
        self.turns.append({"role": role, "content": text})
        return self

    def calls(self, *arguments: str, name: str = "read", signature: str = "") -> "Story":
        number = len(self.turns)
        match self.protocol:
            case "messages":
                thoughts = [{"type": "thinking", "thinking": "", "signature": signature}] if signature else []
                uses = [{"type": "tool_use", "id": f"t{number}", "name": name, "input": {"p": one}} for one in arguments]
                self.turns.append({"role": "assistant", "content": [*thoughts, *uses]})
            case "chat":
                made = [{"name": name, "arguments": json.dumps({"p": one})} for one in arguments]
                calls = [{"id": f"t{number}", "type": "function", "function": one} for one in made]
                thought = {"reasoning_details": [{"signature": signature}]} if signature else {}
                self.turns.append({"role": "assistant", "content": None, "tool_calls": calls, **thought})
            case _:
                if signature:
                    self.turns.append({"type": "reasoning", "summary": [], "encrypted_content": signature})
                for one in arguments:
                    call = {"type": "function_call", "call_id": f"t{number}", "name": name, "arguments": one}
                    self.turns.append(call)
        return self

    def result(self, text: str = "x = 1", *, failed: bool = False, words: str = "") -> "Story":
        match self.protocol:
            case "messages":
                block = {"type": "tool_result", "tool_use_id": "t", "content": text, "is_error": failed}
                said = [{"type": "text", "text": words}] if words else []
                self.turns.append({"role": "user", "content": [block, *said]})
            case "chat":
                self.turns.append({"role": "tool", "tool_call_id": "t", "content": text})
            case _:
                self.turns.append({"type": "function_call_output", "call_id": "t", "output": text})
        return self

    def body(self, **more: Any) -> bytes:
        key = "input" if self.protocol == "responses" else "messages"
        return json.dumps({"model": "m", key: self.turns, **more}).encode()

    def talk(self, **more: Any) -> Talk:
        return WIRES[self.protocol].read(self.body(**more), {}).talk


@PROTOCOLS
def test_a_turn_its_tools_and_the_next_turn(protocol: str) -> None:
    story = Story(protocol).user(REMINDER, "Fix it.")
    talk = story.talk()
    assert (talk.last, talk.words, talk.opening, talk.turns, talk.steps) == ("human", "Fix it.", "Fix it.", 1, 0)
    talk = story.calls("a").result().calls("b").result().talk()
    assert (talk.last, talk.words, talk.turns, talk.steps, talk.repeats) == ("tool", "Fix it.", 1, 2, 1)
    talk = story.user("Now the other.").talk()
    assert (talk.last, talk.words, talk.opening, talk.turns) == ("human", "Now the other.", "Fix it.", 2)
    assert (talk.steps, talk.repeats, talk.errors) == (0, 0, 0)


@PROTOCOLS
def test_a_notice_is_no_persons(protocol: str) -> None:
    notice = (
        "<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]\n<task-notification>x</task-notification></system-reminder>"
    )
    talk = Story(protocol).user("Fix it.").calls("a").result().user(notice).talk()
    assert (talk.last, talk.words, talk.turns, talk.steps) == ("agent", "Fix it.", 1, 1)
    assert talk.asked == notice


@PROTOCOLS
def test_an_errand_says_what_it_is(protocol: str) -> None:
    talk = Story(protocol).user("Fix it.").user(REMINDER, "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.").talk()
    assert (talk.last, talk.words, talk.turns) == ("agent", "Fix it.", 1)
    assert talk.asked.startswith("CRITICAL: Respond with TEXT ONLY")


@PROTOCOLS
def test_what_stands_behind_the_words_is_not_said_by_anyone(protocol: str) -> None:
    talk = (
        Story(protocol)
        .user("Fix it.")
        .noted("# Environment\nlinux")
        .talk(**({"system": "s"} if protocol == "messages" else {}))
    )
    assert talk.last == "human"


@PROTOCOLS
def test_repeats_are_counted_by_rounds(protocol: str) -> None:
    story = Story(protocol).user("Fix it.").calls("a").result()
    for _ in range(2):
        story.calls("b", "c").result().result()
    assert story.talk().repeats == 2
    assert story.calls("b").result().talk().repeats == 1
    assert story.calls("b", name="write").result().talk().repeats == 1


@PROTOCOLS
def test_errors_in_a_row_are_counted_from_the_end(protocol: str) -> None:
    story = Story(protocol).user("Fix it.").calls("a").result("Error: no", failed=True).calls("b").result()
    assert story.talk().errors == 0
    story.calls("c").result("Error: not that", failed=True).calls("d").result("Error: nor that", failed=True)
    assert story.talk().errors == 2


@pytest.mark.parametrize(
    ("output", "errors"),
    [
        ("Chunk ID: e3\nWall time: 0.1 seconds\nProcess exited with code 1\nOutput:\nno", 1),
        ("Chunk ID: e3\nWall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nError: said so", 0),
        ('{\n  "returncode": 2,\n  "output": "no"\n}', 1),
        ('{\n  "returncode": 0,\n  "output": ""\n}', 0),
        ("ENOENT: no such file or directory", 1),
        ("TypeError: x", 1),
        ("Traceback (most recent call last):\n", 1),
        ("errors = []", 0),
        ("1\tError: this is what the file says", 0),
    ],
)
def test_clients_without_a_flag_say_an_error_first(output: str, errors: int) -> None:
    assert Story("chat").user("Fix it.").calls("a").result(output).talk().errors == errors
    assert Story("responses").user("Fix it.").calls("a").result(output).talk().errors == errors


def test_a_person_who_interrupts_spoke_last() -> None:
    story = Story("messages").user("Fix it.").calls("a")
    assert story.result(words=REMINDER).talk().last == "tool"
    talk = story.calls("b").result(failed=True, words="[Request interrupted by user for tool use]").talk()
    assert (talk.last, talk.turns) == ("tool", 1)
    talk = story.calls("c").result(words="Not that one.").talk()
    assert (talk.last, talk.words, talk.steps) == ("human", "Not that one.", 0)


@PROTOCOLS
def test_plan_mode_lasts_until_it_is_left(protocol: str) -> None:
    story = Story(protocol).user(PLAN, "Plan it.")
    assert story.talk().planning
    assert story.user("Plan more.").talk().planning
    assert not story.user(LEFT, "Do it.").talk().planning


def test_a_plan_that_was_agreed_to_ends_plan_mode() -> None:
    story = Story("messages").user(PLAN, "Plan it.").calls("the plan", name="ExitPlanMode")
    assert story.result("The user doesn't want to proceed", failed=True).talk().planning
    story.calls("the plan", name="ExitPlanMode")
    assert not story.result("User has approved your plan.").talk().planning


def test_a_person_who_speaks_of_plan_mode_is_not_in_it() -> None:
    assert not Story("messages").user("It says 'Plan mode is active'.").talk().planning


def test_an_answer_that_the_provider_keeps_is_gone_on_from_with_what_is_new() -> None:
    talk = Story("responses").result("Error: no").talk(previous_response_id="resp_1")
    assert (talk.last, talk.words, talk.turns, talk.steps, talk.errors) == ("tool", "", 0, 1, 1)


def test_what_claude_code_says_of_its_billing_is_no_instruction() -> None:
    billing = "x-anthropic-billing-header: cc_version=2.1.325.5da; cc_entrypoint=cli; cc_is_subagent=true;"
    talk = (
        Story("messages").user("Fix it.").talk(system=[{"type": "text", "text": one} for one in (billing, "You are an agent.")])
    )
    assert (talk.instructions, talk.delegated) == ("You are an agent.", True)
    talk = Story("messages").user("Fix it.").talk(system=f"{billing}\nYou are an agent.")
    assert (talk.instructions, talk.delegated) == ("You are an agent.", True)
    assert not Story("messages").user("Fix it.").talk(system="cc_is_subagent=true").delegated


@PROTOCOLS
@pytest.mark.parametrize("letter", ["x ", "é ", "\U0001f600 ", '"\n '])
def test_texts_are_bounded(protocol: str, letter: str) -> None:
    key = "instructions" if protocol == "responses" else "system"
    long = letter * 50_000
    talk = Story(protocol).noted(long).user(long).talk(**({} if protocol == "chat" else {key: long}))
    assert talk.instructions == long[:BEGINNING]
    assert len(talk.words) == len(talk.words.rstrip()) <= LONGEST
    assert len(talk.words) > LONGEST - 3
    assert talk.opening == talk.words[:BEGINNING]


def test_the_fields_of_an_answers_schema() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    form = {"type": "json_schema", "schema": schema}
    assert Story("messages").user("x").talk(output_config={"format": form}).fields == ("title",)
    assert Story("messages").user("x").talk(output_format=form).fields == ("title",)
    assert Story("chat").user("x").talk(response_format={"type": "json_schema", "json_schema": form}).fields == ("title",)
    assert Story("responses").user("x").talk(text={"format": form}).fields == ("title",)
    odd: Any
    for odd in ([], {"format": 3}, {"format": {"schema": {"properties": []}}}):
        assert Story("responses").user("x").talk(text=odd).fields == ()


def test_what_aider_makes_up_as_an_example_is_nobodys() -> None:
    story = Story("chat").user("Change get_factorial() to use math.factorial").calls("a")
    story.user("I switched to a new code base. Please don't consider the above files or try to edit them any longer.")
    story.user("I have *added these files to the chat* so you can go ahead and edit them.\n\na.py")
    talk = story.user("Fix it.\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery ...").talk()
    assert (talk.words, talk.opening, talk.turns) == ("Fix it.", "Fix it.", 1)


SIGNATURES = st.text(st.characters(codec="utf-8"), min_size=5, max_size=20)


@PROTOCOLS
@given(signatures=st.lists(SIGNATURES, max_size=5))
def test_signers_are_those_whose_thinking_can_be_left_out(protocol: str, signatures: list[str]) -> None:
    story = Story(protocol).user("Fix it.")
    for one in signatures:
        story.calls("a", signature=one).result()
    asked: list[int] = []

    def keep(digest: int) -> bool:
        asked.append(digest)
        return True

    body = story.body()
    envelope = WIRES[protocol].read(body, {})
    signed.without(protocol, body, envelope.spans, keep)
    assert list(envelope.talk.signers) == asked
    assert len(asked) == len(signatures)


STEPS = st.lists(
    st.tuples(st.just("user"), st.sampled_from(["Fix it.", REMINDER, PLAN, LEFT, "CRITICAL: Respond with TEXT ONLY"]))
    | st.tuples(st.just("calls"), st.sampled_from(["a", "b"]))
    | st.tuples(st.just("result"), st.sampled_from(["fine", "Error: no"])),
    max_size=12,
)


@PROTOCOLS
@given(steps=STEPS)
def test_what_is_counted_adds_up(protocol: str, steps: list[tuple[str, str]]) -> None:
    story = Story(protocol)
    for what, text in steps:
        getattr(story, what)(text)
    talk = story.talk()
    words = [number for number, step in enumerate(steps) if step == ("user", "Fix it.")]
    since = steps[words[-1] + 1 :] if words else steps
    assert talk.turns == len(words)
    assert talk.words == ("Fix it." if words else "")
    assert (talk.last == "human") == bool(words and not [step for step in since if step[0] in {"user", "result"}])
    assert 0 <= talk.errors <= sum(step == ("result", "Error: no") for step in since)
    assert talk.repeats <= sum(what == "calls" for what, _ in since)
    assert bool(talk.asked) == (talk.last == "agent")
    modes = [text for what, text in steps if what == "user" and text in {PLAN, LEFT}]
    assert talk.planning == (modes[-1:] == [PLAN])


def test_all_three_protocols_say_the_same() -> None:
    told = []
    for protocol in WIRES:
        story = (
            Story(protocol).user(REMINDER, "Fix it.").calls("a").result("Error: no", failed=True).calls("a").result("Error: no")
        )
        told.append(story.talk())
    assert told[0] == told[1] == told[2]
    assert (told[0].errors, told[0].repeats, told[0].steps) == (2, 2, 2)


def test_the_example_requests_are_in_the_middle_of_their_work() -> None:
    talk = WIRES["messages"].read(json.dumps(messages(3)).encode(), {}).talk
    assert (talk.last, talk.steps, talk.repeats, talk.words) == ("tool", 3, 3, "Fix the typo in the greeting.")
