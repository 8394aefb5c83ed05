"""`--dry-run`: what would be trained, and what it takes. Makes no run directory and needs no torch."""

import psutil

from workbench.data.corpus import open_corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.data.visible import visible
from workbench.headless.lines import Preparing
from workbench.lab.sizes import written
from workbench.plan import arithmetic, memory, parameters
from workbench.preset import Preset, pin_context, to_document
from workbench.runs import FORMAT
from workbench.runs.files import dump


def tell(preset: Preset, *, json: bool, progress: Preparing) -> int:
    """Itemised parameters and memory, vocabulary, tokens a step, steps an epoch."""
    with progress:
        corpus = open_corpus(preset.data, progress=progress)
    p, b, vocab, train = (
        pin_context(preset),
        preset.batch,
        corpus.tokenizer.vocab_size,
        corpus.splits["train"],
    )
    windows = p.data.layout == "windows"
    Rows(tokens=train.n, T=b.T, seed=p.seed, order=p.data.order, stride=p.data.stride, windows=windows)
    prompt_of(p.sample.prompt, corpus)
    items = parameters.itemise(p.model, vocab, p.model.context or b.T)
    largest = memory.peak(p, vocab)
    bytes_ = largest.items
    per_step = arithmetic.tokens_per_step(B=b.B, T=b.T, accum=b.accum, layout=p.data.layout)
    per_epoch = arithmetic.steps_per_epoch(train.n, per_step)
    if json:
        told = {
            "format": FORMAT, "type": "plan", "preset": to_document(preset), "vocab": vocab,
            "params": parameters.total(items), "parameters": {i.name: i.count for i in items},
            **{f"{name}_tokens": split.n for name, split in corpus.splits.items()},
            "tokens_per_step": per_step, "steps_per_epoch": per_epoch,
            "memory_bytes": sum(i.count for i in bytes_), "memory": {i.name: i.count for i in bytes_},
            "memory_at": largest.name,
            "fingerprint": corpus.fingerprint,
        }  # fmt: skip
        print(dump(told))
        return 0
    print(f"{p.name}: {p.model.kind} on {visible(corpus.name)}, {p.data.tokenizer} tokens")
    print(f"\nvocabulary  {vocab:>14,}")
    for name, split in corpus.splits.items():
        print(f"{name:<10}  {split.n:>14,} {'examples' if windows else 'tokens'}")
    width = max(len(i.name) for i in (*items, *bytes_))
    print(f"\nparameters{'':{width - 10}}  {parameters.total(items):>14,}")
    for item in items:
        print(f"  {item.name:<{width}}{item.count:>14,}")
    print(f"\nmemory, estimated{'':{max(0, width - 17)}}  {written(sum(i.count for i in bytes_)):>14}")
    print(f"  at its largest moment: {largest.name}")
    if (there := psutil.virtual_memory().total) < sum(i.count for i in bytes_):
        print(f"  more than the {written(there)} of this computer: on its processors it would be refused")
    for item in bytes_:
        print(f"  {item.name:<{width}}{written(item.count):>14}")
    print(f"\ntokens a step   {per_step:,} = B {b.B}{'' if windows else f' · T {b.T}'} · accum {b.accum}")
    print(f"steps an epoch  {arithmetic.rounded(per_epoch)}")
    unit = arithmetic.unit(p.data.tokenizer, p.data.layout)
    print(arithmetic.sentence(per_step=per_step, train=train.n, steps=p.schedule.steps, unit=unit))
    return 0
