"""Timing in one process, so that ratios mean something on a noisy machine."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np


def median_ms(function: Callable[[], object], repeat: int = 15, warm_up: int = 2) -> float:
    """Median wall time of a call in ms."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def random_ground_truth(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Boxes (count, 4) inside a square of ``size``, sides log-uniform from 16 to 400 px."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(16), np.log(min(400, size)), (count, 2)))
    corner = rng.uniform(0, size - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def report(name: str, figures: dict[str, object]) -> None:
    """Print one JSON object."""
    machine = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    print(json.dumps({"benchmark": name, **figures, "where": machine}, indent=2))
