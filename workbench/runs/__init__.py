"""The run directory: all that a run says and hears, and the only thing between a worker and its readers.

directory.py  where runs are, how one is named and found, its files
records.py    steps.bin: one fixed-width record per update
events.py     events.jsonl: everything rarer, and how a reader drops what an earlier attempt took back
status.py     status.json: pid, state, phase, heartbeat; is that worker alive?
commands.py   commands/: what a client asks for, and the answer that it waits for
settings.py   which settings held at a record, and where its rows begin
inspections.py  inspect/: the tensors of one step
launch.py     a worker as a process of its own, that outlives whoever started it
files.py      atomic replacement, private modes, the lock that dies with its process
"""

FORMAT = 1
"""What every JSON file and object of a run carries as `format`; a reader refuses a larger one."""
