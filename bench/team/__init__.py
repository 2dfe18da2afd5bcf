"""A team's gateways on one ledger, under load: what they hold, what the ledger costs, how far one PostgreSQL goes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))  # where a PostgreSQL of one's own is started
