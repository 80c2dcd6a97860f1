"""A training log beside what the data set lets one expect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rpnviz.core import pipeline
from rpnviz.core.inputs import Inputs
from rpnviz.core.log_band import Counts, Verdict
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.core.views import list_views, run_view
from rpnviz.datasets.base import Dataset, inputs_of
from rpnviz.errors import AnnotationError, RpnvizError
from rpnviz.export.tables import number
from rpnviz.training_logs import TrainingLog


def sampled_positives(
    dataset: Dataset, preset: Preset, most: int, progress: Callable[[float], None] = lambda fraction: None
) -> Counts:
    """Sampled positives of every image, or of ``most`` of them evenly spread; images that cannot be read are left out.

    With training views every image is run in some of them, drawn at random as training draws them: in one where there
    are ``most`` images, in all where there are few.

    Args:
        dataset, preset: what is run.
        most: images and views at most.
        progress: called with a fraction from 0 to 1; it may raise to end the work.

    Raises:
        AnnotationError: no image can be run.
    """
    total = len(dataset.images)
    chosen = np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)).tolist()
    each = max(most // len(chosen), 1) if chosen else 1
    random = np.random.default_rng(0)
    counts: list[int] = []
    images, complete = 0, len(chosen) == total
    for done, index in enumerate(chosen):
        progress(done / len(chosen))
        try:
            results, all_views = _run(inputs_of(dataset.images[index]), preset, each, random)
        except RpnvizError:
            continue  # an image that cannot be read is reported when it is opened
        found = [len(result.sample.positive) for result in results if not result.gt.image_skipped]
        counts += found
        images += bool(found)
        complete = complete and all_views
    if not counts:
        raise AnnotationError("none of its images can be run.", where=dataset.name, way_out="Open it to see why.")
    return Counts(tuple(counts), images, complete)


def _run(inputs: Inputs, preset: Preset, most: int, random: np.random.Generator) -> tuple[list[Result], bool]:
    """Results of an image in ``most`` of its training views, or as it is; and whether those are all."""
    params, conventions = preset.params, preset.conventions
    if params.views is None or inputs.as_seen:
        return [pipeline.run(inputs, params, conventions)], True
    views = list_views(inputs.image_size, params, conventions)
    drawn = random.permutation(len(views))[:most].tolist()
    results = [run_view(views[number], inputs, params, conventions).result for number in drawn]
    return results, len(drawn) == len(views)


def log_table(log: TrainingLog, verdict: Verdict) -> dict[str, Any]:
    """Strict JSON: the band, the verdict and the logged series."""
    band = verdict.band
    return {
        "sentence": verdict.text,
        "inside": verdict.inside,
        "expected": {
            "low": band.low,
            "high": band.high,
            "mean": band.mean,
            "mean_low": verdict.low,
            "mean_high": verdict.high,
            "images": band.images,
            "batch": band.batch,
            "window": band.window,
        },
        "mean": verdict.mean,
        "outside_fraction": verdict.outside_fraction,
        "log": [
            {"step": step, "positives": number(positive), "negatives": number(negative)}
            for step, positive, negative in zip(log.steps, log.positives, log.negatives, strict=True)
        ],
    }
