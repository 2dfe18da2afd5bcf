"""Every number of the specification, named, with its source. Preferences override any of them under ``thresholds``.

Sources: "SPEC n" is a section of the behaviour as specified; "calibrated" is measured by ``python -m bench.calibration``;
"measured" by ``python -m bench.expectations``. Nothing outside this module hard-codes a threshold.
"""

import difflib
from collections.abc import Mapping
from typing import Self

import msgspec

from stepdown.errors import PreferencesError


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that decide.

    Attributes:
        plan_slice_heavy_tasks: a slice with at least this many tasks is planned on heavy. SPEC 2.
        plan_slice_heavy_research_lines: so is one whose research file has more lines than this. SPEC 2.
        heavy_dependencies: a task with at least this many dependencies is heavy. SPEC 3.
        heavy_files: so is one that writes at least this many files. SPEC 3.
        heavy_lines: so is one estimated at this many lines or more. SPEC 3.
        heavy_keyword_groups: so is one whose prose touches this many keyword groups. SPEC 3.
        heavy_steps: so is one with at least this many steps. SPEC 3.
        light_files: light work (docs, config, rename, typo) writes at most this many files. SPEC 3.
        light_steps: light work has at most this many steps. SPEC 3.
        implausible_steps: an `estimated_steps` above this gives way to the numbered steps, where there are any: planners that
            write such numbers count lines, and theirs do not follow the effort. Calibrated.
        plan_characters: how much of one plan file is read at all, in characters; the rest is noted and ignored.
        prose_characters: how much prose of a plan is searched for keywords, in characters.
        pressure_light: at or above this fraction of the fullest budget, standard work goes to light. SPEC 7.
        pressure_cheapest: at or above it, all but heavy work goes to the cheapest. SPEC 7.
        pressure_all: above it (not at it), everything but `replan-slice` goes to the cheapest. SPEC 7.
        alerts: fractions of a budget at which the user is told, once each per window. SPEC 7.
        pacing_horizon: weight of the newest cost in pacing's exponential average. SPEC 7.
        pacing_gain: how fast the price on a dollar follows the ratio of cost to target. SPEC 7.
        pacing_price_cap: the most that pacing adds to a dollar, and the most one unit counts over its target.
        evidence_window: how many of the newest events per pattern and tier count. SPEC 9.
        evidence_minimum: below this many events nothing is learned. SPEC 9.
        evidence_recent: a pattern whose trouble is over, as far as this many of its newest events say, comes back before the
            window has rolled on. Measured: `python -m bench.learning`.
        evidence_failure_share: a tier failing more often than this is left for the next one up. SPEC 9.
        evidence_confidence: two-sided confidence of the interval whose lower bound must exceed that share. SPEC 9.
        rating_weight: how many automatic outcomes one rating weighs. SPEC 9.
        probe_every: every n-th verified unit of a bumped pattern tries the lower tier again. SPEC 9.
        stand_down_window: whether routing pays is judged by this many of a pattern's newest units. SPEC 10; the number is that
            of the evidence.
        stand_down_minimum: fewer units of it below their ceiling than this say nothing. Likewise.
        stand_down_confidence: two-sided confidence of the interval around their mean net that must lie below zero. Likewise.
        block_seconds: how long a model the provider rejected stays blocked. SPEC 6.
        expectation_minimum: units of a type on a model in the ledger before their mean replaces the default.
        effort_light: tokens of a light task relative to the mean task. Calibrated, within projects.
        effort_standard: the same for a standard task.
        effort_heavy: the same for a heavy task.
        context_peak_to_mean: a unit's largest prompt as a multiple of its mean prompt (prompts grow as work goes on).
        requested_output: output tokens a unit's request asks for where nothing says otherwise.
        failure_light: prior probability that light work fails on a light model, before evidence.
        failure_standard: the same for standard work on a standard model.
        failure_heavy: the same for heavy work on a heavy model.
        failure_below: added to it for each tier the model is below the work's.
        failure_prior_events: how many events these priors weigh.
        failure_fading: what an event still counts for once the next one of its tier has come.
            Measured: `python -m bench.learning`.
        verifier_recall: the share of failed work that verification is taken to notice. Nobody has a perfect one.
        verifier_false_alarms: the share of good work that it is taken to find fault with. Likewise.
        missed_failure: what a failure that nothing noticed is taken to cost, as a multiple of the unit's cost on the ceiling.
            Measured: `python -m bench.routing`.
        hysteresis: how much better, as a share of its expected cost, a stronger tier has to be than the one in use. SPEC 9;
            the number is ours.
        hard_failure_light: how often light models fail the work of a hard benchmark: the careful end of an estimate's range.
            Measured on SWE-bench Verified: `python -m bench.claim`.
        hard_failure_standard: the same of standard models. Likewise.
        switch_returns: the chance that a conversation that was moved to a cheaper model goes back to its own while that one's
            cache is still warm. Ours: one turn in five is heavy in recorded projects (`python -m bench.claim`).
        turn_requests: how many requests a unit in the middle of a conversation is expected to take, before the ledger knows.
            On the careful side: expecting too few costs little, too many up to 4 % (`python -m bench.switching`).
        stumble_errors: a unit whose last tool results are errors, so many in a row, is raised for its rest. Ours.
        cache_seconds: how long a provider keeps a cached prompt that nobody reads. Anthropic's default.
        cache_seconds_long: the same where an hour was asked for.
        seen_heavy_requests: a unit that took at least so many requests was heavy work, seen afterwards. The 90th percentile of
            325 recorded tasks is 81.
        seen_light_requests: one of at most so many that wrote at most `seen_light_files` was light. Ours: below the 5th
            percentile of those tasks.
        seen_light_files: see `seen_light_requests`.
        prompt_characters: how much of a plan's text one prompt carries at most.
        watch_multiple: an attempt is stopped beyond this multiple of the pattern's 90th percentile. SPEC 8.
        watch_minimum: with fewer units than this known of a pattern, the default of its type stands where it is larger.
            Of 22 the largest is, nine times in ten, at or above the 90th percentile (0.9 ** 22 = 0.1): a few small ones do
            not make a larger one a run-away.
        watch_repeats: so is one whose same tool call fails this often in a row. SPEC 8; the number is ours.
        watch_error_share: so is one at least this share of whose tool results are errors. SPEC 8; the number is ours.
        watch_error_minimum: fewer tool results than this say nothing about that share.
        verify_commands: at most this many commands check one attempt; the rest are named and left out.
        verify_timeout: seconds one of them may take; one that does not end within them has failed.
        snapshot_file_bytes: a file git does not track and that is larger than this is left out of snapshots, by name.
    """

    plan_slice_heavy_tasks: int = 6
    plan_slice_heavy_research_lines: int = 200
    heavy_dependencies: int = 3
    heavy_files: int = 6
    heavy_lines: int = 500
    heavy_keyword_groups: int = 2
    heavy_steps: int = 8
    light_files: int = 3
    light_steps: int = 3
    implausible_steps: int = 24
    plan_characters: int = 200_000
    prose_characters: int = 2_000
    pressure_light: float = 0.5
    pressure_cheapest: float = 0.75
    pressure_all: float = 0.9
    alerts: tuple[float, ...] = (0.75, 0.8, 0.9, 1.0)
    pacing_horizon: float = 0.2
    pacing_gain: float = 0.5
    pacing_price_cap: float = 10.0
    evidence_window: int = 50
    evidence_minimum: int = 10
    evidence_recent: int = 10
    evidence_failure_share: float = 0.2
    evidence_confidence: float = 0.8
    rating_weight: float = 2.0
    probe_every: int = 10
    stand_down_window: int = 50
    stand_down_minimum: int = 10
    stand_down_confidence: float = 0.8
    block_seconds: float = 24 * 3600
    expectation_minimum: int = 5
    effort_light: float = 0.86
    effort_standard: float = 0.94
    effort_heavy: float = 1.11
    context_peak_to_mean: float = 2.0
    requested_output: int = 8_000
    failure_light: float = 0.1
    failure_standard: float = 0.1
    failure_heavy: float = 0.1
    failure_below: float = 0.2
    failure_prior_events: float = 30.0
    failure_fading: float = 0.98
    verifier_recall: float = 0.7
    verifier_false_alarms: float = 0.1
    missed_failure: float = 2.0
    hysteresis: float = 0.05
    hard_failure_light: float = 0.38
    hard_failure_standard: float = 0.3
    switch_returns: float = 0.2
    turn_requests: float = 4.0
    stumble_errors: int = 4
    cache_seconds: float = 300.0
    cache_seconds_long: float = 3600.0
    seen_heavy_requests: int = 80
    seen_light_requests: int = 5
    seen_light_files: int = 1
    prompt_characters: int = 60_000
    watch_multiple: float = 3.0
    watch_minimum: int = 22
    watch_repeats: int = 4
    watch_error_share: float = 0.7
    watch_error_minimum: int = 10
    verify_commands: int = 8
    verify_timeout: float = 300.0
    snapshot_file_bytes: int = 50_000_000

    def with_overrides(self, overrides: Mapping[str, object]) -> Self:
        """The same policy with some numbers replaced.

        Raises:
            PreferencesError: an unknown name (the nearest one is proposed) or a value of the wrong type.
        """
        names = {field.name: field for field in msgspec.structs.fields(type(self))}
        checked: dict[str, object] = {}
        for name, value in overrides.items():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise PreferencesError(f"thresholds.{name}: there is no such threshold{hint}")
            try:
                checked[name] = msgspec.convert(value, names[name].type)
            except msgspec.ValidationError as error:
                raise PreferencesError(f"thresholds.{name}: {error}") from error
        return msgspec.structs.replace(self, **checked)


DEFAULT_POLICY = Policy()
