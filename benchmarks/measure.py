"""How a rate is measured: several runs after a warm-up, the median quoted, the spread shown."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Rate", "measure"]


class Rate(NamedTuple):
    """Units a second over several runs."""

    median: float
    low: float
    high: float


def measure(work: Callable[[], int], runs: int = 5) -> Rate:
    """Run ``work``, which returns how many units it did, and return units a second."""
    work()
    rates = []
    for _ in range(runs):
        started = time.perf_counter()
        units = work()
        rates.append(units / (time.perf_counter() - started))
    return Rate(statistics.median(rates), min(rates), max(rates))
