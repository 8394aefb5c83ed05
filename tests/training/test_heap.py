"""What a step gives back is there for the next: seen by the pages that the kernel hands out."""

import platform
import subprocess
import sys

import pytest

AGAIN = """
import resource, sys, torch
from workbench.training import heap
if sys.argv[1] == "keep":
    heap.keep()
for turn in range(16):
    if turn == 6:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for megabytes in (64, 40, 90):
        torch.ones(megabytes * 2**18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its C library is not glibc")
def test_memory_that_is_given_back_is_had_again_without_a_page_fault() -> None:
    words = [sys.executable, "-c", AGAIN]
    kept, usual = (int(subprocess.check_output([*words, how], text=True)) for how in ("keep", "not"))
    assert kept < usual / 4
