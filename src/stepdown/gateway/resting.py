"""Who asked to be left alone for a while: ``retry-after`` is obeyed as long as there is somebody else to ask."""

import time
from collections.abc import Callable, Sequence

from stepdown.gateway.hops import Hop


class Resting:
    """The models that a provider wants not to be asked for now.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def note(self, hop: Hop, seconds: float) -> None:
        """A provider asked for so many seconds of rest; 0 is nothing."""
        if seconds > 0:
            self._until[hop.model.ref, hop.key] = self._clock() + seconds

    def left(self, ref: str) -> float:
        """Seconds for which a model is left alone, by its provider-qualified name; 0 is not at all."""
        return max((until - self._clock() for (name, _), until in self._until.items() if name == ref), default=0.0)

    def awake(self, hops: Sequence[Hop]) -> Sequence[Hop]:
        """Whom to ask, in their order: the last one always, since its client has to hear something."""
        if not self._until:
            return hops
        now = self._clock()
        for name in [name for name, until in self._until.items() if until <= now]:
            del self._until[name]
        return [hop for hop in hops[:-1] if (hop.model.ref, hop.key) not in self._until] + list(hops[-1:])
