"""``python clock.py FILE ...``: stepdown, for whom it is as many seconds earlier as FILE says at the moment.

So a day that is really worked through in a minute has a morning and an afternoon, and days before it.
"""

import sys
import time
from pathlib import Path

_now = time.time
_back = Path(sys.argv[1])


def _earlier() -> float:
    return _now() - float(_back.read_text("ascii") or 0)


if __name__ == "__main__":
    time.time = _earlier
    sys.argv = ["stepdown", *sys.argv[2:]]
    from stepdown.cli import main

    main()
