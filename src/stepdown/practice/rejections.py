"""What the real providers refuse, by what the catalogue knows of each model, in the words that they use.

Words and statuses are those of the public reports: claude-agent-sdk-typescript#350 (system role), elizaOS#16175 (effort and
adaptive thinking), jetbrains-cc-gui#1003 (thinking with a budget), CCR#1808 (tool ids). What is said of replayed thinking, also
where some is missing, is in `rejected_thinking`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stepdown.agents.program import mapping, records
from stepdown.catalog.catalogue import Catalog
from stepdown.catalog.records import Model
from stepdown.practice import chat, metering, rejected_thinking
from stepdown.practice.dialects import Body, Dialect
from stepdown.practice.messages import Rejected

MOST_TOOLS: Final = 128
"""Tools that OpenAI takes in one request."""

_TOOL_ID: Final = re.compile(r"^[a-zA-Z0-9_-]+$")


def check(dialect: Dialect, body: Body, betas: Sequence[str], catalog: Catalog) -> None:
    """Whether the model would take this request; a model that the catalogue does not know takes everything.

    Args:
        dialect: the protocol.
        body: the request, readable as such.
        betas: the names in its ``anthropic-beta``.
        catalog: what is known of models.

    Raises:
        Rejected: it would not.
    """
    model = catalog.resolve(str(body["model"]))
    if model is None:
        return
    match dialect.name:
        case "messages":
            _messages(body, betas, model)
        case "chat":
            _chat(body, model)
        case _:
            _responses(body, model)
    rejected_thinking.check(dialect.name, body, model, catalog)
    length = metering.prompt_tokens(dialect.prompt(body))
    if model.context is not None and length > model.context:
        raise dialect.too_long(length, model.context)


def _messages(body: Body, betas: Sequence[str], model: Model) -> None:
    if "messages" not in model.protocols:
        raise Rejected(404, f"model: {body['model']}")
    _thinking(body, betas, model)
    most = body.get("max_tokens")
    if isinstance(most, int) and model.output is not None and most > model.output:
        words = f"which is the maximum allowed number of output tokens for {model.bare_id}"
        raise Rejected(400, f"max_tokens: {most} > {model.output}, {words}")
    for place, role, part in _parts(body):
        if role == "system" and "system_role" not in model.features:
            words = 'The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
            raise Rejected(400, f'messages: Unexpected role "system". {words}')
        if part.get("type") == "tool_use" and not _TOOL_ID.match(str(part.get("id"))):
            raise Rejected(400, f"{place}.tool_use.id: String should match pattern '{_TOOL_ID.pattern}'")


def _thinking(body: Body, betas: Sequence[str], model: Model) -> None:
    thinking, features = mapping(body, "thinking"), model.features
    if thinking.get("type") == "adaptive" and "adaptive_thinking" not in features:
        raise Rejected(400, "adaptive thinking is not supported on this model")
    if thinking.get("type") == "enabled":
        if "thinking" not in features:
            instead = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
            raise Rejected(400, f'"thinking.type.enabled" is not supported for this model. {instead}')
        budget, most = thinking.get("budget_tokens"), body.get("max_tokens")
        if any(beta.startswith("interleaved-thinking-") for beta in betas):
            budget = None  # with thoughts between the calls the budget is that of a whole turn
        if isinstance(budget, int) and isinstance(most, int) and most <= budget:
            raise Rejected(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if mapping(body, "output_config").get("effort") and "effort" not in features:
        raise Rejected(400, "This model does not support the effort parameter.")


def _parts(body: Body) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every block of the messages, with where it stands and who said it."""
    for number, message in enumerate(body["messages"]):
        content = message["content"]
        if not isinstance(content, list) or not content:
            yield f"messages.{number}", message["role"], {}
            continue
        for index, part in enumerate(content):
            yield f"messages.{number}.content.{index}", message["role"], part


def _openai(body: Body, model: Model, most: tuple[str, int] | None, effort: tuple[str, object]) -> None:
    """What Chat Completions and Responses refuse alike."""
    name, value = effort
    if value and "effort" not in model.features:
        words = f"Unsupported parameter: '{name}' is not supported with this model."
        raise Rejected(400, words, kind="unsupported_parameter", param=name)
    offered = len(records(body.get("tools")))
    if offered > MOST_TOOLS and model.provider == "openai":
        words = f"Expected an array with maximum length {MOST_TOOLS}, but got an array with length {offered} instead."
        raise Rejected(400, f"Invalid 'tools': array too long. {words}", kind="array_above_max_length", param="tools")
    if most is not None and model.output is not None and most[1] > model.output:
        words = f"This model supports at most {model.output} completion tokens, whereas you provided {most[1]}."
        raise Rejected(400, f"{most[0]} is too large: {most[1]}. {words}", param=most[0])


def _missing(body: Body, model: Model, path: str) -> Rejected:
    if model.provider == "openai" and model.protocols:
        words = f"This model is only supported in v1/{model.protocols[0]} and not in {path}."
        return Rejected(404, words, kind="", param="model")
    return Rejected(404, f"The model `{body['model']}` does not exist or you do not have access to it.")


def _chat(body: Body, model: Model) -> None:
    if "chat" not in model.protocols:
        raise _missing(body, model, "v1/chat/completions")
    _openai(body, model, chat.limit(body), ("reasoning_effort", body.get("reasoning_effort")))


def _responses(body: Body, model: Model) -> None:
    if "responses" not in model.protocols:
        raise _missing(body, model, "v1/responses")
    most = body.get("max_output_tokens")
    limit = None if most is None else ("max_output_tokens", int(most))
    _openai(body, model, limit, ("reasoning.effort", mapping(body, "reasoning").get("effort")))
