"""What is to be done: the `PlanSource` port and its implementations."""

from stepdown.plans.gsd import GsdPlan
from stepdown.plans.memory import MemoryPlan
from stepdown.plans.source import PlanSource, pending

__all__ = ["GsdPlan", "MemoryPlan", "PlanSource", "pending"]
