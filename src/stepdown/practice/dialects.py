"""The two protocols of the practice provider side by side: what each does in its own way, and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from stepdown.practice import messages, responses
from stepdown.practice.messages import Reply
from stepdown.units import Tokens

Body = Mapping[str, Any]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol.

    Attributes:
        path: where its requests go.
        id_header: the response header that names a request.
        id_prefix: how the id of an answer begins.
        read: a request's bytes as its body; raises `messages.Rejected`.
        conversation: a body as the script reads it, in the shape of a Messages request.
        prompt: a body as it is counted and cached, in the same shape.
        billed: counted tokens as this protocol bills them.
        spoken: a reply of the script's, in the tools that the body offers.
        whole: an answer that is not streamed.
        stream: the same answer as server-sent events.
        error: the body of an error: status, message, its own word for the kind, the request's id.
        failed: a stream whose first event is an error.
    """

    path: str
    id_header: str
    id_prefix: str
    read: Callable[[bytes], dict[str, Any]]
    conversation: Callable[[Body], Body]
    prompt: Callable[[Body], Body]
    billed: Callable[[Tokens], Tokens]
    spoken: Callable[[Reply, Body], Reply]
    whole: Callable[[str, str, Reply, Tokens], dict[str, Any]]
    stream: Callable[[str, str, Reply, Tokens], Iterator[bytes]]
    error: Callable[[int, str, str, str], dict[str, Any]]
    failed: Callable[[int, str, str], bytes]


MESSAGES: Final = Dialect(
    path="/v1/messages",
    id_header="request-id",
    id_prefix="msg",
    read=messages.read,
    conversation=lambda body: body,
    prompt=lambda body: body,
    billed=lambda tokens: tokens,
    spoken=lambda reply, _: reply,
    whole=messages.whole,
    stream=messages.stream,
    error=lambda status, words, kind, request_id: messages.error(status, words, kind=kind, request_id=request_id),
    failed=lambda status, words, kind: messages.event(messages.error(status, words, kind=kind)),
)

RESPONSES: Final = Dialect(
    path="/v1/responses",
    id_header="x-request-id",
    id_prefix="resp",
    read=responses.read,
    conversation=responses.conversation,
    prompt=responses.prompt,
    billed=responses.billed,
    spoken=responses.spoken,
    whole=responses.whole,
    stream=responses.stream,
    error=lambda status, words, kind, _: responses.error(status, words, kind=kind),
    failed=lambda status, words, kind: responses.failed(status, words, kind=kind),
)
