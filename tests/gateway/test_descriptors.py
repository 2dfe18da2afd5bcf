"""The gateway's own limit of open connections, in processes that are given one."""

import resource
import subprocess
import sys

import pytest

_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
_HIGH = 65_536 if _HARD == resource.RLIM_INFINITY else min(65_536, _HARD)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, _HARD, _HIGH),  # as macOS starts a program
        (256, 512, 512),
        (512, 512, 512),
    ],
)
def test_it_is_raised_as_far_as_the_system_lets_it(soft: int, hard: int, expected: int) -> None:
    program = (
        "import resource; from stepdown.gateway.descriptors import allow_many\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "allow_many(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(expected), str(hard)]
