"""What can go wrong on purpose: a list of faults that the practice provider works off."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

Kind = Literal[
    "status",
    "sse_error",
    "mid_error",
    "hang",
    "cut",
    "cut_mid",
    "late",
    "silence",
    "slow",
    "html",
    "garbage",
    "refusal",
    "wrong",
]

ANSWERED: Final = frozenset({"late", "silence", "slow", "refusal", "wrong"})
"""The kinds after which the client has a whole answer in the end, and is billed for it."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to fail, for as many requests as `times` says.

    An answer's pieces are the events of a stream; an answer that is not streamed is cut into a few.

    Attributes:
        kind:
            - ``status``: an error response, with `status`.
            - ``sse_error``: a 200 stream whose first event is the error that belongs to `status`; an error response where no
              stream was asked for.
            - ``mid_error``: the same after `pieces` of the answer.
            - ``hang``: no answer at all.
            - ``cut``: the connection is closed before anything was sent.
            - ``cut_mid``: the connection is closed after `pieces` of a good answer.
            - ``late``: nothing for `pause` seconds, then a good answer.
            - ``silence``: `pieces` of a good answer, nothing for `pause` seconds, then the rest.
            - ``slow``: `pause` seconds before each piece; `pieces` makes the answer longer, so that it has as many at least.
            - ``html``: a proxy's error page, with `status`.
            - ``garbage``: 200, and nothing that is JSON in it.
            - ``refusal``: the model declines.
            - ``wrong``: the model claims to be done, having done nothing.
        status: the HTTP status of ``status`` and ``html``, or the one whose error is told in a stream.
        error: the error's type (or code) in the body; "" takes the one that belongs to the status.
        message: what the error says; "" takes a plain sentence.
        retry_after: seconds for the ``retry-after`` header; None sends none.
        headers: more headers for the response: ``x-should-retry``, ``retry-after-ms``.
        pieces: see `kind`; 0 is half of them, and for ``slow`` as many as there are.
        pause: seconds, see `kind`.
        model: only requests for this model; "" is any.
        unit: only requests whose unit's name contains this; "" is any.
        times: how many requests it hits; 0 is all of them.
    """

    kind: Kind
    status: int = 500
    error: str = ""
    message: str = ""
    retry_after: float | None = None
    headers: Mapping[str, str] = {}
    pieces: int = 0
    pause: float = 1.0
    model: str = ""
    unit: str = ""
    times: int = 1


class Faults:
    """The faults that are still to come, in the order in which they were given."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left: list[tuple[Fault, int]] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Put more at the end."""
        self._left += [(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        """Forget those that have not happened."""
        self._left.clear()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, model: str, unit: str) -> Fault | None:
        """The first fault that fits this request, counted down; None where all is well."""
        for index, (fault, left) in enumerate(self._left):
            if fault.model in {"", model} and fault.unit in unit:
                if left == 1:
                    del self._left[index]
                elif left:
                    self._left[index] = (fault, left - 1)
                return fault
        return None
