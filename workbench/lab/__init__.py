"""The laboratory: what fits, what is fastest, what is equal, what differs by more than noise. No torch, no textual.

planned.py    what a plan comes to: steps, epochs, FLOPs, time, memory, lr
rate.py       tokens a second, as the newest run of the same shapes measured them
trial.py      one experiment in a process of its own: `training/trials` is its other end
fit.py        the largest and the fastest B, by full steps in fresh processes
scenarios.py  all at once, small without accumulation, small with it: under one limit
check.py      accumulation, the mini-batch gradient, the last position: figures beside what theory says
sweep.py      runs for every value of a setting, at equal steps, tokens or seconds
compare.py    runs side by side: what differs, and whether by more than the spread of seeds
figures.py    what a run measured, in numbers that have names
lessons/      lessons as TOML: what to show, what to ask first, what to run, what must come out
"""
