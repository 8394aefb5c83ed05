"""What every reader told of format-1 when it was made. Never changed: see format-1/README.md."""

from typing import Any

GOLDEN: dict[str, dict[str, Any]] = {
    "done": {
        "records": (12, "2.56331467628479", "2.5678367614746094", "288"),
        "kinds": "7ccd5ab7deb7544917591510fe51a97df2c245311e0528486e67f6a263d7fcd5",
        "rows_7": "93f5a468cab4c8698a4e2486317443de7028c26e2dfaef039328b33f2cfde61a",
        "val_loss": 2.575689899220186,
        "checkpoint": 12,
        "last_eval": 2.574758119881153,
        "B": 2,
    },
    "resumed": {
        "records": (12, "2.8272266387939453", "2.826688289642334", "48"),
        "kinds": "26ed9366494352f5758262bc5b735d99a614882c59cb5ce284f3b1f072b16684",
        "rows_7": "033e039aaceb682bfd377e2f1ff148f9c9994226652f32c116b9b637a9be767d",
        "val_loss": 2.8025291760762534,
        "checkpoint": 12,
        "last_eval": 2.8025291760762534,
        "B": 4,
        "test_loss": 2.783955127962174,
    },
    "lost": {
        "records": (9, "2.56331467628479", "2.5653038024902344", "288"),
        "kinds": "8d123ef9f4dc86fb3bef91bc241bcf0a61e9dad987ba21b4496f7831504ade70",
        "rows_7": "941e9e9afe43e86757e4559c9ae2afb0f84ca6dd4575abb72e48447a2f2c102a",
        "val_loss": 2.5749169377719654,
        "checkpoint": 6,
        "last_eval": 2.5744467452168465,
        "B": 4,
    },
    "diverged": {
        "records": (3, "2.56331467628479", "nan", "96"),
        "kinds": "8b529982a2d9f4763bfac35ec07c8abf0db5b852ffeb3f8e0fa9754aa5bed3dd",
        "rows_7": "941e9e9afe43e86757e4559c9ae2afb0f84ca6dd4575abb72e48447a2f2c102a",
        "val_loss": 2.5749732522403495,
        "checkpoint": 0,
        "last_eval": 2.5754952281713486,
        "B": 4,
    },
}
