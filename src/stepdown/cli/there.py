"""What clients are told of a gateway: where it is, and whose addresses it stands in front of."""

from stepdown.cli.serve import PORT
from stepdown.clients.records import There
from stepdown.gateway.found import left_word
from stepdown.preferences import Preferences
from stepdown.providers import providers


def there_at(url: str, preferences: Preferences, *, project: str = "", token: str = "") -> There:
    """The gateway at an address, under the preferences it goes by; `token` is shown to it by programs that are started now."""
    known = providers(preferences)
    behind = {name: known[name].url(protocol) for name, protocol in (("anthropic", "messages"), ("openai", "responses"))}
    others = {one.url for one in left_word()} | {f"http://127.0.0.1:{PORT}"}
    return There(url=url, project=project, behind=behind, gateways=frozenset(others), token=token)
