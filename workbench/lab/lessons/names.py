"""Which figures a lesson may name, so that a misspelt one is told when the lesson is read and not when it is taught."""

from dataclasses import dataclass

from workbench import preset as presets
from workbench.lab.lessons.expressions import FUNCTIONS, Expression, Reference
from workbench.preset.errors import nearest

SETTINGS = {
    "B": "batch.B",
    "T": "batch.T",
    "accum": "batch.accum",
    "peak": "optimizer.lr",
    "warmup": "schedule.warmup",
    "min_lr": "schedule.min_lr",
}
"""What a run was started with, by the name that a figure of it has."""
MEASURED = (
    "loss_0", "loss", "noise", "train_loss", "val_loss", "val_step", "val_loss_0", "gap", "best_val",
    "best_val_step", "steps", "tokens", "seconds", "tokens_per_s", "tokens_per_step", "steps_per_epoch", "epochs",
    "train_tokens", "params", "vocab", "ln_V", "flops", "flops_per_token", "lr", "lr_max", "clipped",
    "clip_coefficient", "spikes", "reached",
)  # fmt: skip
"""Of a run: what `lab.figures` measures, and the step at which `eval.target` was reached."""
BY_STEP = ("loss", "lr", "grad_norm", "tokens", "seconds", "B", "accum")
BY_EVAL = ("val_loss", "train_loss")
CORPUS = ("vocab", "train", "val", "test", "characters", "unigram", "bigram", "trigram", "floor", "starts")
ROWS = ("B", "T", "accum", "predictions", "starts", "first_start", "last_start", "overlaps", "repeats", "shifted")
ROWS_BY_NUMBER = ("start",)
TEXTS = ("rows.x", "rows.y")
SCHEDULE = ("peak", "min_lr", "warmup", "steps")
RESERVED = ("corpus", "rows", "schedule", "preset", *FUNCTIONS)
"""No run and no word may be called so."""


@dataclass(frozen=True)
class Scope:
    """The names of a part's own: its runs, and the words that it runs."""

    runs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def problems(self, expression: Expression) -> list[str]:
        """What is wrong with the names of an expression, a sentence each."""
        return [told for reference in expression.references if (told := self.problem(reference))]

    def problem(self, reference: Reference) -> str:
        """Why there is no such figure, "" where there may be one."""
        root, _, leaf = reference.name.partition(".")
        roots = (*self.runs, *self.words, "corpus", "rows", "schedule", "preset")
        if root not in roots:
            near = nearest(root, roots, cutoff=0.0)
            return f"{reference.name}: nothing here is called {root}; did you mean {near}? There are {', '.join(roots)}"
        if root in self.words:
            return "" if leaf and reference.index is None else f"{reference.name}: expected {root}.FIGURE"
        known = self._known(root, indexed=reference.index is not None)
        if leaf in known:
            return ""
        wanted = f"{root}.{leaf}[…]" if reference.index is not None else reference.name
        near = nearest(leaf, known, cutoff=0.0) if leaf else None
        hint = f"did you mean {root}.{near}? " if near else ""
        return f"{wanted}: no such figure; {hint}There are {', '.join(known) or 'none'}"

    def _known(self, root: str, *, indexed: bool) -> tuple[str, ...]:
        if root in self.runs:
            return (*BY_STEP, *BY_EVAL) if indexed else (*SETTINGS, *MEASURED)
        if root == "preset":
            kinds = ("whole number", "number")
            return () if indexed else tuple(key for key, about in presets.KEYS.items() if about.kind_of_value in kinds)
        if root == "rows":
            return ROWS_BY_NUMBER if indexed else ROWS
        if root == "schedule":
            return ("lr",) if indexed else SCHEDULE
        return () if indexed else CORPUS
