"""Real runs in this process; what they are made of is in tests/tiny_runs.py."""

from tiny_runs import replay, resume, signals, train

__all__ = ["replay", "resume", "signals", "train"]
