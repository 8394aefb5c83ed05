"""Reading inspect/: without torch, and without believing what is no inspection."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from workbench.errors import WorkbenchError
from workbench.runs import inspections

ASK = """
import sys
from pathlib import Path
from workbench.runs import inspections
print(inspections.read(Path(sys.argv[1]), "inspect/a.safetensors").loss, "torch" in sys.modules)
"""


def written(run: Path, **changes: str) -> Path:
    ids, floats = np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)
    tensors = {"x": ids, "y": ids, "losses": floats, "guesses": ids[..., None], "chances": floats[..., None],
               "micro_losses": np.zeros(1), "micro_norms": np.zeros(1)}  # fmt: skip
    about = {"hash": "ab", "loss": "2.5", "step": "7", "rows_before": "14", "grad_norm": "inf", "lr": "0.001",
             "clip_coefficient": "1.0", "update_ratio": "", "B": "2", "T": "3", "accum": "1", "world": "1"}  # fmt: skip
    (run / "inspect").mkdir(exist_ok=True)
    path = run / "inspect" / "a.safetensors"
    save_file(tensors, path, metadata={"format": "1", **about, **changes})
    return path


def test_it_is_read_without_torch(tmp_path: Path) -> None:
    written(tmp_path)
    told = subprocess.run([sys.executable, "-c", ASK, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert told.stdout == "2.5 False\n", told.stderr
    inspected = inspections.read(tmp_path, "inspect/a.safetensors")
    assert (inspected.update_ratio, inspected.grad_norm, inspected.step) == (None, float("inf"), 7)


def test_what_is_damaged_or_gone_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(WorkbenchError, match=r"a\.safetensors: not an inspection that can be read"):
            inspections.read(tmp_path, "inspect/a.safetensors")
    written(tmp_path, step="seven")
    with pytest.raises(WorkbenchError, match="not an inspection that can be read"):
        inspections.read(tmp_path, "inspect/a.safetensors")
    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(WorkbenchError, match="not an inspection that can be read"):
        inspections.read(tmp_path, "inspect/a.safetensors")
    path.unlink()
    with pytest.raises(WorkbenchError, match="not there; the last eight"):
        inspections.read(tmp_path, "inspect/a.safetensors")
