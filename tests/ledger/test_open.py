import subprocess
import sys
from pathlib import Path

import pytest

from stepdown.errors import LedgerError
from stepdown.ledger import open_ledger
from stepdown.ledger.memory import MemoryLedger
from stepdown.ledger.sqlite import SqliteLedger


def path_of(url: str | None, environ: dict[str, str]) -> Path:
    with open_ledger(url, environ=environ) as ledger:
        assert isinstance(ledger, SqliteLedger)
        return ledger.path


def test_the_users_own_ledger_is_in_the_home_directory(tmp_path: Path) -> None:
    assert path_of(None, {"HOME": str(tmp_path)}) == tmp_path / ".stepdown" / "ledger.db"


def test_stepdown_home_moves_it(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "STEPDOWN_HOME": str(tmp_path / "own")}
    assert path_of(None, environ) == tmp_path / "own" / "ledger.db"
    assert path_of(None, environ | {"STEPDOWN_HOME": "~/own"}) == tmp_path / "own" / "ledger.db"


def test_stepdown_ledger_names_it(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "STEPDOWN_HOME": "/nowhere", "STEPDOWN_LEDGER": str(tmp_path / "x.db")}
    assert path_of(None, environ) == tmp_path / "x.db"
    assert path_of(str(tmp_path / "y.db"), environ) == tmp_path / "y.db"


@pytest.mark.parametrize("form", ["sqlite:{}", "sqlite://{}", "SQLite:{}", "{}"])
def test_an_address_may_say_its_kind(tmp_path: Path, form: str) -> None:
    file = tmp_path / "a b?%20#.db"
    assert path_of(form.format(file), {}) == file
    assert file.exists()


def test_a_home_directory_is_expanded_behind_a_kind(tmp_path: Path) -> None:
    assert path_of("sqlite:~/x.db", {"HOME": str(tmp_path)}) == tmp_path / "x.db"


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "STEPDOWN_LEDGER": "", "STEPDOWN_HOME": ""}
    assert path_of(None, environ) == tmp_path / ".stepdown" / "ledger.db"


def test_memory_leaves_nothing(tmp_path: Path) -> None:
    assert isinstance(open_ledger("memory:", environ={"HOME": str(tmp_path)}), MemoryLedger)
    assert list(tmp_path.iterdir()) == []


def test_only_reading_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "ledger.db"
    assert isinstance(open_ledger(str(file), create=False), MemoryLedger)
    assert list(tmp_path.iterdir()) == []
    open_ledger(str(file)).close()
    with open_ledger(str(file), create=False) as ledger:
        assert isinstance(ledger, SqliteLedger)


@pytest.mark.parametrize("address", ["postgresql://me:secret@db.invalid/x", "postgres://me:secret@db.invalid/x"])
def test_a_server_that_is_not_there_is_named_without_a_password(address: str) -> None:
    with pytest.raises(LedgerError, match=r"the ledger postgresql://db\.invalid/x cannot be used") as caught:
        open_ledger(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("address", "message"), [("redis://x", "'redis:"), ("sqlite:", "names no file"), ("a\0b", "NUL byte")])
def test_an_address_that_means_nothing_is_explained(address: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        open_ledger(address)


def test_importing_the_ledger_does_not_load_sqlite() -> None:
    code = "import stepdown.ledger, sys; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
