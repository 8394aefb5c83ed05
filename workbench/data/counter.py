"""The counter hash that draws every row: 64-bit integers in, 64-bit integers out, no state.

One definition for NumPy and torch: only `+ ^ >> & * %` and comparisons on signed 64-bit arrays, whose
products wrap around in both. A draw is a function of its counters, so nothing can disturb it, nothing has to
be saved to resume it, and a GPU can make it inside a graph.

The mixer is SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014).
"""

from functools import lru_cache
from typing import Any

import numpy as np

Int64s = Any
"""A NumPy or torch array of signed 64-bit integers."""

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_POSITIVE = (1 << 63) - 1
_FEISTEL_ROUNDS = 6


def mix(z: Int64s) -> Int64s:
    """A bijection of 64-bit integers that changes half the bits of the result for any bit of `z`."""
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _MIX_1  # `>>` drags the sign along: the mask takes it off
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _MIX_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def draw(key: int, counter: Int64s) -> Int64s:
    """A number in [0, 2**63) for each counter; `key` comes from `key_of`."""
    return mix(mix(counter + key) + _GOLDEN) & _POSITIVE


@lru_cache(maxsize=256)
def key_of(*parts: int) -> int:
    """One signed 64-bit key out of several integers (a seed, a purpose, an epoch …), order counts."""
    key = np.zeros(1, dtype=np.int64)
    for part in parts:
        signed = (part & ((1 << 64) - 1)) - ((part & (1 << 63)) << 1)
        key = mix((key ^ np.int64(signed)) + _GOLDEN)
    return int(key[0])


def permute(index: Int64s, size: int, key: int) -> Int64s:
    """Where each index of [0, size) goes in the permutation named by `key`: a bijection, never an array.

    A Feistel network on the mixed radix (a, b), with a·b barely above `size`, walked until it is back inside.
    """
    if size <= 1:
        return index
    a = int(np.ceil(np.sqrt(size)))
    b = -(-size // a)
    index = _feistel(index, a, b, key)
    while bool((outside := index >= size).any()):
        index[outside] = _feistel(index[outside], a, b, key)
    return index


def _feistel(index: Int64s, a: int, b: int, key: int) -> Int64s:
    left, right = index // b, index % b
    for turn in range(0, _FEISTEL_ROUNDS, 2):
        left = (left + draw(key_of(key, turn), right)) % a
        right = (right + draw(key_of(key, turn + 1), left)) % b
    return left * b + right
