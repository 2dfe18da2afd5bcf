"""Every pair of models in the middle of a conversation: what fits takes what is left when the other's thinking is left out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import example_requests
import msgspec
import pytest

from stepdown.catalog import Catalog, Model
from stepdown.decision import Needs
from stepdown.fit import FITS, fit
from stepdown.gateway import edit
from stepdown.gateway.protocols import WIRES
from stepdown.gateway.protocols.signed import digest, without
from stepdown.gateway.wire import Envelope
from stepdown.practice.dialects import DIALECTS
from stepdown.practice.messages import THOUGHT, Rejected
from stepdown.practice.rejections import check
from stepdown.practice.signing import sign

CATALOG = Catalog.load()
DIALECT = {dialect.name: dialect for dialect in DIALECTS}
INTERLEAVED = "interleaved-thinking-2025-05-14"
BETAS = {"anthropic-beta": f"claude-code-20250219,{INTERLEAVED},context-management-2025-06-27,effort-2025-11-24"}


def families(protocol: str) -> list[Model]:
    """One model of each family, as its vendor sells it on a protocol; the practice provider knows it by its name."""
    sold = [model for model in CATALOG if protocol in model.protocols and CATALOG.resolve(model.bare_id) == model]
    return list({model.family: model for model in reversed(sold) if model.status != "retired"}.values())


Talk = list[dict[str, Any]]
THINKING = {"type": "thinking", "thinking": THOUGHT}


def in_messages(model: Model) -> Talk:
    said: Talk = [{"role": "user", "content": [{"type": "text", "text": "Fix the typo."}]}]
    for number, kind in enumerate(("thinking", "redacted_thinking")):
        signed = {"signature": sign(model.bare_id, THOUGHT)} if number == 0 else {"data": sign(model.bare_id, THOUGHT)}
        thought = {**THINKING, **signed} if number == 0 else {"type": kind, **signed}
        call = {"type": "tool_use", "id": f"toolu_{number:024d}", "name": "Tool0", "input": {"p0": "x"}}
        said.append({"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, call]})
        said.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "y"}]})
    return said


def in_chat(model: Model) -> Talk:
    """As each provider has its thinking sent back."""
    signature = sign(model.bare_id, THOUGHT)
    thought: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    match model.provider:
        case "google":
            extra = {"extra_content": {"google": {"thought_signature": signature}}}
        case "deepseek" | "moonshot" | "zai" | "alibaba" | "minimax":
            thought = {"reasoning_content": THOUGHT}
        case "xai" | "openrouter":
            thought = {"reasoning_details": [{"type": "reasoning.encrypted", "data": signature}]}
    said: Talk = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": "Fix the typo."}]
    for number in range(2):
        call = {"id": f"call_{number}", "type": "function", "function": {"name": "tool0", "arguments": "{}"}, **extra}
        said.append({"role": "assistant", "content": None, "tool_calls": [call], **thought})
        said.append({"role": "tool", "tool_call_id": call["id"], "content": "y"})
    return said


def in_responses(model: Model, *, ids: bool = False) -> Talk:
    said: Talk = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix the typo."}]}]
    for number in range(2):
        call = {"type": "function_call", "call_id": f"call_{number}", "name": "tool0", "arguments": "{}"}
        sealed = {"type": "reasoning", "summary": [], "encrypted_content": sign(model.bare_id, THOUGHT)}
        said.append(sealed | ({"id": f"rs_{number}"} if ids else {}))
        said.append(call | ({"id": f"fc_{number}"} if ids else {}))
        said.append({"type": "function_call_output", "call_id": call["call_id"], "output": "y"})
    return said


def answered(protocol: str, words: str = "Now the other one.") -> Talk:
    """The turn ends, and a person speaks."""
    if protocol == "responses":
        done = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
        return [done, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}]
    return [{"role": "assistant", "content": "Done."}, {"role": "user", "content": words}]


class Shape(msgspec.Struct, frozen=True):
    """How one kind of client asks, whatever the model.

    Attributes:
        protocol: which one it speaks.
        talk: the conversation up to a tool's result, its thinking signed by a model.
        said: the rest of the body.
        headers: what the reader looks at.
    """

    protocol: str
    talk: Callable[[Model], Talk]
    said: dict[str, Any]
    headers: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        return "input" if self.protocol == "responses" else "messages"


def claude(**more: Any) -> dict[str, Any]:
    said = example_requests.messages(rounds=0, max_tokens=32_000, **more)
    return {key: value for key, value in said.items() if value is not None}


PLAIN = {"thinking": None, "output_config": None, "context_management": None}
SYSTEM = {"role": "system", "content": "Be brief."}
TURN = {"role": "system", "content": [], "output_config": {"effort": "low"}}
CODEX: dict[str, Any] = {"reasoning": {"effort": "medium"}, "text": {"verbosity": "low"}, "tool_choice": "auto"}

SHAPES: dict[str, Shape] = {
    "Claude Code on 4.6": Shape("messages", in_messages, claude(), BETAS),
    "Claude Code on 4.7": Shape("messages", in_messages, claude(output_config={"effort": "xhigh"}), BETAS),
    "Claude Code on 4.8": Shape("messages", lambda model: [*in_messages(model), SYSTEM], claude(), BETAS),
    "Claude Code on 5.5": Shape("messages", lambda model: [*in_messages(model), TURN], claude(), BETAS),
    "Claude Code on 4.5": Shape(
        "messages", in_messages, claude(thinking={"type": "enabled", "budget_tokens": 31_999}, output_config=None), BETAS
    ),
    "an SDK on Messages": Shape("messages", in_messages, claude(**PLAIN)),
    "OpenCode on Chat": Shape("chat", in_chat, example_requests.chat(rounds=0, reasoning_effort="medium")),
    "an SDK on Chat": Shape("chat", in_chat, example_requests.chat(rounds=0, max_tokens=8_000)),
    "Codex": Shape("responses", in_responses, example_requests.responses(rounds=0, **CODEX)),
    "OpenCode on Responses": Shape("responses", in_responses, example_requests.responses(rounds=0)),
    "an SDK on Responses": Shape(
        "responses", lambda model: in_responses(model, ids=True), example_requests.responses(rounds=0)
    ),
}
LOOP, TURNED = "in a loop of tools", "at a person's turn"
CASES = [(name, when) for name in SHAPES for when in (LOOP, TURNED)]


def request(shape: Shape, model: Model, when: str) -> tuple[bytes, Envelope]:
    talk = shape.talk(model) + (answered(shape.protocol) if when == TURNED else [])
    body = json.dumps(shape.said | {"model": model.bare_id, shape.key: talk}).encode()
    return body, WIRES[shape.protocol].read(body, shape.headers)


def needs(shape: Shape, envelope: Envelope) -> Needs:
    return Needs(
        prompt=envelope.prompt,
        output=envelope.output or 0,
        output_adaptable=envelope.thinking != "enabled",
        features=envelope.features,
        protocol=shape.protocol,
    )


def accept(shape: Shape, body: bytes) -> None:
    """Raises what the model would answer."""
    check(DIALECT[shape.protocol], json.loads(body), shape.headers.get("anthropic-beta", "").split(","), CATALOG)


def forwarded(shape: Shape, body: bytes, envelope: Envelope, model: Model, talk: bytes) -> bytes:
    """What another model is sent."""
    changes: dict[str, bytes | None] = {"model": msgspec.json.encode(model.bare_id), shape.key: talk}
    if envelope.output is not None and model.output is not None and envelope.output > model.output:
        changes[envelope.output_key] = str(model.output).encode()
    return edit.replace(body, changes, envelope.spans)


def insists(model: Model, shape: Shape, when: str) -> bool:
    """Whether a model wants thinking of its own with calls that another made: what `fit` does not know of yet."""
    if shape.protocol == "chat" and model.provider == "google":
        return when == LOOP and "effort" in model.features
    return model.provider in {"chat": {"deepseek", "moonshot"}, "messages": {"deepseek"}}.get(shape.protocol, ())


@pytest.mark.parametrize(("name", "when"), CASES)
def test_what_fits_takes_a_conversation_that_another_model_held(name: str, when: str) -> None:
    shape = SHAPES[name]
    models = families(shape.protocol)
    moved = 0
    for here in models:
        body, envelope = request(shape, here, when)
        asked = needs(shape, envelope)
        if fit(here, asked) != FITS:
            continue  # no client asks this model so
        accept(shape, body)
        found = without(shape.protocol, body, envelope.spans, lambda _: False)
        assert (found is None) == (name == "Claude Code on 4.5" and when == LOOP)
        for there in models:
            if found is None or there == here or fit(there, asked).misfit:
                continue
            sent = forwarded(shape, body, envelope, there, found[0])
            if insists(there, shape, when):
                with pytest.raises(Rejected):
                    accept(shape, sent)
                continue
            accept(shape, sent)
            moved += 1
    assert bool(moved) == (name != "Claude Code on 4.5" or when == TURNED)


@pytest.mark.parametrize("name", SHAPES)
def test_the_reader_knows_the_same_blocks_as_are_left_out(name: str) -> None:
    shape = SHAPES[name]
    for here in families(shape.protocol):
        body, envelope = request(shape, here, TURNED)
        seen: list[int] = []
        without(shape.protocol, body, envelope.spans, lambda one, seen=seen: not seen.append(one))  # type: ignore[misc]
        assert envelope.talk.signers == tuple(seen)


VENDORS = {"messages": "anthropic", "responses": "openai"}


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].protocol in VENDORS])
def test_a_model_that_is_returned_to_takes_its_own_thinking_and_the_calls_of_the_other(name: str) -> None:
    """Down for a turn, and up again: each model is sent its own thinking alone."""
    shape = SHAPES[name]
    models = [model for model in families(shape.protocol) if model.provider == VENDORS[shape.protocol]]
    for here in models:
        for there in models:
            talk = shape.talk(here) + answered(shape.protocol) + shape.talk(there)[1:] + answered(shape.protocol)
            own = digest(sign(here.bare_id, THOUGHT))
            body = json.dumps(shape.said | {"model": here.bare_id, shape.key: talk}).encode()
            envelope = WIRES[shape.protocol].read(body, shape.headers)
            if there == here or any(fit(model, needs(shape, envelope)).misfit for model in (here, there)):
                continue
            found = without(shape.protocol, body, envelope.spans, own.__eq__)
            assert found is not None
            assert found[1] == 2
            accept(shape, forwarded(shape, body, envelope, here, found[0]))


def test_thinking_of_another_would_be_refused_if_it_were_not_left_out() -> None:
    """Else the tests above prove nothing."""
    for name, names in (
        ("Claude Code on 4.6", ("claude-opus-4-6", "claude-sonnet-4-6")),
        ("Codex", ("gpt-5.5", "qwen3.8-max")),
    ):
        shape = SHAPES[name]
        here, there = map(CATALOG.resolve, names)
        assert here is not None
        assert there is not None
        body, envelope = request(shape, here, TURNED)
        start, end = envelope.spans[shape.key]
        with pytest.raises(Rejected):
            accept(shape, forwarded(shape, body, envelope, there, body[start:end]))


REASONS = {
    "features": "what each feature is, and where it is known from, stands in models.yaml",
    "is not served on the": "another protocol",
    "holds": "the window",
    "writes at most": "the cap, where a budget for thinking has to stay below it",
    "its context window is unknown": "unknown does not fit",
    "its output cap is unknown": "unknown does not fit",
}


@pytest.mark.parametrize(("name", "when"), CASES)
def test_what_does_not_fit_says_why(name: str, when: str) -> None:
    shape = SHAPES[name]
    models = families(shape.protocol)
    for here in models:
        _, envelope = request(shape, here, when)
        asked = needs(shape, envelope)
        for there in models:
            misfit = fit(there, asked).misfit
            missing = asked.features - there.features
            if missing:
                assert misfit == f"does not offer {', '.join(sorted(missing))}, as far as is known"
            else:
                assert not misfit or any(misfit.startswith(reason) for reason in REASONS)
