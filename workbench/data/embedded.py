"""Text that is inside every Python, so that the first run needs no network.

Each generator yields text in pieces and is a pure function of the Python that runs it; `identity`
names what it depends on, so that a cached corpus is found without generating the text again.
"""

import sys
import sysconfig
import unicodedata
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.errors import DataError

MARKOV_SYMBOLS = "etaoinsh \n"
MARKOV_CHARACTERS = 1_000_000
MARKOV_SHA256 = "687c0d8d0883aca95c244c06b8d8abdb8a8e2490093dcb9cf261e1b73fef61e4"
LONGEST_UNICODE_NAME = 60  # characters: about 32,500 names on Python 3.11, and more with each Unicode

_PIECE = 1 << 20
_ROW_TOTAL = 256  # weights of a row of the chain; a power of two, so that 8 bits draw exactly
_LUMP = 3  # larger makes rows more uneven: 3 puts the rate well under the unigram entropy
_MATRIX_SEED = 1906  # the year of Markov's first paper on chains
_WALK_SEED = 8  # of a few, the one whose 900,000 and last 100,000 characters lie closest to the exact rate
_GENERATORS_VERSION = 1


def identity(name: str) -> str:
    """What the text of an embedded dataset depends on; equal identities mean equal text."""
    depends = {
        "python-docs": sys.version,
        "python-source": f"{sys.version} {sysconfig.get_path('stdlib')}",
        "unicode-names": f"{unicodedata.unidata_version} {LONGEST_UNICODE_NAME}",
        "markov": f"{MARKOV_CHARACTERS} {_MATRIX_SEED} {_WALK_SEED}",
    }
    return f"embedded {name} {_GENERATORS_VERSION} {depends[name]}"


def text(name: str) -> Iterator[str]:
    """The text of an embedded dataset, in pieces. Raises DataError where this Python lacks it."""
    return {
        "python-docs": _python_docs,
        "python-source": _python_source,
        "unicode-names": _unicode_names,
        "markov": _markov,
    }[name]()


def _python_docs() -> Iterator[str]:
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise DataError(
            f"python-docs: this Python ({sys.executable}) was installed without pydoc_data ({error}). "
            "Install the full standard library, or choose dataset unicode-names or a text file."
        ) from None
    for key in sorted(topics):
        yield topics[key]


def _python_source() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    found = False
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        if skipped.intersection(path.relative_to(root).parts) or not path.is_file():
            continue
        try:
            source = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if source and "\0" not in source:
            found = True
            yield source if source.endswith("\n") else source + "\n"
    if not found:
        raise DataError(
            f"python-source: {root} holds no Python source (a stripped installation). "
            "Choose dataset python-docs or unicode-names, or point data.dataset at a folder of source."
        )


def _unicode_names() -> Iterator[str]:
    names = []
    for code in range(sys.maxunicode + 1):
        name = unicodedata.name(chr(code), "").lower()
        # Names made from the number or from a syllable by rule would be three quarters of the lines.
        made_by_rule = name.endswith(f"-{code:x}") or name.startswith("hangul syllable ")
        if name and not made_by_rule and len(name) <= LONGEST_UNICODE_NAME:
            names.append(name)
    # Names are unique in Unicode; dict keeps that true whatever a database does, and keeps the order.
    yield "".join(f"{name}\n" for name in dict.fromkeys(names))


def splitmix64(seed: int, counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's output for each counter: 64 well mixed bits, the same on every platform."""
    gamma = np.uint64(0x9E3779B97F4A7C15)
    first, second = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (counters + np.uint64(1)) * gamma
        z = (z ^ (z >> np.uint64(30))) * first
        z = (z ^ (z >> np.uint64(27))) * second
        return z ^ (z >> np.uint64(31))


def _markov_weights() -> list[list[int]]:
    """Integer weights, each row summing to 256: every symbol can follow every other, unevenly often."""
    size = len(MARKOV_SYMBOLS)
    draws = iter(splitmix64(_MATRIX_SEED, np.arange(size * _ROW_TOTAL, dtype=np.uint64)).tolist())
    rows = []
    for _ in range(size):
        row = [1] * size
        # Polya's urn: what has been drawn is drawn more easily, so rows come out uneven.
        while (total := sum(row)) < _ROW_TOTAL:
            ball = next(draws) % total
            column = 0
            while ball >= row[column]:
                ball -= row[column]
                column += 1
            row[column] += min(_LUMP, _ROW_TOTAL - total)
        rows.append(row)
    return rows


def markov_matrix() -> NDArray[np.float64]:
    """Transition probabilities of dataset markov, (10, 10): row i is what follows MARKOV_SYMBOLS[i]."""
    return np.array(_markov_weights(), dtype=np.float64) / _ROW_TOTAL


def markov_entropy_rate() -> float:
    """The exact entropy rate of dataset markov, nats per character: the floor of any model's loss."""
    matrix = markov_matrix()
    size = len(matrix)
    # pi P = pi with sum(pi) = 1: one of the balance equations is redundant and makes room for the sum.
    system = np.vstack([(matrix.T - np.eye(size))[:-1], np.ones(size)])
    stationary = np.linalg.solve(system, np.append(np.zeros(size - 1), 1.0))
    return float(-(stationary[:, None] * matrix * np.log(matrix)).sum())


def _markov() -> Iterator[str]:
    table = [[column for column, weight in enumerate(row) for _ in range(weight)] for row in _markov_weights()]
    state = 0
    for begin in range(0, MARKOV_CHARACTERS, _PIECE):
        counters = np.arange(begin, min(begin + _PIECE, MARKOV_CHARACTERS), dtype=np.uint64)
        walk = []
        for draw in (splitmix64(_WALK_SEED, counters) >> np.uint64(56)).tolist():
            state = table[state][draw]
            walk.append(state)
        yield "".join(map(MARKOV_SYMBOLS.__getitem__, walk))
