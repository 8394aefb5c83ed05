"""Where runs lie, what they are called, and which one is meant by a few letters."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workbench.errors import UsageError
from workbench.runs import directory
from workbench.runs.directory import create, find, is_run, listed, runs_folder


def age(run: Path, seconds: float) -> Path:
    """Make a run as old as that."""
    then = (run / "preset.toml").stat().st_mtime - seconds
    os.utime(run / "preset.toml", (then, then))
    return run


def made(folder: Path, name: str, seconds: float = 0.0) -> Path:
    """A run of that very name, as old as that."""
    path = create(folder, "made", "").rename(folder / name)
    return age(path, seconds)


def test_the_folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_RUNS", raising=False)
    assert runs_folder() == tmp_path / "runs"
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "by variable"))
    assert runs_folder() == tmp_path / "by variable"
    assert runs_folder("here") == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runs_folder("~/there") == tmp_path / "there"


def test_a_new_run_is_private_and_named_after_its_preset_and_start(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    run = create(tmp_path / "deep" / "runs", "char", 'name = "é"\n')
    assert run.parent == tmp_path / "deep" / "runs"
    started = datetime.strptime(run.name, "char-%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert before - timedelta(seconds=1) <= started <= datetime.now(UTC)
    assert (run / "preset.toml").read_text(encoding="utf-8") == 'name = "é"\n'
    assert {p.name for p in run.iterdir()} == {"preset.toml", "commands", "checkpoints", "inspect"}
    for path in (run, *run.iterdir()):
        assert path.stat().st_mode & 0o777 == (0o600 if path.is_file() else 0o700)
    assert is_run(run)


def test_names_that_are_taken_are_counted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Noon":
            return cls(2026, 1, 2, 12, 0, 0, tzinfo=UTC)

    monkeypatch.setattr(directory, "datetime", Noon)
    names = [create(tmp_path, "char", str(n)).name for n in range(3)]
    assert names == ["char-20260102-120000", "char-20260102-120000-2", "char-20260102-120000-3"]
    assert (tmp_path / names[0] / "preset.toml").read_text() == "0"  # nobody's run is written over


def test_the_first_of_several_that_share_a_start_is_found_by_its_name(tmp_path: Path) -> None:
    first, second = made(tmp_path, "char-20260102-120000"), made(tmp_path, "char-20260102-120000-2")
    assert find(tmp_path, "char-20260102-120000") == first
    assert find(tmp_path, "char-20260102-120000-") == second


def test_what_a_killed_maker_left_goes_after_an_hour_and_what_another_makes_now_stays(tmp_path: Path) -> None:
    for name, seconds in (("left", 3700), ("making", 3500)):
        aside = create(tmp_path / "elsewhere", "made", "").rename(tmp_path / f".new-{name}")
        then = time.time() - seconds
        os.utime(aside, (then, then))
    run = create(tmp_path, "char", "")
    assert [path.name for path in tmp_path.glob(".new-*")] == [".new-making"]
    assert [path for path, *_ in listed(tmp_path)] == [run], "what is being made is no run yet"


def test_a_place_that_cannot_hold_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(UsageError, match=r"cannot be made there .*--runs-dir or WORKBENCH_RUNS") as raised:
            create(place, "char", "")
        assert str(place) in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match=r"Permission denied.*--runs-dir"):
            create(tmp_path / "runs", "char", "")
    finally:
        tmp_path.chmod(0o700)


# ------------------------------------------------------------------------------------- which run is meant


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs, the alphabetically first the newest, and two things that are no run."""
    runs = tmp_path / "runs"
    made(runs, "names-20260101-000000", 300)
    made(runs, "char-20260102-000000", 200)
    made(runs, "char-20260101-000000", 100)
    (runs / "char-notes").mkdir()
    (runs / "zz.txt").write_text("")
    return runs


def test_last_is_the_newest_start(folder: Path) -> None:
    assert find(folder, "last").name == "char-20260101-000000"
    assert [run.path.name for run in listed(folder)] == [
        "names-20260101-000000", "char-20260102-000000", "char-20260101-000000",
    ]  # fmt: skip
    assert {run.state for run in listed(folder)} == {"lost"}  # no worker has said a word


def test_a_name_and_a_unique_prefix(folder: Path) -> None:
    assert find(folder, "char-20260102-000000").name == "char-20260102-000000"
    assert find(folder, "n").name == "names-20260101-000000"
    assert find(folder, "char-20260102").name == "char-20260102-000000"


def test_a_prefix_of_several_names_them(folder: Path) -> None:
    with pytest.raises(UsageError, match="'char' could be any of 2 runs") as raised:
        find(folder, "char")
    assert "\n  char-20260101-000000\n  char-20260102-000000" in str(raised.value)
    assert "notes" not in str(raised.value)


def test_a_path(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder / "char-20260102-000000"
    assert find(tmp_path / "elsewhere", str(run)) == run
    monkeypatch.chdir(folder)
    assert find(tmp_path / "elsewhere", f"./{run.name}") == run
    assert find(tmp_path / "elsewhere", run.name) == run
    monkeypatch.chdir(run)
    assert find(tmp_path / "elsewhere", ".") == run
    monkeypatch.setenv("HOME", str(folder))
    assert find(tmp_path / "elsewhere", f"~/{run.name}") == run
    with pytest.raises(UsageError, match=r"is not a run: expected a directory with a preset\.toml"):
        find(folder, str(folder / "char-notes"))


def test_a_run_that_does_not_exist(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run named 'chat-20260102-000000' .*did you mean char-20260102-000000\?"):
        find(folder, "chat-20260102-000000")
    with pytest.raises(UsageError, match=r"no run named 'zzz' .*`workbench runs` lists them"):
        find(folder, "zzz")
    with pytest.raises(UsageError, match="there are none yet"):
        find(tmp_path / "nowhere", "zzz")
    with pytest.raises(UsageError, match="there are no runs yet"):
        find(tmp_path / "nowhere", "last")
    with pytest.raises(UsageError, match="which run"):
        find(folder, "")
    for odd in ("a\0b", "x" * 5_000, "/", "..", "char*", "\udcff"):
        with pytest.raises(UsageError):
            find(folder, odd)


def test_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert listed(tmp_path / "nowhere") == []
    (tmp_path / "file").write_text("")
    assert listed(tmp_path / "file") == []


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in (tmp_path / "loop", tmp_path / ("x" * 300)):
        for look in (listed, lambda folder: find(folder, "char")):
            with pytest.raises(UsageError, match=r"cannot be read .*--runs-dir or WORKBENCH_RUNS"):
                look(place)


def test_a_name_before_its_date_is_no_prefix_of_another_name(folder: Path) -> None:
    made(folder, "names-b1-20260103-000000", 400)
    assert find(folder, "names").name == "names-20260101-000000"
    with pytest.raises(UsageError, match="could be any of 2 runs"):
        find(folder, "nam")


def test_a_name_is_known_before_a_date_that_was_counted_on(folder: Path) -> None:
    made(folder, "tiny-20260101-000000-2")
    made(folder, "tiny-b1-20260101-000000")
    assert find(folder, "tiny").name == "tiny-20260101-000000-2"
