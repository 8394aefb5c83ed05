"""What a word wrote to stdout, as the objects that `--json` promises."""

import json
from typing import Any

import pytest

Capture = pytest.CaptureFixture[str]


def objects(capsys: Capture) -> list[dict[str, Any]]:
    """What was written to stdout, strictly as JSON lines; every object has its format."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    told = [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]
    assert all(o["format"] == 1 for o in told)
    return told


def the_object(capsys: Capture) -> dict[str, Any]:
    (told,) = objects(capsys)
    return told
