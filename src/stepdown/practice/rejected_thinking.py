"""What the real providers refuse of replayed thinking: another model's, and where some is missing that they insist on.

Words and statuses are those of the public reports: Antigravity-Manager#498 and llxprt-code#2335 (signatures), opencode#3077 and
kilocode#5219 (a turn without its thinking), codex#8132 and codex-chatgpt-web#249 (encrypted reasoning), vercel/ai#7099 and
cline#12242 (reasoning without its item, and the other way round), apiyi.com, Gemini thought signatures (a call without its
signature, or with another's), hermes-agent#15353 (DeepSeek and Moonshot), aether#31 (DeepSeek on Messages).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepdown.agents.program import mapping, records
from stepdown.catalog.catalogue import Catalog
from stepdown.catalog.records import Model
from stepdown.practice.dialects import Body
from stepdown.practice.messages import THOUGHT, Rejected
from stepdown.practice.signing import signer

_THINKING: Final = frozenset({"thinking", "redacted_thinking"})
_SEALED: Final = "reasoning.encrypted_content"

Record = Mapping[str, Any]


def check(protocol: str, body: Body, model: Model, catalog: Catalog) -> None:
    """Whether the model would take the thinking that a request replays.

    Args:
        protocol: ``messages``, ``chat`` or ``responses``.
        body: the request, readable as such.
        model: who is asked.
        catalog: knows the models that may have signed it.

    Raises:
        Rejected: it would not.
    """
    match protocol:
        case "messages":
            _messages(body, model, catalog)
        case "chat":
            _chat(body["messages"], model, catalog)
        case _:
            _responses(body, model, catalog)


def _same(catalog: Catalog, signed: str, model: Model) -> bool:
    found = catalog.resolve(signed) if signed else None
    return found is not None and found.bare_id == model.bare_id


def _sold_alike(catalog: Catalog, sealed_by: str, model: Model) -> bool:
    """Whether one provider sells both: what one of its models sealed, the others can open."""
    found = catalog.resolve(sealed_by) if sealed_by else None
    return found is not None and found.provider == model.provider


def _messages(body: Body, model: Model, catalog: Catalog) -> None:
    messages: Sequence[Record] = body["messages"]
    for number, message in enumerate(messages):
        for index, part in enumerate(_blocks(message)):
            if part.get("type") in _THINKING:
                words, signature = (
                    (str(part.get("thinking")), part.get("signature")) if "thinking" in part else (THOUGHT, part.get("data"))
                )
                if not _same(catalog, signer(signature, words), model):
                    key = "signature" if part["type"] == "thinking" else "data"
                    raise Rejected(400, f"messages.{number}.content.{index}: Invalid `{key}` in `{part['type']}` block")
    kind = mapping(body, "thinking").get("type")
    if model.provider == "deepseek" and kind != "disabled":  # it thinks unless told not to
        _thought_before_each_call(messages)
    elif kind == "enabled":
        _begins_with_thinking(messages)


def _blocks(message: Record) -> Sequence[Record]:
    return records(message.get("content"))


def _thought_before_each_call(messages: Sequence[Record]) -> None:
    """What DeepSeek wants: with every call of a tool, however old, the thinking that led to it."""
    for message in messages:
        kinds = {block.get("type") for block in _blocks(message)}
        if "tool_use" in kinds and not kinds & _THINKING:
            raise Rejected(400, "The `content[].thinking` in the thinking mode must be passed back to the API.")


def _begins_with_thinking(messages: Sequence[Record]) -> None:
    """Whether the turn that is going on in a loop of tools begins with what the model thought."""
    first, results = -1, False
    for number in range(len(messages) - 1, -1, -1):
        blocks = _blocks(messages[number])
        match messages[number]["role"]:
            case "assistant":
                first = number
            case "user":
                if not any(block.get("type") == "tool_result" for block in blocks):
                    break
                results = True
    blocks = _blocks(messages[first]) if results and first >= 0 else []
    if blocks and blocks[0].get("type") not in _THINKING:
        words = (
            "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost"
        )
        found = f"Expected `thinking` or `redacted_thinking`, but found `{blocks[0].get('type')}`."
        raise Rejected(400, f"messages.{first}.content.0.type: {found} {words} set of `tool_use` and `tool_result` blocks).")


def _responses(body: Body, model: Model, catalog: Catalog) -> None:
    items = records(body["input"])
    thought = ""  # the reasoning that what follows may belong to
    wanted = body.get("include")
    sealing = isinstance(wanted, list) and _SEALED in wanted and "effort" in model.features
    for number, item in enumerate(items):
        if item.get("type") == "reasoning":
            thought = str(item.get("id") or "?")
            sealed = item.get("encrypted_content")
            if sealed and not _sold_alike(catalog, signer(sealed, THOUGHT), model):
                reason = "Reason: Encrypted content could not be decrypted or parsed."
                words = f"The encrypted content for item {item.get('id')} could not be verified. {reason}"
                raise Rejected(400, words, kind="invalid_encrypted_content")
            if item.get("id") and not (number + 1 < len(items) and _written(items[number + 1])):
                words = f"Item '{thought}' of type 'reasoning' was provided without its required following item."
                raise Rejected(400, words, param="input")
        elif not _written(item):
            thought = ""
        elif sealing and item.get("id") and not thought:
            kind = item.get("type", "message")
            words = f"Item '{item['id']}' of type '{kind}' was provided without its required 'reasoning' item."
            raise Rejected(400, words, param="input")


def _written(item: Record) -> bool:
    """Whether a model wrote an item."""
    kind = str(item.get("type") or "message")
    return item.get("role") == "assistant" if kind == "message" else kind == "reasoning" or kind.endswith("_call")


_WANT_THOUGHTS: Final = frozenset({"deepseek", "moonshot"})
"""Providers whose models, where they think, want back what they thought before each call of tools."""


def _chat(messages: Sequence[Record], model: Model, catalog: Catalog) -> None:
    for number, message in enumerate(messages):
        for detail in records(message.get("reasoning_details")):
            signed = detail.get("signature") or detail.get("data")
            if signed and not _same(catalog, signer(signed, THOUGHT), model):
                raise Rejected(400, f"messages[{number}].reasoning_details: Invalid `signature` in reasoning details")
        if model.provider in _WANT_THOUGHTS and message.get("tool_calls") and "reasoning_content" not in message:
            raise Rejected(400, "The `reasoning_content` in the thinking mode must be passed back to the API.")
    if model.provider == "google":
        _google(messages, model, catalog)


def _google(messages: Sequence[Record], model: Model, catalog: Catalog) -> None:
    """Since a person spoke, the first call of each answer has to carry its signature; what came before is not looked at."""
    begins = max((number for number, message in enumerate(messages) if message["role"] == "user"), default=0)
    for message in messages[begins:]:
        for call in records(message.get("tool_calls"))[:1]:
            signature = mapping(mapping(call, "extra_content"), "google").get("thought_signature")
            name = mapping(call, "function").get("name")
            if signature is None and "effort" in model.features:
                words = "Function call is missing a thought_signature in functionCall parts."
                raise Rejected(400, f"{words} Additional data, function call `default_api:{name}`.")
            if signature is not None and not _same(catalog, signer(signature, THOUGHT), model):
                raise Rejected(400, "Corrupted thought signature.")
