"""Sizes of memory as people write them: 2GiB, 512MiB, 1.5GB, plain bytes."""

import re

from workbench.errors import UsageError

_BYTES = {"": 1, "B": 1} | {
    f"{letter}{ending}": base ** (power + 1)
    for power, letter in enumerate("KMGT")
    for ending, base in (("iB", 1024), ("B", 1000))
}
_BY_CASE = {unit.lower(): count for unit, count in _BYTES.items()}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def parse(text: str) -> int:
    """The bytes that "2GiB" or "1.5 GB" means; upper and lower case mean the same. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if not found or found[2].lower() not in _BY_CASE:
        raise UsageError(f"{text!r}: expected a size of memory, such as 2GiB, 512MiB, 1.5GB or 3000000 (bytes)")
    count = int(float(found[1]) * _BY_CASE[found[2].lower()])
    if not 0 < count < 2**60:
        raise UsageError(f"{text!r}: expected a size of memory of at least one byte that a machine could have")
    return count


def written(count: float) -> str:
    """In the largest unit of 1,024 that leaves a whole: 2.0 GiB, 300.0 MiB, 12 B."""
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:,.0f} {_UNITS[unit]}" if unit == 0 else f"{size:,.1f} {_UNITS[unit]}"
