"""What the teaching texts on batches say, held against the program: one test for each claim.

Those that train for more than 20 seconds are marked `slow`. What the screen shows is tested where its panes are:
ON_THE_SCREEN names the tests.
"""

import ast
import json
import math
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import GPT, Train, document

from workbench import preset as presets
from workbench.data.batches import batch
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.embedded import markov_entropy_rate
from workbench.data.entropy import floors
from workbench.data.rows import Base, Rows
from workbench.plan import arithmetic, memory, parameters, scaling, totals
from workbench.plan.derivation import Measured, derivation
from workbench.plan.planner import Plan, solve, verdict
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.training.models import build
from workbench.training.step import losses_of


def shipped(name: str, *sets: str) -> Preset:
    return presets.load(name, sets=sets).preset


def corpus_of(preset: Preset) -> Corpus:
    return open_corpus(preset.data)


def headless(name: str, *arguments: str, runs: Path) -> list[dict[str, Any]]:
    """A whole run of a shipped preset, as a script sees it: the objects of --json."""
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "--headless", name, "--json", "--runs-dir", str(runs), *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def laboratory(*arguments: str) -> dict[str, Any]:
    """The last object of one of the laboratory's words."""
    done = subprocess.run(
        [sys.executable, "-m", "workbench", *arguments, "--json"], capture_output=True, text=True, check=True
    )
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def val_losses(events: list[dict[str, Any]]) -> dict[int, float]:
    return {e["step"]: e["val_loss"] for e in events if e["type"] == "eval"}


# ---------------------------------------------------------------------- examples that must run as printed


@pytest.mark.parametrize(
    ("name", "starts", "x", "y"),
    [
        (
            "to-be", [0, 2, 10, 2],
            ["To be or", " be or n", "ot to be", " be or n"], ["o be or ", "be or no", "t to be.", "be or no"],
        ),
        (
            "first-citizen", [80, 103, 23, 62],
            ["resolved", "than to ", "e procee", "peak. Yo"], ["esolved ", "han to f", " proceed", "eak. You"],
        ),
    ],
)  # fmt: skip
def test_the_two_sentences(name: str, starts: list[int], x: list[str], y: list[str]) -> None:
    preset = shipped(name)
    corpus = corpus_of(preset)
    n, p = corpus.splits["train"].n, preset
    assert (p.batch.T, p.batch.B) == (8, 4)
    assert n == {"to-be": 19, "first-citizen": 128}[name]
    rows = Rows(tokens=n, T=8, seed=p.seed)
    assert set(rows.offsets(0, 5_000).tolist()) == set(range(n - 8))  # to-be: 11 legal starts, 0 to 10
    given, asked = batch(corpus.splits["train"], np.array(starts), 8, None)
    assert [corpus.tokenizer.decode(row) for row in given] == x
    assert [corpus.tokenizer.decode(row) for row in asked] == y
    assert given.size == 32  # B·T = 4·8 predictions


def test_sequential_blocks() -> None:
    rows = Rows(tokens=10_000, T=1024, seed=1, order="sequential")
    first = rows.offsets(0, 4) + 1  # the text counts tokens from 1
    assert [(s, s + 1023) for s in first.tolist()] == [(1, 1024), (1025, 2048), (2049, 3072), (3073, 4096)]
    assert (rows.offsets(4, 1) + 1).tolist() == [4097]  # step 1 goes on at the fifth


def test_the_second_iteration_at_token_2_is_a_stride_of_one_not_a_batch_of_one() -> None:
    assert Rows(tokens=10_000, T=1024, seed=1, order="sequential", stride=1).offsets(0, 2).tolist() == [0, 1]
    assert Rows(tokens=10_000, T=1024, seed=1, order="sequential").offsets(0, 2).tolist() == [0, 1024]


def test_the_shakespeare_split_is_contiguous(test_data: Path) -> None:
    corpus = corpus_of(shipped("shakespeare", f"dataset={test_data / 'shakespeare.txt'}"))
    train, val = corpus.splits["train"], corpus.splits["val"]
    assert (train.n, val.n, corpus.tokenizer.vocab_size) == (1_003_854, 111_540, 65)
    text = (test_data / "shakespeare.txt").read_text()
    assert (
        corpus.tokenizer.decode(train.read(train.n - 50, 50)) + corpus.tokenizer.decode(val.read(0, 50))
        == (text[1_003_804:1_003_904])
    )


def test_gpt2_tokens_of_shakespeare(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(test_data / "tiktoken"))
    corpus = corpus_of(shipped("gpt2-124m", f"dataset={test_data / 'shakespeare.txt'}"))
    assert (corpus.splits["train"].n, corpus.splits["val"].n) == (304_222, 33_803)


@pytest.mark.parametrize(("name", "vocab"), [("shakespeare", 65), ("names", 27), ("gpt2-124m", 50_257)])
def test_the_loss_at_step_0_is_ln_V(name: str, vocab: int) -> None:
    small = ["model.layers=1", "model.width=64", "model.heads=1"] if name == "gpt2-124m" else []
    preset = shipped(name, *small)
    model = build(preset.model, vocab=vocab, T=preset.batch.T, seed=preset.seed)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(vocab, (64, min(preset.batch.T, 64)), generator=generator)
    y = torch.randint(vocab, x.shape if preset.model.kind == "gpt" else (64,), generator=generator)
    with torch.no_grad():
        loss = losses_of(model(x), y).mean().item()
    assert {65: 4.174, 27: 3.296, 50_257: 10.825}[vocab] == pytest.approx(math.log(vocab), abs=5e-4)
    assert loss == pytest.approx(math.log(vocab), abs=0.1 + 0.0002 * preset.model.width)


def test_predictions_per_step() -> None:
    b = shipped("shakespeare").batch
    assert arithmetic.tokens_per_step(B=b.B, T=b.T, accum=b.accum) == 4_096
    b = shipped("gpt2-124m").batch
    assert arithmetic.tokens_per_step(B=b.B, T=b.T, accum=b.accum) == 524_288


def test_names_in_examples_parameters_and_epochs(test_data: Path) -> None:
    preset = shipped("names", f"dataset={test_data / 'names.txt'}")
    corpus = corpus_of(preset)
    assert [corpus.splits[s].n for s in ("train", "val", "test")] == [182_625, 22_655, 22_866]
    items = parameters.itemise(preset.model, corpus.tokenizer.vocab_size, preset.batch.T)
    assert parameters.total(items) == 11_897
    weights = set()
    for name, epoch, seen in (
        ("names-b1", 182_625, 30_000),
        ("names", 5_707, 960_000),
        ("names-b64", 2_853, 1_920_000),
    ):
        p = shipped(name)
        per_step = arithmetic.tokens_per_step(B=p.batch.B, T=3, accum=1, layout="windows")
        assert int(arithmetic.steps_per_epoch(182_625, per_step)) == epoch
        assert p.schedule.steps * per_step == seen
        model = build(p.model, vocab=27, T=3, seed=p.seed)
        weights.add(b"".join(t.numpy().tobytes() for t in model.state_dict().values()))
        assert [lr_of(p, s) for s in (0, 19_999, 20_000, 29_999)] == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert len(weights) == 1  # the same initial weights for every B
    # "30,000 epochs" are 30,000 steps
    told = arithmetic.sentence(per_step=32, train=182_625, steps=30_000, unit="examples")
    assert "30,000 steps = 5.26 epochs" in told


@pytest.mark.parametrize(
    ("open_", "given", "found"),
    [
        ("accum", {"tokens": 32_768, "T": 256, "B": 16, "world": 1}, 8),
        ("tokens", {"B": 16, "T": 256, "accum": 8, "world": 1}, 32_768),
        ("accum", {"tokens": 16_384, "T": 512, "B": 8, "world": 1}, 4),
        ("tokens", {"B": 8, "T": 512, "accum": 4, "world": 1}, 16_384),
        ("accum", {"tokens": 524_288, "T": 1024, "B": 64, "world": 1}, 8),
        ("accum", {"tokens": 524_288, "T": 1024, "B": 16, "world": 1}, 32),
        ("accum", {"tokens": 524_288, "T": 1024, "B": 16, "world": 8}, 4),
        # "8 examples at once, not 128" for 16,384 tokens at T = 512: all at once would be 32
        ("B", {"tokens": 16_384, "T": 512, "accum": 1, "world": 1}, 32),
    ],
)
def test_the_product_is_solved_for_what_is_open(open_: str, given: dict[str, int], found: int) -> None:
    assert solve(given).numbers()[open_] == found


def test_the_derivation_from_scratch_has_five_steps() -> None:
    steps = derivation(Plan(B=16, T=256, accum=8), measured=Measured(largest=40, fastest=16))
    assert [step.title.split(",")[0] for step in steps] == ["T", "total", "B", "accum", "verify"]
    assert all(step.holds for step in steps)
    assert steps[3].figure == "32,768 / (B 16 · T 256 · world 1) = 8"
    # T comes before B: what fits depends on it, and a B that was not seen to fit does not pass.
    assert derivation(Plan(B=64, T=256, accum=8), measured=Measured(largest=40, fastest=16))[2].holds is False


def test_the_verdict_on_accum() -> None:
    told = {accum: verdict(accum, 12.0) for accum in (1, 2, 64, 65)}
    assert "none needed" in told[1]
    assert "usual" in told[2]
    assert "usual" in told[64]
    assert "slow" in told[65]
    assert "12 updates an hour" in told[65]


def test_lr_from_16k_to_64k_tokens() -> None:
    assert scaling.scaled_lr(3e-4, 4, "linear") == 1.2e-3
    assert scaling.scaled_lr(3e-4, 4, "sqrt") == 6e-4
    assert scaling.scaled_lr(3e-4, 4, "none") == 3e-4


@pytest.mark.slow
def test_all_at_once_small_and_accumulated_under_one_limit() -> None:
    """A, B and C of 32,768 tokens at T = 256, run for real; C in B's memory."""
    told = laboratory("fit", "char", "--set", "T=256", "--set", "model.layers=2", "--scenarios")
    a, b, c = told["scenarios"]
    assert [(s["B"], s["accum"], s["tokens_per_step"], s["state"]) for s in (a, b, c)] == [
        (128, 1, 32_768, "out-of-memory"), (8, 1, 2_048, "done"), (8, 16, 32_768, "done"),
    ]  # fmt: skip
    assert c["memory_bytes"] / b["memory_bytes"] < 1.05
    assert b["loss_spread"] > 2 * c["loss_spread"]  # √16 = 4 is expected; 16 steps tell it to about a fifth


# ---------------------------------------------------------------------- claims to mend


def test_the_totals_of_known_models_are_those_of_their_papers() -> None:
    """Not "GPT-2 used 32K to 64K tokens, BERT 256K"."""
    known = {total.model: total for total in totals.TOTALS}
    assert known["GPT-2"].tokens == 512 * 1024 == 524_288
    assert known["BERT"].tokens == 256 * 512 == 131_072
    assert next(total.tokens for name, total in known.items() if name.startswith("LLaMA")) == 4_000_000
    assert all(total.source for total in totals.TOTALS)


def test_a_larger_lr_for_a_larger_batch_is_a_rule_of_the_optimizer() -> None:
    """Linear is SGD's; for Adam the square root is the better default; none may be had."""
    assert scaling.default_rule("sgd") == "linear"
    assert scaling.default_rule("adamw") == "sqrt"
    assert set(scaling.RULES) == {"none", "linear", "sqrt"}
    for kind in ("sgd", "adamw", "muon"):
        assert "arXiv" in scaling.why(kind)


def test_runs_are_compared_at_equal_tokens_with_their_schedules_rescaled() -> None:
    preset = shipped("names")
    half = scaling.rescaled(preset, 0.5, scaling.lr_factor(2, "linear")).preset
    assert (half.schedule.steps, half.schedule.milestones, half.optimizer.lr) == (15_000, (10_000,), 0.2)
    warm = scaling.rescaled(shipped("shakespeare"), 0.25).preset.schedule
    assert (warm.steps, warm.warmup) == (1_250, 25)


@pytest.mark.slow
def test_a_size_fits_when_full_steps_ran_and_the_fastest_is_told_beside_the_largest() -> None:
    told = laboratory("fit", "char", "--set", "model.layers=2", "--set", "model.width=64", "--memory-limit", "60MiB")
    ran = {probe["B"]: probe for probe in told["probes"]}
    assert ran[told["largest"]["B"]]["fits"]
    assert not ran[told["next"]]["fits"]
    between = range(told["largest"]["B"] + 1, told["next"])
    assert all(ran[B]["close"] for B in between if B in ran)  # it ran, too near the limit to be named
    assert len(between) <= 3
    fitting = [probe for probe in told["probes"] if probe["fits"] and probe["tokens_per_s"]]
    assert told["fastest"]["tokens_per_s"] == max(probe["tokens_per_s"] for probe in fitting)


def test_two_hundred_thousand_parameters_are_804_096() -> None:
    items = parameters.itemise(shipped("shakespeare").model, 65, 64)
    assert parameters.total(items) == 804_096
    assert len(items) > 4
    assert sum(i.count for i in items) == 804_096


def test_lr_does_not_start_at_zero_and_ends_at_min_lr() -> None:
    p = shipped("shakespeare")
    assert lr_of(p, 0) == p.optimizer.lr / p.schedule.warmup
    assert lr_of(p, 99) == pytest.approx(1e-3)
    assert lr_of(p, 4_999) == p.schedule.min_lr == 1e-4
    assert lr_of(shipped("shakespeare", "schedule.warmup=0"), 0) == 1e-3


def test_optimizer_state_is_twice_the_weights_for_adamw_and_nothing_for_sgd() -> None:
    def bytes_of(*sets: str) -> dict[str, int]:
        items = memory.estimate(shipped("shakespeare", *sets), 65, precision="fp32")
        return {i.name: i.count for i in items}

    adamw, sgd = bytes_of(), bytes_of("optimizer.kind=sgd")
    state = next(name for name in adamw if "optimizer" in name)
    weights = next(name for name in adamw if "weights" in name)
    assert adamw[state] == 2 * adamw[weights] == 2 * 4 * 804_096
    assert sgd.get(state, 0) == 0


def test_clipping_binds_on_nearly_every_step_of_a_small_model(train: Train) -> None:
    """So it is a cap on the learning rate too; the records say on which steps."""
    r = train(document(GPT, optimizer__clip=0.1)).records
    assert ((r["flags"] & 1 > 0) == (r["grad_norm"] > 0.1)).all()
    assert (r["flags"] & 1).mean() > 0.9


def test_streams_are_split_by_their_tail_and_names_by_shuffled_lines(test_data: Path) -> None:
    assert shipped("shakespeare").data.split == "tail"
    preset = shipped("names", f"dataset={test_data / 'names.txt'}")
    corpus = corpus_of(preset)
    lines = [corpus.tokenizer.decode(s.read(0, s.n)).splitlines() for s in corpus.splits.values()]
    names = (test_data / "names.txt").read_text().splitlines()
    assert sorted(name for part in lines for name in part) == sorted(names)
    assert lines[0][:5] != names[:5]


def test_random_rows_overlap_and_sequential_ones_do_not() -> None:
    def overlapping(order: str) -> int:
        starts = np.sort(Rows(tokens=10_000, T=64, seed=1, order=order, base=Base()).offsets(0, 64))  # type: ignore[arg-type]
        return int((np.diff(starts) < 64).sum())

    assert overlapping("random") > 10
    assert overlapping("sequential") == overlapping("shuffled") == 0


# ---------------------------------------------------------------------- what the screen settles


ON_THE_SCREEN = {
    "the two sentences, typed, with their row starts": "test_batch.py::"
    "test_a_typed_sentence_and_typed_starts_show_the_printed_rows",
    "rows may overlap and repeat: marked": "test_batch.py::"
    "test_overlaps_and_repeats_are_counted_and_a_start_without_room_is_refused",
    "each GPU takes a chunk: every rank's slice": "test_batch.py::test_a_simulated_world_shows_every_ranks_slice",
    "a step is several micro-batches: told apart": "test_step.py::test_micro_batches_of_a_real_worker_fill_their_boxes",
    "losses 2.5, 2.3, 2.4: mean and sum; norms divided and undivided": "test_step.py::"
    "test_three_losses_make_a_mean_and_their_gradients_are_told_divided_and_undivided",
    "only batch norm breaks accumulation: dropout too": "test_step.py::"
    "test_where_splitting_changes_the_result_it_is_said",
    "six lines of loop: its own are shown": "test_loop_lines.py::test_the_lines_are_the_sources_own",
    "the clip coefficient": "test_step.py::test_the_update_is_told_with_its_clip_coefficient",
    "the share of clipped steps": "test_gallery.py::test_a_run_has_its_curves_its_validation_and_its_marks",
    "the schedule is drawn, and floors beside the loss": "test_gallery.py::"
    "test_before_a_run_there_are_floors_the_plan_and_what_to_do",
    "steps and epochs, both": "test_consequences.py::test_the_figures_are_those_of_the_plan",
    "why the split is not shuffled": "test_corpus_facts.py::test_the_tail_says_why_it_is_not_shuffled",
    "runs compared by steps, tokens or seconds": "test_charts.py::test_smoothing_axis_and_log",
}


@pytest.mark.parametrize("claim", ON_THE_SCREEN)
def test_what_the_screen_settles_has_its_test(claim: str) -> None:
    file, _, name = ON_THE_SCREEN[claim].partition("::")
    module = ast.parse((Path(__file__).parent / "screen" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_sentence_says_what_nobody_has_measured_and_a_step_is_called_a_step() -> None:
    """No folklore about batch sizes, and no `iteration`, which some take for a step and some for a micro-batch."""
    never = re.compile(r"iteration|overfit|generali[sz]|unstable|regulari[sz]|too (small|large) a batch", re.IGNORECASE)
    for path in (Path(presets.__file__).parents[1]).rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        told = [
            node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in told if never.search(text)], path


# ---------------------------------------------------------------------- figures


def test_markov_comes_to_its_exact_entropy_rate(tmp_path: Path) -> None:
    losses = val_losses(headless("markov", runs=tmp_path))
    final = losses[max(losses)]
    # 100,000 targets, whose losses have a standard deviation of about 0.75: 0.0024 is one standard error.
    assert markov_entropy_rate() - 3 * 0.0024 < final < markov_entropy_rate() + 0.01


@pytest.mark.slow
def test_char_beats_every_trigram(tmp_path: Path) -> None:
    losses = val_losses(headless("char", runs=tmp_path))
    assert losses[max(losses)] < floors(corpus_of(shipped("char"))).trigram


@pytest.mark.slow
@pytest.mark.parametrize(("name", "figure", "within"), [("names-b1", 2.376, 0.03), ("names", 2.145, 0.01),
                                                       ("names-b64", 2.135, 0.01)])  # fmt: skip
def test_names_for_three_batch_sizes(test_data: Path, tmp_path: Path, name: str, figure: float, within: float) -> None:
    losses = val_losses(headless(name, "--set", f"dataset={test_data / 'names.txt'}", runs=tmp_path))
    assert losses[30_000] == pytest.approx(figure, abs=within)


@pytest.mark.slow
def test_shakespeare_is_no_worse_than_the_reference(test_data: Path, tmp_path: Path) -> None:
    """nanoGPT on the same settings: 2.004, 1.781, 1.623, 1.565, 1.530. About 45 minutes on two cores."""
    reference = {500: 2.004, 1000: 1.781, 2000: 1.623, 3000: 1.565, 5000: 1.530}
    seeds = os.environ.get("WORKBENCH_SEEDS", "1 2 3").split()
    runs = []
    for seed in seeds:
        events = headless(
            "shakespeare", "--set", f"dataset={test_data / 'shakespeare.txt'}", "--set", f"seed={seed}", runs=tmp_path
        )
        assert next(e["params"] for e in events if e["type"] == "start") == 804_096
        runs.append(val_losses(events))
        assert runs[-1][0] == pytest.approx(4.17, abs=0.13)
    for step, loss in reference.items():
        assert statistics.median(run[step] for run in runs) <= loss + 0.03
    assert math.exp(statistics.median(run[5000] for run in runs)) == pytest.approx(4.6, abs=0.15)
