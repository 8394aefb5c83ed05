"""events.jsonl: torn lines, what a resume takes back, and numbers that JSON does not have."""

import json
import math
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.events import EventLog, EventReader, event, latest, read_events

WHOLE = b'{"format":1,"type":"eval","time":0.0,"at":"2026-01-01T00:00:00Z","step":1}'


class Writer:
    """A run's events, written as its attempts would: `checkpoint` notes the length that a resume goes back to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempt(self, *names: str, back_to: int | None = None) -> dict[str, int]:
        """One attempt's events, named; returns the file's length after each."""
        log, lengths = EventLog(self.folder), {}
        if back_to is not None:
            log.append(event("resume", 0.0, step=0, records=0, name="resume", events_bytes=back_to))
        for name in names:
            log.append(event("eval", 0.0, step=0, name=name))
            lengths[name] = log.sync()
        log.close()
        return lengths

    def kept(self) -> list[str]:
        return [e["name"] for e in read_events(self.folder)]


def test_an_event_says_what_it_is_and_when() -> None:
    told = event("eval", 1.5, step=3, val_loss=2.0)
    assert told | {"at": ""} == {"format": 1, "type": "eval", "time": 1.5, "at": "", "step": 3, "val_loss": 2.0}
    assert told["at"].endswith("Z")
    assert "T" in told["at"]


def test_numbers_that_are_not_finite_are_null_and_named(tmp_path: Path) -> None:
    told = event("step", 0.0, loss=math.nan, grad_norm=math.inf, lr=-math.inf, tokens=3, text="nan")
    log = EventLog(tmp_path)
    log.append(told)
    log.close()
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    strict = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict["loss"] is strict["grad_norm"] is strict["lr"] is None
    assert strict["nonfinite"] == {"loss": "nan", "grad_norm": "inf", "lr": "-inf"}
    assert (strict["tokens"], strict["text"]) == (3, "nan")
    assert "nonfinite" not in event("step", 0.0, loss=1.0)


def test_a_line_is_one_line_of_ascii_whatever_the_text_holds(tmp_path: Path) -> None:
    text = 'two\nlines, \x1b[31m red, \u2028 and é 🙂 and "quotes" and \udcff'
    log = EventLog(tmp_path)
    log.append(event("sample", 0.0, step=0, text=text))
    log.close()
    data = (tmp_path / "events.jsonl").read_bytes()
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in data[:-1])
    assert read_events(tmp_path)[0]["text"] == text


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    reader = EventReader(tmp_path)
    assert reader.poll() == []
    Writer(tmp_path).attempt("first")
    assert [e["name"] for e in reader.poll()] == ["first"]


def test_a_line_counts_when_its_end_is_there(tmp_path: Path) -> None:
    path, reader = tmp_path / "events.jsonl", EventReader(tmp_path)
    line = json.dumps(event("eval", 0.0, step=1)) + "\n"
    path.write_text(line + line[:20])
    assert len(reader.poll()) == 1
    path.write_text(line + line[:-1])
    assert len(reader.poll()) == 1  # whole, but for its newline: it may still grow
    path.write_text(line + line)
    assert len(reader.poll()) == 2
    assert len(reader.poll()) == 2  # and it is not read twice


@pytest.mark.parametrize("torn", [b'{"format":1,"type":"ev', WHOLE, b"\xff\xfe", b"{"])
def test_a_line_that_a_crash_tore_is_ended_by_the_next_attempt(tmp_path: Path, torn: bytes) -> None:
    writer = Writer(tmp_path)
    writer.attempt("a")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(torn)
    reader = EventReader(tmp_path)
    assert [e["name"] for e in reader.poll()] == ["a"]
    writer.attempt("b")
    names = [e.get("name", "torn, but whole") for e in reader.poll()]
    assert [name for name in names if name != "torn, but whole"] == ["a", "b"]
    assert [e.get("name", "torn, but whole") for e in read_events(tmp_path)] == names


@pytest.mark.parametrize("line", [b"[1, 2]", b"null", b"7", b'{"type": "eval"}', b'{"format": "1"}', b"", b"\x00\x00"])
def test_lines_that_are_no_event_are_passed_over(tmp_path: Path, line: bytes) -> None:
    writer = Writer(tmp_path)
    writer.attempt("a")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(line + b"\n")
    writer.attempt("b")
    assert writer.kept() == ["a", "b"]


def test_a_resume_takes_back_what_lies_past_its_checkpoint(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    lengths = writer.attempt("a", "checkpoint", "lost", "lost too")
    reader = EventReader(tmp_path)
    assert len(reader.poll()) == 4  # until the resume, they count
    writer.attempt("b", back_to=lengths["checkpoint"])
    assert writer.kept() == ["a", "checkpoint", "resume", "b"]
    assert [e["name"] for e in reader.poll()] == writer.kept()  # for a reader who was there all along, too
    assert [e["name"] for e in reader.dropped] == ["lost", "lost too"]


def test_resumes_of_resumes(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    first = writer.attempt("a", "checkpoint 1", "lost 1")
    second = writer.attempt("b", "checkpoint 2", "lost 2", back_to=first["checkpoint 1"])
    writer.attempt("c", back_to=second["checkpoint 2"])
    assert writer.kept() == ["a", "checkpoint 1", "resume", "b", "checkpoint 2", "resume", "c"]
    # back past the second attempt altogether, as when its checkpoint is damaged
    writer.attempt("d", back_to=first["checkpoint 1"])
    assert writer.kept() == ["a", "checkpoint 1", "resume", "d"]
    writer.attempt("e", back_to=0)
    assert writer.kept() == ["resume", "e"]
    reader = EventReader(tmp_path)
    reader.poll()
    assert [e["name"] for e in reader.dropped if e["name"] != "resume"] == [
        "lost 1", "lost 2", "b", "checkpoint 2", "c", "a", "checkpoint 1", "d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("was", "instead", "told"),
    [
        (b'"step":1', b'"step":"one"', "the eval event at byte \\d+ holds no `step`"),
        (b'"type":"eval"', b'"type":null', "the event at byte \\d+ holds no `type`"),
        (b'"type":"eval"', b'"kind":"eval"', "the event at byte \\d+ holds no `type`"),
    ],
)
def test_an_event_that_no_worker_writes_is_refused_or_left_out(
    tmp_path: Path, was: bytes, instead: bytes, told: str
) -> None:
    """Nothing is computed without it; who only shows the run does without."""
    writer = Writer(tmp_path)
    writer.attempt("a")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(WHOLE.replace(was, instead) + b"\n")
    writer.attempt("b")
    for _ in range(2):  # at every look
        with pytest.raises(WorkbenchError, match=f"events.jsonl: {told}"):
            read_events(tmp_path)
    lenient = EventReader(tmp_path, strict=False)
    assert [e["name"] for e in lenient.poll()] == ["a", "b"]
    assert lenient.left_out == 1


def test_positions_are_lengths_of_the_file(tmp_path: Path) -> None:
    lengths = Writer(tmp_path).attempt("a", "b")
    assert [at for at, _ in EventReader(tmp_path).positions()] == [lengths["a"], lengths["b"]]
    assert EventReader(tmp_path).offset_after("eval") == lengths["a"]
    assert EventReader(tmp_path).offset_after("end") is None


def test_the_latest_of_a_type() -> None:
    events = [event("eval", 0.0, step=1), event("eval", 0.0, step=2), event("end", 0.0, step=2)]
    assert (latest(events, "eval") or {})["step"] == 2
    assert latest(events, "sample") is None


def test_who_only_shows_a_run_keeps_the_latest_answers(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(event("note", 0.0, name="first"))
    for n in range(1000):
        for state in ("accepted", "refused" if n % 100 == 0 else "applied"):
            log.append(event("answer", 0.0, step=n, id=f"{n}", state=state, reason=""))
        log.append(event("note", 0.0, step=n))
    log.close()
    whole, shown = EventReader(tmp_path), EventReader(tmp_path, strict=False)
    assert len(whole.poll()) == len(whole.poll()) == 3001
    kept = shown.poll()
    assert kept == shown.poll()
    answers = [e for e in kept if e["type"] == "answer"]
    assert [e["id"] for e in answers if e["state"] == "refused"] == [str(n) for n in range(0, 1000, 100)]
    yes = [e for e in answers if e["state"] != "refused"]
    assert len(yes) <= 512
    assert yes[-1]["id"] == "999"
    assert len(kept) - len(answers) == 1001
    log = EventLog(tmp_path)
    log.append(event("answer", 0.0, step=1, id="new", state="applied", reason=""))
    log.close()
    assert shown.poll()[-1]["id"] == "new"
