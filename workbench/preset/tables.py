"""The preset's tables: every key with its default, its bounds, what it means, and whether it is live.

This is the only place where a key is declared; `KEYS` is read off the tables.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

FORMAT = 1

# Bounds keep one typo from asking for what no machine can hold or finish; none is a recommendation.
_BATCH = 2**20
_STEPS = 10**12
_SEED = 2**63 - 1  # the largest whole number that TOML promises to carry


@dataclass(frozen=True)
class Key:
    """One key of the preset. `kinds` is empty where every kind of its table has the key."""

    name: str
    doc: str
    live: bool
    kinds: tuple[str, ...]
    kind_of_value: Literal["whole number", "number", "text", "choice", "yes or no", "whole numbers", "numbers"]
    expected: str
    choices: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table's name, empty for a key at the top of the file."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The key's name within its table."""
        return self.name.rpartition(".")[2]


def _knob(
    default: Any,
    doc: str,
    *,
    live: bool = False,
    kinds: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    expected: str = "",
    **more: Any,
) -> Any:
    """A field with its bounds (low and high are allowed, above and below are not) and its row of KEYS."""
    extra: dict[str, Any] = {"live": live, "kinds": list(kinds), "expected": expected}
    extra["range"] = _range(low, high, above, below)
    return Field(default, description=doc, ge=low, le=high, gt=above, lt=below, json_schema_extra=extra, **more)


def _range(low: float | None, high: float | None, above: float | None, below: float | None) -> str:
    """The words after "a whole number" or "a number": " from 1 to 64", " over 0, at most 1"."""

    def written(bound: float) -> str:
        return f"{bound:,}" if isinstance(bound, int) and abs(bound) < 2**53 else f"{bound:g}"

    if high == _SEED:
        return " from 0 to 2^63 - 1"
    if low is not None and high is not None:
        return f" from {written(low)} to {written(high)}"
    words = [
        f"{word} {written(bound)}"
        for word, bound in (("of at least", low), ("over", above), ("at most", high), ("below", below))
        if bound is not None
    ]
    return " " + " and ".join(words) if words else ""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _unicode(value: str) -> str:
    # An argument that was not UTF-8 arrives as lone surrogates, which no TOML file can hold.
    value.encode("utf-8")
    return value


Text = Annotated[str, AfterValidator(_unicode)]

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
Betas = Annotated[tuple[Beta, Beta], BeforeValidator(_tuple)]
Milestone = Annotated[int, Field(ge=1, le=_STEPS)]
Milestones = Annotated[tuple[Milestone, ...], BeforeValidator(_tuple)]


class Table(BaseModel):
    """What all tables share: values are never coerced, never changed, never unknown, never infinite."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class DataTable(Table):
    """Which text, cut and read how. Exactly one of `dataset` and `text` is not empty."""

    dataset: Text = _knob(
        "python-docs",
        "a named dataset, or a path to a file or folder of text",
        expected="the name of a dataset, or a path to a file or folder of text",
    )
    text: Text = _knob(
        "",
        "the corpus itself, instead of dataset",
        expected="a text of at least one character, valid Unicode",
    )
    tokenizer: str = _knob(
        "char",
        "char, byte, bpe:N (trained on this corpus), or the name of a tiktoken encoding such as gpt2",
        expected="char, byte, bpe:N (256 <= N <= 65536), or the name of a tiktoken encoding such as gpt2",
    )
    split: Literal["tail", "lines"] = _knob(
        "tail", "tail: the last part is validation; lines: shuffled lines in three parts"
    )
    val_fraction: float = _knob(0.1, "share of the text kept for validation; 0: none", low=0, below=1)
    layout: Literal["stream", "windows"] = _knob(
        "stream", "stream: T targets a row; windows: one target a row, within its line"
    )
    order: Literal["random", "sequential", "shuffled"] = _knob("random", "the order in which rows are drawn", live=True)
    stride: int = _knob(0, "tokens between sequential or shuffled rows; 0: T; 1: a sliding window", low=0, high=_BATCH)

    @model_validator(mode="before")
    @classmethod
    def _text_replaces_the_default_dataset(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("text") and "dataset" not in given:
            return {**given, "dataset": ""}
        return given

    @field_validator("dataset")
    @classmethod
    def _dataset(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path holds a NUL")
        return value

    @field_validator("tokenizer")
    @classmethod
    def _tokenizer(cls, value: str) -> str:
        if not re.fullmatch(r"[!-~]{1,100}", value):
            raise ValueError("not a name")
        if value.lower().startswith("bpe"):
            size = re.fullmatch(r"bpe:([1-9][0-9]{0,5})", value)
            if not size or not 256 <= int(size[1]) <= 65536:
                raise ValueError("not a size of vocabulary")
        return value


class BatchTable(Table):
    """How many rows of how many tokens make a step."""

    B: int = _knob(64, "sequences per micro-batch", live=True, low=1, high=_BATCH)
    T: int = _knob(64, "tokens per sequence; live up to model.context", live=True, low=1, high=_BATCH)
    accum: int = _knob(1, "micro-batches per optimizer step", live=True, low=1, high=_BATCH)


_GPT = ("gpt",)
_MLP = ("mlp",)


class ModelTable(Table):
    """The network. Keys of the other kinds keep their defaults and are not part of the document."""

    kind: Literal["gpt", "mlp", "bigram"] = _knob("gpt", "the family of networks")
    layers: int = _knob(4, "transformer blocks", kinds=_GPT, low=1, high=1000)
    heads: int = _knob(4, "attention heads per block; must divide width", kinds=_GPT, low=1, high=65536)
    width: int = _knob(128, "numbers per token between the blocks", kinds=_GPT, low=1, high=65536)
    context: int = _knob(
        0, "the longest T that the model can read; 0: batch.T as it started", kinds=_GPT, low=0, high=_BATCH
    )
    bias: bool = _knob(False, "biases in linear layers and layer norms", kinds=_GPT)
    dropout: float = _knob(0.0, "share of activations dropped in training", kinds=_GPT, low=0, below=1)
    embedding: int = _knob(10, "numbers per token of the context", kinds=_MLP, low=1, high=65536)
    hidden: int = _knob(200, "hidden units", kinds=_MLP, low=1, high=65536)
    norm: Literal["none", "batch"] = _knob("none", "normalisation of the hidden layer", kinds=_MLP)


MOMENTUM = {"sgd": 0.0, "muon": 0.95}


class OptimizerTable(Table):
    """How a gradient becomes an update. `momentum` defaults to 0 for sgd and to 0.95 for muon."""

    kind: Literal["adamw", "sgd", "muon"] = _knob("adamw", "the rule of the update")
    lr: float = _knob(1e-3, "the peak learning rate", live=True, low=0, high=10**6)
    betas: Betas = _knob(
        (0.9, 0.99),
        "decay of the first and second moment per step; muon: of its AdamW part",
        kinds=("adamw", "muon"),
        expected="two numbers, each at least 0 and below 1, such as [0.9, 0.99]",
    )
    momentum: float = _knob(
        MOMENTUM["sgd"], "decay of the running gradient per step", kinds=("sgd", "muon"), low=0, below=1
    )
    weight_decay: float = _knob(0.1, "pull of the weights towards 0, times lr, per step", live=True, low=0, high=10**6)
    clip: float = _knob(1.0, "largest norm of the gradient; 0: off", live=True, low=0, high=10**12)

    @model_validator(mode="before")
    @classmethod
    def _momentum_of_the_kind(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == "muon" and "momentum" not in given:
            return {**given, "momentum": MOMENTUM["muon"]}
        return given


class ScheduleTable(Table):
    """How lr goes from the first step to the last; `workbench.plan.schedule` is the formula."""

    kind: Literal["cosine", "constant", "step", "wsd"] = _knob("cosine", "the curve after warmup")
    steps: int = _knob(5000, "updates in the whole run", live=True, low=1, high=_STEPS)
    warmup: int = _knob(100, "steps over which lr rises to its peak; at most steps", low=0, high=_STEPS)
    min_lr: float = _knob(1e-4, "lr at the last step; constant and step ignore it", live=True, low=0, high=10**6)
    milestones: Milestones = _knob(
        (),
        "steps from which lr is multiplied by gamma, once more each",
        kinds=("step",),
        expected="a list of rising whole numbers, each at least 1, such as [20000]",
    )
    gamma: float = _knob(0.1, "the factor at each milestone", kinds=("step",), above=0, high=1)
    decay_fraction: float = _knob(
        0.2, "last share of the steps, over which lr falls to min_lr", kinds=("wsd",), above=0, high=1
    )


class EvalTable(Table):
    """When and on how much text the loss is evaluated."""

    every: int = _knob(250, "steps between evaluations; 0: off", live=True, low=0, high=_STEPS)
    tokens: int = _knob(0, "validation tokens per evaluation; 0: all", low=0, high=_STEPS)
    target: float = _knob(0.0, "the first eval at or under this loss is an event; 0: none", low=0, high=10**6)


class CheckpointTable(Table):
    """When the run is saved, besides at its end and at its best evaluation."""

    every: int = _knob(500, "steps between checkpoints; 0: off", live=True, low=0, high=_STEPS)


class SampleTable(Table):
    """When and how the model writes."""

    every: int = _knob(500, "steps between samples; 0: off", live=True, low=0, high=_STEPS)
    prompt: Text = _knob(
        "\n",
        "the text to go on from",
        live=True,
        min_length=1,
        expected="a text of at least one character, valid Unicode",
    )
    tokens: int = _knob(200, "tokens to write", live=True, low=0, high=100_000)
    temperature: float = _knob(0.8, "how freely to draw; 0: always the likeliest", live=True, low=0, high=10**6)
    top_k: int = _knob(0, "draw from the k likeliest only; 0: from all", live=True, low=0, high=_BATCH)
    seed: int = _knob(1, "the seed of the draws", live=True, low=0, high=_SEED)


class DeviceTable(Table):
    """Where the arithmetic is done, and how exactly."""

    name: str = _knob(
        "auto",
        "auto, cuda, cuda:N, mps or cpu",
        pattern=r"^(auto|cpu|mps|cuda|cuda:[0-9]{1,3})$",
        expected="auto, cuda, cuda:N (as in cuda:1), mps or cpu",
    )
    precision: Literal["auto", "fp32", "bf16", "fp64"] = _knob(
        "auto", "auto, fp32 (TF32 off), bf16 (its matmuls) or fp64"
    )
    compile: Literal["auto", "on", "off"] = _knob("auto", "whether torch.compile fuses the step")
    threads: int = _knob(0, "CPU threads; 0: by rule", low=0, high=4096)


class Preset(Table):
    """Everything that a run is told before it starts, but for the world size, which belongs to the launch."""

    format: int = _knob(FORMAT, "the version of this document", low=FORMAT, high=FORMAT, expected="1")
    name: str = _knob(
        "char",
        "what runs of this preset are called",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        expected="up to 64 letters, digits, dots, dashes or underscores, the first a letter or digit",
    )
    seed: int = _knob(1337, "the seed of the weights, the rows and dropout", low=0, high=_SEED)
    data: DataTable = Field(default_factory=DataTable)
    batch: BatchTable = Field(default_factory=BatchTable)
    model: ModelTable = Field(default_factory=ModelTable)
    optimizer: OptimizerTable = Field(default_factory=OptimizerTable)
    schedule: ScheduleTable = Field(default_factory=ScheduleTable)
    eval: EvalTable = Field(default_factory=EvalTable)
    checkpoint: CheckpointTable = Field(default_factory=CheckpointTable)
    sample: SampleTable = Field(default_factory=SampleTable)
    device: DeviceTable = Field(default_factory=DeviceTable)


TABLES: dict[str, type[Table]] = {
    name: field.annotation
    for name, field in Preset.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Table)
}


def _key(name: str, annotation: Any, doc: str, extra: dict[str, Any]) -> Key:
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    if choices:
        kind_of_value, expected = "choice", " or ".join([", ".join(choices[:-1]), choices[-1]])
    elif get_origin(annotation) is tuple:
        kind_of_value, expected = ("numbers" if name == "optimizer.betas" else "whole numbers"), ""
    else:
        kind_of_value, expected = {
            int: ("whole number", "a whole number"),
            float: ("number", "a number"),
            bool: ("yes or no", "true or false"),
            str: ("text", "text"),
        }[annotation]
    expected = "expected " + (extra["expected"] or expected + extra["range"])
    return Key(name, doc, extra["live"], tuple(extra["kinds"]), kind_of_value, expected, choices)  # type: ignore[arg-type]


def _keys() -> dict[str, Key]:
    keys = {}
    tables: dict[str, type[Table]] = {"": Preset, **TABLES}
    for table, model in tables.items():
        for leaf, field in model.model_fields.items():
            if isinstance(field.json_schema_extra, dict):
                name = f"{table}.{leaf}" if table else leaf
                keys[name] = _key(name, field.annotation, field.description or "", field.json_schema_extra)
    return keys


KEYS: dict[str, Key] = _keys()
KIND_KEYS = tuple(name for name in KEYS if name.endswith(".kind"))

# The keys that may stand without their table on the command line.
BARE = {
    "B": "batch.B",
    "T": "batch.T",
    "accum": "batch.accum",
    "lr": "optimizer.lr",
    "steps": "schedule.steps",
    "dataset": "data.dataset",
}
