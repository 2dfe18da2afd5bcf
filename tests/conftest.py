"""What every test stands on."""

import os
import signal

from hypothesis import settings

# The machine is shared: how long one example takes says nothing. In CI the examples are the same ones every time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Under nohup, or in the background of a script, these are ignored, and the programs that tests start would inherit that: a test
# that presses ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
