"""Files of the cache: there whole or not at all, whatever interrupts."""

import random

from faults.power import Disk, Recording

from workbench.data import cache


def test_after_a_power_cut_a_file_is_whole_or_as_it_was(tmp_path):
    """Nobody is asked to remove a file of tokens that was cut."""
    folder = tmp_path / "cache"
    folder.mkdir()
    recording, texts = Recording(folder), (b"old" * 1000, b"new" * 2000)
    with recording.on():
        for text in texts:
            with cache.written_aside(folder / "x.tokens") as file:
                file.write(text)
    for seed in range(40):
        left = tmp_path / str(seed)
        Disk(recording.ops).put(left, random.Random(seed))
        assert not (left / "x.tokens").exists() or (left / "x.tokens").read_bytes() in texts
