"""Pane 7: GPU, processor, memory, disk; the worker's own and the screen's."""
