"""A data set as arrays: a million boxes take 60 bytes each, where objects would take a kilobyte."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.conventions import Conventions, CrowdRule
from rpnviz.core.ground_truth import region_rule
from rpnviz.datasets.base import GroundTruth, ImageRecord, RecordId

BY_HAND = -1
"""Place of a box that is in no file."""


@dataclass(frozen=True, eq=False)
class Columns:
    """N images and M boxes, boxes by image and then in the order of the file.

    Attributes:
        file_names: N names as the annotation file has them.
        sizes: (N, 2) int32 stated height and width, 0 where not stated.
        image_ids: (N,) int64, or object where the file has other ids than numbers.
        image_places: (N,) int32 position of the image's record in the file.
        starts: (N + 1,) int64, the boxes of image i are rows ``starts[i]:starts[i + 1]``.
        boxes: (M, 4) float64 xyxy, pixels, or shares of the image if ``normalised``; NaN where there is no usable box.
        labels: (M,) int64 index of the category.
        ignore: (M,) bool, crowd or ignore region.
        ids: (M,) int64, or object where the file has other ids than numbers; None where it has none.
        places: (M,) int32 line, or position in the list, of the box in its file; :data:`BY_HAND` if it is in none.
        normalised: whether boxes are shares of an image whose size is not stated.
        place: what ``places`` counts: "annotation" (from 0, named by its id if it has one), "line", "object", ...
        difficult: whether ``ignore`` marks what Pascal VOC calls difficult, no crowds or regions.
        sources: N names of the files that hold the boxes, where every image has a file of its own; else empty.
    """

    file_names: Sequence[str]
    sizes: NDArray[np.int32]
    image_ids: NDArray
    image_places: NDArray[np.int32]
    starts: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    ids: NDArray
    places: NDArray[np.int32]
    normalised: bool = False
    place: str = "annotation"
    sources: Sequence[str] = ()
    difficult: bool = False

    def __post_init__(self) -> None:
        for array in (self.sizes, self.starts, self.boxes, self.labels, self.ignore, self.places):
            array.flags.writeable = False

    def left_out(self, conventions: Conventions) -> NDArray[np.bool_]:
        """(M,) boxes that a trainer takes out of the ground truth because the file marks them."""
        keeps = region_rule(conventions, self.difficult) is CrowdRule.KEEPS
        return np.zeros(len(self.ignore), bool) if keeps else self.ignore

    def owners(self) -> NDArray[np.int64]:
        """(M,) image of each box."""
        return np.repeat(np.arange(len(self.file_names)), np.diff(self.starts))

    def image_of(self, row: int) -> int:
        """The image of a box."""
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def where(self, row: int) -> str:
        """Where a box stands, for a message: ``annotation 17 (coins.png)`` or ``labels/coins.txt: line 3``."""
        image, place = self.image_of(row), int(self.places[row])
        if place == BY_HAND:
            return f"box {row - int(self.starts[image])}, drawn by hand ({self.file_names[image]})"
        if self.sources:
            return f"{self.sources[image]}: {self.place} {place}"
        id_ = self.ids[row]
        name = f"{self.place}s[{place}]" if self.place == "annotation" else f"{self.place} {place}"
        name = f"{self.place} {id_}" if id_ is not None and self.place == "annotation" else name
        return f"{name} ({self.file_names[image]})"

    def where_image(self, image: int) -> str:
        """Where an image stands: ``image 17 (coins.png)``, or the file that holds its boxes."""
        if self.sources:
            return self.sources[image]
        if self.place != "annotation":
            return self.file_names[image]
        id_ = self.image_ids[image]
        name = f"image {id_}" if id_ is not None else f"images[{self.image_places[image]}]"
        return f"{name} ({self.file_names[image]})"

    def stated_size(self, image: int) -> tuple[int, int] | None:
        """(H, W) of an image, None if the file does not state it."""
        height, width = self.sizes[image].tolist()
        return (height, width) if height and width else None


def id_column(ids: Sequence[RecordId | None]) -> NDArray:
    """Ids as int64 if all of them are such numbers, else as objects."""
    if set(map(type, ids)) <= {int}:
        with suppress(OverflowError):
            return np.array(ids, np.int64)
    column = np.empty(len(ids), object)
    column[:] = ids
    return column


class Records(Sequence[ImageRecord]):
    """The images of columns; a record is made when it is first asked for, and the same one ever after.

    Attributes:
        columns: what they are made of.
    """

    def __init__(self, columns: Columns, paths: Sequence[str]) -> None:
        """``paths``: where each image is, or was expected."""
        self.columns = columns
        self._paths = paths
        self._made: dict[int, ImageRecord] = {}

    def __len__(self) -> int:
        return len(self.columns.file_names)

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ImageRecord, ...]: ...

    def __getitem__(self, index: int | slice) -> ImageRecord | tuple[ImageRecord, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = int(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"image {number} of {len(self)}")
        number %= len(self)
        found = self._made.get(number)
        # Two threads may make the same record; setdefault lets one of them win.
        return self._made.setdefault(number, self._make(number)) if found is None else found

    @property
    def file_names(self) -> Sequence[str]:
        """N file names, without making a record."""
        return self.columns.file_names

    def box_counts(self) -> NDArray[np.int64]:
        """(N,) number of boxes of each image."""
        return np.diff(self.columns.starts)

    def path(self, image: int) -> str:
        """Where an image is, or was expected, without making its record."""
        return self._paths[image]

    def _make(self, image: int) -> ImageRecord:
        columns = self.columns
        start, end = columns.starts[image : image + 2].tolist()
        own = slice(start, end)
        gt = None
        if end > start:
            ids = tuple(columns.ids[own].tolist())
            gt = GroundTruth(columns.boxes[own], columns.labels[own], columns.ignore[own], ids)
        id_ = columns.image_ids[image : image + 1].tolist()[0]
        path, size = Path(self._paths[image]), columns.stated_size(image)
        return ImageRecord(
            columns.file_names[image],
            path,
            size,
            gt,
            id_,
            normalised=columns.normalised,
            difficult=columns.difficult,
        )


def columns_of(images: Sequence[ImageRecord]) -> Columns:
    """The columns behind the images, or columns made of records that have none. May read image headers then."""
    columns: Columns | None = getattr(images, "columns", None)
    if columns is not None:
        return columns
    truths = [record.gt for record in images]
    counts = [len(gt) for gt in truths]
    ids: list[RecordId | None] = [id_ for gt in truths for id_ in gt.ids]
    places = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0)
    return Columns(
        [record.file_name for record in images],
        np.array([record.size or (0, 0) for record in images], np.int32).reshape(-1, 2),
        id_column([record.image_id for record in images]),
        np.arange(len(images), dtype=np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([gt.boxes for gt in truths] or [np.zeros((0, 4))]),
        np.concatenate([gt.labels for gt in truths] or [np.zeros(0, np.int64)]),
        np.concatenate([gt.ignore for gt in truths] or [np.zeros(0, bool)]),
        id_column(ids),
        places.astype(np.int32),
        difficult=any(record.difficult for record in images),
    )
