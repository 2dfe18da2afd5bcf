"""The vocabulary: unit, phase, tier. Frozen records that every other room speaks in (SPEC sections 1 and 2)."""

import enum
from typing import Final, Self

import msgspec

from stepdown.errors import UsageError


class Tier(enum.Enum):
    """How hard a piece of work is, and how strong a model it needs. ``LIGHT < STANDARD < HEAVY``."""

    LIGHT = "light"
    STANDARD = "standard"
    HEAVY = "heavy"

    rank: int
    """0 for light, 1 for standard, 2 for heavy."""

    def __init__(self, value: str) -> None:
        self.rank = ("light", "standard", "heavy").index(value)

    # All four by hand: a decision compares tiers hundreds of times, and functools.total_ordering is three times slower.

    def __lt__(self, other: Self) -> bool:
        return self.rank < other.rank

    def __le__(self, other: Self) -> bool:
        return self.rank <= other.rank

    def __gt__(self, other: Self) -> bool:
        return self.rank > other.rank

    def __ge__(self, other: Self) -> bool:
        return self.rank >= other.rank

    @property
    def badge(self) -> str:
        """``[L]``, ``[S]`` or ``[H]``."""
        return f"[{self.name[0]}]"

    @property
    def above(self) -> "Tier":
        """One tier up; heavy stays heavy."""
        return TIERS[min(self.rank + 1, 2)]

    @property
    def below(self) -> "Tier":
        """One tier down; light stays light."""
        return TIERS[max(self.rank - 1, 0)]

    def __str__(self) -> str:
        return str(self.value)


TIERS: Final = (Tier.LIGHT, Tier.STANDARD, Tier.HEAVY)


class Phase(enum.Enum):
    """What a user sets a model for: a key of ``models`` in the preferences."""

    RESEARCH = "research"
    PLANNING = "planning"
    DISCUSS = "discuss"
    EXECUTION = "execution"
    COMPLETION = "completion"
    VALIDATION = "validation"
    SUBAGENT = "subagent"

    def __str__(self) -> str:
        return str(self.value)


_TYPES: Final[dict[str, tuple[Phase, Tier]]] = {
    "complete-slice": (Phase.COMPLETION, Tier.LIGHT),
    "run-uat": (Phase.COMPLETION, Tier.LIGHT),
    "research-milestone": (Phase.RESEARCH, Tier.STANDARD),
    "research-slice": (Phase.RESEARCH, Tier.STANDARD),
    "plan-slice": (Phase.PLANNING, Tier.STANDARD),
    "refine-slice": (Phase.PLANNING, Tier.STANDARD),
    "plan-milestone": (Phase.PLANNING, Tier.HEAVY),
    "execute-task": (Phase.EXECUTION, Tier.STANDARD),
    "reactive-execute": (Phase.EXECUTION, Tier.STANDARD),
    "complete-milestone": (Phase.COMPLETION, Tier.STANDARD),
    "validate-milestone": (Phase.VALIDATION, Tier.STANDARD),
    "gate-evaluate": (Phase.VALIDATION, Tier.STANDARD),
    "rewrite-docs": (Phase.VALIDATION, Tier.STANDARD),
    "replan-slice": (Phase.PLANNING, Tier.HEAVY),
    "reassess-roadmap": (Phase.PLANNING, Tier.HEAVY),
}

KNOWN_TYPES: Final = tuple(_TYPES)
"""The unit types with a row of their own in SPEC section 2; ``hook/*``, ``discuss-*`` and ``subagent/*`` are families."""


def type_defaults(unit_type: str) -> tuple[Phase, Tier]:
    """The phase and default tier of a unit type: the table of SPEC section 2.

    A hook's phase here is execution, the phase of what it usually follows; `Unit.phase` takes its trigger's instead.
    """
    row = _TYPES.get(unit_type)
    if row is not None:
        return row
    if unit_type.startswith("hook/"):
        return Phase.EXECUTION, Tier.LIGHT
    if unit_type.startswith("discuss-"):
        return Phase.DISCUSS, Tier.STANDARD
    if unit_type.startswith("subagent/"):
        return Phase.SUBAGENT, Tier.STANDARD
    return Phase.EXECUTION, Tier.STANDARD


class PlanText(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan's files say about one unit: the raw material of introspection (`stepdown.signals`).

    Attributes:
        task: the whole text of the task's own plan file, front matter included; "" if there is none.
        entry: the task's lines in the slice plan below its checkbox (``- Files:``, ``- Verify:``, prose).
        estimate: what stood in ``est:``, as written (``45m``, ``1h``, ``2 days``); "" if absent.
        risk: the slice's ``risk:`` in the roadmap (``low``, ``medium``, ``high``); "" if absent.
        depends: ids that the unit waits for: slices of the roadmap for slice-level units, tasks where a task plan says so.
        slice_tasks: how many tasks the slice has; None where there is no slice plan.
        research_lines: how many lines the slice's research file has; None where there is none.
        notes: what was missing or unreadable, one sentence each, for the receipt.
    """

    task: str = ""
    entry: str = ""
    estimate: str = ""
    risk: str = ""
    depends: tuple[str, ...] = ()
    slice_tasks: int | None = None
    research_lines: int | None = None
    notes: tuple[str, ...] = ()


class Unit(msgspec.Struct, frozen=True):
    """One dispatch of agent work.

    Attributes:
        type: ``execute-task``, ``plan-slice``, ``hook/review``, ...
        id: ``M001/S02/T03``, ``M001/S02``, ``M001`` or whatever names it to its user.
        title: what the plan calls it.
        done: whether the plan says it is finished.
        plan: what the plan's files say about it.
        trigger: for a hook, the type of the unit it follows.
        model: for a hook, the model its definition names; it is the hook's ceiling.
        waits: what has to be done before it can run: ids of slices, or that its milestone is parked; empty when it can run.
    """

    type: str
    id: str = ""
    title: str = ""
    done: bool = False
    plan: PlanText = PlanText()
    trigger: str = ""
    model: str = ""
    waits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.type or not self.type.isprintable() or not self.id.isprintable():
            shown = f"{self.type} {self.id}".encode("unicode_escape").decode()
            raise UsageError(f"a unit's type and id are one printable line each, not '{shown}'")

    @property
    def phase(self) -> Phase:
        """The phase whose model is the unit's ceiling; a hook takes its trigger's."""
        return type_defaults(self.trigger if self.is_hook and self.trigger else self.type)[0]

    @property
    def default_tier(self) -> Tier:
        """The tier the unit's type starts from, before anything is known about it."""
        return type_defaults(self.type)[1]

    @property
    def is_hook(self) -> bool:
        """Whether this is a hook's unit (``hook/*``)."""
        return self.type.startswith("hook/")


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens a unit (or one request) used, by how they are billed. The four kinds do not overlap.

    Attributes:
        input: prompt tokens billed at the full input price (neither read from nor written to a cache).
        output: generated tokens, thinking included.
        cache_read: prompt tokens read from the provider's cache.
        cache_write: prompt tokens written to the provider's cache.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def prompt(self) -> int:
        """Everything that was sent: input + cache_read + cache_write."""
        return self.input + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All four kinds."""
        return self.prompt + self.output

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
        )

    def scaled(self, ratio: float) -> "Tokens":
        """The same work counted by another model's tokeniser; `ratio` is its tokens per token of ours."""
        return Tokens(
            input=round(self.input * ratio),
            output=round(self.output * ratio),
            cache_read=round(self.cache_read * ratio),
            cache_write=round(self.cache_write * ratio),
        )
