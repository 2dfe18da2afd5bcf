"""`stepdown token` and `stepdown trail`, as somebody types them."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stepdown.ledger import Block, open_ledger

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Refused = Callable[..., str]


def made(call: Call, *arguments: str) -> str:
    """A token that is made, and what it is."""
    said = call("token", "create", *arguments, "--json")
    assert said.returncode == 0, said.stderr
    token: str = json.loads(said.stdout)["token"]
    return token


def test_a_token_is_shown_once_and_kept_nowhere(call: Call, ledger_file: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    said = call("token", "create", "ana", "--project", "./shop", "--budget", "20/week", "--budget", "2M tokens/day")
    assert said.returncode == 0
    assert f"ana: member of {tmp_path / 'shop'}, $20.00/week, 2.0M tokens/day" in said.stdout
    found = re.search(r"sdt_[\w-]{43}", said.stdout)
    assert found
    assert "x-stepdown-token" in said.stdout
    for file in ledger_file.parent.iterdir():
        assert found[0].encode() not in file.read_bytes()
    listed = call("token", "list").stdout
    assert "$0.00 of $20.00/week" in listed
    assert "sdt_" not in listed + call("trail").stdout


def test_everything_that_is_done_is_in_the_trail(call: Call) -> None:
    first = made(call, "ana", "--project", "shop")
    assert call("token", "change", "ana", "--role", "viewer", "--ceiling", "claude-sonnet-4-6").returncode == 0
    assert call("token", "renew", "ana").returncode == 0
    assert call("token", "revoke", "ana").returncode == 0
    with open_ledger() as ledger:
        [key] = ledger.keys()
    assert first not in str(key)
    assert key.person.revoked is not None
    acts = json.loads(call("trail", "--json").stdout)
    assert [one["act"] for one in acts] == ["token revoked", "token renewed", "token changed", "token created"]
    assert all("@" in one["who"] and "/" not in one["who"] for one in acts)
    assert "viewer of shop, at most anthropic/claude-sonnet-4-6" in call("trail", "--limit", "3").stdout


def test_the_list_says_how_each_token_stands(call: Call) -> None:
    assert "Nobody has a token" in call("token", "list").stdout
    made(call, "ana", "--project", "shop", "--expires", "90d")
    made(call, "root", "--role", "admin")
    made(call, "ben", "--project", "*", "--model", "claude-haiku-4-5", "--mode", "full")
    call("token", "revoke", "ben")
    rows = {row["name"]: row for row in json.loads(call("token", "list", "--json").stdout)}
    assert rows["ana"]["state"].startswith("until 20")
    assert (rows["root"]["role"], rows["root"]["state"]) == ("admin", "valid")
    assert (rows["ben"]["state"], rows["ben"]["models"], rows["ben"]["mode"]) == (
        "revoked",
        ["anthropic/claude-haiku-4-5"],
        "full",
    )
    assert not {"digest", "page", "token"} & rows["ana"].keys()


def test_settings_are_replaced_and_taken_away(call: Call) -> None:
    made(call, "ana", "--project", "shop", "--budget", "5", "--mode", "full", "--expires", "1h", "--ceiling", "claude-opus-4-6")
    assert call("token", "change", "ana", "--project", "bank", "--project", "shop", "--budget", "7/day").returncode == 0
    [row] = json.loads(call("token", "list", "--json").stdout)
    assert (row["projects"], [one["budget"] for one in row["budgets"]], row["mode"]) == (
        ["bank", "shop"],
        ["$7.00/day"],
        "full",
    )
    assert call("token", "change", "ana", "--mode", "", "--expires", "", "--ceiling", "", "--budget", "").returncode == 0
    [row] = json.loads(call("token", "list", "--json").stdout)
    assert (row["mode"], row["expires"], row["ceiling"], row["budgets"]) == ("", None, "", [])


def test_renewing_keeps_what_they_may_and_for_how_long(call: Call) -> None:
    made(call, "ana", "--project", "shop", "--expires", "2h")
    call("token", "revoke", "ana")
    assert call("token", "renew", "ana").returncode == 0
    [row] = json.loads(call("token", "list", "--json").stdout)
    assert row["revoked"] is None
    assert row["expires"] - row["created"] == pytest.approx(7200)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "cy"), "which projects is cy to see"),
        (("create", "Cy", "--project", "x"), "'Cy' is no name for a token"),
        (("create", "a/b", "--project", "x"), "is no name for a token"),
        (("create", "ana", "--project", "x"), "ana has a token already: `stepdown token renew ana`"),
        (("create", "cy", "--project", "./nowhere"), "there is no such directory"),
        (("create", "cy", "--project", "x", "--budget", "3 apples"), "--budget 3 apples: 20/week"),
        (("create", "cy", "--project", "x", "--ceiling", "claude-sonet-4-6"), "did you mean claude-sonnet-4-6?"),
        (("create", "cy", "--project", "x", "--model", "nonsense"), "--model nonsense: there is no such model"),
        (("create", "cy", "--project", "x", "--mode", "fll"), "--mode fll: did you mean full?"),
        (("create", "cy", "--project", "x", "--expires", "soon"), "--expires soon: a number and a unit"),
        (("create", "cy", "--project", "x", "--role", "boss"), "'boss' is not one of"),
        (("revoke", "anna"), "there is no token of 'anna'; did you mean 'ana'?"),
        (("renew", "nobody"), "there is no token of 'nobody'"),
        (("change", "ana"), "nothing to change"),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments: tuple[str, ...], words: str, call: Call, refused: Refused) -> None:
    made(call, "ana", "--project", "shop")
    said = refused(2 if "./nowhere" not in arguments else 3, "token", *arguments)
    assert words in said
    assert len(said.splitlines()) == 1
    assert len(json.loads(call("token", "list", "--json").stdout)) == 1


def test_what_others_do_leaves_its_word_too(call: Call) -> None:
    with open_ledger() as ledger:
        ledger.block(Block(model="anthropic/claude-opus-4-6", reason="no", until=4e9))
    assert call("models", "--unblock", "all").returncode == 0
    assert call("models", "--unblock", "all").returncode == 0  # there was none any more
    assert [one["act"] for one in json.loads(call("trail", "--json").stdout)] == ["unblocked"]


def test_migrate_is_ledger_migrate(call: Call) -> None:
    assert call("migrate").stdout == call("ledger", "migrate").stdout != ""
