"""Which unit runs on which model: a unit keeps its model, and what rejected it is not asked again (SPEC section 12)."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

from stepdown.decision import Decision

REMEMBERED: Final = 4096
"""Units whose model is remembered; the one that was silent longest is forgotten, and decided anew if it comes back."""


class Key(NamedTuple):
    """What a decision holds for: the same unit on another ceiling, another protocol or for another person is decided anew."""

    project: str
    unit_type: str
    unit_id: str
    ceiling: str
    protocol: str
    person: str = ""


class Held:
    """What is remembered of a unit.

    Attributes:
        decision: its receipt.
        stumbled: the model that it stumbled on just now, and why; () where it did not.
        pin: what it was pinned to when that was decided; "" is nothing.
        served: the provider-qualified model that answered last; only it takes back what it has thought. "" is none yet.
        shunned: provider-qualified models that rejected a request of it, which they would do again.
    """

    __slots__ = ("decision", "pin", "served", "shunned", "stumbled")

    def __init__(self, decision: Decision, pin: str = "") -> None:
        self.decision = decision
        self.pin = pin
        self.served = ""
        self.shunned: set[str] = set()
        self.stumbled: tuple[str, ...] = ()

    def copy(self) -> "Held":
        """The same, for a question."""
        other = Held(self.decision, self.pin)
        other.served, other.shunned, other.stumbled = self.served, set(self.shunned), self.stumbled
        return other

    def answered(self, ref: str, rejected_by: Iterable[str]) -> None:
        """A request of it was answered, after these had rejected it."""
        self.served = ref
        self.shunned.update(rejected_by)


class Memory:
    """The units that were seen last."""

    def __init__(self) -> None:
        self._units: OrderedDict[Key, Held] = OrderedDict()

    def find(self, key: Key) -> Held | None:
        """What is remembered; None where nothing is."""
        held = self._units.get(key)
        if held is not None:
            self._units.move_to_end(key)
        return held

    def keep(self, key: Key, held: Held) -> None:
        """Remember it."""
        self._units[key] = held
        if len(self._units) > REMEMBERED:
            self._units.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._units.clear()
