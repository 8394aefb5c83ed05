"""Runs side by side: groups, labels, verdicts against the spread of seeds, and the common x of unequal runs."""

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab.made_runs import made, preset
from workbench.errors import UsageError
from workbench.lab import labels, overlay
from workbench.lab.compare import XS, compare
from workbench.lab.spread import spread, student
from workbench.preset import Preset
from workbench.words import compare as word

if TYPE_CHECKING:
    from conftest import Command


def batch(B: int, seed: int = 1, **more: Any) -> Preset:
    return preset(batch__B=B, seed=seed, name=f"b{B}-s{seed}", **more)


def seeded(folder: Path, B: int, finals: list[float], steps: int = 100, **more: Any) -> list[Path]:
    """Runs of one setting, a seed each, whose validation losses these are."""
    return [
        made(folder, batch(B, seed), [3.0] * steps, val={0: 3.3, steps: final}, weights=f"w{seed}", **more)
        for seed, final in enumerate(finals)
    ]


# ------------------------------------------------------------------------------------------ the spread


def test_students_factors() -> None:
    assert [student(n) for n in (1, 2, 4, 11, 25, 1000)] == [12.706, 4.303, 2.776, 2.228, 2.086, 2.000]


def test_the_spread_is_exceeded_in_one_of_twenty_draws() -> None:
    """Groups with one mean: their gap is over the spread in 5% of draws, whatever the number of seeds."""
    random = np.random.default_rng(0)
    for n, m in ((2, 2), (3, 3), (5, 2)):
        drawn = random.standard_normal((4_000, n + m))
        over = [abs(d[:n].mean() - d[n:].mean()) > (spread(d[:n].tolist(), d[n:].tolist()) or 0) for d in drawn]
        assert statistics.fmean(over) == pytest.approx(0.05, abs=0.012)


def test_one_seed_has_no_spread() -> None:
    assert spread([1.0], [1.0, 2.0]) is None
    assert spread([1.0, 1.0], [2.0, 2.0]) == 0


# ------------------------------------------------------------------------------------------ labels


def test_labels_name_what_differs_and_nothing_else() -> None:
    given = [labels.flat(p) for p in (batch(1), batch(32, 2), batch(32, 3, optimizer__lr=0.01))]
    assert labels.labels(given) == ["B=1 lr=0.002", "B=32 lr=0.002", "B=32 lr=0.01"]
    assert labels.differing(given) == ["batch.B", "optimizer.lr"]
    rescaled = [batch(1), batch(2, schedule__steps=50, eval__every=5)]
    assert labels.labels([labels.flat(p) for p in rescaled]) == ["B=1", "B=2"]  # the axis shows the rest
    longer = [batch(1), batch(1, schedule__steps=50)]
    assert labels.labels([labels.flat(p) for p in longer]) == ["steps=100", "steps=50"]
    assert labels.labels([labels.flat(batch(1)), labels.flat(batch(1, 7))]) == ["", ""]


def test_min_lr_that_goes_with_lr_is_not_named() -> None:
    both = preset(optimizer__lr=0.004, schedule__min_lr=2 * preset().schedule.min_lr)
    assert labels.differing([labels.flat(preset()), labels.flat(both)]) == ["optimizer.lr"]
    one = preset(optimizer__lr=0.004)
    assert labels.differing([labels.flat(preset()), labels.flat(both), labels.flat(one)]) == [
        "optimizer.lr", "schedule.min_lr",
    ]  # fmt: skip


def test_no_escape_sequence_gets_into_a_label() -> None:
    text = labels.written("\x1b[31mred")
    assert "\x1b" not in text
    assert labels.written("/somewhere/names.txt") == "names"
    assert labels.slug("B=32 lr=0.1") == "B32_lr0_1"


# ------------------------------------------------------------------------------------------ verdicts


def verdicts_of(paths: list[Path], x: Any = "steps") -> dict[tuple[str, str, bool], str]:
    return {(v.a, v.b, v.at is None): v.verdict for v in compare(paths, x).verdicts}


def test_a_gap_inside_the_spread_is_noise_and_one_outside_is_told(tmp_path: Path) -> None:
    runs = [
        *seeded(tmp_path, 1, [2.50, 2.52, 2.48]),
        *seeded(tmp_path, 2, [2.00, 2.03, 1.98]),
        *seeded(tmp_path, 4, [2.01, 1.99, 2.02]),
    ]
    c = compare(runs)
    assert [(g.label, len(g.runs), g.median("val_loss")) for g in c.groups] == [
        ("B=1", 3, 2.50), ("B=2", 3, 2.00), ("B=4", 3, 2.01),
    ]  # fmt: skip
    assert c.at is None
    assert verdicts_of(runs) == {
        ("B=2", "B=1", True): "lower by 0.4967", ("B=4", "B=1", True): "lower by 0.4933",
        ("B=2", "B=4", True): "within noise",
    }  # fmt: skip
    told = c.figures()
    assert told["gap_B1_B2"] == pytest.approx(2.5 - 2.01 + 0.02 / 3)
    assert told["val_loss_B2"] == 2.0
    assert told["weights_equal"] == 1
    assert told["spread_B1_B2"] == pytest.approx(spread([2.5, 2.52, 2.48], [2.0, 2.03, 1.98]))


def test_one_seed_is_neither_within_noise_nor_lower(tmp_path: Path) -> None:
    runs = [*seeded(tmp_path, 1, [2.5]), *seeded(tmp_path, 2, [2.0, 2.1])]
    c = compare(runs)
    assert [v.verdict for v in c.verdicts] == ["one seed: no spread measured"]
    text = "\n".join([*word.table(c), *word.verdicts(c), *c.sentences])
    assert "B=2 is 0.4500 under B=1; one seed: no spread measured" in text
    assert "within noise" not in text
    assert "better" not in text


def test_a_gap_of_nothing_is_told_in_words_and_not_as_a_figure(tmp_path: Path) -> None:
    equal, above = [*seeded(tmp_path, 1, [2.0]), *seeded(tmp_path, 2, [2.0])], seeded(tmp_path, 4, [2.00001])
    (line,) = word.verdicts(compare(equal))
    assert line.endswith("B=1 equals B=2; one seed: no spread measured")
    (line,) = word.verdicts(compare([equal[0], *above]))
    assert "B=1 is less than 0.0001 under B=4" in line
    exact = [*seeded(tmp_path, 1, [2.0] * 3), *seeded(tmp_path, 2, [2.0] * 3), *seeded(tmp_path, 4, [2.00001] * 3)]
    c = compare(exact)
    text = "\n".join([*word.verdicts(c), *(v.verdict for v in c.verdicts)])
    assert "B=1 equals B=2" in text
    assert "B=1 is less than 0.0001 under B=4: more than noise (spread 0)" in text
    assert "lower by less than 0.0001" in text
    assert "0.0000" not in text


def test_a_second_run_of_a_seed_is_no_second_draw(tmp_path: Path) -> None:
    twice = [*seeded(tmp_path, 1, [2.5]), *seeded(tmp_path, 1, [2.5]), *seeded(tmp_path, 2, [2.0])]
    c = compare(twice)
    assert len(c.groups[0].sound) == 1
    shorter = seeded(tmp_path, 1, [2.4], steps=10)
    assert compare([*shorter, *twice[1:]]).at is None  # the run that does not count ends nobody's comparison
    assert any("more than one run of a seed" in sentence for sentence in c.sentences)
    assert c.verdicts[0].spread is None


def test_a_run_without_a_step_takes_no_other_runs_place(tmp_path: Path) -> None:
    there, begun = *seeded(tmp_path, 1, [2.5]), made(tmp_path, batch(1), [], state="running")
    for x in XS:
        with pytest.raises(UsageError, match="made no step yet"):
            compare([there, begun], x)


def test_labels_that_read_alike_keep_their_own_figures(tmp_path: Path) -> None:
    paths = [
        made(tmp_path, batch(1, optimizer__lr=lr), [3.0] * 100, val={100: loss})
        for lr, loss in ((0.12341, 2.5), (0.12342, 2.0))
    ]
    for slugs in ({}, dict.fromkeys(paths, "lr0_1234")):
        c = compare(paths, slugs=slugs)
        ends = [value for name, value in c.figures().items() if name.startswith("val_loss_")]
        assert sorted(ends) == [2.0, 2.5]
        assert len({g.label for g in c.groups}) == 2


def test_runs_that_broke_are_told_and_left_out(tmp_path: Path) -> None:
    broken = made(tmp_path, batch(8), [3.0] * 7, val={0: 3.3}, state="diverged")
    c = compare([*seeded(tmp_path, 1, [2.5]), broken])
    assert c.verdicts == []
    assert any("B=8 seed 1: diverged after 7 steps; left out" in sentence for sentence in c.sentences)
    assert "B=8 (diverged)" in "\n".join(word.table(c))
    assert c.at is None


def test_a_validation_loss_of_an_earlier_step_says_so(tmp_path: Path) -> None:
    stopped = made(tmp_path, batch(8), [3.0] * 70, val={0: 3.3, 50: 2.4}, state="stopped")
    told = compare([*seeded(tmp_path, 1, [2.5]), stopped]).sentences
    assert [s for s in told if "validation loss is that" in s] == [
        "B=8 seed 1: its validation loss is that of step 50, 20 before its last"
    ]


def test_unequal_weights_and_other_texts_are_told(tmp_path: Path) -> None:
    runs = [*seeded(tmp_path, 1, [2.5, 2.5]), *seeded(tmp_path, 2, [2.0, 2.0], fingerprint="other")]
    assert all("do not compare" in v.verdict for v in compare(runs).verdicts)
    other = made(tmp_path, batch(4, 1), [3.0] * 100, val={100: 2.0}, weights="another")
    told = compare([*runs, other])
    assert told.figures()["weights_equal"] == 0
    assert any("NOT equal" in sentence for sentence in told.sentences)
    silent = [made(tmp_path, batch(B), [3.0] * 100, val={100: 2.0}, weights=None) for B in (1, 2)]
    assert "weights_equal" not in compare(silent).figures()


def test_runs_of_unequal_extent_are_also_compared_at_the_common_x(tmp_path: Path) -> None:
    """By examples B = 1 ends at 6,400, where B = 4 had done 25 of its steps: training losses there are compared."""
    short = made(tmp_path, batch(1), np.linspace(3, 2, 100).tolist(), val={0: 3.3, 100: 2.0})
    longer = made(tmp_path, batch(4), np.linspace(3, 1, 100).tolist(), val={0: 3.3, 100: 1.0})
    assert compare([short, longer], "steps").at is None
    c = compare([short, longer], "tokens")
    assert c.at == 100 * c.runs[0].preset.batch.T
    (end,) = [v for v in c.verdicts if v.at is None]
    (there,) = [v for v in c.verdicts if v.at is not None]
    assert (end.a, end.metric, end.gap) == ("B=4", "val_loss", 1.0)
    assert (there.a, there.metric) == ("B=1", "loss")
    means = np.linspace(3, 2, 100)[90:].mean(), np.linspace(3, 1, 100)[22:25].mean()
    assert there.gap == pytest.approx(means[1] - means[0])
    assert any("B=4 was in the middle of a longer schedule" in sentence for sentence in c.sentences)
    dense = made(tmp_path, batch(4, 2), [3.0] * 100, val={step: 3 - step / 100 for step in range(0, 101, 5)})
    (there,) = [v for v in compare([short, dense], "tokens").verdicts if v.at is not None]
    assert (there.metric, there.gap) == ("val_loss", pytest.approx(2.75 - 2.0))


def test_rounding_to_whole_steps_is_no_other_extent(tmp_path: Path) -> None:
    runs = [made(tmp_path, batch(B), [3.0] * steps, val={steps: 2.0}) for B, steps in ((1, 100), (7, 14))]
    assert compare(runs, "tokens").at is None


def test_an_edited_run_is_no_seed_of_the_others(tmp_path: Path) -> None:
    edited = made(tmp_path, batch(1, 2), [3.0] * 100, val={100: 2.0}, edits={50: {"optimizer.lr": 0.01}})
    c = compare([*seeded(tmp_path, 1, [2.5, 2.4]), edited])
    assert [len(g.runs) for g in c.groups] == [2, 1]
    assert "edited" in c.groups[1].label


def test_flops_are_an_axis_too(tmp_path: Path) -> None:
    runs = [*seeded(tmp_path, 1, [2.5]), *seeded(tmp_path, 4, [2.0])]
    c = compare(runs, "flops")
    assert c.at == c.groups[0].median("flops")
    assert c.unit == "FLOPs"
    empty = made(tmp_path, batch(9), [])
    with pytest.raises(UsageError, match="no step yet"):
        compare([*runs, empty], "flops")
    with pytest.raises(UsageError, match="is not a run"):
        compare([tmp_path])


# ------------------------------------------------------------------------------------------ as it is shown


def test_the_curves_are_means_of_columns_over_all_seeds(tmp_path: Path) -> None:
    a = made(tmp_path, batch(1, 1), [4.0] * 50 + [2.0] * 50, val={100: 2.0})
    b = made(tmp_path, batch(1, 2), [5.0] * 50 + [1.0] * 50, val={100: 1.0})
    other = made(tmp_path, batch(2, 1), [3.0] * 100, val={100: 3.0})
    c = compare([a, b, other], "tokens")
    x, (first, second) = overlay.curves(c, 4)
    assert (x[0] * 8).tolist() == c.runs[2].figures["tokens"]
    assert first[:2] == pytest.approx([4.5, 1.5], abs=0.1)  # it ends where B = 2 is halfway
    assert np.isnan(first[3])
    assert second == pytest.approx(3.0)
    lines = overlay.chart(c, width=80)
    assert all(len(line) <= 80 for line in lines)
    assert any("B=1" in line for line in lines)
    assert any("B=2" in line for line in lines)


def test_a_narrow_table_keeps_the_losses(tmp_path: Path) -> None:
    c = compare([*seeded(tmp_path, 1, [2.5]), *seeded(tmp_path, 4, [2.0])])
    wide, narrow = word.table(c), word.table(c, 79)
    assert max(map(len, wide)) > 79 >= max(map(len, narrow))
    assert "val " in narrow[0]
    assert "2.5000" in narrow[1]


def test_the_word_tells_json(tmp_path: Path, workbench: "Command") -> None:
    runs = [*seeded(workbench.runs, 1, [2.5, 2.6]), *seeded(workbench.runs, 4, [2.0, 2.1])]
    told = workbench("compare", *(run.name for run in runs), "--x", "tokens", "--json")
    assert told.returncode == 0, told.stderr
    (line,) = told.stdout.splitlines()
    document = json.loads(line)
    assert document["type"] == "compare"
    assert document["differing"] == ["batch.B"]
    assert [run["set"] for run in document["runs"]] == [{"batch.B": 1}] * 2 + [{"batch.B": 4}] * 2
    assert document["runs"][0]["weights"] == "w0"
    assert all(isinstance(value, int | float) for value in document["figures"].values())
    text = workbench("compare", *(run.name for run in runs))
    assert "B=4" in text.stdout
    assert "\x1b" not in text.stdout
    refused = workbench("compare", "nothing")
    assert refused.returncode == 2
    assert "no run named" in refused.stderr
