"""Requests as agents shape them, against every model of the catalogue: what is forwarded is taken, and the way down is open."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import example_requests
import msgspec
import pytest
from gateway_house import KEY, ROUTED, UNIT, Opening

from stepdown.catalog import Catalog, Model
from stepdown.decision import Needs
from stepdown.fit import Fit, fit
from stepdown.gateway.edit import replace
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.wire import Envelope
from stepdown.practice.dialects import DIALECTS
from stepdown.practice.provider import PracticeProvider
from stepdown.practice.rejections import check

CATALOG = Catalog.load()
KNOWN_BY_NAME = [model for model in CATALOG if CATALOG.resolve(model.bare_id) == model]
"""Those that the practice provider tells by what a request names: a reseller's names are the vendors' own to it."""

DIALECT = {dialect.name: dialect for dialect in DIALECTS}
INTERLEAVED = "interleaved-thinking-2025-05-14"
HAIKU_4_5, SONNET_4_6, OPUS_4_6 = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6"


class Shape(msgspec.Struct, frozen=True):
    """A request for some model, as one kind of client sends it.

    Attributes:
        protocol: which one it is written in.
        named: the model it names; one that takes it.
        said: the body, but for the model.
        betas: the header ``anthropic-beta``.
    """

    protocol: str
    named: str
    said: dict[str, Any]
    betas: str = ""

    @property
    def body(self) -> bytes:
        return json.dumps(self.said | {"model": self.named}).encode()

    @property
    def headers(self) -> dict[str, str]:
        return {"anthropic-beta": self.betas} if self.betas else {}


def messages(named: str, betas: str = "", **more: Any) -> Shape:
    return Shape("messages", named, example_requests.messages(rounds=1, **more), betas)


def plain(named: str, **more: Any) -> Shape:
    """Without thinking and effort, as the SDKs ask."""
    said = example_requests.messages(rounds=0, **more)
    for key in {"thinking", "output_config", "context_management"} - more.keys():
        del said[key]
    return Shape("messages", named, said)


def chat(named: str, **more: Any) -> Shape:
    return Shape("chat", named, example_requests.chat(rounds=0, **more))


def responses(named: str, *items: Any, **more: Any) -> Shape:
    said = example_requests.responses(rounds=1, **more)
    return Shape("responses", named, said | {"input": [*items, *said["input"]]})


SAID = {"role": "user", "content": "go on"}
TOOL = {"type": "function", "name": "t", "parameters": {"type": "object", "properties": {}}}
SPACE = {"type": "namespace", "name": "n", "description": "d", "tools": [TOOL]}
FIRST: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": "Fix it."}]}
TURN: list[dict[str, Any]] = [FIRST, {"role": "system", "content": [], "output_config": {"effort": "low"}}]
CHANGE = {"type": "tool_removal", "tool": {"type": "tool_reference", "tool_name": "Tool0"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
BUDGET = {"type": "enabled", "budget_tokens": 31_999}

SHAPES: dict[str, Shape] = {
    "Claude Code on 4.6": messages(OPUS_4_6, INTERLEAVED, max_tokens=64_000),
    "Claude Code on 4.7": messages("claude-opus-4-7", INTERLEAVED, output_config={"effort": "xhigh"}),
    "Claude Code on 4.8": messages(
        "claude-opus-4-8", INTERLEAVED, messages=[FIRST, {"role": "system", "content": "Be brief."}]
    ),
    "Claude Code on 5.5": messages("claude-opus-5-5", INTERLEAVED, max_tokens=128_000, messages=TURN),
    "Claude Code on 4.5": messages("claude-sonnet-4-5", INTERLEAVED, thinking=BUDGET, output_config=None, messages=[FIRST]),
    "Claude Code in auto mode": messages(
        OPUS_4_6,
        f"{INTERLEAVED},afk-mode-2026-01-31,dangerous-tool-use-2026-09-03,thinking-binding-controls-2026-08-01",
        safeguards=[{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
        diagnostics={"previous_message_id": None},
    ),
    "Claude Code in auto mode on 4.5": messages(
        "claude-sonnet-4-5",
        f"{INTERLEAVED},afk-mode-2026-01-31,dangerous-tool-use-2026-09-03",
        thinking=BUDGET,
        output_config=None,
        messages=[FIRST],
        safeguards=[{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
    ),
    "an unheard-of safeguard": plain(OPUS_4_6, safeguards=[{"type": "of_tomorrow"}]),
    "an SDK": plain(OPUS_4_6),
    "adaptive thinking": plain(OPUS_4_6, thinking={"type": "adaptive"}),
    "effort": plain("claude-opus-4-5", output_config={"effort": "low"}),
    "a long answer": plain(OPUS_4_6, max_tokens=128_000),
    "an image": plain(OPUS_4_6, messages=[{"role": "user", "content": [IMAGE]}]),
    "a long prompt": plain(OPUS_4_6, messages=[{"role": "user", "content": "word " * 150_000}]),
    "temperature": plain(OPUS_4_6, temperature=0),
    "a given beginning": plain("claude-opus-4-5", messages=[SAID, {"role": "assistant", "content": "{"}]),
    "a forced tool": plain("claude-opus-4-8", tool_choice={"type": "tool", "name": "Tool0"}),
    "thinking switched off": plain("claude-opus-5", thinking={"type": "disabled"}),
    "off at the highest effort": plain("claude-opus-4-8", thinking={"type": "disabled"}, output_config={"effort": "max"}),
    "a tool withdrawn": messages("claude-opus-5", messages=[FIRST, {"role": "system", "content": [CHANGE]}]),
    "fast": messages("claude-opus-5-5", speed="fast"),
    "a beta of tomorrow": messages(OPUS_4_6, "of-tomorrow-2027-01-01"),
    "Chat": chat("gpt-5.5", max_completion_tokens=32_000),
    "Chat with little effort": chat("gpt-5.5", reasoning_effort="none", verbosity="low"),
    "Chat with much effort": chat("gpt-5.6-sol", reasoning_effort="max"),
    "Chat with temperature": chat("gpt-4.1", temperature=0.2),
    "Chat with a forced tool": chat("gpt-5.5", tool_choice="required"),
    "Chat with many tools": chat("grok-4.7", offered=129),
    "Codex with much effort": responses("gpt-5.5", reasoning={"effort": "xhigh"}),
    "Codex on 5.5": responses(
        "gpt-5.5", reasoning={"effort": "medium"}, text={"verbosity": "low"}, tools=[TOOL, {"type": "tool_search"}]
    ),
    "Codex on 6": responses(
        "gpt-6-astra",
        {"type": "additional_tools", "role": "developer", "tools": [SPACE]},
        reasoning={"effort": "low", "context": "all_turns"},
        text={"verbosity": "low"},
    ),
    "Codex on an older one": responses("gpt-5.2", max_output_tokens=64_000),
}


def read(shape: Shape) -> Envelope:
    return WIRES[shape.protocol].read(shape.body, shape.headers)


def asked(shape: Shape, models: Iterable[Model]) -> dict[str, Fit]:
    """Per id, whether a model fits a request, as the gateway asks it."""
    envelope = read(shape)
    needs = Needs(prompt=envelope.prompt, output=envelope.output or 0, features=envelope.features, protocol=shape.protocol)
    return {model.id: fit(model, needs) for model in models}


def forwarded(shape: Shape, envelope: Envelope, model: Model) -> dict[str, Any]:
    """What a model is sent: the request with its name, and with what it writes at most where more is asked for."""
    changes = {"model": msgspec.json.encode(model.bare_id)}
    if envelope.output is not None and model.output is not None and envelope.output > model.output:
        changes[envelope.output_key] = str(model.output).encode()
    body: dict[str, Any] = json.loads(replace(shape.body, changes, envelope.spans))
    return body


def named(shape: Shape) -> Model:
    """The model that a request names."""
    found = CATALOG.resolve(shape.named)
    assert found is not None
    return found


FROM_4_7 = {
    *("claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-fable-5", "claude-fable-5-1"),
    *("claude-fable-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
}
BEFORE_4_8 = {HAIKU_4_5, SONNET_4_6, OPUS_4_6, "claude-opus-4-7", "claude-opus-4-5", "claude-sonnet-4-5", "claude-sonnet-5"}
BEFORE_4_6 = {HAIKU_4_5, "claude-sonnet-4-5", "claude-opus-4-5"}
ALWAYS_THINKING = {"claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2"}
NO_XHIGH = {SONNET_4_6, OPUS_4_6, "claude-opus-4-5"}
BEFORE_GPT_5_4 = {"gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.1", "gpt-5.2", "gpt-5.3-codex", "o3", "o4-mini", "gpt-4.1"}


def effort(body: Mapping[str, Any]) -> str:
    """The effort a request asks for, in any protocol."""
    inner = (body.get("output_config") or {}) | (body.get("reasoning") or {})
    return str(inner.get("effort") or body.get("reasoning_effort") or "")


REFUSED: list[tuple[str, Callable[[Mapping[str, Any]], bool], set[str]]] = [
    (
        "migration guides",
        lambda body: body.get("temperature", 1) != 1,
        FROM_4_7 | {"o3", "gpt-5", "gpt-6-luna", "gpt-5.6-luna"},
    ),
    ("migration guides", lambda body: body.get("thinking", {}).get("type") == "enabled", FROM_4_7),
    ("OmniRoute#10481", lambda body: body.get("thinking", {}).get("type") == "adaptive", BEFORE_4_6),
    ("OmniRoute#10481", lambda body: "messages" in body and effort(body) != "", BEFORE_4_6 - {"claude-opus-4-5"}),
    (
        "Claude 4.6, what's new",
        lambda body: body.get("messages", [{}])[-1]["role"] == "assistant",
        FROM_4_7 | NO_XHIGH - {"claude-opus-4-5"},
    ),
    ("Opus 5.5, what's new", lambda body: body.get("thinking", {}).get("type") == "disabled", ALWAYS_THINKING),
    (
        "prompting Haiku 5.5",
        lambda body: body.get("thinking", {}).get("type") == "disabled" and effort(body) in {"xhigh", "max"},
        {"claude-haiku-5-5", "claude-opus-5"},
    ),
    ("Opus 5.5, what's new", lambda body: body.get("tool_choice", {}) not in ({}, "auto", "none", "required"), ALWAYS_THINKING),
    ("mid-conversation system messages", lambda body: "system" in roles(body) and "system" in body, BEFORE_4_8),
    ("effort", lambda body: effort(body) == "xhigh", NO_XHIGH | {"gpt-5", "gpt-5-mini", "gpt-5.1"}),
    ("effort", lambda body: effort(body) == "max", {"claude-opus-4-5", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5"}),
    ("reasoning", lambda body: effort(body) == "none", {"gpt-5", "gpt-5-mini", "gpt-5-nano", "o3", "gpt-5.3-codex"}),
    ("tools", lambda body: "tool_search" in str(body.get("tools")), BEFORE_GPT_5_4),
    ("codex#9035", lambda body: "verbosity" in str(body.get("text")), {"gpt-5.3-codex", "gpt-5.2-codex", "gpt-4.1", "o3"}),
]
"""Who refuses what, as the vendors or their users say it (where): written down apart from the catalogue, to hold it against."""


NOWHERE = {"a beta of tomorrow", "an unheard-of safeguard", "fast", "off at the highest effort"}
"""What goes to the model that it names, whatever else there is."""


def roles(body: Mapping[str, Any]) -> set[str]:
    return {message["role"] for message in body.get("messages", ())}


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_is_forwarded_that_its_model_refuses(name: str) -> None:
    shape = SHAPES[name]
    fits, envelope = asked(shape, KNOWN_BY_NAME), read(shape)
    for model in KNOWN_BY_NAME:
        if not fits[model.id].misfit:
            body = forwarded(shape, envelope, model)
            check(DIALECT[shape.protocol], body, shape.betas.split(","), CATALOG)  # raises what the model would answer
            assert [where for where, uses, ids in REFUSED if model.id in ids and uses(body)] == [], model.ref


@pytest.mark.parametrize(("where", "uses", "ids"), REFUSED)
def test_each_refusal_is_met_by_some_shape(where: str, uses: Callable[[Mapping[str, Any]], bool], ids: set[str]) -> None:
    """Else the test above holds nothing against it."""
    assert any(uses(json.loads(shape.body)) for shape in SHAPES.values()), where
    assert all(CATALOG.resolve(name) is not None for name in ids), where


FOR_ONE_ALONE = NOWHERE | {"Chat with many tools"}
"""Shapes with something that is no feature: they stay on the model they name, and are asked no questions there."""


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - FOR_ONE_ALONE))
def test_a_request_fits_the_model_it_names(name: str) -> None:
    (found,) = asked(SHAPES[name], [named(SHAPES[name])]).values()
    assert found.misfit == ""


HAIKU_5_5, SONNET_5, SONNET_5_5 = "claude-haiku-5-5", "claude-sonnet-5", "claude-sonnet-5-5"
LITE = {"gpt-6-luna", "gpt-6.1-terra", "gpt-5.6-luna", "gpt-5.6-terra"}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("Claude Code on 4.6", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("Claude Code on 4.7", {SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("Claude Code on 4.8", {SONNET_5_5, HAIKU_5_5}),
        ("Claude Code on 5.5", {SONNET_5_5, HAIKU_5_5}),
        ("Claude Code on 4.5", {HAIKU_4_5}),
        ("Claude Code in auto mode", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("Claude Code in auto mode on 4.5", {HAIKU_4_5}),
        ("an SDK", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_4_5, HAIKU_5_5}),
        ("adaptive thinking", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("effort", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("a long answer", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_4_5, HAIKU_5_5}),
        ("a long prompt", {SONNET_4_6, SONNET_5, SONNET_5_5, HAIKU_5_5}),
        ("temperature", {SONNET_4_6, HAIKU_4_5}),
        ("a given beginning", {HAIKU_4_5}),
        ("a forced tool", {SONNET_4_6, HAIKU_4_5, HAIKU_5_5}),
        ("thinking switched off", {SONNET_4_6, SONNET_5, HAIKU_4_5, HAIKU_5_5}),
        ("a tool withdrawn", {SONNET_5_5, HAIKU_5_5}),
        ("off at the highest effort", set()),
        ("fast", set()),
        ("a beta of tomorrow", set()),
        ("Codex on 6", LITE),
        ("Codex on 5.5", LITE | {"gpt-5.4", "gpt-5.4-mini"}),
    ],
)
def test_the_way_down_is_open_as_far_as_is_known(name: str, ids: set[str]) -> None:
    """Which current models below the named one, of its own vendor, a request can go to as it is."""
    shape, top = SHAPES[name], named(SHAPES[name])
    sold = [model for model in CATALOG if model.provider == top.provider and model.status == "current"]
    below = [model for model in sold if top.tier is not None and model.tier is not None and model.tier < top.tier]
    assert {name for name, found in asked(shape, below).items() if not found.misfit} == ids


def test_a_longer_answer_than_the_model_writes_is_the_one_thing_changed() -> None:
    shape, haiku = SHAPES["a long answer"], CATALOG.resolve(HAIKU_4_5)
    assert haiku is not None
    assert asked(shape, [haiku])[HAIKU_4_5].adaptations == ("max_tokens 128000 -> 64000, the model's cap",)
    assert forwarded(shape, read(shape), haiku) == shape.said | {"model": HAIKU_4_5, "max_tokens": 64_000}


CHEAPEST = """
models: {default: claude-opus-4-6}
dynamic_routing: {enabled: true}
gateway: {mode: delegated}
"""
PATHS = {name: wire.path for name, wire in WIRES.items()}
KEYS = {
    "messages": {"x-api-key": KEY},
    "chat": {"authorization": f"Bearer {KEY}"},
    "responses": {"authorization": f"Bearer {KEY}"},
}
AT_HOME = sorted(SHAPES.keys() - {"Chat with many tools"})
"""Those that go to a provider which the gateway is in front of here."""


NOT_BELOW_4_8 = {"Claude Code on 4.7", "Claude Code on 4.8", "Claude Code on 5.5", "a tool withdrawn"}
"""Haiku 4.5 and Sonnet 4.6, which the preferences name, cannot take what these ask for."""


@pytest.mark.parametrize(
    ("preferences", "kept"),
    [
        (ROUTED, NOWHERE | NOT_BELOW_4_8 | {name for name in AT_HOME if SHAPES[name].protocol != "messages"}),
        (CHEAPEST, NOWHERE | {"Chat with temperature"}),
    ],
    ids=["tier_models", "cheapest"],
)
async def test_a_strict_provider_takes_everything_that_the_gateway_sends(
    opening: Opening, preferences: str, kept: set[str]
) -> None:
    async with PracticeProvider(latency=0.0, strict=True) as provider, opening(provider.url, preferences=preferences) as house:
        for name in AT_HOME:
            shape = SHAPES[name]
            unit = UNIT | {"x-stepdown-unit-id": name.replace(" ", "-")}
            answer = await house.ask(PATHS[shape.protocol], shape.body, shape.headers | unit | KEYS[shape.protocol])
            assert answer.status == 200, (name, answer.body)
        assert [served.status for served in provider.log] == [200] * len(AT_HOME)
        served = zip(AT_HOME, provider.log, strict=True)
        assert {name for name, one in served if one.model == SHAPES[name].named} == kept


@pytest.mark.parametrize(
    ("name", "unit", "model"),
    [
        ("Claude Code on 4.6", "execute-task", SONNET_4_6),
        ("Claude Code on 4.6", "complete-slice", SONNET_4_6),  # Haiku 4.5 does not think adaptively: the next tier up
        ("Claude Code on 4.5", "complete-slice", HAIKU_4_5),
        ("Claude Code in auto mode", "execute-task", SONNET_4_6),
        ("Claude Code in auto mode on 4.5", "complete-slice", HAIKU_4_5),
        ("an unheard-of safeguard", "complete-slice", OPUS_4_6),
        ("an SDK", "complete-slice", HAIKU_4_5),
        ("a beta of tomorrow", "complete-slice", OPUS_4_6),
    ],
)
async def test_claude_code_steps_down_as_far_as_it_can(opening: Opening, name: str, unit: str, model: str) -> None:
    shape = SHAPES[name]
    headers = shape.headers | KEYS["messages"] | {"x-stepdown-unit": unit, "x-stepdown-unit-id": "M001/S01/T01"}
    async with PracticeProvider(latency=0.0, strict=True) as provider, opening(provider.url, preferences=ROUTED) as house:
        answer = await house.ask("/v1/messages", shape.body, headers)
        assert (answer.status, answer.headers["x-stepdown-model"]) == (200, f"anthropic/{model}")
        assert [(served.status, served.model) for served in provider.log] == [(200, model)]
        receipt = (await house.ask("/v1/stepdown/route?protocol=messages", shape.body, headers)).body.decode()
        if name == "Claude Code on 4.6" and unit == "complete-slice":
            assert "does not offer adaptive_thinking, effort, as far as is known" in receipt
