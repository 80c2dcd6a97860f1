"""A training log beside what the data set lets one expect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rpnviz.core import pipeline
from rpnviz.core.log_band import Verdict
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, inputs_of
from rpnviz.errors import AnnotationError, RpnvizError
from rpnviz.export.tables import number
from rpnviz.training_logs import TrainingLog


def sampled_positives(
    dataset: Dataset, preset: Preset, most: int, progress: Callable[[float], None] = lambda fraction: None
) -> list[int]:
    """Sampled positives of every image, or of ``most`` of them evenly spread; images that cannot be read are left out.

    Args:
        dataset, preset: what is run.
        most: images at most.
        progress: called with a fraction from 0 to 1; it may raise to end the work.

    Raises:
        AnnotationError: no image can be run.
    """
    total = len(dataset.images)
    chosen = np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)).tolist()
    counts = []
    for done, index in enumerate(chosen):
        progress(done / len(chosen))
        try:
            result = pipeline.run(inputs_of(dataset.images[index]), preset.params, preset.conventions)
        except RpnvizError:
            continue  # an image that cannot be read is reported when it is opened
        if not result.gt.image_skipped:
            counts.append(len(result.sample.positive))
    if not counts:
        raise AnnotationError("none of its images can be run.", where=dataset.name, way_out="Open it to see why.")
    return counts


def log_table(log: TrainingLog, verdict: Verdict) -> dict[str, Any]:
    """Strict JSON: the band, the verdict and the logged series."""
    band = verdict.band
    return {
        "sentence": verdict.text,
        "inside": verdict.inside,
        "expected": {"low": band.low, "high": band.high, "mean": band.mean, "images": band.images, "batch": band.batch},
        "median": verdict.median,
        "outside_fraction": verdict.outside_fraction,
        "log": [
            {"step": step, "positives": number(positive), "negatives": number(negative)}
            for step, positive, negative in zip(log.steps, log.positives, log.negatives, strict=True)
        ],
    }
