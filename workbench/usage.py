"""What `workbench --help` says."""

DESCRIPTION = """\
A terminal workbench for training small language models.

  workbench [PRESET]                      the screen, ready to start (char if none is named)
  workbench attach [RUN] [--read-only]    the screen on a run that is running or over
  workbench --headless PRESET             train here and now, no screen
  workbench --headless PRESET --dry-run   what it would be: parameters, tokens a step, memory
  workbench runs                          what ran and what runs
  workbench set RUN lr=3e-4 accum=2       edit a running run; prints the step at which it acts
  workbench pause|stop RUN                stop finishes the step and saves first
  workbench resume RUN                    unpauses a paused run, continues an ended one
  workbench replay RUN                    the same run again, edits included, as a new run
  workbench data [NAME]                   datasets: what is here, what can be fetched
  workbench rows PRESET|RUN               the exact x/y rows of any step
  workbench sample RUN --prompt TEXT      text from its last checkpoint
  workbench eval RUN                      losses of its last checkpoint
  workbench export RUN --csv|--jsonl      everything that was recorded
  workbench plan PRESET --tokens 524288   B, T, accum and world for so many tokens a step
  workbench fit PRESET                    the largest and the fastest B, measured
  workbench check accum PRESET            accumulation is equality; also: gradient, last-position
  workbench bench [PRESET]                tokens a second here, what bounds them, what would be faster
  workbench sweep PRESET --set B=1,32,64  runs for every value, at equal steps, tokens or seconds
  workbench compare RUN…                  what differs, and whether by more than noise
  workbench lesson [NAME]                 lessons on batches, on the screen
  workbench doctor                        what is missing on this machine, and how to mend it

PRESET is a TOML file or a shipped preset's name (char, shakespeare, names, …).
RUN is a run's name, a prefix that only one has, a path, or `last`.
`workbench WORD --help` tells the rest."""

EXITS = """\
exit codes: 0 done, or stopped on request · 2 bad usage or preset · 3 the loss became NaN or infinite ·
4 out of memory · 5 the data cannot be had · 130, 143 after SIGINT, SIGTERM, with a checkpoint · 1 anything else"""
