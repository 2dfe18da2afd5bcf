import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown.addresses import is_loopback, is_off_limits


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "::1",
        "[::1]",
        "localhost",
        "LocalHost.",
        "::ffff:127.0.0.1",
    ],
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert not is_off_limits(host)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.43518",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "fe80::1",
        "[fe80::1%25eth0]",
        "FE80::1%eth0",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
    ],
)
def test_what_only_machines_ask(host: str) -> None:
    assert is_off_limits(host)
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "api.anthropic.com",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "192.168.1.7",
        "fd00::7",
        "0.0.0.0",
        "1e3",
        "169.254.169.254.example",
    ],
)
def test_somewhere_else(host: str) -> None:
    assert not is_loopback(host)
    assert not is_off_limits(host)


@given(st.text())
def test_any_text_may_be_asked_about(host: str) -> None:
    assert not (is_loopback(host) and is_off_limits(host))
