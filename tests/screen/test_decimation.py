"""Buckets of records: the same bits whatever the pieces and however many records were folded at once, and right."""

import numpy as np
import pytest

from workbench.runs.records import CLIPPED, DTYPE, SPIKE, Records
from workbench.screen.charts import decimation
from workbench.screen.charts.decimation import SERIES, SMOOTHING, Averages, Buckets, Matrix, folded


def uneven(count: int) -> Records:
    """Whatever a run may bring: losses and norms that are not finite, steps of no time, spikes, an edit of B."""
    generator, s = np.random.default_rng(5), np.arange(count)
    records = np.zeros(count, DTYPE)
    records["step"], records["tokens"] = s, np.cumsum(np.where(s < count // 3, 64, 4096))
    records["loss"] = 1.5 + 2 * np.exp(-5 * s / count) + 0.05 * generator.standard_normal(count)
    records["loss"][generator.random(count) < 0.001] = np.nan
    records["loss"][[0, 1, 700, 701, 702, count - 1]] = np.nan, np.inf, -np.inf, np.nan, 1e300, np.nan
    records["lr"], records["grad_norm"] = 1e-3 * (1 - s / count), generator.random(count)
    records["grad_norm"][[3, 5000]] = np.inf, np.nan
    records["seconds"] = 0.01 + 0.01 * generator.random(count)
    records["seconds"][[2, 900]] = 0
    records["time"] = np.cumsum(records["seconds"])
    records["flags"] = np.where(generator.random(count) < 0.2, CLIPPED, 0)
    records["flags"][generator.random(count) < 0.01] |= SPIKE
    return records


def filled(records: Records, pieces: list[int], *, most: int, K: int = 1) -> Buckets:
    """Buckets to which the records were added in pieces of these lengths, again and again."""
    buckets, done, turn = Buckets(most, K=K), 0, 0
    while done < len(records):
        count = min(pieces[turn % len(pieces)], buckets.room)
        buckets.add(records[done : done + count])
        done, turn = done + count, turn + 1
    return buckets


RECORDS = uneven(40_000)


@pytest.mark.parametrize("pieces", [[1, 2, 3], [63, 64, 65], [1000, 1, 129], [8192], [37]])
@pytest.mark.parametrize(("most", "K"), [(64, 1024), (1024, 64), (4096, 16), (32_768, 2), (65_536, 1)])
def test_the_same_records_make_the_same_bits(most: int, K: int, pieces: list[int]) -> None:
    """Grown from single records, bucket by bucket doubled, or folded K at once from the start."""
    records = RECORDS[:3000] if pieces == [1, 2, 3] else RECORDS
    while len(records) <= most * K // 2:
        K //= 2
    grown, at_once = filled(records, pieces, most=most), filled(records, [8192], most=most, K=max(K, 1))
    assert grown.K == at_once.K
    np.testing.assert_array_equal(grown.matrix.view(np.uint64), at_once.matrix.view(np.uint64))


@pytest.mark.parametrize("K", [1, 4, 64, 1024])
def test_a_bucket_says_what_its_records_are(K: int) -> None:
    records = RECORDS
    matrix = folded(records, K, 0.0, Averages())
    assert matrix.shape == (decimation.ROWS, -(-len(records) // K))
    made = np.diff(records["tokens"].astype(np.float64), prepend=0)
    averages = plainly_averaged(records["loss"])
    for bucket in {0, 1, 700 // K, 5000 // K, matrix.shape[1] - 1}:
        inside = slice(bucket * K, (bucket + 1) * K)
        part = records[inside]
        for i, name in enumerate(SERIES[:-1]):
            values = part[name][np.isfinite(part[name])]
            assert matrix[decimation.LEAST][i, bucket] == min(values, default=np.inf)
            assert matrix[decimation.MOST][i, bucket] == max(values, default=-np.inf)
            assert matrix[decimation.SUM + i, bucket] == pytest.approx(values.sum(), rel=1e-12)
            assert matrix[decimation.WEIGHT + i, bucket] == len(values)
            assert matrix[decimation.BROKEN + i, bucket] == len(part) - len(values)
        timed = part["seconds"] > 0
        speeds = made[inside][timed] / part["seconds"][timed]
        assert matrix[decimation.LEAST][4, bucket] == min(speeds, default=np.inf)
        assert matrix[decimation.MOST][4, bucket] == max(speeds, default=-np.inf)
        assert matrix[decimation.WEIGHT - 1, bucket] == made[inside][timed].sum()
        assert matrix[decimation.BROKEN - 1, bucket] == pytest.approx(part["seconds"].sum(), rel=1e-12)
        assert matrix[decimation.CLIPS - 1, bucket] == 0  # no time is no fault
        assert matrix[decimation.CLIPS, bucket] == np.count_nonzero(part["flags"] & CLIPPED)
        assert matrix[decimation.SPIKES, bucket] == np.count_nonzero(part["flags"] & SPIKE)
        last = inside.start + len(part) - 1
        np.testing.assert_allclose(matrix[decimation.AVERAGE : decimation.TOKENS, bucket], averages[:, last], rtol=1e-9)
        assert matrix[decimation.TOKENS, bucket] == records["tokens"][last]
        assert matrix[decimation.TIME, bucket] == records["time"][last]
        assert matrix[decimation.FINITE, bucket] == np.isfinite(records["loss"][: last + 1]).sum()


def plainly_averaged(losses: Matrix) -> Matrix:
    """Definition: m ← level·m + (1 − level)·x, divided by 1 − level^n; what is not finite is skipped."""
    found = np.full((len(SMOOTHING), len(losses)), np.nan)
    for i, level in enumerate(SMOOTHING):
        m, n = 0.0, 0
        for at, x in enumerate(losses.tolist()):
            if np.isfinite(x):
                m, n = level * m + (1 - level) * x, n + 1
            found[i, at] = m / (1 - level**n) if n else np.nan
    return found


def test_an_average_goes_on_from_what_is_known() -> None:
    values = np.random.default_rng(0).random(1024)
    whole, counts = Averages().after(values, None, 1)
    assert counts.tolist() == list(range(1, 1025))
    rest, _ = Averages(320, whole[:, 319]).after(values[320:], None, 1)
    np.testing.assert_allclose(rest, whole[:, 320:], rtol=1e-12)


def test_memory_is_of_buckets_not_of_records() -> None:
    records = RECORDS[2000:2016].copy()
    buckets = filled(records, [1], most=4)
    assert (buckets.K, len(buckets)) == (4, 4)
    assert buckets.matrix[decimation.LEAST][0].tolist() == records["loss"].reshape(4, 4).min(axis=1).tolist()
    assert buckets.matrix[decimation.TOKENS].tolist() == records["tokens"][3::4].tolist()
