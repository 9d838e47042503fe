"""Random draws that come out the same on every machine and with every version of NumPy.

Belongs here: drawing numbers. They rest on the raw bits of PCG64, whose stream NumPy keeps, on
whole-number weights and on single additions, multiplications and divisions of doubles: no
logarithms or sums of floats, whose last digit depends on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Draws:
    """A stream of draws of its own for each purpose, so that one does not move another."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._bits = np.random.PCG64([seed, crc32(purpose.encode())])

    def units(self, count: int) -> Floats:
        """`count` numbers from [0, 1), all alike."""
        raw = np.asarray(self._bits.random_raw(count), dtype=np.uint64)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, limit: int | Ints, count: int) -> Ints:
        """`count` whole numbers from [0, limit), all alike; limit may be an array of as many."""
        return (self.units(count) * limit).astype(np.int64)

    def between(self, least_and_most: tuple[int, int], count: int) -> Ints:
        """`count` whole numbers from least to most, both included, all alike."""
        least, most = least_and_most
        return least + self.below(most - least + 1, count)

    def pick(self, weights: Sequence[int] | Ints, count: int) -> Ints:
        """`count` indices into `weights`, each as often as its whole-number weight says."""
        edges = np.cumsum(np.asarray(weights, dtype=np.int64))
        return np.searchsorted(edges, self.below(int(edges[-1]), count), side="right")

    def chances(self, percent: int, count: int) -> NDArray[np.bool_]:
        """`count` times yes with the given chance."""
        return self.below(100, count) < percent

    def order(self, count: int) -> Ints:
        """The numbers 0 to count - 1, shuffled."""
        return np.argsort(self.units(count), kind="stable")


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` in whole parts by weight, the largest remainders first; no part is drawn."""
    weight = sum(weights)
    parts = [total * one // weight for one in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % weight), i))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts
