"""What a running run takes of a change, and what its settings are to a new one. No Textual."""

from typing import Any

from workbench import preset as presets
from workbench.preset import Preset
from workbench.screen.bench.follow import Followed


def takes(settings: Preset, key: str, value: Any = None) -> bool:
    """Whether a run of these settings takes an edit of a key: T reaches to the model's context, an mlp's is fixed."""
    if key != "batch.T":
        return presets.live_key(key)
    model = settings.model
    return model.kind != "mlp" and (value is None or value <= (model.context or value))


def unpinned(run: Followed) -> Preset:
    """The settings of a run with every edit, its context as the preset had it."""
    same = run.live.model.kind == run.preset.model.kind
    context = run.preset.model.context if same else run.live.model.context
    return run.live.model_copy(update={"model": run.live.model.model_copy(update={"context": context})})
