"""The three protocols of the practice provider side by side: what each does in its own way, and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from stepdown.practice import chat, messages, responses
from stepdown.practice.messages import Rejected, Reply
from stepdown.units import Tokens

Body = Mapping[str, Any]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol.

    Attributes:
        name: as in `Model.protocols`.
        paths: where its requests go; the first is the one in the books.
        id_header: the response header that names a request.
        id_prefix: how the id of an answer begins.
        read: a request's bytes as its body; raises `messages.Rejected`.
        conversation: a body as the script reads it, in the shape of a Messages request.
        prompt: a body as it is counted and cached, in the same shape.
        billed: counted tokens as this protocol bills them.
        spoken: a reply of the script's, in the tools that the body offers and with the thinking it asks for.
        whole: an answer that is not streamed.
        stream: the same answer as server-sent events.
        error: the body of an error, with the request's id.
        failed: an error as an event of a stream: status, message, its own word for the kind, and the id of the answer; "" where
            none has begun.
        too_long: the refusal of a prompt: its tokens, and the most that are taken.
    """

    name: str
    paths: tuple[str, ...]
    id_header: str
    id_prefix: str
    read: Callable[[bytes], dict[str, Any]]
    conversation: Callable[[Body], Body]
    prompt: Callable[[Body], Body]
    billed: Callable[[Tokens], Tokens]
    spoken: Callable[[Reply, Body], Reply]
    whole: Callable[[str, Body, Reply, Tokens], dict[str, Any]]
    stream: Callable[[str, Body, Reply, Tokens], Iterator[bytes]]
    error: Callable[[Rejected, str], dict[str, Any]]
    failed: Callable[[int, str, str, str], bytes]
    too_long: Callable[[int, int], Rejected]


def _openai_error(problem: Rejected, _: str) -> dict[str, Any]:
    return responses.error(problem.status, str(problem), kind=problem.kind, param=problem.param)


MESSAGES: Final = Dialect(
    name="messages",
    paths=("/v1/messages",),
    id_header="request-id",
    id_prefix="msg",
    read=messages.read,
    conversation=lambda body: body,
    prompt=lambda body: body,
    billed=lambda tokens: tokens,
    spoken=messages.spoken,
    whole=lambda answer_id, body, reply, tokens: messages.whole(answer_id, str(body["model"]), reply, tokens),
    stream=lambda answer_id, body, reply, tokens: messages.stream(answer_id, str(body["model"]), reply, tokens),
    error=lambda problem, request_id: messages.error(
        problem.status, str(problem), kind=problem.kind, request_id=request_id, details=problem.details
    ),
    failed=lambda status, words, kind, _: messages.event(messages.error(status, words, kind=kind)),
    too_long=lambda length, most: Rejected(400, f"prompt is too long: {length} tokens > {most} maximum"),
)

CHAT: Final = Dialect(
    name="chat",
    paths=("/v1/chat/completions", "/chat/completions"),
    id_header="x-request-id",
    id_prefix="chatcmpl",
    read=chat.read,
    conversation=chat.conversation,
    prompt=chat.prompt,
    billed=responses.billed,
    spoken=lambda reply, _: reply,
    whole=lambda answer_id, body, reply, tokens: chat.whole(answer_id, str(body["model"]), reply, tokens),
    stream=chat.stream,
    error=_openai_error,
    failed=lambda status, words, kind, _: chat.failed(status, words, kind=kind),
    too_long=lambda length, most: Rejected(
        400,
        f"This model's maximum context length is {most} tokens. However, your messages resulted in {length} tokens. "
        "Please reduce the length of the messages.",
        kind="context_length_exceeded",
        param="messages",
    ),
)

RESPONSES: Final = Dialect(
    name="responses",
    paths=("/v1/responses", "/responses"),
    id_header="x-request-id",
    id_prefix="resp",
    read=responses.read,
    conversation=responses.conversation,
    prompt=responses.prompt,
    billed=responses.billed,
    spoken=responses.spoken,
    whole=lambda answer_id, body, reply, tokens: responses.whole(answer_id, str(body["model"]), reply, tokens),
    stream=lambda answer_id, body, reply, tokens: responses.stream(answer_id, str(body["model"]), reply, tokens),
    error=_openai_error,
    failed=lambda status, words, kind, answer_id: responses.failed(status, words, kind=kind, answer_id=answer_id),
    too_long=lambda *_: Rejected(
        400,
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        kind="context_length_exceeded",
        param="input",
    ),
)

DIALECTS: Final = (MESSAGES, CHAT, RESPONSES)
