"""steps.bin: what one record is, byte for byte, and what a reader sees while another process writes."""

import json
import os
import random
import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from faults.power import Disk, Recording

from workbench.errors import WorkbenchError
from workbench.runs.files import opened, sync_directory
from workbench.runs.records import DTYPE, StepLog, StepReader, as_object

LAYOUT = [
    ("step", "<u8"), ("tokens", "<u8"), ("rows_before", "<u8"), ("loss", "<f8"), ("lr", "<f8"), ("grad_norm", "<f8"),
    ("seconds", "<f8"), ("time", "<f8"), ("B", "<u4"), ("T", "<u4"), ("accum", "<u4"), ("world", "<u4"),
    ("flags", "<u4"),
]  # fmt: skip


def values(step: int) -> tuple[float, ...]:
    return (step, 64 * (step + 1), 4 * step, 3.0 - step / 1000, 1e-3, 0.5, 0.01, 0.01 * (step + 1), 4, 16, 1, 1, 0)


def raw(count: int, first: int = 0) -> bytes:
    return np.array([values(s) for s in range(first, first + count)], dtype=LAYOUT).tobytes()


def logged(folder: Path, count: int) -> StepLog:
    log = StepLog(folder)
    for step in range(count):
        log.append(*values(step))
    log.flush()
    return log


def test_a_record_is_packed_as_numpy_reads_it(tmp_path: Path) -> None:
    strange = (0, 2**64 - 1, 2**40, float("nan"), -0.0, float("inf"), 5e-324, 1e308, 2**32 - 1, 1, 2, 3, 7)
    log = StepLog(tmp_path)
    log.append(*strange)
    log.close()
    data = (tmp_path / "steps.bin").read_bytes()
    assert len(data) == 84
    assert data == np.array([strange], dtype=LAYOUT).tobytes()
    assert json.loads((tmp_path / "steps.json").read_text()) == {"format": 1, "dtype": [list(f) for f in LAYOUT]}
    (told,) = StepReader(tmp_path).read()
    assert told.tobytes() == data


def test_appended_is_not_yet_written_and_flushed_is(tmp_path: Path) -> None:
    log, reader = StepLog(tmp_path), StepReader(tmp_path)
    log.append(*values(0))
    assert len(reader) == 0
    log.flush()
    assert len(reader) == 1
    log.append(*values(1))
    assert log.sync() == 2
    log.append(*values(2))
    log.close()
    assert reader.read()["step"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("torn", [1, DTYPE.itemsize - 1])
def test_a_torn_tail_is_not_there_yet(tmp_path: Path, torn: int) -> None:
    logged(tmp_path, 5).close()
    with (tmp_path / "steps.bin").open("ab") as file:
        file.write(raw(1, 5)[:torn])
    reader = StepReader(tmp_path)
    assert len(reader) == 5
    assert reader.read()["step"].tolist() == [0, 1, 2, 3, 4]
    assert len(reader.read(5)) == 0


def test_reading_by_position(tmp_path: Path) -> None:
    logged(tmp_path, 10).close()
    reader = StepReader(tmp_path)
    assert reader.read(3, 6)["step"].tolist() == [3, 4, 5]
    assert reader.read(8, 100)["step"].tolist() == [8, 9]
    assert reader.read(10).tolist() == reader.read(6, 2).tolist() == []
    assert reader.read(3, 3).dtype == DTYPE


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    """A writer that appends in pieces of no record's size, read after each of them."""
    StepLog(tmp_path).close()
    data, reader, seen = raw(40), StepReader(tmp_path), 0
    fd = os.open(tmp_path / "steps.bin", os.O_WRONLY | os.O_APPEND)
    for begin in range(0, len(data), 37):
        os.write(fd, data[begin : begin + 37])
        records = reader.read()
        assert records.tobytes() == data[: len(records) * DTYPE.itemsize]
        assert len(records) == min(begin + 37, len(data)) // DTYPE.itemsize
        seen += 1
    os.close(fd)
    assert seen > 80


def test_a_file_that_is_cut_under_a_reader_gives_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume cuts the file while somebody reads it, and the next record is half there."""
    logged(tmp_path, 10).close()
    real = opened

    def cut(path: Path) -> BinaryIO:
        os.truncate(path, 6 * DTYPE.itemsize + 9)
        return real(path)

    monkeypatch.setattr("workbench.runs.records.opened", cut)
    assert StepReader(tmp_path).read()["step"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("at", [0, 6, 9])
def test_a_record_that_is_another_step_s_is_told_wherever_it_lies(tmp_path: Path, at: int) -> None:
    logged(tmp_path, 10).close()
    with (tmp_path / "steps.bin").open("r+b") as file:
        file.seek(at * DTYPE.itemsize)
        file.write(raw(1, 77))
    reader = StepReader(tmp_path)
    for begin in range(at + 1):
        with pytest.raises(WorkbenchError, match=rf"record {at} says that it is step 77: the file is damaged there"):
            reader.read(begin)
    assert len(reader.read(0, at)) == at
    assert len(reader.read(at + 1)) == 9 - at


def test_a_flushing_thread_and_an_appending_one_lose_and_repeat_nothing(tmp_path: Path) -> None:
    log, over = StepLog(tmp_path), threading.Event()

    def beat() -> None:
        while not over.is_set():
            log.flush()

    threads = [threading.Thread(target=beat) for _ in range(2)]
    for thread in threads:
        thread.start()
    for step in range(5_000):
        log.append(*values(step))
    over.set()
    for thread in threads:
        thread.join()
    log.close()
    assert (tmp_path / "steps.bin").read_bytes() == raw(5_000)


def test_cut_forgets_the_tail_and_what_was_not_written(tmp_path: Path) -> None:
    log = logged(tmp_path, 10)
    with (tmp_path / "steps.bin").open("ab") as file:
        file.write(b"torn")
    log.append(*values(10))
    log.cut(6)
    assert (tmp_path / "steps.bin").read_bytes() == raw(6)
    log.append(*values(6))
    log.close()
    assert (tmp_path / "steps.bin").read_bytes() == raw(7)


def test_a_cut_survives_a_power_cut(tmp_path: Path) -> None:
    """What a resume has taken back does not return behind what it writes."""
    folder = tmp_path / "run"
    folder.mkdir()
    recording = Recording(folder)
    with recording.on():
        log = logged(folder, 10)
        log.sync()
        sync_directory(folder)
        log.cut(6)
    log.close()
    for seed in range(20):
        Disk(recording.ops).put(tmp_path / str(seed), random.Random(seed))
        assert (tmp_path / str(seed) / "steps.bin").read_bytes() == raw(6)


def test_cut_past_the_end_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    log = logged(tmp_path, 3)
    with pytest.raises(WorkbenchError, match=r"3 records, but its checkpoint was made after 4"):
        log.cut(4)
    log.close()
    assert (tmp_path / "steps.bin").read_bytes() == raw(3)


def test_a_second_log_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    logged(tmp_path, 3).close()
    log = StepLog(tmp_path)
    log.append(*values(3))
    log.close()
    assert (tmp_path / "steps.bin").read_bytes() == raw(4)


def test_a_run_that_has_not_begun_has_no_records(tmp_path: Path) -> None:
    reader = StepReader(tmp_path)
    assert len(reader) == 0
    assert reader.read().tolist() == []


def test_fields_are_found_by_name_in_a_later_layout(tmp_path: Path) -> None:
    """Another version may have more fields, in another order: steps.json says so."""
    later = [("extra", "<f4"), *LAYOUT[::-1]]
    (tmp_path / "steps.json").write_text(json.dumps({"format": 1, "dtype": later}))
    records = np.zeros(3, dtype=later)
    records["loss"], records["step"] = [3.0, 2.0, 1.0], [0, 1, 2]
    (tmp_path / "steps.bin").write_bytes(records.tobytes())
    read = StepReader(tmp_path).read(1)
    assert read["loss"].tolist() == [2.0, 1.0]
    assert read["step"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('{"format": 2, "dtype": []}', "newer workbench"),
        ('{"dtype": []}', "no `format`"),
        ('{"format": 1}', "not a record's description"),
        ('{"format": 1, "dtype": [["step", "<u8"]]}', "lacks tokens, rows_before, loss"),
        ('{"format": 1, "dtype": [["step", "whatever"]]}', "not a record's description"),
        ('{"format": 1, "dtype": "O"}', "not a record's description"),
        (json.dumps({"format": 1, "dtype": [*LAYOUT, ["python", "|O"]]}), "is no plain number"),
        ('{"format": 1, "dty', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_a_description_that_is_none_is_told_with_its_file(tmp_path: Path, document: str, told: str) -> None:
    (tmp_path / "steps.json").write_text(document)
    with pytest.raises(WorkbenchError, match=told) as raised:
        StepReader(tmp_path)
    assert str(tmp_path / "steps.json") in str(raised.value)


def test_tokens_per_second_count_predictions() -> None:
    record = dict(zip(DTYPE.names or (), (0, 0, 0, 1.0, 0.1, 1.0, 0.5, 0.5, 4, 16, 3, 2, 0), strict=True))
    assert as_object(record, windows=False)["tokens_per_s"] == 4 * 16 * 3 * 2 / 0.5
    assert as_object(record, windows=True)["tokens_per_s"] == 4 * 3 * 2 / 0.5
    assert as_object(record | {"seconds": 0.0}, windows=False)["tokens_per_s"] is None
