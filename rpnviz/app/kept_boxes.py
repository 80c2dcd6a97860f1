"""Boxes that were changed by hand, as a session keeps them."""

from __future__ import annotations

import msgspec
import numpy as np

from rpnviz.datasets.base import Dataset, GroundTruth
from rpnviz.datasets.edited import DRAWN, NO_EDITS, Box, EditedTruth, Edits, as_read


class KeptBox(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One box.

    Attributes:
        box: x1, y1, x2, y2 in original pixels; None: the file has no numbers.
        category: its name.
        origin: its index in the file's list of the image; -1: it was drawn.
        ignore: a crowd or ignore region.
    """

    box: Box | None
    category: str
    origin: int = DRAWN
    ignore: bool = False


class KeptImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All boxes of one image.

    Attributes:
        image: its file name in the data set.
        own: how many boxes the file has for it.
        boxes: as they are by now.
    """

    image: str
    own: int
    boxes: tuple[KeptBox, ...]


def kept_boxes(dataset: Dataset, edits: Edits) -> tuple[KeptImage, ...]:
    """What was changed by hand in a data set."""
    found = []
    for image, truth in sorted(edits.truths.items()):
        gt, record = truth.gt, as_read(dataset).images[image]
        rows = zip(gt.boxes, gt.labels.tolist(), gt.ignore.tolist(), truth.origins, strict=True)
        boxes = tuple(
            KeptBox(tuple(box.tolist()) if np.isfinite(box).all() else None, dataset.categories[label], origin, ignore)
            for box, label, ignore, origin in rows
        )
        found.append(KeptImage(record.file_name, len(record.gt), boxes))
    return tuple(found)


def edits_of(dataset: Dataset, kept: tuple[KeptImage, ...]) -> tuple[Edits, tuple[str, ...]]:
    """The same changes in a data set that was read again.

    Returns:
        The edits, and the names of images that are not in it any more, or have another number of boxes by now.
    """
    own = as_read(dataset)
    edits, lost = NO_EDITS, []
    places = {name: image for image, name in enumerate(own.file_names())} if kept else {}
    labels = {name: label for label, name in reversed(list(enumerate(own.categories)))}
    for part in kept:
        image = places.get(part.image)
        gt = own.images[image].gt if image is not None else GroundTruth.empty()
        origins = [box.origin for box in part.boxes if box.origin != DRAWN]
        if image is None or len(gt) != part.own or not all(0 <= origin < len(gt) for origin in origins):
            lost.append(part.image)
            continue
        for box in part.boxes:
            if box.category not in labels:
                labels[box.category] = len(own.categories) + len(edits.added)
                edits = edits.with_category(box.category)
        truth = EditedTruth(
            GroundTruth(
                np.array([box.box or (np.nan,) * 4 for box in part.boxes], np.float64).reshape(-1, 4),
                np.array([labels[box.category] for box in part.boxes], np.int64),
                np.array([box.ignore for box in part.boxes], bool),
                tuple(None if box.origin == DRAWN else gt.ids[box.origin] for box in part.boxes),
            ),
            tuple(box.origin for box in part.boxes),
        )
        edits = edits.with_truth(image, truth, gt)
    return edits, tuple(lost)
