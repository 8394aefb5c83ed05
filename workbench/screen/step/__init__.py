"""Pane 3: one optimizer step as it happens, beside the loop's own lines."""
