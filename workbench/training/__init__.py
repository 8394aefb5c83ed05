"""Models, the step, the loop, the worker: the only room that knows torch.

step.py         one optimizer step, from (x, y) to the update: start reading here
loop.py         what happens between two steps, and the order of it
attempt.py      one attempt of a run, from where it begins to its `end`
worker.py       a new run, a resume, a replay: what is checked before anything is written
stepping.py     steps and their records
engines.py      who makes the steps: one by one, or many at a launch where that pays
replays.py      whole steps as CUDA graphs
by_hand.py      steps of a small mlp, its gradient written out
models.py  optimizers.py  evaluate.py  sampling.py  inspection.py  device.py  checkpoints.py
saving.py       an attempt's checkpoints    patience.py  waits while its directory cannot be written
journal.py      what the worker says        steering.py  what it hears
position.py     where a run stands          history.py   where an attempt begins, and which edits it repeats
divergence.py   a loss that is no number    shortage.py  memory that ran out: what would fit
advice.py       what to change, and the command that changes it
offline.py      `sample` and `eval`         trials/      what `fit`, `bench` and `check` run, each in a fresh process
"""

import os

# These have to stand in the environment before torch is loaded.
# Two trainers side by side otherwise spin each other to a tenth of their speed (measured).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What cuBLAS needs to be deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
