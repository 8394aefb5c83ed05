"""How often a fault is injected: a few times in CI, as often as promised with `--full`. And a run to try it on."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.small_runs import PRESET, count

if TYPE_CHECKING:
    from tests.conftest import Command

_TOLD = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="tests/faults: as many trials as are promised, not CI's few")


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Callable[..., int]:
    """`trials(ci=12, full=300)`: how many to make."""
    full_asked = request.config.getoption("--full", default=False)
    return lambda *, ci, full: full if full_asked else ci


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what was tried and how it ended; all of it is printed at the end of the session."""
    return request.config.stash.setdefault(_TOLD, []).append


@pytest.fixture(scope="module")
def running(workbench_of_module: "Command") -> Path:
    """A run that trains without an end, which no test here may disturb."""
    here = workbench_of_module
    (here.folder / "small.toml").write_text(PRESET)
    here.start("--headless", "small.toml", "--quiet", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    here.until(lambda: count(here.run()) > 30)
    return here.run()


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    told = config.stash.get(_TOLD, [])
    if told:
        terminalreporter.section("faults")
        for line in told:
            terminalreporter.write_line(line)
