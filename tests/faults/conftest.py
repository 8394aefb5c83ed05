"""How often a fault is injected: a few times in CI, as often as the project promises with `--full`."""

from collections.abc import Callable

import pytest

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


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    told = config.stash.get(_TOLD, [])
    if told:
        terminalreporter.section("faults")
        for line in told:
            terminalreporter.write_line(line)
