"""The command line: which words exist, and which room each one opens. Rooms are imported when their word is used."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench import __version__, options
from workbench.errors import UsageError, WorkbenchError, out_of_memory
from workbench.streams import let_go, never_fail_to_print, open_standard
from workbench.usage import DESCRIPTION, EXITS

Arguments = argparse.Namespace
Word = tuple[Callable[[argparse.ArgumentParser], None], Callable[[Arguments], int]]
"""Declares its options; runs, and returns the exit code. Its docstring is what `--help` says it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; whatever a user can mend is told in one message, without traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
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
    except KeyboardInterrupt:
        return 130
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
    return _train(parser.parse_args(arguments))


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
        from workbench.words import dry_run

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


def _attach(a: Arguments) -> int:
    """The screen on a run that is running or over; the newest, if none is named."""
    from workbench import screen

    return screen.attach(_run(a), runs=a.runs_dir, read_only=a.read_only, look=a.theme, big=a.big)


def _declare_attach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN", help="a name, a unique prefix, a path, or `last`"
    )
    parser.add_argument("--read-only", action="store_true", help="look and do not steer")
    options.runs_dir(parser)
    options.screen_options(parser)


def _resume(a: Arguments) -> int:
    """Unpause a paused run, or continue an ended one from its last checkpoint."""
    if a.detach:
        return _detached(a)
    from workbench import headless, preset

    changes = dict(preset.parse_assignment(text) for text in a.set)
    if a.steps is not None:
        changes["schedule.steps"] = a.steps
    return headless.resume(_run(a), changes, telling=headless.Telling(a.json, a.quiet), re_resolve=a.re_resolve)


def _replay(a: Arguments) -> int:
    """Train the same run again, edits included, as a new run."""
    if a.detach:
        return _detached(a)
    from workbench import headless

    return headless.replay(
        _run(a),
        runs=a.runs_dir,
        name=a.name,
        telling=headless.Telling(a.json, a.quiet),
        re_resolve=a.re_resolve,
    )


def _detached(a: Arguments) -> int:
    from workbench.headless import detach

    return detach.start(a)


def _declare_resume(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an edit at its first step")
    parser.add_argument("--steps", type=int, metavar="N", help="train to N updates in all")
    options.attempt_options(parser)


def _declare_replay(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--name", metavar="NAME", help="the new run's name")
    options.attempt_options(parser)


# ------------------------------------------------------------------------------------------ steering


def _runs(a: Arguments) -> int:
    """What ran and what runs, the newest last."""
    from workbench.words import runs

    return runs.tell(a.runs_dir, json=a.json)


def _set(a: Arguments) -> int:
    """Edit a running run; prints the step at which it acts."""
    from workbench.words import steer

    return steer.edit(_run(a), a.assignments, at=a.at, timeout=a.timeout, json=a.json)


def _pause(a: Arguments) -> int:
    """Pause a run after the step that it is in."""
    from workbench.words import steer

    return steer.ask(_run(a), "pause", timeout=a.timeout, json=a.json)


def _stop(a: Arguments) -> int:
    """End a run: it finishes its step and saves first."""
    from workbench.words import steer

    return steer.ask(_run(a), "stop", timeout=a.timeout, json=a.json)


def _declare_runs(parser: argparse.ArgumentParser) -> None:
    options.runs_dir(parser)
    options.json(parser)


def _declare_set(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("assignments", nargs="+", metavar="KEY=VALUE", help="as in lr=3e-4 accum=2")
    parser.add_argument("--at", type=int, metavar="STEP", help="act after this many updates, not at once")
    options.answer_options(parser)


def _declare_ask(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    options.answer_options(parser)


# ------------------------------------------------------------------------------------------ looking


def _data(a: Arguments) -> int:
    """Datasets: what is here, what can be fetched, what each holds."""
    from workbench.words import data

    return data.tell(a.name, tokenizer=a.tokenizer, fetch=a.fetch, json=a.json)


def _rows(a: Arguments) -> int:
    """The exact x/y rows of record N of a preset or a run."""
    from workbench.words import rows

    return rows.tell(a.source, sets=a.set, step=a.step, runs=a.runs_dir, json=a.json)


def _export(a: Arguments) -> int:
    """Everything in steps.bin and events.jsonl, on stdout."""
    from workbench.words import export

    return export.csv(_run(a)) if a.csv else export.jsonl(_run(a))


def _sample(a: Arguments) -> int:
    """Text from a run's last checkpoint."""
    from workbench.training import offline

    return offline.sample(
        _run(a),
        prompt=a.prompt,
        tokens=a.tokens,
        temperature=a.temperature,
        top_k=a.top_k,
        seed=a.seed,
        json=a.json,
    )


def _eval(a: Arguments) -> int:
    """Losses of a run's last checkpoint."""
    from workbench.training import offline

    return offline.evaluate(_run(a), split=a.split, json=a.json)


def _doctor(a: Arguments) -> int:
    """What is missing on this machine, and how to mend it."""
    from workbench.words import doctor

    return doctor.tell(a.runs_dir, json=a.json)


def _declare_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a dataset's name, or a path")
    parser.add_argument("--tokenizer", default="char", help="char, byte, a tiktoken name, bpe:N (default: char)")
    parser.add_argument("--fetch", action="store_true", help="download it now")
    options.json(parser)


def _declare_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="PRESET|RUN")
    parser.add_argument("--step", type=int, default=0, metavar="N", help="the record (default: 0)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset")
    options.runs_dir(parser)
    options.json(parser)


def _declare_export(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--csv", action="store_true", help="one line a step")
    kind.add_argument("--jsonl", action="store_true", help="the objects of --json: steps and events")


def _declare_sample(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="default: the run's sample.prompt")
    parser.add_argument("--tokens", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, metavar="X", help="0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K", help="0 allows every token")
    parser.add_argument("--seed", type=int, metavar="N")
    options.json(parser)


def _declare_eval(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--split", choices=("val", "test"), default="val", help="test: looked at once, and recorded")
    options.json(parser)


# ------------------------------------------------------------------------------------------ the words


def _run(a: Arguments) -> "Path":
    from workbench.runs import directory

    return directory.find(directory.runs_folder(a.runs_dir), a.run)


def _word(name: str) -> Word:
    """A word's functions; those of the laboratory are in a module of its own, `workbench.words.NAME`."""
    word = WORDS[name]
    if word is not None:
        return word
    from importlib import import_module

    module = import_module(f"workbench.words.{name}")
    return module.declare, module.run


WORDS: dict[str, Word | None] = {
    "attach": (_declare_attach, _attach),
    "runs": (_declare_runs, _runs),
    "set": (_declare_set, _set),
    "pause": (_declare_ask, _pause),
    "stop": (_declare_ask, _stop),
    "resume": (_declare_resume, _resume),
    "replay": (_declare_replay, _replay),
    "data": (_declare_data, _data),
    "rows": (_declare_rows, _rows),
    "sample": (_declare_sample, _sample),
    "eval": (_declare_eval, _eval),
    "export": (_declare_export, _export),
    "doctor": (_declare_runs, _doctor),
    "plan": None,
    "fit": None,
    "bench": None,
    "check": None,
    "sweep": None,
    "compare": None,
    "lesson": None,
}
