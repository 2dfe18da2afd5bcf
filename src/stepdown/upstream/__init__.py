"""Talking to providers over HTTP: the `Upstream` port, and `stepdown.upstream.http.HttpUpstream` behind it.

Importing this module is cheap: the HTTP client is loaded with `stepdown.upstream.http`.
"""

from stepdown.upstream.port import Answer, Call, Headers, Timeouts, Upstream, UpstreamError

__all__ = ["Answer", "Call", "Headers", "Timeouts", "Upstream", "UpstreamError"]
