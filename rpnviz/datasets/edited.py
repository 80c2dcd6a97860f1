"""Boxes that were drawn, moved or deleted by hand, over a data set whose files stay as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rpnviz.datasets.base import Dataset, Finding, GroundTruth, ImageRecord, RecordId, shown_size
from rpnviz.datasets.columns import BY_HAND, Columns, columns_of, id_column
from rpnviz.errors import ImageFileError, ShapeError

DRAWN = -1
"""Origin of a box that no file has."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in original pixels."""


@dataclass(frozen=True, eq=False)
class EditedTruth:
    """The boxes of one image as they are by now; equal if all their numbers are.

    Attributes:
        gt: the boxes, those of the file first.
        origins: index of each in the file's list of the image, :data:`DRAWN` for a new one; ascending.
    """

    gt: GroundTruth
    origins: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.origins) != len(self.gt):
            raise ShapeError(f"{len(self.origins)} origins are given for {len(self.gt)} boxes.")

    @classmethod
    def of(cls, gt: GroundTruth) -> EditedTruth:
        """As the file has them."""
        return cls(gt, tuple(range(len(gt))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EditedTruth):
            return NotImplemented
        if other is self:
            return True
        mine, theirs = self.gt, other.gt
        return (
            self.origins == other.origins
            and mine.ids == theirs.ids
            and np.array_equal(mine.boxes, theirs.boxes, equal_nan=True)
            and np.array_equal(mine.labels, theirs.labels)
            and np.array_equal(mine.ignore, theirs.ignore)
        )

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.gt)

    def with_box(self, box: Box, label: int, *, ignore: bool = False) -> EditedTruth:
        """One box more, at the end."""
        gt = GroundTruth(
            np.concatenate([self.gt.boxes, np.array([box], np.float64)]),
            np.append(self.gt.labels, label),
            np.append(self.gt.ignore, ignore),
            (*self.gt.ids, None),
        )
        return EditedTruth(gt, (*self.origins, DRAWN))

    def with_values(
        self, index: int, *, box: Box | None = None, label: int | None = None, ignore: bool | None = None
    ) -> EditedTruth:
        """One box elsewhere, of another category, or ignored."""
        boxes, labels, ignored = self.gt.boxes.copy(), self.gt.labels.copy(), self.gt.ignore.copy()
        if box is not None:
            boxes[index] = box
        if label is not None:
            labels[index] = label
        if ignore is not None:
            ignored[index] = ignore
        return EditedTruth(GroundTruth(boxes, labels, ignored, self.gt.ids), self.origins)

    def without(self, indices: Collection[int]) -> EditedTruth:
        """Some boxes fewer; the others keep their order."""
        kept = np.array([index for index in range(len(self)) if index not in indices], np.int64)
        gt = GroundTruth(
            self.gt.boxes[kept],
            self.gt.labels[kept],
            self.gt.ignore[kept],
            tuple(self.gt.ids[index] for index in kept.tolist()),
        )
        return EditedTruth(gt, tuple(self.origins[index] for index in kept.tolist()))


@dataclass(frozen=True)
class Edits:
    """What was changed by hand in a data set; a value, so that undo is a reference.

    Attributes:
        truths: the boxes of the images that differ from their file, by index.
        added: names of categories that follow those of the file.
    """

    truths: Mapping[int, EditedTruth] = field(default_factory=lambda: MappingProxyType({}))
    added: tuple[str, ...] = ()

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self.truths)

    def with_truth(self, image: int, truth: EditedTruth, own: GroundTruth) -> Edits:
        """The boxes of one image; ``own``: as the file has them, which is no edit."""
        truths = {**self.truths, image: truth}
        if truth == EditedTruth.of(own):
            del truths[image]
        return dataclasses.replace(self, truths=MappingProxyType(truths))

    def with_category(self, name: str) -> Edits:
        """One category more."""
        return dataclasses.replace(self, added=(*self.added, name))

    def differing(self, other: Edits) -> list[int]:
        """The images whose boxes differ."""
        images = sorted({*self.truths, *other.truths})
        return [image for image in images if self.truths.get(image) != other.truths.get(image)]


NO_EDITS = Edits()


def edited(own: Dataset, edits: Edits, before: Dataset | None = None) -> Dataset:
    """A data set with what was changed by hand.

    Args:
        own: as it was read.
        edits: all that differs from the files.
        before: with other edits; records whose boxes are the same are the same objects.

    Returns:
        ``own`` itself if nothing differs. Findings about boxes that were moved or deleted are left out; the others
        follow their boxes to the present index.
    """
    if not edits and not edits.added:
        return own
    images = EditedRecords(own, edits, before)
    findings = tuple(finding for finding in map(images.follow, own.findings) if finding is not None)
    return dataclasses.replace(own, images=images, categories=(*own.categories, *edits.added), findings=findings)


def as_read(dataset: Dataset) -> Dataset:
    """The data set with the boxes of its files."""
    return dataset.images.own if isinstance(dataset.images, EditedRecords) else dataset


def present_index(then: Dataset, now: Dataset, image: int, gt: int | None) -> int | None:
    """Where a box of a data set with other edits stands by now; None if it is gone, or was none."""
    if gt is None or then.images is now.images:
        return gt
    return followed(_truth(then, image), _truth(now, image), gt)


def followed(before: EditedTruth | None, after: EditedTruth | None, gt: int) -> int | None:
    """Where a box of an image stands after other edits; None if it is gone.

    Args:
        before, after: all boxes of the image; None: as the file has them.
        gt: index before.
    """
    origin = gt if before is None else before.origins[gt]
    if origin != DRAWN:
        origins = None if after is None else after.origins
        return origin if origins is None else origins.index(origin) if origin in origins else None
    if before is None or after is None:
        return None
    mine, theirs = _drawn(before), _drawn(after)
    if len(mine) == len(theirs):
        return theirs[mine.index(gt)]
    box = before.gt.boxes[gt]  # no file gives it a name
    return next((index for index in theirs if np.array_equal(after.gt.boxes[index], box)), None)


def _drawn(truth: EditedTruth) -> list[int]:
    return [index for index, origin in enumerate(truth.origins) if origin == DRAWN]


def _truth(dataset: Dataset, image: int) -> EditedTruth | None:
    """The boxes of an image; None: they are those of the file."""
    return dataset.images.edits.truths.get(image) if isinstance(dataset.images, EditedRecords) else None


class EditedRecords(Sequence[ImageRecord]):
    """The images of a data set, some with other boxes than their files have.

    Attributes:
        own: the data set as it was read.
        edits: what differs.
    """

    def __init__(self, own: Dataset, edits: Edits, before: Dataset | None = None) -> None:
        """See :func:`edited`."""
        self.own = own
        self.edits = edits
        self._columns: Columns | None = None
        kept = before.images if before is not None and isinstance(before.images, EditedRecords) else None
        self._records: dict[int, ImageRecord] = {}
        for image, truth in edits.truths.items():
            same = kept is not None and kept.own is own and kept.edits.truths.get(image) is truth
            self._records[image] = kept[image] if kept is not None and same else own.images[image].with_gt(truth.gt)

    def follow(self, finding: Finding) -> Finding | None:
        """A finding of the file about the boxes as they are by now; None if it may not hold any more."""
        truth = self.edits.truths.get(finding.image) if finding.image is not None else None
        if truth is None or finding.gt is None:
            return finding
        if finding.gt not in truth.origins:
            return None
        gt, own = truth.origins.index(finding.gt), self.own.images[finding.image or 0].gt
        if not np.array_equal(truth.gt.boxes[gt], own.boxes[finding.gt], equal_nan=True):
            return None
        return dataclasses.replace(finding, gt=gt)

    def __len__(self) -> int:
        return len(self.own.images)

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ImageRecord]: ...

    def __getitem__(self, index: int | slice) -> ImageRecord | Sequence[ImageRecord]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = int(index)
        found = self._records.get(number % len(self)) if -len(self) <= number < len(self) else None
        return self.own.images[number] if found is None else found

    @property
    def columns(self) -> Columns:
        """All boxes as they are by now. May read image headers, as :func:`columns_of` does."""
        if self._columns is None:
            self._columns = _merged(columns_of(self.own.images), self.own.images, self.edits.truths)
        return self._columns

    @property
    def file_names(self) -> Sequence[str]:
        """N file names, without making a record."""
        return self.own.file_names()

    def path(self, image: int) -> str:
        """Where an image is, or was expected."""
        path = getattr(self.own.images, "path", None)
        return str(self.own.images[image].path) if path is None else path(image)

    def box_counts(self) -> NDArray[np.int64]:
        """(N,) number of boxes of each image."""
        found = self.own.box_counts().copy()
        for image, truth in self.edits.truths.items():
            found[image] = len(truth)
        return found


def _side(record: ImageRecord) -> NDArray[np.float64]:
    """(4,) width, height, width, height of an image; NaN if its file has gone."""
    try:
        height, width = shown_size(record)
    except ImageFileError:
        return np.full(4, np.nan)
    return np.array([width, height, width, height], np.float64)


def _merged(columns: Columns, own: Sequence[ImageRecord], truths: Mapping[int, EditedTruth]) -> Columns:
    """Columns with the boxes of some images replaced; shares of an image stay shares."""
    counts = np.diff(columns.starts)
    boxes: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int64]] = []
    ignore: list[NDArray[np.bool_]] = []
    ids: list[RecordId | None] = []
    places: list[NDArray[np.int32]] = []
    here = 0

    def keep(rows: slice) -> None:
        boxes.append(columns.boxes[rows])
        labels.append(columns.labels[rows])
        ignore.append(columns.ignore[rows])
        ids.extend(columns.ids[rows].tolist())
        places.append(columns.places[rows])

    for image in sorted(truths):
        truth, start = truths[image], int(columns.starts[image])
        keep(slice(here, start))
        here = int(columns.starts[image + 1])
        counts[image] = len(truth)
        boxes.append(truth.gt.boxes / _side(own[image]) if columns.normalised else truth.gt.boxes)
        labels.append(truth.gt.labels)
        ignore.append(truth.gt.ignore)
        ids.extend(truth.gt.ids)
        origins = truth.origins
        places.append(np.array([columns.places[start + one] if one != DRAWN else BY_HAND for one in origins], np.int32))
    keep(slice(here, len(columns.boxes)))
    return dataclasses.replace(
        columns,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=np.concatenate(boxes),
        labels=np.concatenate(labels),
        ignore=np.concatenate(ignore),
        ids=id_column(ids),
        places=np.concatenate(places),
    )
