"""Pane 8: every run, the open one's events, its worker's log."""
