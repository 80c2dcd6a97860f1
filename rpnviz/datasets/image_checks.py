"""What only the image files tell: which are missing, of another size, or turned by their EXIF orientation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import MISSING_IMAGE, Dataset, Progress, judge_position, no_progress
from rpnviz.datasets.columns import Columns, columns_of
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.reactions import OTHER_SIZE, ROTATED, UNREADABLE, UNROTATED
from rpnviz.errors import ImageFileError
from rpnviz.imaging import image_size

_PROGRESS_EVERY = 64


def check_images(dataset: Dataset, log: FindingLog, progress: Progress = no_progress) -> NDArray[np.float64]:
    """Read the header of every image, 50 µs each on a local disk.

    Args:
        dataset: whose images.
        log: where to note what is wrong.
        progress: called with a fraction from 0 to 1; it may raise to end the work.

    Returns:
        (N, 2) height and width of each image as it is shown, NaN where it cannot be read.
    """
    columns = columns_of(dataset.images)
    known_missing = {finding.image for finding in dataset.findings if finding.kind == MISSING_IMAGE}
    sizes = np.full((len(dataset.images), 2), np.nan)
    for image in range(len(dataset.images)):
        if image % _PROGRESS_EVERY == 0:
            progress(image / len(dataset.images))
        try:
            raw, upright = image_size(_path(dataset, image))
        except ImageFileError as error:
            if image not in known_missing:
                missing = "does not exist" in error.what
                kind = MISSING_IMAGE if missing else UNREADABLE
                log.add(kind, "error", error.what, columns.where_image(image), error.way_out, image)
            continue
        sizes[image] = _compare(columns, image, raw, upright, log)
    _check_position(columns, sizes, log)
    progress(1.0)
    return sizes


def _path(dataset: Dataset, image: int) -> str:
    images = dataset.images
    path = getattr(images, "path", None)  # of a large set no record is made
    return str(images[image].path) if path is None else path(image)


def _compare(
    columns: Columns, image: int, raw: tuple[int, int], upright: tuple[int, int], log: FindingLog
) -> tuple[int, int]:
    """The size as it is shown, after a note where it is not what one would think."""
    stated = columns.stated_size(image)
    where = columns.where_image(image)
    if stated is None:
        if raw != upright:
            what = (
                f"the image is {raw[1]} x {raw[0]} px and turned by its EXIF orientation to {upright[1]} x "
                f"{upright[0]}; boxes were taken on the turned image."
            )
            way_out = "A trainer that ignores EXIF sees them in wrong places: store the image upright."
            log.add(ROTATED, "warning", what, where, way_out, image)
        return upright
    if stated == upright:
        return upright
    if stated == raw:
        what = (
            f"annotations were drawn on the unrotated image: they state {stated[1]} x {stated[0]} px, the image turned "
            f"by its EXIF orientation has {upright[1]} x {upright[0]} px."
        )
        way_out = "A trainer that honours EXIF would see these boxes in wrong places: store the image rotated."
        log.add(UNROTATED, "warning", what, where, way_out, image)
        return raw
    what = (
        f"{stated[1]} x {stated[0]} px are stated, the image has {upright[1]} x {upright[0]} px; boxes were kept as "
        "they are."
    )
    way_out = "Check whether the image was resized or exchanged after it was annotated."
    log.add(OTHER_SIZE, "warning", what, where, way_out, image)
    return upright


def _check_position(columns: Columns, sizes: NDArray[np.float64], log: FindingLog) -> None:
    """Boxes outside images whose size the file does not state; those it states were checked when it was read."""
    unstated = (columns.sizes == 0).any(axis=1)
    if columns.normalised or not unstated.any():
        return
    owners = columns.owners()
    rows = np.flatnonzero(unstated[owners])
    for severity, found, judgement in judge_position(columns.boxes[rows], sizes[owners[rows]]):

        def report(row: int, judgement: str = judgement, severity=severity) -> None:  # type: ignore[no-untyped-def]
            image = int(owners[row])
            height, width = sizes[image]
            box = ", ".join(f"{value:.10g}" for value in columns.boxes[row].tolist())
            what = f"the box x1, y1, x2, y2 = {box} {judgement} of {width:.0f} x {height:.0f} px; kept as it is."
            gt = row - int(columns.starts[image])
            log.add(judgement, severity, what, columns.where(row), image=image, gt=gt)

        log.add_many(judgement, rows[found], report)
