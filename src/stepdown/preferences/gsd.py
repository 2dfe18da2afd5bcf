"""What is GSD's in a preferences file that both programs read: keys that stepdown leaves alone, and its token profiles.

Source: GSD 2, ``src/resources/extensions/gsd/preferences-types.ts``, ``preferences-models.ts``, ``preferences-validation.ts``
and ``model-router.ts`` as of May 2026.
"""

from typing import Final

TOP_KEYS: Final = frozenset(
    {
        "always_use_skills",
        "auto_report",
        "auto_supervisor",
        "auto_visualize",
        "avoid_skills",
        "claude_code_mcp",
        "cmux",
        "codebase",
        "context_management",
        "context_mode",
        "context_pause_threshold",
        "context_selection",
        "context_window_override",
        "custom_instructions",
        "discuss_depth",
        "discuss_preparation",
        "discuss_web_research",
        "enhanced_verification",
        "enhanced_verification_post",
        "enhanced_verification_pre",
        "enhanced_verification_strict",
        "experimental",
        "flat_rate_providers",
        "forensics_dedup",
        "gate_evaluation",
        "git",
        "github",
        "language",
        "min_request_interval_ms",
        "mode",
        "modelOverrides",
        "notifications",
        "parallel",
        "planning_depth",
        "prefer_skills",
        "reactive_execution",
        "remote_questions",
        "safety_harness",
        "search_provider",
        "service_tier",
        "show_token_cost",
        "skill_discovery",
        "skill_rules",
        "skill_staleness_days",
        "slice_parallel",
        "stale_commit_threshold_minutes",
        "token_profile",
        "uat_dispatch",
        "unique_milestone_ids",
        "uok",
        "verification_auto_fix",
        "verification_max_retries",
        "version",
        "widget_mode",
        "workspace",
    }
)
"""Top-level keys of GSD that are not ours as well; never taken for a misspelt one of ours."""

MODEL_KEYS: Final = frozenset({"execution_simple"})
"""Keys of ``models`` that only GSD knows."""

ROUTING_KEYS: Final = frozenset({"capability_routing", "allow_flat_rate_providers"})
"""Keys of ``dynamic_routing`` that only GSD knows."""

PHASE_KEYS: Final = frozenset(
    {"reassess_after_slice", "require_slice_discussion", "mid_execution_escalation", "progressive_planning"}
)
"""Keys of ``phases`` that only GSD knows."""

HOOK_CYCLES: Final = 10
"""GSD runs a hook at most this often for one trigger, whatever ``max_cycles`` says."""

_SPARING: Final = {"skip_research": True, "skip_slice_research": True, "skip_reassess": True}

PROFILES: Final[dict[str, dict[str, bool]]] = {
    "budget": {**_SPARING, "skip_milestone_validation": True},
    "balanced": _SPARING,
    "quality": _SPARING,
    "burn-max": {**dict.fromkeys(_SPARING, False), "skip_milestone_validation": False},
}
"""What each ``token_profile`` sets of ``phases``. Its models are not taken over: a ceiling is the user's own word."""
