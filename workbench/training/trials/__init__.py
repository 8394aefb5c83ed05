"""Experiments of the laboratory: each in a process of its own, `python -m workbench.training.trials NAME`.

stdin   one JSON document, the request: what the trial's `run` takes; then it stays open. When it is closed, whoever
        asked is gone, and the process leaves at once.
stdout  one JSON object a line: `phase`, then what the trial tells, at the end `result` or `error` (`kind` is usage,
        data, out-of-memory or failed; the exit code is that of the command line).

meter.py          what training holds in memory, and a limit that stands for a smaller card
probe.py          full steps of a preset at one B, under a limit: memory and seconds
accum.py          one step split three ways, and four ways to another gradient
gradient.py       the gradients of mini-batches beside the whole training split's
last_position.py  trained on every target of a row, and on its last alone
bench.py          how fast a preset's step is, what bounds it, and what is faster; steps.py: the steps that it times
bare.py           what they share: a preset's rows, models, steps and gradients without a run directory
"""
