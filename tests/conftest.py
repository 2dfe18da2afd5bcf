"""What every test stands on."""

import os

from hypothesis import settings

# The machine is shared: how long one example takes says nothing. In CI the examples are the same ones every time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
