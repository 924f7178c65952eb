"""The two limits of this machine that a roofline needs, measured with what numpy has.

    GFLOP/s   2·n³ operations of a product of two n × n matrices in float32 (by the BLAS), over time
    GB/s      the bytes that a copy reads and those that it writes, over time (as STREAM counts
              them: McCalpin, 1995), for arrays far larger than any cache

Each is the best of several attempts, since whatever disturbs an attempt makes it slower. The
product uses the threads that the BLAS has, the copy as many as the process may run at once: one
alone seldom uses all of the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gconvtool.timing.machine import cpu_budget

SIDE = 1024
"""n: large enough for the BLAS to reach its speed."""
NUMBERS = 2**25
"""128 MiB in float32, read and written."""
FEWEST = 3
"""Attempts, if there is time for no more; the first of them also warms up."""


def measure(clock: Callable[[], float], seconds: float) -> tuple[float, float]:
    """GFLOP/s and GB/s, in about so many seconds. `clock` tells them, from any origin."""
    return _gflops(clock, seconds / 2), _bandwidth_gbs(clock, seconds / 2)


def _gflops(clock: Callable[[], float], seconds: float) -> float:
    a = np.ones((SIDE, SIDE), np.float32)
    product = np.empty_like(a)
    return 2 * SIDE**3 / 1e9 / _fastest(lambda: np.matmul(a, a, out=product), clock, seconds)


def _bandwidth_gbs(clock: Callable[[], float], seconds: float) -> float:
    threads = cpu_budget()
    source = np.array_split(np.ones(NUMBERS, np.float32), threads)
    target = np.array_split(np.zeros(NUMBERS, np.float32), threads)
    moved = 2 * sum(part.nbytes for part in source)
    with ThreadPoolExecutor(threads) as pool:
        fastest = _fastest(lambda: list(pool.map(np.copyto, target, source)), clock, seconds)
    return moved / 1e9 / fastest


def _fastest(act: Callable[[], object], clock: Callable[[], float], seconds: float) -> float:
    """The shortest of as many attempts as there is time for."""
    times: list[float] = []
    start = clock()
    while len(times) < FEWEST or clock() - start < seconds:
        before = clock()
        act()
        times.append(clock() - before)
    return max(min(times), 1e-9)  # a coarse clock may see no time pass
