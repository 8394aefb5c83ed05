"""Is a split step the same step? What the design promises beside what was measured, and what breaks it."""

import math

from workbench.lab.checks.words import Table, gap, share, tiny
from workbench.lab.trial import Told

TOLERANCES = {"gradients_fp32": 1e-6, "gradients_fp64": 1e-12, "weights_fp32": 1e-5, "weights_fp64": 1e-12}
"""What DESIGN promises of a split step: gradients relative, weights after 100 steps in their own units."""


def tell(r: Told) -> Told:
    """The accum trial's result as a check's object."""
    worst = {f"{what}_{p}": max(r[what][p].values()) for what in ("gradients", "weights") for p in ("fp32", "fp64")}
    same = len({row["hash"] for row in r["rows"]}) == 1
    kept = {name: worst[name] <= tolerance for name, tolerance in TOLERANCES.items()}
    tables = [_splits(r), _micro_batches(r["micro_batches"]), _undivided_table(r["undivided"]), _others(r)]
    by = {(u["optimizer"], bool(u["clip"])): u for u in r["undivided"]}
    figures = {
        "rows_equal": int(same),
        **worst,
        "undivided_norm_ratio": by["sgd", False]["norm_ratio"],
        **{
            f"undivided_{kind}{'_clip' if clip else ''}_gap": by[kind, clip]["gap"]
            for kind in ("sgd", "adamw")
            for clip in (False, True)
        },
        "average_of_averages": r["averages"]["difference"],
        "average_of_averages_loss": r["averages"]["loss_averaged"] - r["averages"]["loss"],
        "average_of_averages_kept": r["averages"]["kept"],
        "batchnorm": r["batchnorm"]["batch"]["8x8"],
        "batchnorm_2x32": r["batchnorm"]["batch"]["2x32"],
        "batchnorm_without": r["batchnorm"]["none"]["8x8"],
        "dropout": r["dropout"]["split"],
        "dropout_reseeded": r["dropout"]["reseeded"],
        "dropout_averaged": r["dropout"]["averaged"],
    }
    return {
        "title": "One step of 64 rows, split into micro-batches",
        "tables": tables,
        "sentences": [_rows_sentence(r, same), *_held(r, worst, kept), *_wrong(r, by)],
        "holds": same and all(kept.values()),
        "figures": figures,
    }


def _splits(r: Told) -> Table:
    rows = [["64×1", r["rows"][0]["hash"][:12], "–", "–", "–", "–"]]
    for row in r["rows"][1:]:
        name = f"{row['B']}x{row['accum']}"
        cells = [tiny(r[what][p][name]) for what in ("gradients", "weights") for p in ("fp32", "fp64")]
        rows.append([name.replace("x", "×"), row["hash"][:12], *cells])
    rows.append(["tolerance", "", *(tiny(t) for t in TOLERANCES.values())])
    return {
        "title": f"Against 64×1: ‖Δg‖/‖g‖ of one step, largest |Δw| after 100 ({_rule(r['optimizer'])})",
        "columns": ["split", "hash of rows", "g fp32", "g fp64", "w fp32", "w fp64"],
        "rows": rows,
    }


def _micro_batches(m: Told) -> Table:
    columns = zip(m["losses"], m["norms"], m["undivided"], m["divided"], strict=True)
    rows = [[i + 1, *(f"{value:.3f}" for value in row)] for i, row in enumerate(columns)]
    mean = sum(m["losses"]) / len(m["losses"])
    rows.append(["mean", f"{mean:.3f}", "", "", ""])
    return {
        "title": "8×8 from inside: what accumulates is gradients",
        "columns": ["micro-batch", "loss", "its ‖g‖", "‖sum of g‖", "sum / 8"],
        "rows": rows,
    }


def _undivided_table(runs: list[Told]) -> Table:
    rows = [
        [
            _rule(u["optimizer"]), f"{u['clip']:g}" if u["clip"] else "off", f"{u['lr']:g}", f"{u['norm_ratio']:.2f}",
            f"{u['update_ratio']:.2f}", gap(u["gap"]), u["gap_step"],
        ]
        for u in runs
    ]  # fmt: skip
    return {
        "title": "The sum not divided by 8: 100 steps beside the same ones divided",
        "columns": ["rule", "clip", "lr", "‖g‖ ×", "first Δw ×", "largest loss gap", "at step"],
        "rows": rows,
    }


def _others(r: Told) -> Table:
    a, b, d = r["averages"], r["batchnorm"], r["dropout"]
    return {
        "title": "Other ways to another gradient: ‖Δg‖/‖g‖ against one micro-batch of 64",
        "columns": ["what", "8×8", "2×32", "note"],
        "rows": [
            ["mean over all targets", tiny(a["kept"]), "", "what a step does here"],
            [
                "average of averages",
                share(a["difference"]),
                "",
                f"{min(a['counts'])} to {max(a['counts'])} targets each",
            ],
            ["batch norm", share(b["batch"]["8x8"]), share(b["batch"]["2x32"]), "an mlp"],
            ["  the same without", tiny(b["none"]["8x8"]), tiny(b["none"]["2x32"]), ""],
            [f"dropout {d['p']:g}", share(d["split"]), "", "other masks"],
            ["  64×1, masks redrawn", share(d["reseeded"]), "", "as far apart"],
            [f"  mean of {d['masks']} draws", share(d["averaged"]), "", "noise averages out"],
        ],
    }


def _rows_sentence(r: Told, same: bool) -> str:
    hashes = sorted({row["hash"][:12] for row in r["rows"]})
    if not same:
        return f"The splits read different rows ({', '.join(hashes)}): what follows compares nothing."
    models = f"One step: {r['gradient_model']}."
    if r["weight_model"] != r["gradient_model"]:
        models += f" 100 steps: {r['weight_model']}."
    if r["asked"] != r["optimizer"]:
        models += f" {_rule(r['optimizer'])} stands for {r['asked']}: the tolerances are AdamW's and SGD's."
    return f"All three splits read the same 64 rows (hash {hashes[0]}). Biases and dropout are off. {models}"


def _held(r: Told, worst: dict[str, float], kept: dict[str, bool]) -> list[str]:
    told = [
        f"Gradients differ by at most {tiny(worst['gradients_fp32'])} in fp32 and {tiny(worst['gradients_fp64'])} in "
        f"fp64 (allowed: 1e-06 and 1e-12), weights after 100 steps by {tiny(worst['weights_fp32'])} and "
        f"{tiny(worst['weights_fp64'])} (1e-05 and 1e-12)"
        + (": what is left is rounding." if all(kept.values()) else ".")
    ]
    broken = [name.replace("_", " in ") for name, ok in kept.items() if not ok]
    if broken:
        told.append(f"Over the tolerance: {', '.join(broken)}.")
    if not kept["gradients_fp32"] and kept["gradients_fp64"]:
        exact = {name.replace("x", "×"): tiny(value) for name, value in r["gradients"]["exact"].items()}
        told.append(
            "fp64 keeps it, so the splitting is right and fp32 rounds: from the fp64 gradient the fp32 one is "
            + ", ".join(f"{value} away as {name}" for name, value in exact.items())
            + "."
        )
    return told


def _wrong(r: Told, by: dict[tuple[str, bool], Told]) -> list[str]:
    m, a, b, d = r["micro_batches"], r["averages"], r["batchnorm"], r["dropout"]
    sgd, adamw = by["sgd", False], by["adamw", False]
    clipped, clipped_adamw = by["sgd", True], by["adamw", True]
    few, most = min(a["counts"]), max(a["counts"])
    refused = " A micro-batch of one row has no variance, and torch refuses it." if "refused" in b else ""
    whose = "the preset's mlp" if b["own"] else "a small mlp on the same text"
    return [
        f"The eight losses have mean {sum(m['losses']) / 8:.3f} and sum {sum(m['losses']):.2f}; what adds up is "
        f"gradients: a norm of {m['undivided'][-1]:.3g} undivided, {m['divided'][-1]:.3g} divided.",
        f"Not divided, the gradient is {sgd['norm_ratio']:.2f} times as long. Plain SGD (lr {sgd['lr']:g}) then moves "
        f"{sgd['update_ratio']:.2f} times as far in the first step, and within 100 steps its loss is up to "
        f"{gap(sgd['gap'])} nats from the divided run's. AdamW divides by the gradient's own size: "
        f"{adamw['update_ratio']:.2f} times as far, a gap of {gap(adamw['gap'])}.",
        f"Clipping to {clipped['clip']:g} hides it where both gradients are over the limit, and not where only the "
        f"undivided one is: the gap is {gap(clipped['gap'])} with SGD and {gap(clipped_adamw['gap'])} with AdamW.",
        f"With {few} to {most} targets a micro-batch, the average of averages is {share(a['difference'])} from the "
        f"gradient of the mean over all {sum(a['counts']):,} targets (loss {a['loss_averaged']:.5f}, not "
        f"{a['loss']:.5f}): a target weighs {most / few:.2g} times as much where there are {few} as where there are "
        f"{most}. Hugging Face's Trainer averaged so until October 2024.",
        f"Batch norm, in {whose}: each micro-batch has its own mean and variance, and the gradient of 8×8 is "
        f"{share(b['batch']['8x8'])} from that of 64×1, that of 2×32 {share(b['batch']['2x32'])}; without it "
        f"{tiny(b['none']['8x8'])}.{refused}",
        f"Dropout of {d['p']:g}, in a small gpt: 8×8 draws other masks than 64×1, and the gradients are "
        f"{share(d['split'])} apart; two draws of 64×1 are {share(d['reseeded'])} apart, and the means of "
        f"{d['masks']} draws {share(d['averaged'])} (1/√{d['masks']} = {1 / math.sqrt(d['masks']):.2f} of one draw's "
        f"is {share(d['split'] / math.sqrt(d['masks']))}): sampling noise, not an error.",
    ]


def _rule(kind: str) -> str:
    return {"sgd": "SGD", "adamw": "AdamW"}[kind]
