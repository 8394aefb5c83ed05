"""Pane 1: the datasets, and what the chosen one holds."""
