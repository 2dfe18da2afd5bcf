"""Every ledger, and a way to run a program that may not write where root may."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import Cluster, running_cluster

import stepdown
from stepdown.ledger import Ledger, open_ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The address of an empty database."""
    with cluster.database() as address:
        yield address


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def ledger(request: pytest.FixtureRequest, file: Path) -> Iterator[Ledger]:
    addresses = {"sqlite": f"sqlite:{file}", "memory": "memory:"}
    address = addresses.get(request.param) or request.getfixturevalue("database")
    with open_ledger(address) as opened:
        yield opened


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def unprivileged() -> Callable[[str], str]:
    """Runs Python code as a user whom file permissions bind; what it printed.

    Permissions do not bind root, so root steps aside after the imports (another user may not be able to read the interpreter).
    """
    package = Path(stepdown.__file__).parent
    private = [folder for folder in (package, *package.parents) if not folder.stat().st_mode & 0o001]
    if os.getuid() == 0 and private:
        pytest.skip(f"another user cannot read the package: {private[0]} is private")
    prologue = """
import os, sqlite3, sys
from stepdown.errors import LedgerError
from stepdown.ledger import Attempt, Outcome, open_ledger
import stepdown.ledger.sqlite
if os.getuid() == 0:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
"""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", prologue + code], capture_output=True, text=True, check=False, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
