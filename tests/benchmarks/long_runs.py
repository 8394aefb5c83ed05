"""The directory of a long run that is over, written in pieces: its length costs disk, not memory."""

from pathlib import Path

import numpy as np

from workbench import preset as presets
from workbench.runs import directory
from workbench.runs.events import EventLog, event
from workbench.runs.files import replace_json
from workbench.runs.records import DTYPE, SPIKE, Records, StepLog
from workbench.runs.status import ENDED

_PIECE = 100_000
SECONDS = 0.05


def write(folder: Path, steps: int, *, seed: int = 1) -> Path:
    """A run of `char` in `folder`: a falling loss with noise, 51 evals, and one spike after a third of the steps."""
    preset = presets.load("char", steps=steps, sets=[f"seed={seed}"]).preset
    run = directory.create(folder, f"long-{steps}-{seed}", presets.to_toml(preset))
    StepLog(run).close()
    generator = np.random.default_rng(seed)
    with (run / "steps.bin").open("wb") as file:
        for begin in range(0, steps, _PIECE):
            piece = records(begin, min(begin + _PIECE, steps), steps, generator)
            if begin <= steps // 3 < begin + len(piece):
                piece["loss"][steps // 3 - begin], piece["flags"][steps // 3 - begin] = 9.0, SPIKE
            piece.tofile(file)
    log = EventLog(run)
    log.append(
        event("start", 0.0, run=str(run), params=800_000, vocab=98, tokens_per_step=3072, steps_per_epoch=350.0,
              train_tokens=1_075_000)
    )  # fmt: skip
    for n in range(0, steps + 1, max(steps // 50, 1)):
        log.append(event("eval", 0.0, step=n, train_loss=1.5, val_loss=1.6, perplexity=4.9))
    log.close()
    ended = {"format": 1, "state": ENDED[0], "step": steps, "steps": steps, "exit_code": 0}
    replace_json(run / "status.json", ended)
    return run


def records(begin: int, end: int, steps: int, generator: np.random.Generator) -> Records:
    """Records begin … end−1 of a run of so many steps; what is noise comes from the generator."""
    made, s = np.zeros(end - begin, DTYPE), np.arange(begin, end)
    made["step"], made["tokens"], made["rows_before"] = s, (s + 1) * 3072, s * 48
    made["loss"] = 1.3 + 3.3 * np.exp(-s / (steps / 8)) + generator.normal(0, 0.08, len(s))
    made["lr"], made["grad_norm"] = 1e-3 * (1 - s / steps), 0.6 + 0.1 * generator.random(len(s))
    made["seconds"], made["time"] = SECONDS, SECONDS * (s + 1)
    made["B"], made["T"], made["accum"], made["world"] = 48, 64, 1, 1
    return made
