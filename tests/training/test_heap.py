"""What a step gives back is there for the next, or the kernel's again where memory is short."""

import platform
import subprocess
import sys

import pytest

from workbench import preset as presets
from workbench.training import device, heap, shortage

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its C library is not glibc")
MIB = 2**20

FRESH = """
import os, resource, sys, psutil, torch
from workbench import preset as presets
from workbench.training import device, heap, shortage

def faults(way):
    if way == "keep":
        heap.keep()
    for turn in range(16):
        if turn == 6:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for megabytes in (64, 40, 90):
            torch.ones(megabytes * 2**18)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

def holes(way):
    getattr(heap, way)()
    blocks = [torch.ones(2**20) for _ in range(16)]
    before = psutil.Process().memory_info().data
    del blocks[::2]
    print(before - psutil.Process().memory_info().data)

def limited(more):
    heap.keep, heap.give_back = lambda: print("keep"), lambda: print("give_back")
    preset = presets.load("char", sets=["device.name=cpu", "B=16"]).preset
    resolved = device.resolve(preset)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + int(more),) * 2)
    shortage.heap_for(preset, 65, resolved)

for way in sys.argv[2:]:
    if not os.fork():
        globals()[sys.argv[1]](way)
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""
"""Each way in a process of its own, whose heap nobody has used; torch is loaded once."""


def said(what: str, *ways: object) -> list[str]:
    return subprocess.check_output([sys.executable, "-c", FRESH, what, *map(str, ways)], text=True).split()


@glibc
def test_memory_that_is_given_back_is_had_again_without_a_page_fault() -> None:
    kept, usual = map(int, said("faults", "keep", "not"))
    assert kept < usual / 4


@glibc
def test_memory_that_is_given_back_leaves_no_hole_where_memory_is_short() -> None:
    kept, given_back = map(int, said("holes", "keep", "give_back"))
    assert (kept, given_back // MIB) == (0, 32)


@pytest.mark.parametrize(("there", "kept"), [(2**40, True), (MIB, False)])
def test_a_heap_with_holes_is_for_a_computer_with_twice_what_a_run_needs(
    monkeypatch: pytest.MonkeyPatch, there: int, kept: bool
) -> None:
    monkeypatch.setattr(shortage, "in_all", lambda: there)
    assert laid_out(monkeypatch) == ["keep" if kept else "give_back"]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA binds on Linux only")
def test_a_heap_with_holes_is_for_a_process_that_may_have_as_much() -> None:
    assert said("limited", 1024 * MIB, 64 * MIB) == ["keep", "give_back"]


def laid_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    called: list[str] = []
    monkeypatch.setattr(heap, "keep", lambda: called.append("keep"))
    monkeypatch.setattr(heap, "give_back", lambda: called.append("give_back"))
    preset = presets.load("char", sets=["device.name=cpu"]).preset
    shortage.heap_for(preset, 65, device.resolve(preset))
    return called
