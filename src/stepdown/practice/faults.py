"""What can go wrong on purpose: a list of faults that the practice provider works off."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Kind = Literal["status", "sse_error", "hang", "cut", "html", "refusal", "wrong"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to fail, for as many requests as `times` says.

    Attributes:
        kind: ``status`` (an error response), ``sse_error`` (a 200 stream whose first event is an error; an error response
            where no stream was asked for), ``hang`` (no answer at all), ``cut`` (the connection breaks inside the answer),
            ``html`` (a proxy's error page), ``refusal`` (the model declines), ``wrong`` (it claims to be done, having done
            nothing).
        status: the HTTP status of ``status`` and ``html``.
        error: the error's type in the body; "" takes the one that belongs to the status.
        message: what the error says; "" takes a plain sentence.
        retry_after: seconds for the ``retry-after`` header; None sends none.
        model: only requests for this model; "" is any.
        unit: only requests whose unit's name contains this; "" is any.
        times: how many requests it hits; 0 is all of them.
    """

    kind: Kind
    status: int = 500
    error: str = ""
    message: str = ""
    retry_after: float | None = None
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
