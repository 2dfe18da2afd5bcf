"""Which unit of a conversation a request belongs to, how hard a person's turn is, and when a unit stumbles."""

import pytest

from stepdown.gateway.conversations import Conversation, Conversations
from stepdown.gateway.declared import Asked
from stepdown.gateway.going import Going, nature, placed, stumbled
from stepdown.gateway.recognised import Origin, Recognised
from stepdown.gateway.wire import Envelope, Talk
from stepdown.policy import DEFAULT_POLICY
from stepdown.units import Tier, Tokens, Unit

said = 0
REQUEST = Asked(unit=Unit("conversation", "s"), model="claude-opus-4-6")


def found(
    origin: Origin = "human", kind: str = "execute-task", *, begins: bool = True, unit_id: str = "", words: str = "do it"
) -> Recognised:
    return Recognised(unit=Unit(kind, unit_id), origin=origin, conversation="s", begins=begins, words=words)


def place(known: Conversations, what: Recognised, prompt: int = 1_000, *, tools: int = 1) -> tuple[Asked, Going]:
    global said  # noqa: PLW0603 - each turn says something else, unless a test says the same again
    said += what.begins
    envelope = Envelope(model="m", prompt=prompt, tools=tools, talk=Talk(words=f"do {said}"))
    request, going = placed(REQUEST, what, known, "/p", envelope, dry=False)
    assert going is not None
    return request, going


def named(known: Conversations, what: Recognised) -> tuple[str, str]:
    request, _ = place(known, what)
    return request.unit.type, request.unit.id


def test_a_persons_turns_are_units_one_after_the_other_and_tools_go_on_with_them() -> None:
    known = Conversations()
    assert named(known, found()) == ("execute-task", "s#1")
    assert named(known, found(begins=False)) == ("execute-task", "s#1")
    assert named(known, found()) == ("execute-task", "s#2")


def test_a_gateway_that_comes_in_the_middle_begins_a_unit() -> None:
    assert named(Conversations(), found(begins=False)) == ("execute-task", "s#1")


def test_a_plans_unit_keeps_its_name_and_another_one_begins_where_it_changes() -> None:
    known = Conversations()
    assert named(known, found("plan", "complete-slice", unit_id="M001/S01")) == ("complete-slice", "M001/S01")
    assert named(known, found("plan", "complete-slice", unit_id="M001/S01", begins=False)) == ("complete-slice", "M001/S01")
    assert named(known, found("plan", "plan-slice", unit_id="M001/S02", begins=False)) == ("plan-slice", "M001/S02")


def test_a_compaction_leaves_the_conversation_as_it_was() -> None:
    known = Conversations()
    place(known, found())
    before = known.find("/p", "s").state()
    request, going = place(known, found("agent", "subagent/compaction"))
    assert (request.unit.type, request.origin, going.errand) == ("subagent/compaction", "agent", True)
    assert known.find("/p", "s").state() == before


def test_each_errand_is_a_unit_of_its_own() -> None:
    known = Conversations()
    title = Recognised(unit=Unit("hook/title"), origin="agent", conversation="s/title", begins=True)
    assert [named(known, title) for _ in range(2)] == [("hook/title", "s/title#1"), ("hook/title", "s/title#2")]


def test_a_compaction_is_priced_by_the_conversation_it_reads() -> None:
    known = Conversations()
    _, going = place(known, found())
    going.talk.answered("anthropic/m", Tokens(cache_read=90_000), "end_turn", 300.0, moved=False)
    _, errand = place(known, found("agent", "subagent/compaction"))
    ongoing = errand.ongoing(10.0)
    assert ongoing is not None
    assert (ongoing.holder, ongoing.cached) == ("anthropic/m", 90_000)


def test_a_prompt_that_has_shrunk_begins_without_a_cache() -> None:
    known = Conversations()
    _, going = place(known, found(), 90_000)
    going.talk.answered("anthropic/m", Tokens(cache_read=90_000), "end_turn", 300.0, moved=False)
    _, after = place(known, found(), 12_000)
    ongoing = after.ongoing(10.0)
    assert ongoing is not None
    assert ongoing.cached == 0


def test_without_a_name_there_is_no_conversation() -> None:
    what = Recognised(unit=Unit("execute-task"), origin="human", conversation="", begins=True)
    request, going = placed(REQUEST, what, Conversations(), "/p", Envelope(model="m"), dry=False)
    assert (going, request.unit.id, request.origin) == (None, "", "human")


@pytest.mark.parametrize(
    ("what", "tier"),
    [
        (found(words="fix the typo in README.md"), Tier.STANDARD),
        (found(words="add a button"), Tier.STANDARD),
        (found(words="migrate the database and redesign the architecture for security"), Tier.HEAVY),
        (found(words=""), Tier.STANDARD),
        (Recognised(unit=Unit("plan-slice"), origin="human", conversation="s", begins=True, planning=True), Tier.HEAVY),
        (found("subagent", "subagent/Explore"), None),
        (found("plan", "complete-slice"), None),
        (found("agent", "hook/title"), None),
    ],
)
def test_a_persons_turn_is_never_below_standard(what: Recognised, tier: Tier | None) -> None:
    hard = nature(what, DEFAULT_POLICY)
    assert (hard.tier if hard else None) is tier


@pytest.mark.parametrize(
    ("talk", "stop", "stumbles"),
    [
        (Talk(), "tool_use", False),
        (Talk(errors=3), "tool_use", False),
        (Talk(errors=4), "tool_use", True),
        (Talk(repeats=4), "tool_use", False),
        (Talk(repeats=4, errors=1), "tool_use", True),
        (Talk(), "max_tokens", True),
        (Talk(), "length", True),
        (Talk(), "refusal", True),
        (Talk(), "content_filter", True),
        (Talk(), "end_turn", False),
        (Talk(), "", False),
    ],
)
def test_when_a_unit_stumbles(talk: Talk, stop: str, *, stumbles: bool) -> None:
    assert bool(stumbled(talk, stop, DEFAULT_POLICY)) is stumbles


def test_a_unit_begins_where_nobody_has_answered_yet() -> None:
    talk = Conversation()
    going = Going(talk, "s", found(begins=False), errand=False)
    assert going.begins
    talk.holder = "anthropic/m"
    assert not going.begins


def test_the_same_said_again_is_no_other_unit() -> None:
    known = Conversations()
    envelope = Envelope(model="m", talk=Talk(words="do it", turns=1))
    for _ in range(3):
        request, going = placed(REQUEST, found(), known, "/p", envelope, dry=False)
        assert request.unit.id == "s#1"
    assert going is not None
    again = Envelope(model="m", talk=Talk(words="do it", turns=2))
    assert placed(REQUEST, found(), known, "/p", again, dry=False)[0].unit.id == "s#2"


def test_what_is_asked_beside_the_work_leaves_the_conversation_alone() -> None:
    known = Conversations()
    _, going = place(known, found(), 90_000)
    going.talk.answered("anthropic/m", Tokens(cache_read=90_000), "tool_use", 300.0, moved=False)
    request, aside = place(known, found(), 300, tools=0)
    assert (request.unit.id, aside.name) == ("s/aside#1", "s/aside")
    assert place(known, found(begins=False), 90_500)[0].unit.id == "s#1"
    assert known.find("/p", "s").cached("anthropic/m", 10.0) == 90_000
