"""The memory estimate beside the measured peak, over many shapes, each in a process of its own (Linux).

    python tests/benchmarks/memory.py [WORD ...]      # only shapes whose name holds one of the words

What is measured: two steps and two evaluations of the preset, the most that is held at once above a process that has
made small steps already. The shapes with gpt2's vocabulary need TIKTOKEN_CACHE_DIR or a network, those of names
WORKBENCH_TEST_DATA with names.txt, and are left out without.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIB = 1024**2
SHAPES = {
    "B 16": "char B=16",
    "B 64": "char B=64",
    "B 256": "char B=256",
    "B 64, biases": "char B=64 model.bias=true",
    "B 64, fp64": "char B=64 device.precision=fp64",
    "B 256, bf16": "char B=256 device.precision=bf16",
    "B 16, T 512, width 256": "char B=16 T=512 model.width=256",
    "B 16, T 512, width 256, bf16": "char B=16 T=512 model.width=256 device.precision=bf16",
    "B 16, T 256, width 256, bf16": "char B=16 T=256 model.width=256 device.precision=bf16",
    "B 64, T 128, dropout, bf16": "char B=64 T=128 model.dropout=0.2 device.precision=bf16",
    "B 32, T 256, 8 layers": "char B=32 T=256 model.layers=8",
    "B 16, T 128, width 512, 2 layers": "char B=16 T=128 model.width=512 model.layers=2",
    "B 16, T 128, width 512, accum 2": "char B=16 T=128 model.width=512 accum=2",
    "B 64, dropout": "char B=64 model.dropout=0.2",
    "B 8, T 512, dropout": "char B=8 T=512 model.dropout=0.2",
    "B 8, T 512, dropout, bf16": "char B=8 T=512 model.dropout=0.2 device.precision=bf16",
    "B 2, width 512, 6 layers, adamw": "char B=2 model.width=512 model.layers=6",
    "B 2, width 512, 6 layers, momentum": (
        "char B=2 model.width=512 model.layers=6 optimizer.kind=sgd optimizer.momentum=0.9"
    ),
    "B 2, width 512, 6 layers, muon": "char B=2 model.width=512 model.layers=6 optimizer.kind=muon",
    "B 2, width 256, 20 layers, sgd": "char B=2 model.width=256 model.layers=20 optimizer.kind=sgd",
    "4,096 tokens, B 32, T 128": "char B=32 T=128 data.tokenizer=bpe:4096",
    "4,096 tokens, B 16, T 128, accum 4": "char B=16 T=128 data.tokenizer=bpe:4096 accum=4",
    "4,096 tokens, B 64, bigram": "char B=64 data.tokenizer=bpe:4096 model.kind=bigram",
    "50,257 tokens, B 4": "char B=4 data.tokenizer=gpt2",
    "50,257 tokens, B 32": "char B=32 data.tokenizer=gpt2",
    "50,257 tokens, B 16, bf16": "char B=16 data.tokenizer=gpt2 device.precision=bf16",
    "B 1,024, bigram": "char B=1024 model.kind=bigram",
    "mlp, B 32,768": "names B=32768",
    "mlp, B 65,536, T 8, hidden 300": "names B=65536 T=8 model.hidden=300",
    "mlp, B 65,536, batch norm": "names B=65536 model.norm=batch",
    "mlp, B 65,536, bf16": "names B=65536 device.precision=bf16",
    "mlp, B 65,536, adamw, accum 4": "names B=65536 accum=4 optimizer.kind=adamw",
}


def main() -> None:
    from workbench import preset as presets
    from workbench.data.corpus import open_corpus
    from workbench.errors import WorkbenchError
    from workbench.lab.trial import trial
    from workbench.plan import memory
    from workbench.plan.parameters import total

    words = sys.argv[1:]
    names = Path(os.environ.get("WORKBENCH_TEST_DATA", "."), "names.txt")
    print("| shape | largest moment | estimated, MiB | measured, MiB | error |")
    print("|---|---|---|---|---|")
    errors = []
    for shape, (source, *sets) in ((shape, said.split()) for shape, said in SHAPES.items()):
        if words and not any(word in shape for word in words):
            continue
        try:
            more = [f"data.dataset={names}"] if source == "names" else []
            sets = ["device.precision=fp32", *sets]  # auto is the machine's
            p = presets.pin_context(presets.load(source, sets=[*sets, "device.name=cpu", *more]).preset)
            vocab = open_corpus(p.data).tokenizer.vocab_size
            request = {"preset": presets.to_document(p), "limit_bytes": None, "steps": 2, "timed": False}
            measured = trial("probe", request)["memory_bytes"]
        except WorkbenchError as error:
            print(f"| {shape} | {(str(error).splitlines() or [type(error).__name__])[0][:100]} | | | |")
            continue
        largest = memory.peak(p, vocab)
        estimated = total(largest.items)
        errors.append(estimated / measured - 1)
        figures = f"{estimated / MIB:.1f} | {measured / MIB:.1f} | {errors[-1]:+.1%}"
        print(f"| {shape} | {largest.name} | {figures} |", flush=True)
    if errors:
        print(f"\n{len(errors)} shapes; the worst error is {max(errors, key=abs):+.1%}")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
