"""How a gateway is started."""

from collections.abc import Callable
from typing import Final

import msgspec

from stepdown.preferences import Preferences

HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (read, not listened on)
"""Where this machine reaches what listens on all of its addresses."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is said when a gateway is started.

    Attributes:
        host: the address to listen on; beyond loopback a token is needed.
        port: 0 takes a free one.
        project: whose requests are counted that name no project.
        load: reads the preferences; called again when one of their files changes.
        mode: what to start in; "" is what the preferences say.
        token: what every request has to bring; "" is nothing.
        host_names: further names by which it may be called.
        linger: seconds for which requests are taken after it was told to stop, while ``/readyz`` says no.
        drain: seconds that streams may take to end after that.
        idle: seconds without a request after which it ends by itself; 0 is never.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    project: str
    load: Callable[[], Preferences]
    mode: str = ""
    token: str = ""
    host_names: frozenset[str] = frozenset()
    linger: float = 0.0
    drain: float = 30.0
    idle: float = 0.0
