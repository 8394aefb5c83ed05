"""A lesson that a teacher might write, as text: two parts, one run."""

LESSON = """\
format = 1
title = "A lesson of my own"
about = "what it is about"
preset = "to-be"
set = ["model.kind=bigram", "steps=3000", "schedule.kind=constant", "schedule.warmup=0", "eval.every=0"]

[[part]]
title = "One run"
say = "Look at the rows."
show = { pane = "batch", starts = [0, 2] }
tell = "It starts at {one.loss[0]:.3f}; ln V is {ln(corpus.vocab):.3f}."

[[part.ask]]
question = "Where does it start?"
answer = "one.loss[0]"

[[part.run]]
name = "one"
edit = { at = 2900, set = ["lr=1e-3"] }

[[part.expect]]
what = "loss at step 0"
figure = "one.loss[0]"
theory = "ln(corpus.vocab)"
within = 0.2

[[part.expect]]
what = "lr from the edit on"
figure = "one.lr[2900] / one.lr[2899]"
theory = "1 / 3"
ratio_within = 1.001

[[part]]
title = "The same run again"
uses = "one"
tell = "{one.steps:.0f} steps"
[[part.expect]]
what = "first row"
figure = "rows.x[0]"
equals = "be or no"
"""
