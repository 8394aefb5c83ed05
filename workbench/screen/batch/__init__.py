"""Pane 2: the (x, y) rows of a step. `sheet` computes them, `grid` and `ladder` say what its cells show."""
