"""Loading a preset: files, shipped names, paths, and what the command line puts over them."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from workbench import preset as presets
from workbench.preset import PresetError, changes, from_document, load


def written(folder: Path, text: str, name: str = "mine.toml") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"seed = 1\nname = \n", "line 2: not TOML: Invalid value (at line 2, column 8)"),
        (b'seed = 1\nname = "x', "line 2: not TOML: "),
        (b"seed = 1\nseed = 2\n", "line 2: not TOML: "),
        (b"seed = 1\n\xff\xfe\n", "line 2: byte 0xff is not UTF-8"),
        (b"\0\1\2", "not TOML"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"seed = " + b"9" * 5000, "not TOML"),
        (b"#" * (2**20 + 1), "over 1 MiB, too long for a preset"),
    ],
)
def test_what_is_not_toml_is_told_with_its_file_and_line(tmp_path: Path, raw: bytes, told: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(raw)
    with pytest.raises(PresetError) as refused:
        load(str(path))
    (line,) = refused.value.problems
    assert line.startswith(f"{path}: ")
    assert told in line
    assert line.isprintable()


def on_stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "stdin: nothing came"),
        (b" \n", "stdin: nothing came"),
        (b"seed = 1\nname = \n", "stdin: line 2: not TOML: "),
        (b"seed = 1\n\xff\xfe\n", "stdin: line 2: byte 0xff is not UTF-8"),
        (b"#" * (2**20 + 1), "stdin: over 1 MiB, too long for a preset"),
        (b"[batch]\nB = 0\n", "stdin: batch.B"),
    ],
)
def test_a_preset_on_stdin_is_refused_as_a_file_is(monkeypatch: pytest.MonkeyPatch, raw: bytes, told: str) -> None:
    on_stdin(monkeypatch, raw)
    with pytest.raises(PresetError) as refused:
        load("-")
    assert refused.value.problems[0].startswith(told)


def test_paths_on_stdin_are_seen_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    on_stdin(monkeypatch, b'\xef\xbb\xbfseed = 7\n[data]\ndataset = "corpus.txt"\n')
    loaded = load("-", sets=["lr=0.5"])
    assert loaded.path is None
    assert (loaded.preset.seed, loaded.preset.optimizer.lr) == (7, 0.5)
    assert loaded.preset.data.dataset == str(tmp_path / "corpus.txt")
    (tmp_path / "-").write_text("seed = 8\n")
    assert load("./-").preset.seed == 8  # a file of that name has a path


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert load(str(path)).preset.seed == 7


def test_folders_fifos_missing_and_forbidden_files_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for source, told in (
        (str(tmp_path), "this is a folder"),
        (str(tmp_path / "pipe.toml"), "not a regular file"),
        (str(tmp_path / "none.toml"), "no such file and no shipped preset"),
        ("a\0b", r"a\\x00b: (no such file|this preset cannot be read)"),
        ("x" * 5000, "no such file|cannot be read: File name too long"),
        ("", "name is empty"),
    ):
        with pytest.raises(PresetError, match=told):
            load(source)
    if os.geteuid() == 0:
        return  # root reads everything
    secret = tmp_path / "secret.toml"
    secret.write_text("")
    secret.chmod(0)
    with pytest.raises(PresetError, match="cannot be read: Permission denied"):
        load(str(secret))


def test_an_unknown_name_lists_what_is_shipped_and_the_nearest() -> None:
    with pytest.raises(PresetError, match=r"charr: .* did you mean char\? .*gpt2-124m.*shakespeare"):
        presets.find("charr")


def test_a_file_wins_over_a_shipped_name_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").mkdir()
    (tmp_path / "char").write_text("seed = 5\n")
    assert load("char").preset.seed == 5
    assert presets.find("names") == presets.shipped()["names"]


def test_presets_char_toml_outside_a_checkout_is_the_shipped_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load("presets/char.toml")
    assert loaded.path == presets.shipped()["char"]
    assert len(loaded.notes) == 1
    assert "presets/char.toml is not here: using the shipped preset" in loaded.notes[0]
    with pytest.raises(PresetError, match="no such file"):
        load("elsewhere/char.toml")
    with pytest.raises(PresetError, match="no such file"):
        load("presets/none.toml")
    written(tmp_path / "presets", "seed = 3\n", "char.toml")
    here = load("presets/char.toml")
    assert (here.preset.seed, here.notes) == (3, [])


def test_relative_paths_are_taken_from_the_files_folder_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    source = written(there, '[data]\ndataset = "../corpus.txt"\n')
    assert load(source).preset.data.dataset == str(tmp_path / "corpus.txt")
    assert load(os.path.relpath(source)).preset.data.dataset == str(tmp_path / "corpus.txt")
    loaded = load(source, sets=["dataset=corpus.txt"])
    assert loaded.preset.data.dataset == str(here / "corpus.txt")
    assert "replaces" not in " ".join(loaded.notes)


@pytest.mark.parametrize(
    ("dataset", "there", "becomes_a_path"),
    [
        ("names", True, False),  # a known name, whatever lies here
        ("./names", True, True),
        ("corpus", True, True),
        ("corpus", False, False),  # the data room refuses it with the nearest name
        ("corpus.txt", False, True),
        ("a/b", False, True),
    ],
)
def test_a_bare_word_is_a_path_only_where_it_exists(
    tmp_path: Path, dataset: str, there: bool, becomes_a_path: bool
) -> None:
    if there:
        (tmp_path / dataset).mkdir()
    found = from_document({"data": {"dataset": dataset}}, source="x", folder=tmp_path).data.dataset
    assert found == (str(tmp_path / dataset) if becomes_a_path else dataset)


def test_an_absolute_path_stays_and_a_tilde_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for dataset, found in (("/x/y", "/x/y"), ("~/y.txt", str(tmp_path / "home" / "y.txt"))):
        document = {"data": {"dataset": dataset}}
        assert from_document(document, source="x", folder=tmp_path).data.dataset == found


@pytest.mark.parametrize("name", sorted(presets.shipped()))
def test_every_shipped_preset_loads_under_its_own_name(name: str) -> None:
    loaded = load(name)
    assert loaded.preset.name == name
    assert loaded.notes == []


def test_the_shipped_presets_are_those_of_the_issue() -> None:
    assert set(presets.shipped()) == {
        *("char", "shakespeare", "names", "names-b1", "names-b64", "unicode-names"),
        *("to-be", "first-citizen", "bpe", "markov", "gpt2-124m"),
    }


def test_the_two_sentences_and_the_shapes_that_lessons_quote() -> None:
    to_be, citizen, gpt2 = (load(name).preset for name in ("to-be", "first-citizen", "gpt2-124m"))
    assert (len(to_be.data.text), to_be.batch.T, to_be.batch.B, to_be.data.val_fraction) == (19, 8, 4, 0)
    assert (len(citizen.data.text), citizen.batch.T, citizen.batch.B) == (128, 8, 4)
    assert citizen.data.text[80:88] == "resolved"
    assert gpt2.batch.B * gpt2.batch.T * gpt2.batch.accum == 524_288
    for name, B in (("names", 32), ("names-b1", 1), ("names-b64", 64)):
        differ = changes(load("names").preset, load(name).preset)
        assert load(name).preset.batch.B == B
        assert set(differ) <= {"name", "batch.B"}


# --------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr=3e-4", "optimizer.lr", 3e-4),
        ("B=8", "batch.B", 8),
        ("T=8", "batch.T", 8),
        ("accum=8", "batch.accum", 8),
        ("steps=1_000", "schedule.steps", 1000),
        ("seed=3", "seed", 3),
        ("dataset=markov", "data.dataset", "markov"),
        (" optimizer.lr = 1 ", "optimizer.lr", 1),
        ("optimizer.betas=[0.9, 0.95]", "optimizer.betas", [0.9, 0.95]),
        ("model.bias=true", "model.bias", True),
        ("data.text=a=b", "data.text", "a=b"),
        ("data.text= 12 ", "data.text", " 12 "),
        ('sample.prompt="\\n"', "sample.prompt", "\n"),
        ("sample.prompt='\\n'", "sample.prompt", "\\n"),
        ("sample.prompt=\\n", "sample.prompt", "\\n"),
        ("sample.prompt='tis", "sample.prompt", "'tis"),
        ('sample.prompt="', "sample.prompt", '"'),
        ("model.kind=mlp", "model.kind", "mlp"),
        ('model.kind="mlp"', "model.kind", "mlp"),
    ],
)
def test_an_assignment_is_text_for_text_keys_and_toml_for_others(text: str, key: str, value: Any) -> None:
    assert presets.parse_assignment(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr", "'lr': expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("lrr=3", "lrr = '3': no such key; did you mean"),
        ("model.hiden=3", "did you mean model.hidden?"),
        ("batch=3", "this is a table; expected one of its keys, as in batch.B"),
        ("lr=abc", "optimizer.lr = 'abc': expected a number"),
        ("lr=", "optimizer.lr = '': expected a number"),
        ("lr=1\nx = 2", "optimizer.lr = '1\\nx = 2': expected a number"),
        ("lr=" + "[" * 100_000, "expected a number"),
        ('sample.prompt="a" or "b"', "expected text, or a whole TOML string in quotes"),
        ("\x1b=3", "'\\x1b' = '3': no such key"),
    ],
)
def test_a_bad_assignment_says_so(text: str, told: str) -> None:
    with pytest.raises(PresetError) as refused:
        presets.parse_assignment(text)
    assert told in str(refused.value)
    assert str(refused.value).startswith("--set: ")


def test_the_last_set_wins_and_later_options_win_over_sets(tmp_path: Path) -> None:
    loaded = load("char", sets=["lr=1", "lr=2", "steps=500", "name=a"], steps=600, name="b")
    assert (loaded.preset.optimizer.lr, loaded.preset.schedule.steps, loaded.preset.name) == (2.0, 600, "b")
    assert loaded.notes == []


def test_errors_say_where_each_value_came_from(tmp_path: Path) -> None:
    source = written(tmp_path, "[batch]\nB = 0\n[model]\ncontext = 64\n")
    with pytest.raises(PresetError) as refused:
        load(source, sets=["lr=-1", "nonsense", "T=128"], steps=0, name="a b")
    assert [line.split(": ")[0] for line in refused.value.problems] == [
        "--set",
        "--name",
        source,
        "--set",
        "--steps",
        "--set",
    ]


def test_a_set_kind_drops_the_old_kinds_keys_and_tells_it(tmp_path: Path) -> None:
    source = written(tmp_path, '[model]\nlayers = 2\nheads = 2\n[optimizer]\nkind = "muon"\nmomentum = 0.5\n')
    loaded = load(source, sets=["model.hidden=7", "model.kind=mlp", "data.layout=windows", "optimizer.kind=sgd"])
    assert (loaded.preset.model.kind, loaded.preset.model.hidden) == ("mlp", 7)
    assert loaded.preset.model.layers == 4  # the default of a key that this kind lacks
    assert loaded.preset.optimizer.momentum == 0.5  # both kinds have it
    (note,) = loaded.notes
    assert "dropped model.layers, model.heads" in note
    with pytest.raises(PresetError, match=r"--set: model.layers = 3: model.layers belongs to kind gpt"):
        load(source, sets=["model.kind=mlp", "data.layout=windows", "model.layers=3"])


def test_a_set_kind_mends_no_file_that_was_wrong_before(tmp_path: Path) -> None:
    source = written(tmp_path, "[model]\nhidden = 7\n[schedule]\ngamma = 0.5\n")
    with pytest.raises(PresetError) as refused:
        load(source, sets=["model.kind=bigram"])
    assert sorted(line.split(" = ")[0] for line in refused.value.problems) == [
        f"{source}: model.hidden",
        f"{source}: schedule.gamma",
    ]


def test_text_and_dataset_replace_each_other(tmp_path: Path) -> None:
    source = written(tmp_path, '[data]\ndataset = "markov"\n')
    loaded = load(source, sets=["data.text=To be"])
    assert (loaded.preset.data.text, loaded.preset.data.dataset) == ("To be", "")
    assert "replaces data.dataset = 'markov'" in loaded.notes[0]
    back = load("to-be", sets=["dataset=markov"])
    assert (back.preset.data.text, back.preset.data.dataset) == ("", "markov")
    with pytest.raises(PresetError, match=r"--set: data.text = 'a': data.dataset = 'markov' is given too"):
        load(source, sets=["data.text=a", "dataset=markov"])


def test_steps_cuts_what_does_not_fit_and_tells_it(tmp_path: Path) -> None:
    source = written(tmp_path, '[schedule]\nkind = "step"\nwarmup = 100\nmilestones = [10, 300, 400]\n')
    loaded = load(source, steps=50)
    schedule = loaded.preset.schedule
    assert (schedule.steps, schedule.warmup, schedule.milestones) == (50, 50, (10, 50))
    assert [note.split(" = ")[0] for note in loaded.notes] == ["schedule.warmup", "schedule.milestones"]
    assert load(source, steps=400).notes == []
    assert load(source, steps=1).preset.schedule.milestones == (1,)


def test_steps_cuts_the_default_warmup_too_but_set_steps_does_not(tmp_path: Path) -> None:
    source = written(tmp_path, "")
    loaded = load(source, steps=20)
    assert loaded.preset.schedule.warmup == 20
    assert len(loaded.notes) == 1
    with pytest.raises(PresetError, match=r"--set: schedule.warmup = 100: the default; expected at most"):
        load(source, sets=["steps=20"])
