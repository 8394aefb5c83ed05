"""Pane 6: the same prompt over steps, and how a run ended."""
