"""Bytes as people read them."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def amount(count: float) -> str:
    """Bytes in three digits: 940 B, 12.1 MiB, 1.21 GiB."""
    for unit in _UNITS:
        if count < 999.5 or unit == _UNITS[-1]:
            break
        count /= 1024
    digits = 0 if unit == "B" or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:.{digits}f} {unit}"


def share(part: float, whole: float) -> str:
    """A part of so many bytes, in the unit of the whole: 6.1 of 80.0 GiB."""
    figure, unit = amount(whole).split()
    scale = 1024 ** _UNITS.index(unit)
    digits = len(figure.partition(".")[2])
    return f"{part / scale:.{digits}f} of {figure} {unit}"
