"""Pane 4: every key of the preset, what is staged, and what it would come to."""
