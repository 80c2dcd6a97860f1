"""What a data set does to the loss under one trainer: boxes too small at the network's input, and ways to NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import pipeline
from rpnviz.core.conventions import BoxClip, EmptyImageRule, OutsideRule
from rpnviz.core.frame import make_frame
from rpnviz.core.ground_truth import Reaction
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, Progress, Severity, inputs_of, no_progress
from rpnviz.datasets.columns import Columns, columns_of
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.reactions import ALL_POSITIVE, CROWD, NO_BOXES, OVERFLOW, SMALL

_MAX_RUNS = 200
"""Images in which the trainer is run to see whether all anchors turn positive; the candidates are few."""
_FAR = 100
"""A box so many image sides away or long has targets that no training survives."""


def check_loss(
    dataset: Dataset,
    sizes: NDArray[np.float64],
    preset: Preset,
    min_input_px: float,
    log: FindingLog,
    progress: Progress = no_progress,
) -> None:
    """Note what a trainer would stumble over.

    Args:
        dataset: images and boxes.
        sizes: (N, 2) height and width of the images, NaN where unknown.
        preset: the trainer, with its resizing and anchors.
        min_input_px: boxes with a side below this at the network's input are noted; 0: none.
        log: where to note it.
        progress: called with a fraction from 0 to 1; it may raise to end the work.
    """
    columns = columns_of(dataset.images)
    boxes = _in_pixels(columns, sizes)
    scales = _scales(sizes, preset)
    _check_small(columns, boxes, scales, preset, min_input_px, log)
    _check_far(columns, boxes, sizes, log)
    _check_empty(columns, preset, log)
    _check_crowd(columns, log)
    _check_all_positive(dataset, columns, boxes, sizes, scales, preset, log, progress)


def _in_pixels(columns: Columns, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 4) boxes in pixels of their images; NaN where the size of the image is needed and unknown."""
    if not columns.normalised:
        return columns.boxes
    with np.errstate(over="ignore", invalid="ignore"):
        return columns.boxes * np.tile(sizes[columns.owners()][:, ::-1], 2)


def _scales(sizes: NDArray[np.float64], preset: Preset) -> NDArray[np.float64]:
    """(N, 2) input pixels per original pixel (y, x); a data set has few sizes, each is worked out once."""
    scales = np.full(sizes.shape, np.nan)
    known = np.flatnonzero(np.isfinite(sizes).all(axis=1))
    if len(known):
        unique, inverse = np.unique(sizes[known].astype(np.int64), axis=0, return_inverse=True)
        frames = [
            make_frame((height, width), preset.params.resize, preset.conventions) for height, width in unique.tolist()
        ]
        scales[known] = np.array([frame.scale for frame in frames])[inverse.ravel()]
    return scales


def _check_small(
    columns: Columns,
    boxes: NDArray[np.float64],
    scales: NDArray[np.float64],
    preset: Preset,
    least: float,
    log: FindingLog,
) -> None:
    owners = columns.owners()
    with np.errstate(invalid="ignore", over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        at_input = sides * scales[owners][:, ::-1]
        small = (at_input < least).any(axis=1) & (sides > 0).all(axis=1) & ~columns.left_out(preset.conventions)

    def report(row: int) -> None:
        (width, height), (in_width, in_height) = sides[row].tolist(), at_input[row].tolist()
        what = (
            f"{width:.4g} x {height:.4g} px is {in_width:.3g} x {in_height:.3g} px at the input of {preset.name}, "
            f"below {least:g} px."
        )
        image = int(owners[row])
        way_out = "Larger inputs or smaller anchors would reach it; or leave such boxes out on purpose."
        gt = row - int(columns.starts[image])
        log.add(SMALL, "warning", what, columns.where(row), way_out, image, gt)

    log.add_many(SMALL, np.flatnonzero(small), report)


def _check_far(columns: Columns, boxes: NDArray[np.float64], sizes: NDArray[np.float64], log: FindingLog) -> None:
    owners = columns.owners()
    with np.errstate(invalid="ignore", over="ignore"):
        reach = np.abs(boxes).max(axis=1, initial=0)
        far = reach > _FAR * np.nan_to_num(sizes[owners].max(axis=1), nan=np.inf)
        far &= np.isfinite(reach)

    def report(row: int) -> None:
        image = int(owners[row])
        what = (
            f"a corner at {reach[row]:.4g} px, in an image of {sizes[image, 1]:.0f} x {sizes[image, 0]:.0f} px: its "
            "regression targets are so large that the loss explodes."
        )
        gt = row - int(columns.starts[image])
        log.add(OVERFLOW, "error", what, columns.where(row), "Correct the corner.", image, gt)

    log.add_many(OVERFLOW, np.flatnonzero(far), report)


def _check_empty(columns: Columns, preset: Preset, log: FindingLog) -> None:
    used = np.bincount(columns.owners()[~columns.left_out(preset.conventions)], minlength=len(columns.file_names))
    empty = np.flatnonzero(used == 0)
    if len(empty):
        refuses = preset.conventions.empty_image is EmptyImageRule.REFUSES
        first = columns.file_names[int(empty[0])]
        what = f"{len(empty):,} of {len(used):,} images have no box to train on, {first!r} first."
        way_out = f"{preset.name} skips them or stops." if refuses else ""
        severity: Severity = "warning" if refuses else "note"
        log.add(NO_BOXES, severity, what, way_out=way_out, image=int(empty[0]), count=len(empty))


def _check_crowd(columns: Columns, log: FindingLog) -> None:
    rows = np.flatnonzero(columns.ignore)
    if len(rows):
        row = int(rows[0])
        image = columns.image_of(row)
        first = columns.where(row)
        noun = "marked difficult" if columns.difficult else "crowd or ignore regions"
        what = f"{len(rows):,} of {len(columns.boxes):,} boxes are {noun}; the first: {first}."
        log.add(CROWD, "note", what, image=image, gt=row - int(columns.starts[image]), count=len(rows))


def _check_all_positive(
    dataset: Dataset,
    columns: Columns,
    boxes: NDArray[np.float64],
    sizes: NDArray[np.float64],
    scales: NDArray[np.float64],
    preset: Preset,
    log: FindingLog,
    progress: Progress,
) -> None:
    """Boxes that touch no anchor: where that makes all anchors positive, the trainer itself is asked."""
    conventions = preset.conventions
    owners = columns.owners()
    with np.errstate(invalid="ignore", over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        height, width = sizes[owners].T
        outside = (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0) | (boxes[:, 0] >= width) | (boxes[:, 1] >= height)
        if conventions.box_clip is BoxClip.IMAGE or conventions.outside_box is OutsideRule.DROPS:
            outside[:] = False  # such a box is not trained on
        tiny = (sides * scales[owners][:, ::-1] < _gap(preset)).any(axis=1)
        suspects = (outside | tiny) & (sides > 0).all(axis=1) & np.isfinite(height)
        suspects &= ~columns.left_out(preset.conventions)
    images = np.unique(owners[suspects])
    for number, image in enumerate(images[:_MAX_RUNS].tolist()):
        progress(number / len(images[:_MAX_RUNS]))
        record = dataset.images[image]
        size = (int(sizes[image, 0]), int(sizes[image, 1]))
        result = pipeline.run(inputs_of(record, size), preset.params, conventions)
        if result.gt.reaction is Reaction.RAISES:
            continue  # the trainer stops before it matches
        for gt in result.match.everything_positive.tolist():
            what = (
                f"under {preset.name} the box touches no anchor, so that its best IoU is 0, with which all "
                f"{len(result.anchors):,} anchors tie: every one turns positive."
            )
            way_out = "Remove or correct the box, or set min_pos_iou above 0 where the trainer has it."
            where = columns.where(int(columns.starts[image]) + gt)
            log.add(ALL_POSITIVE, "error", what, where, way_out, image, gt)
    if len(images) > _MAX_RUNS:
        what = f"{len(images) - _MAX_RUNS:,} more images have boxes that may touch no anchor; they were not run."
        log.add("not run", "note", what)


def _gap(preset: Preset) -> float:
    """Side in input pixels up to which a box can lie between the anchors of all levels; 0 or less: none can."""
    params = preset.params.with_values("resize", mode="none")  # a small image, not one enlarged to the input
    sample = pipeline.run(pipeline.Inputs((64, 64), np.zeros((0, 4))), params, preset.conventions)
    gaps = []
    for level in sample.anchors.lattice:
        widths, heights = level.x2[:, 0] - level.x1[:, 0], level.y2[:, 0] - level.y1[:, 0]
        gaps.append(min(level.stride) - float(np.minimum(widths, heights).max()))
    return min(gaps, default=0.0)
