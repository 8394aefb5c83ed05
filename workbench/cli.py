"""The command line: which words exist, and what is done without one. Rooms are imported when they are used."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from workbench import __version__, options, startup
from workbench.errors import UsageError, WorkbenchError, out_of_memory
from workbench.streams import let_go, never_fail_to_print, open_standard
from workbench.usage import DESCRIPTION, EXITS

Arguments = argparse.Namespace
Word = tuple[Callable[[argparse.ArgumentParser], None], Callable[[Arguments], int]]
"""Declares its options; runs, and returns the exit code. Its docstring is what `--help` says it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; whatever a user can mend is told in one message, without traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    startup.begin()
    open_standard()
    never_fail_to_print()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where what it meets can be told
        return code
    except WorkbenchError as error:
        from workbench.data.visible import visible

        with contextlib.suppress(OSError):
            print(f"workbench: {visible(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupted:
        if said := str(interrupted):  # runs.signals' own: which signal it was
            with contextlib.suppress(OSError):
                print(f"workbench: {said}", file=sys.stderr)
        return getattr(interrupted, "exit_code", 130)
    except (MemoryError, RuntimeError, ImportError, SystemError) as error:
        if not out_of_memory(error):
            raise
        return _no_memory()
    except BrokenPipeError:  # `workbench export … | head`: not our error, and nothing more to say
        return 0
    except OSError as error:  # the machine's affair: a full disk behind `>`, a working directory that is gone
        from workbench.data.visible import visible

        where = os.fsdecode(error.filename) if error.filename else "a file that this command uses, or its output"
        with contextlib.suppress(OSError):
            print(visible(f"workbench: {where}: {(error.strerror or str(error)).lower()}"), file=sys.stderr)
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            let_go(stream)


def _no_memory() -> int:
    """Before there is a run that could say so, or beside one: a library was refused what it needs to start."""
    with contextlib.suppress(OSError, MemoryError):
        print(
            "workbench: out of memory: Python and its libraries do not fit into what this process may have; "
            "end what else takes memory, or raise its limit (ulimit -v, ulimit -d, a job's memory)",
            file=sys.stderr,
        )
    return 4


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in WORDS:
        word, *rest = arguments
        declare, run = _word(word)
        parser = options.Parser(prog=f"workbench {word}", description=run.__doc__)
        declare(parser)
        return run(parser.parse_args(rest))
    parser = options.Parser(
        prog="workbench",
        description=DESCRIPTION,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="a TOML file or a shipped preset's name")
    parser.add_argument("--headless", action="store_true", help="train here and now, no screen")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained; make nothing")
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    options.launch_options(parser)
    options.screen_options(parser)
    parser.add_argument(
        "--world", type=options.world, default=1, metavar="N", help="show each of N ranks' slice of the rows"
    )
    options.telling_options(parser)
    a, unknown = parser.parse_known_args(arguments)
    if unknown:
        if a.preset and not (a.headless or a.dry_run):
            _check_word(a.preset)  # which is what is wrong with `workbench compar RUN RUN`
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return _train(a)


# ------------------------------------------------------------------------------------------ training here


def _train(a: Arguments) -> int:
    if not a.preset:
        if a.headless or a.dry_run:
            raise UsageError("which preset? name a TOML file or a shipped preset, as in `workbench --headless char`")
        a.preset = "char"
    if a.headless or a.dry_run:
        _check_no_look(a)
    else:
        _check_word(a.preset)
        if a.json or a.quiet:
            raise UsageError(
                f"--{'json' if a.json else 'quiet'} goes with --headless or --dry-run; the screen tells by drawing"
            )
    from workbench import preset

    loaded = preset.load(a.preset, sets=a.set, steps=a.steps, name=a.name)
    if not (a.headless or a.dry_run):
        from workbench import screen

        return screen.open_preset(loaded, a.preset, runs=a.runs_dir, world=a.world, look=a.theme, big=a.big)
    from workbench import headless

    if not a.quiet:
        for note in loaded.notes:
            headless.narrate(note)
    if a.dry_run:
        from workbench.words.telling import dry_run

        return dry_run.tell(loaded.preset, json=a.json, progress=headless.Preparing(silent=a.quiet or a.json))
    return headless.train(loaded, runs=a.runs_dir, telling=headless.Telling(a.json, a.quiet))


def _check_no_look(a: Arguments) -> None:
    """Raise UsageError for options that only the screen could honour."""
    given = [name for name, there in (("--theme", a.theme), ("--big", a.big), ("--world", a.world > 1)) if there]
    if given:
        without = "--headless" if a.headless else "--dry-run"
        raise UsageError(f"{', '.join(given)}: of the screen, which {without} does without; leave out one or the other")


def _check_word(word: str) -> None:
    """Raise UsageError for what is neither a word nor a preset: `workbench rusn`."""
    from difflib import get_close_matches

    from workbench import preset

    near = get_close_matches(word, WORDS, n=1)
    if near and word not in preset.shipped() and not os.path.exists(word):
        raise UsageError(f"{word!r} is neither a word nor a preset; did you mean `workbench {near[0]}`?")
    preset.find(word)


# ------------------------------------------------------------------------------------------ the words


WORDS = (
    "attach", "runs", "set", "pause", "stop", "resume", "replay",
    "data", "rows", "sample", "eval", "export", "doctor",
    "plan", "fit", "bench", "check", "sweep", "compare", "lesson",
)  # fmt: skip
"""Each is a module, `workbench.words.WORD`."""


def _word(name: str) -> Word:
    """A word's `declare` and `run`."""
    module = import_module(f"workbench.words.{name}")
    return module.declare, module.run
