"""A word of warning where others use the computer."""

import os

import pytest

from workbench.lab.busy import busy


def test_a_busy_computer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.9, 9.0, 9.0))
    assert busy() == ""
    monkeypatch.setattr(os, "getloadavg", lambda: (2.04, 0.0, 0.0))
    assert busy().startswith("this computer is busy (load 2.0 on 4 processors): ")


def test_where_nobody_counts_it_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert busy() == ""
