"""The walk after a failure: what the specification's table says, and that it always ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.catalog import Catalog
from stepdown.decision import Context, Decision, Retry
from stepdown.dispatch.walk import Go, Stop, Tried, Walk, tier_run
from stepdown.preferences import DynamicRouting, ModelChoice, Preferences
from stepdown.routing import Router
from stepdown.units import PlanText, Tier, Unit

CATALOG = Catalog.load()
LIGHT = Unit("complete-slice", "M001/S01")
STANDARD = Unit("execute-task", "M001/S01/T01", plan=PlanText(task="---\nestimated_steps: 5\nestimated_files: 4\n---\n"))
HEAVY = Unit("plan-milestone", "M001")
NAMED = {Tier.LIGHT: ModelChoice("claude-haiku-4-5"), Tier.STANDARD: ModelChoice("claude-sonnet-4-6")}
HAIKU, SONNET, OPUS = (f"anthropic/{name}" for name in ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6"))


def router(*fallbacks: str, ceiling: str = "claude-opus-4-6", **routing: object) -> Router:
    settings = DynamicRouting(enabled=True, tier_models=NAMED, **routing)  # type: ignore[arg-type]  # test settings
    return Router(Preferences(models={"default": ModelChoice(ceiling, fallbacks=fallbacks)}, dynamic_routing=settings), CATALOG)


class Story:
    """A unit whose attempts fail as told."""

    def __init__(self, router: Router, unit: Unit, context: Context | None = None) -> None:
        world = context or Context()
        escalate = router.preferences.dynamic_routing.escalate_on_failure

        def step_up(retry: Retry) -> Decision:
            return router.decide(unit, Context(retry=retry, meters=world.meters, blocked=world.blocked))

        self.walk = Walk(CATALOG, escalate=escalate, step_up=step_up)
        decision = router.decide(unit, world)
        self.next: Go | Stop = Go(decision, decision.ref, "first")
        self.history: list[Tried] = []

    def fail(self, kind: str | None) -> "Story":
        assert isinstance(self.next, Go)
        tier = tier_run(self.next.decision, CATALOG.find_ref(self.next.model))
        self.history.append(Tried(self.next.decision, self.next.model, tier, kind, self.next.cause))
        self.next = self.walk.after(self.history)
        return self

    @property
    def models(self) -> list[str]:
        ran = [tried.model for tried in self.history]
        return [*ran, self.next.model] if isinstance(self.next, Go) else ran


def test_a_quality_failure_steps_up_once_and_then_tries_the_configured_model() -> None:
    story = Story(router(), LIGHT).fail("quality").fail("quality").fail("quality")
    assert story.models == [HAIKU, SONNET, OPUS]
    assert [tried.cause for tried in story.history] == ["first", "step up", "configured"]
    assert story.next == Stop("the configured model failed as well")


def test_a_failure_one_below_the_ceiling_goes_to_the_ceiling_and_no_further() -> None:
    story = Story(router(), STANDARD).fail("quality").fail("quality")
    assert story.models == [SONNET, OPUS]
    assert isinstance(story.next, Stop)


def test_a_failure_at_the_ceiling_is_the_end() -> None:
    assert Story(router(), HEAVY).fail("quality").models == [OPUS]


def test_escalating_to_the_ceiling_skips_what_is_between() -> None:
    assert Story(router(escalate_to="ceiling"), LIGHT).fail("quality").fail("quality").models == [HAIKU, OPUS]


def test_stepping_up_can_be_turned_off() -> None:
    story = Story(router(escalate_on_failure=False), LIGHT).fail("quality")
    assert story.models == [HAIKU]
    assert story.next == Stop("stepping up is off (escalate_on_failure: false)")


def test_a_pin_is_kept_to() -> None:
    story = Story(router(), LIGHT, Context(pin="claude-haiku-4-5")).fail("quality")
    assert story.models == [HAIKU]


def test_a_provider_failure_walks_the_chain_as_the_user_wrote_it() -> None:
    story = (
        Story(router("gpt-5.4", "claude-sonnet-4-6"), LIGHT).fail("provider").fail("provider").fail("provider").fail("provider")
    )
    assert story.models == [HAIKU, "openai/gpt-5.4", SONNET, OPUS]
    assert isinstance(story.next, Stop)
    assert "exhausted" in story.next.reason


def test_the_chain_never_goes_below_what_failed() -> None:
    story = Story(router("claude-haiku-4-5"), STANDARD).fail("quality").fail("provider")
    assert story.models == [SONNET, OPUS]
    assert isinstance(story.next, Stop)


def test_a_rejected_model_gives_way_like_one_whose_provider_failed() -> None:
    assert Story(router(), LIGHT).fail("rejected").models == [HAIKU, OPUS]


@pytest.mark.parametrize("kind", ["budget", "cancelled"])
def test_budget_and_user_end_it(kind: str) -> None:
    assert Story(router(), LIGHT).fail(kind).next == Stop(kind)


def test_success_ends_it() -> None:
    assert Story(router(), LIGHT).fail(None).next == Stop("done")


kinds = st.lists(st.sampled_from(["provider", "rejected", "quality"]), min_size=12, max_size=12)


@given(
    st.sampled_from([LIGHT, STANDARD, HEAVY]),
    kinds,
    st.lists(st.sampled_from(["gpt-5.4", "claude-haiku-4-5", "claude-sonnet-4-6", "gemini-3-flash-preview"]), unique=True),
    st.sampled_from(["next", "ceiling"]),
)
def test_it_always_ends_steps_up_at_most_once_and_never_goes_down(
    unit: Unit, failures: list[str], chain: list[str], to: str
) -> None:
    story = Story(router(*chain, escalate_to=to), unit)
    floor = Tier.LIGHT
    for kind in failures:
        if isinstance(story.next, Stop):
            break
        model = CATALOG.find_ref(story.next.model)
        assert model is not None
        assert model.tier is not None
        assert model.tier >= floor
        story.fail(kind)
        if kind == "quality":
            floor = max(floor, story.history[-1].tier)
    assert isinstance(story.next, Stop)
    causes = [tried.cause for tried in story.history]
    assert causes.count("step up") <= 1
    assert causes.count("configured") <= 1
    failed_twice = [tried.model for tried in story.history if tried.failure == "quality"]
    assert len(set(failed_twice)) == len(failed_twice)
