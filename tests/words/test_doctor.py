"""`workbench doctor`, called in this process. What it says of logging out is in tests/faults/test_log_out.py."""

import json
from pathlib import Path
from typing import Any

import pytest
from told import Capture, objects

from workbench.words.telling import doctor

ESCAPE = "\x1b"


def test_doctor_tells_what_there_is(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Told:
        stdout = json.dumps({
            "version": "9.9", "cuda": None, "gpus": [], "mps": False, "capability": "AVX9", "machines": [],
        })  # fmt: skip

    def run(command: list[str], **how: Any) -> Told:
        asked.append(command)
        return Told()

    monkeypatch.setattr(doctor.subprocess, "run", run)  # its import takes seconds; test_cli asks the real one
    assert doctor.tell(str(tmp_path), json=True) == 0
    told = objects(capsys)
    assert {"python", "torch", "gpu", "machine", "runs", "cache"} <= {o["about"] for o in told}
    assert [o["found"] for o in told if o["about"] == "torch"] == ["9.9, CPU kernels AVX9"]
    assert "import json, torch" in asked[0][-1]
    doctor.tell(str(tmp_path), json=False)
    assert ESCAPE not in capsys.readouterr().out


def test_doctor_says_what_is_missing_and_how_to_mend_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_ASK_TORCH", "raise ImportError('libgomp is not here')")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert doctor.tell(str(tmp_path), json=True) == 1
    missing = {o["about"]: o for o in objects(capsys) if o["level"] == "missing"}
    assert missing.keys() == {"torch", "runs", "cache"}
    assert "libgomp is not here" in missing["torch"]["found"]
    assert "pip install" in missing["torch"]["remedy"]
    assert "--runs-dir" in missing["runs"]["remedy"]
