"""Where requests go: modes, pins, ceilings, budgets, and what is remembered of a unit."""

import asyncio
import json

import msgspec
import pytest
from gateway_house import HAIKU, KEY, OPUS, PROVIDERS, ROUTED, SONNET, UNIT, House, Opening, messages, until, written
from raw_provider import RawProvider, answers, whole

from stepdown.gateway.desk import Desk, Pinned
from stepdown.gateway.memory import REMEMBERED, Held, Key, Memory
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.world import World
from stepdown.ledger.records import Attempt, Block, Outcome
from stepdown.practice.faults import Fault
from stepdown.practice.provider import PracticeProvider

OBSERVE = ROUTED.replace("mode: delegated", "mode: observe")
OFF = ROUTED.replace("enabled: true", "enabled: false")
LIMITED = ROUTED + "budget_ceiling: 1\n"


def asked(provider: PracticeProvider) -> list[str]:
    return [served.model for served in provider.log]


# Modes.


async def test_observe_changes_nothing_and_says_what_it_would(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url, preferences=OBSERVE) as house:
        for headers in ({}, UNIT):
            body = json.dumps(messages(max_tokens=200_000)).encode()
            answer = await house.ask("/v1/messages", body, {"x-api-key": KEY, **headers})
            assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
            assert answer.headers["x-stepdown-reason"].startswith("observed only: ")
        assert asked(provider) == [OPUS, OPUS]
        assert set(provider.bodies.values()) == {body}
        line = house.lines[1]
        assert (line.chosen, line.model, line.applied) == (f"anthropic/{HAIKU}", f"anthropic/{OPUS}", False)
        record = (await house.records())[-1]
        assert (record.attempt.model, record.attempt.downgraded) == (f"anthropic/{OPUS}", False)


async def test_observe_is_the_default(opening: Opening) -> None:
    async with opening(preferences=ROUTED.replace("gateway: {mode: delegated}", "")) as house:
        assert house.desk.mode == "observe"


async def test_delegated_routes_what_is_declared_and_nothing_else(house: House, provider: PracticeProvider) -> None:
    await house.messages(headers=UNIT)
    await house.messages(headers={"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "T"})
    await house.messages(headers={"x-claude-code-session-id": "s"})
    assert asked(provider) == [HAIKU, SONNET, OPUS]


async def test_off_forces_observe(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url, preferences=OFF) as house:
        assert house.desk.mode == "observe"
        assert "routing is off" in house.desk.switch("full")
        answer = await house.messages(headers=UNIT)
        assert asked(provider) == [OPUS]
        assert "routing is off" in answer.headers["x-stepdown-reason"]
        (record,) = await house.records()
        assert msgspec.json.decode(record.attempt.decision)["would"]["model"] == HAIKU


async def test_the_mode_can_be_switched_while_it_runs(house: House, provider: PracticeProvider) -> None:
    for mode in ("observe", "full", "delegated"):
        assert (await house.ask("/v1/stepdown/mode", {"mode": mode})).json == {"mode": mode}
        await house.messages(headers=UNIT)
    assert asked(provider) == [OPUS, HAIKU, HAIKU]


# Ceilings.


@pytest.mark.parametrize("named", [OPUS, SONNET, HAIKU])
async def test_the_model_that_is_named_is_never_exceeded(house: House, provider: PracticeProvider, named: str) -> None:
    for unit in ("complete-slice", "execute-task", "replan-slice", "hook/x"):
        await house.messages(named, headers={"x-stepdown-unit": unit})
    order = [HAIKU, SONNET, OPUS]
    assert all(order.index(model) <= order.index(named) for model in asked(provider))


async def test_an_unknown_model_is_asked_for_as_it_is_named(house: House, provider: PracticeProvider) -> None:
    answer = await house.messages("claude-next", headers=UNIT)
    assert asked(provider) == ["claude-next"]
    assert "not in the catalogue" in answer.headers["x-stepdown-reason"]
    (record,) = await house.records()
    assert (record.attempt.model, record.so_far.cost_usd) == ("anthropic/claude-next", None)


# Pins: a user's own word, in every mode.


@pytest.mark.parametrize("preferences", [OBSERVE, OFF, ROUTED])
@pytest.mark.parametrize(
    ("pin", "model"), [("light", HAIKU), ("standard", SONNET), ("heavy", OPUS), (HAIKU, HAIKU), (SONNET, SONNET)]
)
async def test_a_pin_wins_in_every_mode(
    opening: Opening, provider: PracticeProvider, preferences: str, pin: str, model: str
) -> None:
    async with opening(provider.url, preferences=preferences) as house:
        await house.messages(headers={"x-stepdown-pin": pin})
        await house.messages(headers={"x-stepdown-pin": pin, **UNIT})
        if pin in {"light", "standard", "heavy"}:
            await house.messages(f"stepdown/{pin}")
        house.desk.set_pin(Pinned(pin, 4e9))
        await house.messages()
        await house.messages(headers=UNIT)
    assert set(asked(provider)) == {model}
    async with opening(provider.url, preferences=preferences + f"pin: {pin}\n") as house:
        provider.log.clear()
        await house.messages()
        await house.messages(headers=UNIT)
    assert asked(provider) == [model] * 2


async def test_a_pin_may_exceed_what_is_named(house: House, provider: PracticeProvider) -> None:
    await house.messages(HAIKU, headers={"x-stepdown-pin": OPUS})
    assert asked(provider) == [OPUS]


async def test_a_word_of_a_models_name_means_the_users_own(house: House, provider: PracticeProvider) -> None:
    for word in ("sonnet", "Haiku"):
        await house.messages(headers={"x-stepdown-pin": word})
    assert (await house.ask("/v1/stepdown/pin", {"pin": "sonnet"})).json["pin"] == SONNET
    await house.messages(HAIKU)
    assert asked(provider) == [SONNET, HAIKU, SONNET]
    for word in ("claude", "son", "gpt", ""):  # of several, or of none of them, or no word
        assert not house.desk.meant(word)


async def test_a_pin_ends(opening: Opening, provider: PracticeProvider) -> None:
    now = [1_790_000_000.0]
    async with opening(provider.url, clock=lambda: now[0]) as house:
        house.desk.set_pin(Pinned("light", now[0] + 60))
        await house.messages()
        now[0] += 61
        await house.messages()
    assert asked(provider) == [HAIKU, OPUS]


async def test_a_pin_that_is_nothing_is_refused(house: House, provider: PracticeProvider) -> None:
    answer = await house.messages(headers={"x-stepdown-pin": "claude-haiku-4-6"})
    assert answer.status == 400
    assert answer.json["error"]["message"].startswith("x-stepdown-pin: 'claude-haiku-4-6' is neither a tier nor a model")
    assert not provider.log


async def test_a_pin_that_does_not_fit_changes_nothing_in_observe(opening: Opening, provider: PracticeProvider) -> None:
    """None overrides fit, and what comes in its place is only observed."""
    async with opening(provider.url, preferences=OBSERVE) as house:
        answer = await house.messages(headers={"x-stepdown-pin": HAIKU, **UNIT}, thinking={"type": "adaptive"})
        assert answer.headers["x-stepdown-model"] == f"anthropic/{OPUS}"
        assert "pinned to claude-haiku-4-5, which cannot be used" in answer.headers["x-stepdown-reason"]


async def test_auto_is_the_model_of_its_phase_or_less(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url) as house:
        await house.messages("stepdown/auto")
        await house.messages("stepdown/auto", headers=UNIT)
    assert asked(provider) == [SONNET, HAIKU]
    async with opening(provider.url, preferences="gateway: {mode: observe}\n") as house:
        answer = await house.messages("stepdown/auto")
        assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")
        assert "set models.default" in answer.json["error"]["message"]


# What is remembered.


async def test_a_unit_keeps_its_model(opening: Opening, provider: PracticeProvider) -> None:
    """Also where a new one would be given another by now."""
    task = {"x-stepdown-unit": "execute-task", "x-stepdown-unit-id": "T1"}
    preferences = ROUTED + "budget_ceiling: 1\nbudget_enforcement: warn\n"
    async with opening(provider.url, preferences=preferences) as house:
        await house.messages(headers=task)
        await spend(house, 0.8)  # from here on only heavy work keeps its model
        await house.messages(headers=task)
        await house.messages(headers={**task, "x-stepdown-unit-id": "T2"})
    assert asked(provider) == [SONNET, SONNET, HAIKU]


async def test_a_unit_that_outgrows_its_model_gets_another(house: House, provider: PracticeProvider) -> None:
    await house.messages(headers=UNIT)
    long = [{"role": "user", "content": "x" * 1_000_000}]  # 250,000 tokens, where Haiku holds 200,000
    await house.messages(headers=UNIT, messages=long)
    assert asked(provider) == [HAIKU, SONNET]


async def test_a_blocked_model_is_not_kept(house: House, provider: PracticeProvider) -> None:
    await house.messages(headers=UNIT)
    await house.recorder.ask(lambda ledger: ledger.block(Block(model=f"anthropic/{HAIKU}", reason="no", until=4e9)))
    await house.recorder.refresh()
    await house.messages(headers=UNIT)
    assert asked(provider) == [HAIKU, SONNET]


async def test_a_dry_run_is_remembered_by_nobody(house: House, provider: PracticeProvider) -> None:
    for _ in range(2):
        said = (await house.ask("/v1/stepdown/route", messages(), UNIT)).json
        assert said["hops"] == [f"anthropic/{model}" for model in (HAIKU, SONNET, OPUS)]
    assert not provider.log
    assert not await house.records()
    wire = WIRES["messages"]
    envelope = wire.read(json.dumps(messages()).encode(), {})
    dry = house.desk.route(wire, envelope, UNIT, dry=True)
    real = house.desk.route(wire, envelope, UNIT)
    assert dry.held is not real.held
    asked_again = house.desk.route(wire, envelope, UNIT, dry=True).held
    assert asked_again is not None
    assert real.held is not None
    assert (asked_again is real.held, asked_again.decision is real.held.decision) == (False, True)


def test_only_so_many_units_are_remembered(house: House) -> None:
    memory = Memory()
    decision = house.desk.route(WIRES["messages"], WIRES["messages"].read(json.dumps(messages()).encode(), {}), {}).decision
    for number in range(REMEMBERED + 5):
        memory.keep(Key("p", "t", str(number), "c", "messages"), Held(decision))
        memory.find(Key("p", "t", "0", "c", "messages"))
    assert memory.find(Key("p", "t", "0", "c", "messages")) is not None
    assert memory.find(Key("p", "t", "1", "c", "messages")) is None


# Budgets.


async def spend(house: House, usd: float, unit: str = "u") -> None:
    """As if the project had spent that yesterday."""
    past = Attempt(project=str(house.directory), unit_type="execute-task", unit_id=unit, started=1_700_000_000.0)
    done = Outcome(finished=1_700_000_001.0, cost_usd=usd, cost_source="priced")
    await house.recorder.ask(lambda ledger: ledger.settle(ledger.begin(past), done))
    await house.recorder.refresh()


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/messages", messages(), ("type", "billing_error")),
        ("/v1/chat/completions", {"model": "gpt-5.5", "messages": []}, ("code", "insufficient_quota")),
        ("/v1/responses", {"model": "gpt-5.5", "input": "x"}, ("code", "insufficient_quota")),
    ],
)
async def test_a_used_up_budget_refuses(
    opening: Opening, provider: PracticeProvider, path: str, body: object, where: tuple[str, str]
) -> None:
    async with opening(provider.url, preferences=LIMITED) as house:
        await spend(house, 1.25)
        for headers in ({}, UNIT, {"x-stepdown-pin": "light"}):
            answer = await house.ask(path, body, headers)
            assert (answer.status, answer.headers["x-should-retry"]) == (402, "false")
            assert answer.json["error"][where[0]] == where[1]
            assert answer.json["error"]["message"] == "budget_ceiling is used up ($1.25 of $1.00)"
            assert "retry-after" not in answer.headers
            assert answer.headers["x-stepdown-decision"]
        assert not provider.log
        assert {line.failure for line in house.lines} == {"budget"}
        assert len(await house.records()) == 1


@pytest.mark.parametrize(
    "preferences", [LIMITED + "budget_enforcement: warn\n", LIMITED.replace("mode: delegated", "mode: observe")]
)
async def test_a_soft_one_and_observe_only_warn(opening: Opening, provider: PracticeProvider, preferences: str) -> None:
    async with opening(provider.url, preferences=preferences) as house:
        await spend(house, 1.25)
        assert (await house.messages(headers=UNIT)).status == 200


async def test_a_budget_that_is_raised_lets_a_unit_go_on(opening: Opening, provider: PracticeProvider) -> None:
    async with opening(provider.url, preferences=LIMITED) as house:
        await spend(house, 1.25)
        assert (await house.messages(headers=UNIT)).status == 402
        raised = written(house.directory, ROUTED + "budget_ceiling: 9\n" + PROVIDERS.replace("URL", provider.url))
        house.desk.reload(World.of(raised, {}))
        house.recorder.prefer(raised)
        await house.recorder.refresh()
        assert (await house.messages(headers=UNIT)).status == 200


@pytest.mark.parametrize(("unit", "limit"), [("requests", 2), ("tokens", 50)])
async def test_a_budget_of_requests_or_tokens_holds_for_a_unit_under_way(
    opening: Opening, provider: PracticeProvider, unit: str, limit: int
) -> None:
    preferences = ROUTED + f"budgets: [{{unit: {unit}, limit: {limit}, window: day}}]\n"
    async with opening(provider.url, preferences=preferences) as house:
        for status in (200, 200, 402):
            assert (await house.messages(headers=UNIT)).status == status
            await house.recorder.flush()
            await house.recorder.refresh()
    assert len(provider.log) == 2


async def test_what_was_spent_since_the_ledger_was_read_counts(opening: Opening) -> None:
    dear = b'{"type":"message","usage":{"input_tokens":100,"output_tokens":50000}}'  # $1.25 on Opus
    answering = whole(dear, "content-type: application/json")
    async with RawProvider(answering) as provider, opening(provider.url, preferences=LIMITED) as house:
        assert (await house.messages()).status == 200
        answer = await house.messages()
        assert answer.status == 402
        assert len(provider.sent) == 1
        assert (
            "$1.25 since or under way" in answer.json["error"]["message"] or "$1.25 of $1.00" in answer.json["error"]["message"]
        )


async def test_what_is_under_way_is_set_aside(opening: Opening) -> None:
    """Requests that come at once cannot overspend together."""
    preferences = ROUTED + "budget_ceiling: 0.06\n"  # each may cost $0.0250 by its size
    async with RawProvider(answers(b"", end="hang")) as provider, opening(provider.url, preferences=preferences) as house:
        asking = [asyncio.create_task(house.messages(max_tokens=9000)) for _ in range(8)]
        await until(lambda: sum(task.done() for task in asking) >= 6, 10)
        await asyncio.sleep(0.1)
        done = [task for task in asking if task.done()]
        assert [task.result().status for task in done] == [402] * 6
        assert len(provider.sent) == 2
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: len(house.lines) == 8)
        # What was set aside is free again, and what they were asked for counts as far as anybody knows.
        left = sum(line.cost_usd or 0.0 for line in house.lines)
        assert house.books.unseen_usd(str(house.directory)) <= left + 1e-9 < 0.01


async def test_one_runaway_unit_is_stopped(opening: Opening) -> None:
    dear = b'{"type":"message","usage":{"input_tokens":100,"output_tokens":50000}}'  # $0.25 on Haiku
    preferences = ROUTED + "per_unit_cost_cap_usd: 0.4\n"
    answering = whole(dear, "content-type: application/json")
    async with RawProvider(answering) as provider, opening(provider.url, preferences=preferences) as house:
        for status in (200, 200, 402):
            answer = await house.messages(headers=UNIT)
            assert answer.status == status
        assert answer.json["error"]["message"] == "complete-slice M001/S01 has cost $0.50: per_unit_cost_cap_usd is $0.40"
        assert (await house.messages(headers={**UNIT, "x-stepdown-unit-id": "another"})).status == 200
        assert len(provider.sent) == 3


async def test_a_subscriptions_own_meter_is_a_budget(opening: Opening, provider: PracticeProvider) -> None:
    preferences = ROUTED + "budgets: [{unit: plan, limit: 0.9, window: 5h}]\n"
    full = {
        "anthropic-ratelimit-unified-5h-utilization": "0.95",
        "anthropic-ratelimit-unified-5h-reset": "4000000000",
        "anthropic-ratelimit-unified-7d-utilization": "0.1",
    }
    async with opening(provider.url, preferences=preferences) as house:
        provider.faults.add([Fault(kind="status", status=529, headers=full, times=3)])
        await house.messages(headers=UNIT)
        await house.recorder.flush()
        await house.recorder.refresh()
        answer = await house.messages(headers=UNIT)
        assert (answer.status, answer.json["error"]["message"]) == (
            402,
            "5h plan (anthropic) is used up (95% of the 5h window)",
        )


async def test_a_run_answers_for_its_own_requests(opening: Opening, provider: PracticeProvider) -> None:
    """It has set their cost aside, and counts them itself."""
    async with opening(provider.url, preferences=LIMITED) as house:
        await house.messages(headers={**UNIT, "x-stepdown-attempt": "a-1"})
        assert not await house.records()
        assert house.books.unseen_usd(str(house.directory)) == 0


async def test_two_gateways_of_one_moment_give_their_decisions_different_names(opening: Opening) -> None:
    names = set()
    for _ in range(2):
        async with opening(preferences=ROUTED) as house:
            house.desk._born = Desk(house.desk.world, house.books, project="/p", clock=lambda: 1e9)._born
            names.add((await house.messages()).headers["x-stepdown-decision"])
    assert len(names) == 2
    assert {name.partition("-")[2] for name in names} == {"1"}
