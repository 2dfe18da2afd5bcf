"""The plan in memory behaves like one on disk."""

import pytest

from stepdown.errors import PlanError
from stepdown.plans import MemoryPlan, PlanSource, pending
from stepdown.units import Unit


def test_it_is_a_plan() -> None:
    units = [Unit("plan-slice", "M001/S01"), Unit("execute-task", "M001/S01/T01")]
    plan: PlanSource = MemoryPlan(units, documents={"M001/S01": {"roadmap": "# M001"}}, outputs={"M001/S01": ("S01-PLAN.md",)})
    assert list(plan.units()) == units
    assert plan.documents(units[0]) == {"roadmap": "# M001"}
    assert plan.documents(units[1]) == {}
    assert plan.outputs(units[0]) == ("S01-PLAN.md",)
    plan.mark_done(units[0])
    plan.mark_done(units[0])
    assert pending(plan.units()) == units[1:]
    with pytest.raises(PlanError, match="no unit run-uat M001/S01"):
        plan.mark_done(Unit("run-uat", "M001/S01"))
