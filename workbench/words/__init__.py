"""The words of the command line that need no torch: one module each, named after what it is about.

Each function takes parsed arguments, writes data to stdout, and returns the exit code. `saving` is what those share
that write a preset.
"""
