"""The names an `anthropic-beta` header may hold, as far as they are known.

A beta allows something; the request's body then does it, and what the body does is what asks for a model. So a known name asks
for nothing by itself: Claude Code sends those marked (+) with every model, also with ones that cannot do what they allow, and
Anthropic documents that it ignores them there. An unknown name may change anything, and keeps its request where it is.

``auto-mode-classifier-2026-07-16`` is left unknown: with it Claude Code itself asks a model whether a call is safe, and which
model it trusts with that is its own choice.
"""

from typing import Final

KNOWN: Final = frozenset(
    {
        # Who asks, how it is billed and cached: nothing that a model has to be able to do.
        "claude-code-20250219",  # (+)
        "oauth-2025-04-20",
        "prompt-caching-2024-07-31",
        "prompt-caching-scope-2026-01-05",
        "extended-cache-ttl-2025-04-11",
        "cache-diagnosis-2026-04-07",  # (+) where it knows that this is Anthropic's API. `diagnostics`
        "token-counting-2024-11-01",
        # How an answer is streamed, or what is told of it.
        "fine-grained-tool-streaming-2025-05-14",
        "thinking-token-count-2026-05-13",  # (+)
        "thinking-display-updates-2026-08-18",  # (+), since 2.1.326
        "redact-thinking-2026-02-12",
        "model-context-window-exceeded-2025-08-26",
        "token-efficient-tools-2025-02-19",
        # Size: the prompt's own length and `max_tokens` say what is needed.
        "context-1m-2025-08-07",
        "output-128k-2025-02-19",
        # Thinking and effort: `thinking`, `output_config`, and the same inside messages.
        "interleaved-thinking-2025-05-14",  # (+)
        # (+) where it knows that this is Anthropic's API, which takes it with Sonnet 4.5 too (litellm#41203). What becomes of
        # thinking that was written under another prompt, `thinking.block_binding`; and a list of what was left out.
        "thinking-binding-controls-2026-08-01",
        "effort-2025-11-24",
        "per-turn-control-2026-07-01",
        "mid-conversation-output-config-2026-07-01",
        "fast-mode-2026-02-01",  # `speed`
        "task-budgets-2026-03-13",
        "structured-outputs-2025-11-13",
        "structured-outputs-2025-12-15",
        # What may stand in messages: blocks, roles, documents.
        "mid-conversation-system-2026-04-07",
        "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01",
        "pdfs-2024-09-25",
        "files-api-2025-04-14",
        # What the provider's server does with a conversation: typed tools, `context_management`, `container`, `thread`.
        "context-management-2025-06-27",  # (+)
        "compact-2026-01-12",
        "advanced-tool-use-2025-11-20",  # (+)
        "tool-search-tool-2025-10-19",
        "web-search-2025-03-05",
        "web-fetch-2025-09-10",
        "code-execution-2025-05-22",
        "code-execution-2025-08-25",
        "mcp-client-2025-04-04",
        "mcp-client-2025-11-20",
        "skills-2025-10-02",
        "message-threads-2026-08-12",
        # Auto mode, in which Claude Code begins. (+), also for sub-agents on Haiku 4.5. `safeguards`
        "afk-mode-2026-01-31",
        "dangerous-tool-use-2026-09-03",
    }
)
"""Names of Claude Code 2.1.325 and of the anthropic SDK 2.12, read on 2026-11-23, whose use is visible in the body."""


def asked(header: str) -> frozenset[str]:
    """The features that a header asks for: ``beta:NAME`` for each name that is not known."""
    names = (name.strip() for name in header.split(","))
    return frozenset(f"beta:{name}" for name in names if name and name not in KNOWN)
