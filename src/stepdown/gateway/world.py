"""Everything of the gateway that follows from the preferences."""

from collections.abc import Mapping

import msgspec

from stepdown.catalog import Catalog
from stepdown.gateway.hops import Map
from stepdown.preferences.schema import Preferences
from stepdown.routing import Router


class World(msgspec.Struct, frozen=True):
    """Made anew when the preferences change."""

    preferences: Preferences
    catalog: Catalog
    router: Router
    map: Map

    @classmethod
    def of(cls, preferences: Preferences, environ: Mapping[str, str]) -> "World":
        """The world of these preferences; a key is looked up in `environ` when it is needed."""
        catalog = Catalog.load(preferences.catalog)
        return cls(preferences, catalog, Router(preferences, catalog), Map(preferences, catalog, environ))
