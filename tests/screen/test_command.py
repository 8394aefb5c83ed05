"""The copied line: whatever is on the screen, its words make the same settings, and the same run, bit for bit."""

import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_runs import GPT, bits

from workbench import preset as presets
from workbench.preset import KEYS, Preset, PresetError
from workbench.runs.records import StepReader
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.command import LONGEST, NoCommand, command_of, command_of_run
from workbench.screen.bench.edits import written

SHIPPED = sorted(presets.shipped())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
NUMBERS = {
    "whole number": st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)),
    "number": st.one_of(st.floats(0, 1), st.floats(0, 1e6), st.sampled_from([0.0, 1e-8, 2e-4, 1e-300])),
    "yes or no": st.booleans(),
    "whole numbers": st.lists(st.integers(1, 1000), max_size=4, unique=True).map(sorted),
    "numbers": st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)).map(list),
}


def values(name: str) -> st.SearchStrategy[Any]:
    key = KEYS[name]
    if key.kind_of_value == "choice":
        return st.sampled_from(key.choices)
    if name in ("data.text", "sample.prompt"):
        return TEXTS
    if name == "data.dataset":
        return st.sampled_from(["markov", "names", "/nowhere/a file.txt", '/nowhere/it\'s "so"\n.txt'])
    if name == "data.tokenizer":
        return st.sampled_from(["char", "byte", "bpe:512", "gpt2"])
    if name == "name":
        return st.sampled_from(["a", "b.2", "c_d-e"])
    if name == "device.name":
        return st.sampled_from(["auto", "cpu", "cuda:1"])
    return NUMBERS[key.kind_of_value]


EDITS = st.lists(
    st.sampled_from([name for name in KEYS if name != "format"]).flatmap(
        lambda name: st.tuples(st.just(name), values(name))
    ),
    max_size=12,
)


def edited(preset: Preset, edits: list[tuple[str, Any]]) -> Preset:
    """The preset with those of the edits that fit; the layout follows an mlp, so that it is ever reached."""
    for name, value in edits:
        more = {"data.layout": "windows"} if (name, value) == ("model.kind", "mlp") else {}
        try:
            preset = presets.apply(preset, {name: value, **more})
        except PresetError:
            continue
    return preset


def bench_of(source: str, draft: Preset | None, runs: Path) -> Bench:
    bench = Bench(presets.load(source), source=source, runs=runs)
    bench.close()  # no text is made ready
    bench.draft = draft or bench.draft
    return bench


def loaded(words: list[str]) -> Preset:
    """What the command line makes of the words after `workbench --headless`."""
    again = shlex.split(shlex.join(words))
    assert again == words
    assert again[:2] == ["workbench", "--headless"]
    assert again[3::2] == ["--set"] * len(again[3::2])
    return presets.load(again[2], sets=again[4::2]).preset


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_RUNS", raising=False)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_untouched_preset_is_told_by_its_name(name: str, tmp_path: Path) -> None:
    assert command_of(bench_of(name, None, tmp_path / "runs")) == ["workbench", "--headless", name]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(SHIPPED), edits=EDITS)
def test_the_words_make_the_draft(name: str, edits: list[tuple[str, Any]], tmp_path: Path) -> None:
    draft = edited(presets.load(name).preset, edits)
    words = command_of(bench_of(name, draft, tmp_path / "runs"))
    assert presets.to_document(loaded(words)) == presets.to_document(draft)
    assert all(word.isprintable() for word in words)


@given(value=st.one_of(TEXTS, *NUMBERS.values()))
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    key = {str: "data.text", bool: "model.bias", int: "seed", float: "optimizer.lr"}.get(type(value), "optimizer.betas")
    assert presets.parse_assignment(f"{key}={written(value)}") == (key, value)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " a ",
        '"',
        "'",
        '"quoted"',
        "it's",
        "$HOME `id` \\n",
        "\x1b[31mred\x07",
        "a\nb\r\n\tc",
        "é ż 日本 👩‍👩‍👧",
        "\u202e\u2028\x85",
        "=",
        "--json",
    ],
)
def test_a_hostile_text_comes_through_a_shell(text: str, tmp_path: Path) -> None:
    draft = presets.apply(presets.load("to-be").preset, {"data.text": text, "sample.prompt": text})
    assert loaded(command_of(bench_of("to-be", draft, tmp_path / "runs"))) == draft


def test_a_kind_that_has_another_default_is_told_outright(tmp_path: Path) -> None:
    """muon's momentum is 0.95 where nothing is said; a draft with 0 must say it."""
    draft = presets.apply(presets.load("char").preset, {"optimizer.kind": "muon", "optimizer.momentum": 0.0})
    words = command_of(bench_of("char", draft, tmp_path / "runs"))
    assert "optimizer.momentum=0.0" in words
    assert loaded(words) == draft


def test_keys_of_the_old_kind_are_not_told(tmp_path: Path) -> None:
    draft = presets.apply(presets.load("char").preset, {"model.layers": 6})
    draft = presets.apply(draft, {"model.kind": "bigram"})
    assert command_of(bench_of("char", draft, tmp_path / "runs"))[3:] == ["--set", "model.kind=bigram"]


def test_a_preset_in_a_folder_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "my presets" / "it's.toml"
    path.parent.mkdir()
    path.write_text(presets.to_toml(presets.load("to-be").preset))
    words = command_of(bench_of(str(path), None, tmp_path / "runs"))
    assert words[2] == "my presets/it's.toml"
    assert loaded(words) == presets.load("to-be").preset


def test_a_file_with_a_shipped_name_is_not_taken_for_it(tmp_path: Path) -> None:
    bench = bench_of("char", None, tmp_path / "runs")
    Path("char").write_text(presets.to_toml(presets.load("to-be").preset))
    assert loaded(command_of(bench)) == bench.draft


def test_what_the_command_line_put_over_a_preset_is_told(tmp_path: Path) -> None:
    bench = Bench(presets.load("char", sets=["lr=3e-3"]), source="char", runs=tmp_path / "runs")
    bench.close()
    assert command_of(bench) == ["workbench", "--headless", "char", "--set", "lr=3e-3"]


def test_a_file_that_has_changed_since_is_told_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbatch.B = 4\n')
    bench = bench_of(str(path), None, tmp_path / "runs")
    path.write_text('name = "mine"\nbatch.B = 16\noptimizer.kind = "sgd"\n')
    words = command_of(bench)
    assert loaded(words) == bench.draft
    assert "B=4" in words


@pytest.mark.parametrize("content", [None, "batch.B = ", "batch.Q = 1"])
def test_a_file_that_is_gone_or_broken_is_to_be_saved_first(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n')
    bench = bench_of(str(path), None, tmp_path / "runs")
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(NoCommand, match=r"mine\.toml.*ctrl\+s"):
        command_of(bench)


def test_a_text_that_no_command_line_holds_is_to_be_saved_first(tmp_path: Path) -> None:
    draft = presets.apply(presets.load("to-be").preset, {"data.text": "ab" * LONGEST})
    with pytest.raises(NoCommand, match=r"too long.*ctrl\+s"):
        command_of(bench_of("to-be", draft, tmp_path / "runs"))


def test_another_runs_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of("to-be", None, tmp_path / "other runs")
    assert command_of(bench)[3:] == ["--runs-dir", "./other runs"]
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "other runs"))
    assert command_of(bench)[3:] == []


def test_a_run_is_told_by_its_preset_and_an_edited_one_by_replay(tmp_path: Path) -> None:
    runs, path = tmp_path / "runs", tmp_path / "runs" / "a-1"
    assert command_of_run(path, edited=False, runs=runs) == ["workbench", "--headless", "runs/a-1/preset.toml"]
    assert command_of_run(path, edited=True, runs=runs) == ["workbench", "replay", "a-1"]
    elsewhere = tmp_path / "old" / "a-1"
    assert command_of_run(elsewhere, edited=True, runs=runs) == ["workbench", "replay", "old/a-1"]


async def test_a_run_of_the_screen_and_its_copied_line_are_the_same_run(
    app: Any, workbench: Any, tmp_path: Path
) -> None:
    """Space, a real worker, y; then the line in a process of its own: every field but the clock's, bit for bit."""
    (tmp_path / "mine.toml").write_text(presets.to_toml(presets.from_document(GPT, source="test")))
    async with app(str(tmp_path / "mine.toml")) as pilot:
        bench = pilot.app.bench
        assert bench.change({"schedule.steps": 30, "optimizer.lr": 2e-3, "sample.prompt": "1 "})
        before = command_of(bench)
        await pilot.press("space")
        deadline = time.monotonic() + 40
        while not (bench.run and bench.run.over) and time.monotonic() < deadline:
            await pilot.pause(0.1)
        assert bench.run is not None
        assert bench.run.state == "done"
        of_run = command_of(bench)
        await pilot.press("y")
        await pilot.pause()
        assert shlex.join(of_run) in pilot.app.clipboard
        first = StepReader(bench.run.path).read()
    assert len(first) == 30
    for n, words in enumerate((before, of_run)):
        ran = workbench(*shlex.split(shlex.join(words))[1:], "--quiet", "--name", f"again-{n}")
        assert ran.returncode == 0, ran.stderr
        (again,) = (tmp_path / "runs").glob(f"again-{n}-*")
        assert bits(StepReader(again).read()) == bits(first)
