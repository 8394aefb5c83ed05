"""`workbench plan`, as one types it: what is solved for, what it comes to, what it says when something is missing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_runs import GPT, MLP, TEXT, Train, document

from workbench import cli
from workbench import preset as presets
from workbench.plan import arithmetic, flops, memory, parameters

if TYPE_CHECKING:
    from conftest import Command

Shown = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _away_from_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no vocabulary of tiktoken's, no runs but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "no-vocabulary"))


def plan(shown: Shown, *words: str) -> dict[str, Any]:
    code = cli.main(["plan", *words, "--json"])
    out, err = shown.readouterr()
    assert code == 0, err
    (line,) = out.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert told["format"] == 1
    assert told["type"] == "plan"
    return told


def refused(shown: Shown, *words: str) -> str:
    assert cli.main(["plan", *words]) == 2
    out, err = shown.readouterr()
    assert out == ""
    return err


def tiny(path: Path, base: dict[str, Any] = GPT, **changes: Any) -> str:
    path.write_text(presets.to_toml(presets.from_document(document(base, **changes), source="test")))
    return str(path)


# ------------------------------------------------------------------------------------ what is solved for


@pytest.mark.parametrize(
    ("words", "B", "accum"),
    [
        ("char --tokens 32768 --T 256 --B 16", 16, 8),
        ("char --tokens 16384 --T 512 --B 8", 8, 4),
        ("char --tokens 16384 --T 512 --accum 1", 32, 1),
        ("gpt2-124m --tokens 524288 --T 1024 --B 64", 64, 8),
        ("gpt2-124m --tokens 524288 --B 16", 16, 32),
        ("gpt2-124m --tokens 524,288 --B 16 --world 8", 16, 4),
        ("names --tokens 64", 32, 2),
    ],
)
def test_with_tokens_accum_is_solved_for_or_else_B(words: str, B: int, accum: int, capsys: Shown) -> None:
    told = plan(capsys, *words.split())
    assert (told["B"], told["accum"]) == (B, accum)
    asked = words.replace(",", "").split()
    assert told["tokens"] == told["tokens_per_step"] == int(asked[asked.index("--tokens") + 1])
    assert told["exact"] is True


@pytest.mark.parametrize(
    ("words", "open_", "value"),
    [
        ("char --B 16 --T 256 --accum 8", "tokens", 32_768),
        ("char", "tokens", 3072),
        ("char --tokens 32768 --B 16 --accum 8", "T", 256),
        ("gpt2-124m --tokens 524288 --B 16 --T 1024 --accum 4", "world", 8),
        ("names --tokens 64 --B 32 --accum 1", "world", 2),
    ],
)
def test_what_else_may_be_left_open(words: str, open_: str, value: int, capsys: Shown) -> None:
    assert plan(capsys, *words.split())[open_] == value


def test_a_quotient_that_is_not_whole_is_told_not_rounded(capsys: Shown) -> None:
    told = refused(capsys, "gpt2-124m", "--tokens", "524288", "--B", "12")
    assert "42 2/3" in told
    assert "accum = 42 gives 516,096" in told
    assert "accum = 43 gives 528,384" in told
    assert "B = 16 gives accum = 32 exactly" in told
    assert "examples a step" in refused(capsys, "names", "--tokens", "100")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "which preset?"),
        ("char --tokens 8 --B 1 --T 8 --accum 1 --world 1", "leave one out"),
        ("char --tokens 0", "at least 1"),
        ("char --rate nan", "over 0"),
        ("char --rate 1e-320", "over 0"),
        ("char --rate 1e308", "over 0"),
        ("char --world 65537", "from 1 to 65,536"),
        ("to-be --tokens " + "9" * 400, "at most 1,000,000,000,000,000"),
        ("to-be --T 19", "choose T of at most 18"),
        ("to-be --save=", "--save '': expected a path"),
        ("to-be --save nowhere/x.toml", "there is no such folder"),
        ("char --set model.context=64 --T 128", "model.context = 64"),
        ("char --force", "--save"),
    ],
)
def test_what_cannot_be_asked_is_one_message(words: str, why: str, capsys: Shown) -> None:
    assert why in refused(capsys, *words.split())


# ------------------------------------------------------------------------------------ what it comes to


def test_the_figures_are_those_of_the_arithmetic(tmp_path: Path, capsys: Shown) -> None:
    path = tiny(tmp_path / "tiny.toml")
    told = plan(capsys, path, "--tokens", "256", "--rate", "512", "--scale", "none")
    p = presets.apply(presets.load(path).preset, {"batch.accum": 4})
    vocab, train = len(set(TEXT)), int(len(TEXT) * 0.9)
    assert told["vocab"] == vocab
    assert told["steps_per_epoch"] == arithmetic.steps_per_epoch(train, 256)
    assert told["epochs"] == arithmetic.epochs(40, train, 256)
    assert told["total_tokens"] == 40 * 256
    assert told["flops_per_token"] == flops.per_token(p, vocab)
    assert told["flops_total"] == flops.per_token(p, vocab) * 40 * 256
    assert told["params"] == parameters.total(parameters.itemise(p.model, vocab, 16))
    assert told["memory_bytes"] == parameters.total(memory.estimate(p, vocab)) == sum(told["memory"].values())
    assert (told["seconds_per_step"], told["seconds_total"], told["updates_per_hour"]) == (0.5, 20.0, 7200.0)
    assert told["rate_from"] == "--rate"
    assert told["figures"]["steps_per_epoch"] == told["steps_per_epoch"]
    assert all(isinstance(value, int | float) for value in told["figures"].values())


def test_gpt2_is_planned_with_neither_text_nor_vocabulary(capsys: Shown) -> None:
    told = plan(capsys, "gpt2-124m", "--tokens", "524288", "--B", "16")
    assert (told["accum"], told["vocab"], told["params"]) == (32, 50_257, 124_439_808)
    assert told["steps_per_epoch"] is None
    assert told["epochs"] is None
    assert "need the text" in told["note"]
    assert told["flops_per_token"] == 854_438_400
    assert cli.main(["plan", "gpt2-124m"]) == 0
    out, err = capsys.readouterr()
    assert "an epoch" in out
    assert "unknown" in out
    assert "need the text" in err


def test_names_are_planned_without_the_names(capsys: Shown) -> None:
    told = plan(capsys, "names")
    assert (told["vocab"], told["params"], told["tokens"], told["steps_per_epoch"]) == (27, 11_897, 32, None)


def test_verdicts_with_updates_an_hour(capsys: Shown) -> None:
    assert "none needed" in plan(capsys, "char")["verdict"]
    assert "usual" in plan(capsys, "char", "--accum", "64")["verdict"]
    slow = plan(capsys, "char", "--accum", "65", "--rate", str(48 * 64 * 65 / 36))["verdict"]
    assert "slow" in slow
    assert "100 updates an hour" in slow


# ------------------------------------------------------------------------------------ the rate


def test_the_rate_is_the_newest_runs_of_the_same_shapes_and_says_which(
    train: Train, tmp_path: Path, capsys: Shown
) -> None:
    path = tiny(tmp_path / "tiny.toml")
    none = plan(capsys, path)
    assert none["tokens_per_s"] is None
    assert none["seconds_total"] is None
    assert cli.main(["plan", path]) == 0
    assert "not measured" in capsys.readouterr().out
    ran = train(document(GPT))
    train(document(GPT, model__width=32, name="other"))
    train(document(MLP))
    records = ran.records
    middle = sorted(4 * 16 / records["seconds"])
    told = plan(capsys, path)
    assert told["tokens_per_s"] == pytest.approx((middle[19] + middle[20]) / 2)
    assert ran.path.name in told["rate_from"]
    assert "cpu" in told["rate_from"]
    twice = plan(capsys, path, "--world", "2")
    assert twice["tokens_per_s"] == pytest.approx(2 * told["tokens_per_s"])
    assert "at B = 4" in plan(capsys, path, "--B", "8")["rate_from"]
    assert plan(capsys, path, "--T", "8")["tokens_per_s"] is None
    assert plan(capsys, path, "--set", "device.precision=fp64")["tokens_per_s"] is None
    (tmp_path / "runs" / ran.path.name / "resolved.json").write_text("torn")
    assert plan(capsys, path)["tokens_per_s"] is None


def test_a_run_with_the_same_B_is_preferred_to_a_newer_one(train: Train, tmp_path: Path, capsys: Shown) -> None:
    same = train(document(GPT, schedule__steps=5, name="same"))
    train(document(GPT, schedule__steps=5, batch__B=2, name="newer"))
    assert same.path.name in plan(capsys, tiny(tmp_path / "tiny.toml"))["rate_from"]


def test_a_run_on_another_host_measures_nothing_here(train: Train, tmp_path: Path, capsys: Shown) -> None:
    ran = train(document(GPT, schedule__steps=5))
    path = ran.path / "status.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "host": "elsewhere"}))
    assert plan(capsys, tiny(tmp_path / "tiny.toml"))["tokens_per_s"] is None


# ------------------------------------------------------------------------------------ lr


@pytest.mark.parametrize(
    ("words", "lr", "rule"),
    [
        ("char --set lr=3e-4 --set batch.B=256 --B 1024", 6e-4, "sqrt"),
        ("char --set lr=3e-4 --set batch.B=256 --B 1024 --scale linear", 1.2e-3, "linear"),
        ("char --set lr=3e-4 --set batch.B=256 --B 1024 --scale none", 3e-4, "none"),
        ("names --B 64", 0.2, "linear"),
        ("char --tokens 3072 --B 16", 2e-3, "sqrt"),
    ],
)
def test_lr_goes_with_tokens_a_step_by_the_optimizers_rule_or_the_asked_one(
    words: str, lr: float, rule: str, capsys: Shown
) -> None:
    told = plan(capsys, *words.split())
    assert (told["lr"], told["lr_rule"]) == (lr, rule)
    assert cli.main(["plan", *words.split()]) == 0
    said = " ".join(capsys.readouterr().out.split())
    changed = told["tokens_factor"] != 1
    assert ("the default is" in said) is changed
    assert ("arXiv" in said) is changed


# ------------------------------------------------------------------------------------ saving


def test_what_is_saved_is_the_plan(tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "out.toml"
    assert cli.main(["plan", "char", "--tokens", "12288", "--B", "24", "--world", "2", "--save", str(path)]) == 0
    said = capsys.readouterr().err
    before, after = presets.load("char").preset, presets.load(str(path)).preset
    assert presets.changes(before, after) == {
        "batch.B": (48, 24),
        "batch.accum": (1, 4),
        "optimizer.lr": (2e-3, 4e-3),
        "schedule.min_lr": (2e-4, 4e-4),
    }
    assert "--scale none keeps 0.002" in said
    assert "world = 2 is not in it" in said


def test_a_file_is_replaced_only_by_force_and_lost_comments_are_told(tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "mine.toml"
    text = "# mine\n[batch]\nB = 8 # few\nT = 16\n"
    path.write_text(text)
    told = refused(capsys, str(path), "--B", "4", "--save", str(path))
    assert "--force" in told
    assert "2 comments" in told
    assert path.read_text() == text
    assert cli.main(["plan", str(path), "--B", "4", "--scale", "none", "--save", str(path), "--force"]) == 0
    assert "2 comments lost" in capsys.readouterr().err
    assert presets.load(str(path)).preset.batch.B == 4


# ------------------------------------------------------------------------------------ steps and totals


def test_the_derivation_and_the_totals_are_told_and_are_data(capsys: Shown) -> None:
    told = plan(capsys, "gpt2-124m", "--T", "512", "--derive", "--totals")
    assert len(told["derivation"]) == 5
    assert "workbench fit gpt2-124m --set T=512" in told["derivation"][2]["sentence"]
    spaced = plan(capsys, "to-be", "--set", "sample.prompt=not to", "--derive")
    assert "workbench fit to-be --set 'sample.prompt=not to'" in spaced["derivation"][2]["sentence"]
    assert {"GPT-2": 524_288, "BERT": 131_072}.items() <= {t["model"]: t["tokens"] for t in told["totals"]}.items()
    assert cli.main(["plan", "gpt2-124m", "--derive"]) == 0
    assert "5  verify: 524,288 = B 16 · T 1,024 · accum 32 · world 1" in capsys.readouterr().out
    assert cli.main(["plan", "--totals"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(told["totals"])


def test_a_preset_from_stdin_and_no_torch(workbench: "Command") -> None:
    """As the screen would ask: one process, the preset on its stdin, JSON on its stdout."""
    asking = "import sys; from workbench.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    toml = presets.to_toml(presets.from_document(document(GPT), source="test"))
    file = workbench.folder / "stdin.toml"
    file.write_text(toml)
    with file.open() as stdin:
        ran = workbench("plan", "-", "--tokens", "128", "--json", python=("-c", asking), stdin=stdin)
    told, torch = ran.stdout.splitlines()
    assert json.loads(told)["accum"] == 2
    assert torch == "False"


def test_totals_alone_take_no_option_of_a_plan_and_beside_one_all_of_them(capsys: Shown, tmp_path: Path) -> None:
    assert cli.main(["plan", "--totals"]) == 0
    assert "524,288" in capsys.readouterr().out
    assert cli.main(["plan", "--totals", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "totals"
    for words, named in (
        ("--tokens 16384 --B 8", "--tokens, --B"), ("--world 2", "--world"), ("--set lr=0.1", "--set"),
        ("--T 8 --accum 2 --rate 5", "--T, --accum, --rate"), ("--scale none --derive", "--scale, --derive"),
        ("--save here.toml --force", "--save, --force"), ("--runs-dir here", "--runs-dir"),
    ):  # fmt: skip
        said = refused(capsys, "--totals", *words.split())
        assert sorted(said.partition(":")[2].partition(":")[0].split(", ")) == sorted(f" {named}".split(", ")), said
        assert "PRESET" in said
    assert not (tmp_path / "here.toml").exists()
    path = tiny(tmp_path / "tiny.toml")
    told = plan(capsys, path, "--totals", "--tokens", "64", "--T", "8", "--B", "4", "--set", "lr=0.01")
    assert (told["accum"], bool(told["totals"])) == (2, True)
