"""A ChatGPT login goes to ChatGPT, and nowhere else."""

import pytest

from stepdown.catalog import Catalog
from stepdown.gateway.hops import CHATGPT, Hop, Map, address
from stepdown.gateway.protocols import WIRES
from stepdown.preferences import Preferences, ProviderSettings

LOGIN = {"authorization": "Bearer token", "chatgpt-account-id": "account"}


def hop(base_url: str = "", *, has_credential: bool = True, model: str = "gpt-5.4") -> Hop:
    preferences = Preferences(providers={"openai": ProviderSettings(base_url=base_url)})
    catalog = Catalog.load()
    known = catalog.resolve(model)
    assert known is not None
    found = Map(preferences, catalog, {"OPENAI_API_KEY": "key"}).hop(
        known, WIRES["responses"], "openai", has_credential=has_credential
    )
    assert found is not None
    return found


def test_it_goes_where_it_was_issued_for() -> None:
    assert address(hop(), "x=1", LOGIN) == f"{CHATGPT}/responses?x=1"


@pytest.mark.parametrize(
    ("there", "headers"),
    [
        (hop(), {"authorization": "Bearer key"}),
        (hop(has_credential=False), LOGIN),
    ],
)
def test_a_key_goes_to_the_api(there: Hop, headers: dict[str, str]) -> None:
    assert address(there, "", headers) == "https://api.openai.com/v1/responses"


def test_an_address_of_the_users_counts() -> None:
    assert address(hop("http://127.0.0.1:9/v1"), "", LOGIN) == "http://127.0.0.1:9/v1/responses"
