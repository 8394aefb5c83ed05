"""The three models: gpt, mlp, bigram. Each maps x, (B, T) ids, to logits over the vocabulary of V tokens.

    gpt     (B, T) -> (B, T, V)   GPT-2 as nanoGPT builds it
    mlp     (B, T) -> (B, V)      Bengio et al. (2003) as makemore builds it: a fixed context of T tokens
    bigram  (B, T) -> (B, T, V)   a table: the next token's logits, given this one's

Initial weights are drawn on the CPU in fp32 from a generator of the model's own, seeded by the run's seed, so
they are the same whatever the device, the threads, the precision or the batch size.
"""

import hashlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.data.counter import key_of
from workbench.preset import ModelTable

_INIT, _DROPOUT = 3, 4  # the purposes that keep these draws apart from each other, and from those of rows
_WHOLE = 2**17
"""Values of a tensor that are hashed one by one: half a gigabyte of weights would take 0.6 s, this takes 0.1."""


def build(table: ModelTable, *, vocab: int, T: int, seed: int, attention: str = "sdpa") -> "Model":
    """The model of a preset, in fp32 on the CPU; `T` is the longest row it must take.

    `attention` is sdpa or plain (workbench.plan.attention): the same function, by other kernels.
    """
    generator = torch.Generator().manual_seed(key_of(seed, _INIT))
    model: Model
    if table.kind == "gpt":
        model = GPT(table, vocab, T, plain=attention == "plain")
    elif table.kind == "mlp":
        model = MLP(table, vocab, T)
    else:
        model = Bigram(vocab)
    model.initialise(generator)
    return model


def drops(table: ModelTable) -> bool:
    """Whether a step draws what it drops, so that it needs `seed_dropout`."""
    return table.kind == "gpt" and table.dropout > 0


def seed_dropout(seed: int, step: int, rank: int = 0) -> None:
    """Have dropout draw its masks by the step's number: a resume draws those of the run, and a trial too."""
    torch.manual_seed(key_of(seed, _DROPOUT, step, rank))


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of the parameters, in order: each one's name, shape and fp32 bytes.

    Of a tensor with more than 131,072 values: the sum of all bit patterns, two values each, and evenly spaced values.
    """
    told = hashlib.sha256()
    for name, parameter in model.named_parameters():
        values = parameter.detach().float().contiguous().view(-1)
        told.update(f"{name} {tuple(parameter.shape)}\n".encode())
        if values.numel() > _WHOLE:
            n = values.numel()
            bits = int(values[: n // 2 * 2].view(torch.int64).sum().item())
            told.update(bits.to_bytes(8, "little", signed=True))
            values = torch.cat([values[:: -(-n // _WHOLE)], values[-1:]])
        told.update(values.cpu().numpy().tobytes())
    return told.hexdigest()


class Model(nn.Module):
    """What every model has beside `forward`: its own initialisation, and which weights Muon may take."""

    def initialise(self, generator: torch.Generator) -> None:
        raise NotImplementedError

    def block_matrices(self) -> list[nn.Parameter]:
        """The hidden layers' matrices: Muon takes these, AdamW takes the rest."""
        return []


# ---------------------------------------------------------------------------------------------- gpt


class GPT(Model):
    """Pre-norm, learned positions, tied embeddings, GELU, residual projections scaled at initialisation."""

    def __init__(self, table: ModelTable, vocab: int, context: int, *, plain: bool = False) -> None:
        super().__init__()
        self.context = context
        self.token_embedding = nn.Embedding(vocab, table.width)
        self.position_embedding = nn.Embedding(context, table.width)
        self.dropout = nn.Dropout(table.dropout)
        self.blocks = nn.ModuleList(Block(table) for _ in range(table.layers))
        self.norm = nn.LayerNorm(table.width, bias=table.bias)
        self.register_buffer("positions", torch.arange(context), persistent=False)
        self.positions: Tensor
        future = torch.full((1, context, context), -torch.inf).triu(1) if plain else None
        self.register_buffer("future", future, persistent=False)
        self.future: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        future = None if self.future is None else self.future[:, :T, :T]
        h = self.token_embedding(x) + self.position_embedding(self.positions[:T])  # (B, T, width)
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h, future)
        return head(self.norm(h), self.token_embedding.weight, FILLED_UP if x.is_cuda else 1)  # tied to the embedding

    def initialise(self, generator: torch.Generator) -> None:
        residual = 0.02 / math.sqrt(2 * len(self.blocks))
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:  # norms' gains stay 1, biases 0
                nn.init.ones_(parameter) if name.endswith("norm.weight") else nn.init.zeros_(parameter)
            else:
                std = residual if name.endswith("project.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)

    def block_matrices(self) -> list[nn.Parameter]:
        return [p for p in self.blocks.parameters() if p.dim() == 2]


FILLED_UP = 64
"""On a card the vocabulary is multiplied as if it had a multiple of so many tokens: products of odd sizes leave its
matrix units half idle. 96 to 93 ms a step of GPT-2 on an A100, says nanoGPT's author; not measured here."""


def head(h: Tensor, weight: Tensor, multiple: int) -> Tensor:
    """Logits (…, V) of h, (…, width), for embeddings `weight`, (V, width), filled up with zeros for the product."""
    spare = -len(weight) % multiple
    if not spare:
        return F.linear(h, weight)
    return F.linear(h, F.pad(weight, (0, 0, 0, spare)))[..., : len(weight)]


class Block(nn.Module):
    def __init__(self, table: ModelTable) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(table.width, bias=table.bias)
        self.attention = Attention(table)
        self.feed_forward_norm = nn.LayerNorm(table.width, bias=table.bias)
        self.feed_forward = FeedForward(table)

    def forward(self, h: Tensor, future: Tensor | None = None) -> Tensor:
        h = h + self.attention(self.attention_norm(h), future)
        h = h + self.feed_forward(self.feed_forward_norm(h))
        return h  # noqa: RET504 - the two lines are the block


class Attention(nn.Module):
    """Causal self-attention: position t sees positions 0 … t."""

    def __init__(self, table: ModelTable) -> None:
        super().__init__()
        self.heads = table.heads
        self.query_key_value = nn.Linear(table.width, 3 * table.width, bias=table.bias)
        self.project = nn.Linear(table.width, table.width, bias=table.bias)
        self.p = table.dropout
        self.dropout = nn.Dropout(table.dropout)

    def forward(self, h: Tensor, future: Tensor | None = None) -> Tensor:
        """`future`, (1, T, T), is -inf where a position must not look, for plain attention; None for sdpa."""
        B, T, width = h.shape
        q, k, v = (
            part.view(B, T, self.heads, width // self.heads).transpose(1, 2)  # (B, heads, T, width / heads)
            for part in self.query_key_value(h).split(width, dim=2)
        )
        p = self.p if self.training else 0.0
        if future is None:
            seen = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        else:
            seen = _plainly(q, k, v, future, p)
        out: Tensor = self.dropout(self.project(seen.transpose(1, 2).reshape(B, T, width)))
        return out


def _plainly(q: Tensor, k: Tensor, v: Tensor, future: Tensor, p: float) -> Tensor:
    """softmax(q·kᵀ / √size, the future masked)·v, head by head: (B, heads, T, size)."""
    B, heads, T, size = q.shape
    q, k, v = (part.reshape(B * heads, T, size) for part in (q, k, v))
    scores = torch.baddbmm(future, q, k.transpose(1, 2), alpha=size**-0.5)  # (B·heads, T, T)
    weights = torch.softmax(scores, dim=-1)
    if p:
        weights = F.dropout(weights, p)
    return (weights @ v).view(B, heads, T, size)


class FeedForward(nn.Module):
    def __init__(self, table: ModelTable) -> None:
        super().__init__()
        self.expand = nn.Linear(table.width, 4 * table.width, bias=table.bias)
        self.project = nn.Linear(4 * table.width, table.width, bias=table.bias)
        self.dropout = nn.Dropout(table.dropout)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.project(F.gelu(self.expand(h))))
        return out


# ---------------------------------------------------------------------------------------------- mlp


class MLP(Model):
    """The T tokens' embeddings side by side, one tanh layer, logits of the one token that follows."""

    def __init__(self, table: ModelTable, vocab: int, context: int) -> None:
        super().__init__()
        batch_norm = table.norm == "batch"
        self.embedding = nn.Embedding(vocab, table.embedding)
        self.hidden = nn.Linear(context * table.embedding, table.hidden, bias=not batch_norm)
        # Its own mean is subtracted, so a bias before it would learn nothing.
        self.norm = nn.BatchNorm1d(table.hidden, momentum=0.01) if batch_norm else nn.Identity()
        self.output = nn.Linear(table.hidden, vocab)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x).flatten(1)  # (B, T * embedding)
        h = torch.tanh(self.norm(self.hidden(h)))  # (B, hidden)
        logits: Tensor = self.output(h)
        return logits

    def initialise(self, generator: torch.Generator) -> None:
        fan_in = self.hidden.in_features
        nn.init.normal_(self.embedding.weight, generator=generator)
        nn.init.normal_(self.hidden.weight, std=(5 / 3) / math.sqrt(fan_in), generator=generator)  # tanh's gain
        if self.hidden.bias is not None:
            nn.init.normal_(self.hidden.bias, std=0.01, generator=generator)
        nn.init.normal_(self.output.weight, std=0.01, generator=generator)  # near-even guesses: loss ln V
        nn.init.zeros_(self.output.bias)

    def block_matrices(self) -> list[nn.Parameter]:
        return [p for p in self.hidden.parameters() if p.dim() == 2]


# ------------------------------------------------------------------------------------------- bigram


class Bigram(Model):
    """A table of V×V logits: row i is what follows token i."""

    TERMS = 64
    """About how many gradients of one row are added up in one go."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab, vocab)

    def forward(self, x: Tensor) -> Tensor:
        # The backward of a look-up adds a row's terms one after the other: in parts, fp32 loses less of them.
        parts = -(-x.numel() // (self.TERMS * self.table.num_embeddings))
        if parts <= 1:
            logits: Tensor = self.table(x)
            return logits
        return torch.cat([self.table(part) for part in x.chunk(parts)])

    def initialise(self, generator: torch.Generator) -> None:
        nn.init.normal_(self.table.weight, std=0.02, generator=generator)
