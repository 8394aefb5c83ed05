"""The laboratory: what fits, what is fastest, what is equal, what differs by more than noise. No torch, no textual.

planned.py    what a plan comes to: steps, epochs, FLOPs, time, memory, lr
rate.py       tokens a second, as the newest run of the same shapes measured them
trial.py      one experiment in a process of its own: `training/trials` is its other end
fit.py        the largest and the fastest B, by full steps in fresh processes
bench.py      how fast a step is, what bounds it, what would be faster; tune.py: the fastest way to compute it, kept
search.py     which size to run next; sizes.py: memory as people write it
scenarios.py  all at once, small without accumulation, small with it: under one limit
check.py      accumulation, the mini-batch gradient, the last position; checks/ has their words, theory beside figures
grid.py       a sweep before it starts: the presets of its runs, each on a schedule of its own
sweep.py      runs for every value of a setting, at equal steps, tokens or seconds
compare.py    runs side by side: what differs, and whether by more than the spread of seeds
labels.py     the settings that tell runs apart, in a few words
spread.py     how large a gap between seeds may be and still be noise
overlay.py    the losses of compared runs over each other, in characters
figures.py    what a run measured, in numbers that have names
flops.py      what a run had spent after so many tokens
lessons/      lessons as TOML: what to show, what to ask first, what to run, what must come out
"""
