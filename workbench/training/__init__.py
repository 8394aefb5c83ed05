"""Models, the step, the loop, the worker: the only room that knows torch.

step.py         one optimizer step, from (x, y) to the update: start reading here
loop.py         what happens between two steps, and the order of it
attempt.py      one attempt of a run, from where it begins to its `end`
worker.py       a new run, a resume, a replay: what is checked before anything is written
models.py  optimizers.py  evaluate.py  sampling.py  inspection.py  divergence.py
checkpoints.py  device.py
journal.py      what the worker says        steering.py  what it hears
position.py     where a run stands          history.py  where an attempt begins, and which edits it repeats
"""

import os

# These have to stand in the environment before torch is loaded.
# Two trainers side by side otherwise spin each other to a tenth of their speed (measured).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# What cuBLAS needs to be deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
