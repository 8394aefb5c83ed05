"""B·T·accum·world, epochs, and the sentence under the knobs, on the figures that lessons quote."""

import pytest

from workbench.plan.arithmetic import epochs, rounded, sentence, steps_per_epoch, tokens_per_step, unit


@pytest.mark.parametrize(
    ("B", "T", "accum", "world", "layout", "tokens"),
    [
        (64, 64, 1, 1, "stream", 4096),
        (16, 256, 8, 1, "stream", 32_768),
        (8, 256, 16, 1, "stream", 32_768),
        (8, 512, 4, 1, "stream", 16_384),
        (16, 1024, 32, 1, "stream", 524_288),
        (32, 64, 1, 2, "stream", 4096),
        (32, 3, 1, 1, "windows", 32),
        (8, 3, 4, 2, "windows", 64),
    ],
)
def test_tokens_per_step(B: int, T: int, accum: int, world: int, layout: str, tokens: int) -> None:
    assert tokens_per_step(B=B, T=T, accum=accum, world=world, layout=layout) == tokens


def test_epochs_of_the_lessons() -> None:
    assert epochs(5000, 1_003_854, 4096) == pytest.approx(20.4, abs=0.005)
    assert epochs(30_000, 182_625, 32) == pytest.approx(5.26, abs=0.005)
    assert int(steps_per_epoch(182_625, 32)) == 5707
    assert int(steps_per_epoch(182_625, 64)) == 2853


def test_the_sentence_of_the_design() -> None:
    said = sentence(per_step=4096, train=1_003_854, steps=5000, unit="characters")
    assert said == "each step reads 4,096 characters, 0.4% of the text; 5,000 steps = 20.4 epochs"


@pytest.mark.parametrize(
    ("per_step", "train", "steps", "unit", "said"),
    [
        (
            32,
            19,
            200,
            "characters",
            "each step reads 32 characters, 168% of the text; 200 steps = 337 epochs",
        ),
        (
            1,
            182_625,
            1,
            "examples",
            "each step reads 1 example, less than 0.1% of the text; 1 step = less than 0.001 epochs",
        ),
        (50, 100, 2, "bytes", "each step reads 50 bytes, 50% of the text; 2 steps = 1 epoch"),
        (
            524_288,
            304_222,
            10_000,
            "tokens",
            "each step reads 524,288 tokens, 172% of the text; 10,000 steps = 17,234 epochs",
        ),
    ],
)
def test_the_sentence_at_odd_sizes(per_step: int, train: int, steps: int, unit: str, said: str) -> None:
    assert sentence(per_step=per_step, train=train, steps=steps, unit=unit) == said


def test_figures_keep_three_digits_and_never_an_exponent() -> None:
    figures = [5.2567, 20.388, 0.16427, 999.4, 999.6, 12345.6, 0.0004]
    said = ["5.26", "20.4", "0.164", "999", "1,000", "12,346", "less than 0.001"]
    assert [rounded(figure) for figure in figures] == said


def test_units_are_those_of_the_tokenizer() -> None:
    assert [unit(name) for name in ("char", "byte", "gpt2", "bpe:1024")] == [
        "characters",
        "bytes",
        "tokens",
        "tokens",
    ]
    assert unit("char", "windows") == "examples"
