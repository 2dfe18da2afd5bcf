"""The catalogue's records: what is known of a model. Facts only; what they mean for a unit is `stepdown.fit`'s business."""

from typing import Final

import msgspec

from stepdown.units import Tier, Tokens

FEATURES: Final = frozenset(
    {
        "tools",
        "images",
        "thinking",
        "adaptive_thinking",
        "effort",
        "system_role",
        "structured_output",
        "caching",
        "server_tools",
        "parallel_tools",
        "forced_tools",
        "tool_changes",
        "additional_tools",
        "tool_search",
        "thinking_off",
        "turn_effort",
        "effort:none",
        "effort:minimal",
        "effort:xhigh",
        "effort:max",
        "reasoning_context",
        "verbosity",
        "sampling",
        "prefill",
        "safety_check",
        "cache_diagnosis",
    }
)
"""The names that `Model.features` may hold, as the gateway's readers call what a request uses.

Tools: ``tools``; ``parallel_tools`` (their parallel use can be switched on and off); ``forced_tools`` (a call can be demanded);
``server_tools`` (run by the provider, or of a type of its own); ``tool_changes`` (offered and withdrawn by system messages);
``additional_tools`` (offered by an item of the input, as Codex does); ``tool_search`` (found when needed, or in a namespace).

Thinking: ``thinking`` (enabled with a budget); ``adaptive_thinking``; ``thinking_off`` (can be disabled); ``effort`` (low,
medium, high); ``effort:none``, ``effort:minimal``, ``effort:xhigh``, ``effort:max`` (these as well); ``turn_effort`` (changed
by a system message); ``reasoning_context`` (which earlier reasoning counts, as Codex says).

The rest: ``images`` (and documents); ``system_role`` (role "system" or "developer" inside the conversation);
``structured_output``; ``caching``; ``verbosity`` (low and high); ``sampling`` (all of temperature, top_p, top_k, penalties,
stop words, log probabilities, as far as the protocol has them); ``prefill`` (the answer's beginning is given);
``safety_check`` (the provider judges the answer's calls, as Claude Code's auto mode asks it to); ``cache_diagnosis`` (the
provider says why a prompt was not found in its cache).
"""

PROTOCOLS: Final = ("messages", "chat", "responses")
"""The names that `Model.protocols` may hold: Anthropic Messages, OpenAI Chat Completions, OpenAI Responses."""

STATUSES: Final = ("current", "legacy", "retired")
"""The values of `Model.status`."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What one million tokens of each kind cost, in US dollars.

    Attributes:
        input: uncached prompt tokens.
        output: generated tokens.
        cache_read: prompt tokens read from the cache; None where the provider sells no caching (then `input` applies).
        cache_write: prompt tokens written to the cache; None where writing costs nothing extra (then `input` applies).
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None

    @property
    def cache_write_1h(self) -> float:
        """Prompt tokens written to a cache that keeps them for an hour: twice the input rate where writing is charged for.

        Source: Anthropic's price list, "Prompt caching". No other provider sells it.
        """
        return self.input if self.cache_write is None else 2 * self.input


class LongContext(msgspec.Struct, frozen=True, kw_only=True):
    """Dearer rates for a request whose whole prompt is longer than `above` tokens."""

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A dated price list entry.

    Attributes:
        rates: the ordinary rates, USD per million tokens.
        long_context: dearer rates by prompt length, shortest first.
        since: ISO date from which this price holds; "" where unknown.
        checked: ISO date on which a person or the generator last looked.
        source: where it stands.
    """

    rates: Rates
    long_context: tuple[LongContext, ...] = ()
    since: str = ""
    checked: str = ""
    source: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model as one provider sells it.

    Attributes:
        id: what the provider's API calls it: ``claude-sonnet-4-6``, ``moonshotai/kimi-k2.5`` (at OpenRouter).
        provider: who sells it: ``anthropic``, ``openai``, ``openrouter``, ...
        tier: which work it is for; None is unknown, and such a model is never routed to.
        context: context window in tokens (prompt and output together where the provider counts so); None is unknown.
        output: most output tokens of one response; None is unknown.
        features: what it can do: names of `FEATURES`.
        protocols: which wire protocols the provider serves it on: ``messages``, ``chat``, ``responses``.
        aliases: other names for it, exact.
        family: models that share weights and tokeniser across providers have the same family: ``claude-sonnet-4.6``.
        status: ``current``; ``legacy`` (resolved and priced, never chosen by routing); ``retired``.
        price: None is unknown: never a guess, never zero. A local model's price is zero and says so in `source`.
        source: where these facts stand.
        checked: ISO date on which they were last looked at.
    """

    id: str
    provider: str
    tier: Tier | None = None
    context: int | None = None
    output: int | None = None
    features: frozenset[str] = frozenset()
    protocols: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    family: str = ""
    status: str = "current"
    price: Price | None = None
    source: str = ""
    checked: str = ""

    @property
    def ref(self) -> str:
        """The provider-qualified name: ``anthropic/claude-sonnet-4-6``. Unique in a catalogue."""
        return f"{self.provider}/{self.id}"

    @property
    def bare_id(self) -> str:
        """The id without a window suffix: ``claude-opus-4-6`` of ``claude-opus-4-6[1m]``, which only some agents understand."""
        return self.id.partition("[")[0]

    def cost(self, tokens: Tokens, *, longest_prompt: int | None = None, written_1h: int = 0) -> float | None:
        """What `tokens` cost here, in US dollars; None where the price is unknown.

        Args:
            tokens: what was used, or is expected to be.
            longest_prompt: tokens of the prompt that decides the long-context rate; None bills the ordinary rates.
            written_1h: of ``tokens.cache_write``, those that are kept for an hour.
        """
        if self.price is None:
            return None
        rates = self.price.rates
        if longest_prompt is not None:
            for tier in self.price.long_context:
                if longest_prompt > tier.above:
                    rates = tier.rates
        read = rates.input if rates.cache_read is None else rates.cache_read
        write = rates.input if rates.cache_write is None else rates.cache_write
        longer = written_1h * (rates.cache_write_1h - write) if written_1h else 0.0
        return (
            tokens.input * rates.input
            + tokens.output * rates.output
            + tokens.cache_read * read
            + tokens.cache_write * write
            + longer
        ) / 1_000_000
