"""Pane 5: steps.bin as curves. `curves` decimates, `gallery` says what is drawn, `plotting` and `canvas` draw it."""
