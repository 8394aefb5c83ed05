"""An attempt's checkpoints: what each of them says, and that one is made when there is room for it."""

import math
from collections.abc import Sequence

from workbench import preset as presets
from workbench.data.corpus import Corpus
from workbench.data.rows import Base
from workbench.preset import Preset
from workbench.training import checkpoints
from workbench.training.journal import Journal
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.position import Edit, Position


class Saver:
    """Called at a boundary, it writes a checkpoint of it. Where it cannot be written the journal's patience decides."""

    def __init__(self, journal: Journal, model: Model, optimizer: Optimizer, corpus: Corpus) -> None:
        self._journal, self._model, self._optimizer, self._corpus = journal, model, optimizer, corpus

    def __call__(self, at: Position, preset: Preset, edits: Sequence[Edit], base: Base) -> None:
        """Save where the run stands, its live settings and the edits that it has still to make."""
        journal, announced = self._journal, False

        def meta() -> checkpoints.Meta:
            nonlocal announced
            val = at.val_loss if at.val_step == at.step else None
            val = val if val is not None and math.isfinite(val) else None
            if not announced:  # it is written again where the disk was full
                announced = True
                journal.event(
                    "checkpoint", step=at.step, path=f"checkpoints/step-{at.step:08d}", val_loss=val,
                    best=val is not None and val == at.best,
                )  # fmt: skip
            records, events_bytes = journal.sync()
            return {
                "records": records,
                "events_bytes": events_bytes,
                "attempt": journal.attempt,
                "val_loss": val,
                "settings": presets.to_document(preset),
                "edits_to_make": [edit.to_json() for edit in edits],
                "vocab": self._corpus.tokenizer.vocab_size,
                "fingerprint": self._corpus.fingerprint,
                "position": at.to_json(base),
            }

        journal.patience(
            lambda: checkpoints.write(journal.run, at.step, self._model, self._optimizer, self._corpus.tokenizer, meta)
        )
        checkpoints.prune(journal.run)
