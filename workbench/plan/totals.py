"""Tokens a step that known models were trained with, each with where that is written.

A rounded figure of a paper is given as the paper has it ("0.5M"); `exact` says which are counted out.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Total:
    """What one model took a step: `tokens` are targets. `how` is the product, or the paper's own words."""

    model: str
    tokens: int
    how: str
    source: str
    exact: bool = True


TOTALS: tuple[Total, ...] = (
    Total("makemore MLP (names)", 32, "32 examples, one target each", "nn-zero-to-hero, makemore part 2, notebook"),
    Total("nanoGPT Shakespeare, on a CPU", 768, "12 × 64", "nanoGPT, README.md: --batch_size=12 --block_size=64"),
    Total("nanoGPT Shakespeare", 16_384, "64 × 256", "nanoGPT, config/train_shakespeare_char.py"),
    Total("Transformer (2017)", 25_000, "25,000 target tokens", "Vaswani et al., arXiv:1706.03762, 5.1", exact=False),
    Total("T5 (baseline)", 65_536, "128 × 512", "Raffel et al., arXiv:1910.10683, 3.1.2"),
    Total("BERT", 131_072, "256 × 512", "Devlin et al., arXiv:1810.04805, appendix A.2"),
    Total("nanoGPT GPT-2 124M", 491_520, "12 × 1,024 × 5 × 8 GPUs", "nanoGPT, config/train_gpt2.py"),
    Total("GPT-3 Small, 125M", 500_000, "0.5M", "Brown et al., arXiv:2005.14165, table 2.1", exact=False),
    Total("GPT-2", 524_288, "512 × 1,024", "Radford et al. 2019, 2.3"),
    Total("nanochat, depth 12", 524_288, "2^19", "nanochat, scripts/base_train.py: B_REF"),
    Total("Chinchilla, 70B, at first", 1_500_000, "1.5M", "Hoffmann et al., arXiv:2203.15556, table 4", exact=False),
    Total("Pythia, 70M to 12B", 2_097_152, "1,024 × 2,048", "Biderman et al., arXiv:2304.01373, on training"),
    Total("Chinchilla, 70B, later", 3_000_000, "3M", "Hoffmann et al., arXiv:2203.15556, table 4", exact=False),
    Total("GPT-3, 175B", 3_200_000, "3.2M", "Brown et al., arXiv:2005.14165, table 2.1", exact=False),
    Total("LLaMA, 7B to 65B", 4_000_000, "4M", "Touvron et al., arXiv:2302.13971, table 2", exact=False),
)
"""By tokens, the smallest first. They say what was used, not what a model of yours needs."""


def nearest(tokens: int) -> Total:
    """The one whose total is nearest by ratio; of several as near, the first that is counted out."""
    return min(TOTALS, key=lambda t: (max(t.tokens / tokens, tokens / t.tokens), not t.exact))
