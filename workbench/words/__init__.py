"""The words of the command line: one module each, of the same name and shape, imported when its word is used.

`declare(parser)` adds its options. `run(arguments)` does it: data to stdout, narration to stderr, and it returns the
exit code; its docstring is what `--help` says it does. The small words import what they need in `run`, so `--help`
loads nothing.

named.py    the run that RUN names             steer.py   what `set`, `pause` and `stop` share
saving.py   --save and --force                 telling/   what the words that look tell
"""
