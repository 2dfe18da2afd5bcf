"""What OpenAI's two protocols share: how an error is written. Pure."""

from typing import Any, Final

_ERRORS: Final[dict[str, tuple[str, str | None]]] = {
    "invalid": ("invalid_request_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "permission": ("invalid_request_error", "insufficient_permissions"),
    "budget": ("insufficient_quota", "insufficient_quota"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ("server_error", "server_error"),  # at "server_is_overloaded" Codex gives up the turn; at this it tries again
    "upstream": ("server_error", "server_error"),
}
"""Per kind of `Wire.error` the error's type and code."""


def error(kind: str, message: str) -> dict[str, Any]:
    """An error: ``{"message": ..., "type": ..., "param": None, "code": ...}``."""
    name, code = _ERRORS.get(kind, _ERRORS["upstream"])
    return {"message": message, "type": name, "param": None, "code": code}
