"""What went wrong between here and a provider, in one line that names the host: never a path, a query or a key."""

import os
import socket
import ssl

import aiohttp

from stepdown.upstream.port import UpstreamError


def no_answer(problem: Exception, host: str, *, connected: bool) -> UpstreamError:
    """Why there is no response.

    Args:
        problem: what the client raised.
        host: the provider, as in its address, with the port where that is not the usual one.
        connected: whether there was a connection; a ``connect`` error means that no byte of the request went out.
    """
    if isinstance(problem, aiohttp.ClientResponseError) and not isinstance(problem, aiohttp.ClientHttpProxyError):
        return UpstreamError("broken", f"what {host} answered cannot be read as HTTP")
    if connected:
        return UpstreamError("broken", f"{host} broke off before it answered{_reason(problem)}")
    if isinstance(problem, aiohttp.ClientConnectorCertificateError):
        return UpstreamError("connect", f"the certificate of {host} cannot be trusted{_reason(problem.certificate_error)}")
    if isinstance(problem, aiohttp.ClientConnectorDNSError | UnicodeError):
        return UpstreamError("connect", f"the name of {host} cannot be resolved{_reason(problem)}")
    if isinstance(problem, aiohttp.ClientHttpProxyError):
        return UpstreamError("connect", f"the proxy does not let us through to {host} (it answered {problem.status})")
    if isinstance(problem, aiohttp.ClientProxyConnectionError):
        return UpstreamError("connect", f"the proxy that leads to {host} cannot be reached{_reason(problem)}")
    if isinstance(problem, aiohttp.ClientSSLError):
        return UpstreamError("connect", f"no secure connection to {host}{_reason(problem.os_error)}")
    return UpstreamError("connect", f"no connection to {host}{_reason(problem)}")


def broken_off(problem: Exception, host: str) -> UpstreamError:
    """Why a response does not come to its end."""
    cause = problem.__cause__ if isinstance(problem, aiohttp.ClientPayloadError) else problem
    return UpstreamError("broken", f"{host} broke off in the middle of its answer{_reason(cause or problem)}")


def _reason(problem: BaseException) -> str:
    """The system's own words in brackets, where they are words and say more than "closed"."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        words = problem.verify_message
    elif isinstance(problem, ssl.SSLError):
        words = (problem.reason or "").replace("_", " ").lower()
    elif isinstance(problem, aiohttp.ClientConnectorError):
        return _reason(problem.os_error)
    elif isinstance(problem, socket.gaierror):
        words = problem.strerror or ""
    else:
        # asyncio's own text repeats the address, or several.
        words = os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else ""
    return f" ({words})" if words else ""
