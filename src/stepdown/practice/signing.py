"""How the practice model signs its thinking: readable, so that a replay to another model is noticed, and no secret. Pure."""

import base64
import binascii
import hashlib
from typing import Final

_MARK: Final = "practice"


def sign(model: str, words: str) -> str:
    """The signature of `words` by `model`."""
    digest = hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    named = f"{_MARK}\0{model}\0{digest}".encode("utf-8", "surrogatepass")
    return base64.b64encode(named).decode("ascii")


def signer(signature: object, words: str) -> str:
    """The model that signed `words` so; "" where nobody did."""
    if not isinstance(signature, str):
        return ""
    try:
        parts = base64.b64decode(signature, validate=True).decode("utf-8", "surrogatepass").split("\0")
    except (binascii.Error, ValueError):
        return ""
    return parts[1] if len(parts) == 3 and sign(parts[1], words) == signature else ""
