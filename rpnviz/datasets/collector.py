"""What readers put their images and boxes into, one after the other; out comes a data set."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rpnviz.datasets.base import MISSING_IMAGE, MOVED_IMAGE, Dataset, Finding, RecordId, Severity
from rpnviz.datasets.box_checks import NO_BOX, BoxChecks
from rpnviz.datasets.columns import Columns, Records, id_column
from rpnviz.datasets.findings import FindingLog, by_severity
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import printable
from rpnviz.datasets.pixels import PixelConvention
from rpnviz.errors import AnnotationError

MAX_SIDE = 1 << 20
"""OpenCV reads no image with more pixels in a row or column."""
_NAN_BOX = (np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Parsed:
    """What an annotation file says, before its images are looked for."""

    columns: Columns
    categories: tuple[str, ...]
    findings: tuple[Finding, ...]


class Categories:
    """Category names by label; a name that was not listed is added when it is first used."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._labels: dict[str, int] = {}
        for name in names:
            self._labels.setdefault(name, len(self.names))
            self.names.append(name)

    def __contains__(self, name: str) -> bool:
        return name in self._labels

    def label(self, name: str) -> int:
        """The label of a name."""
        label = self._labels.setdefault(name, len(self.names))
        if label == len(self.names):
            self.names.append(printable(name))
        return label


class Collector:
    """Takes images and boxes in the order of their files.

    Args:
        source: the file or folder that is read.
        convention: how the format writes boxes.
        place: what the place of a box counts, see :class:`Columns`.
        own_files: every image has a file of its own that holds its boxes.
        difficult: boxes to ignore are those that Pascal VOC calls difficult.
    """

    def __init__(
        self, source: Path, convention: PixelConvention, place: str, own_files: bool = False, *, difficult: bool = False
    ) -> None:
        self.log = FindingLog(source.name)
        self._source = source
        self._convention = convention
        self._place = place
        self._own_files = own_files
        self._difficult = difficult
        self._names: list[str] = []
        self._paths: list[str | None] = []
        self._sizes = array("i")
        self._image_ids: list[RecordId | None] = []
        self._sources: list[str] = []
        self._counts: list[int] = []
        self._numbers = array("d")
        self._owners = array("q")
        self._labels = array("q")
        self._ignore = bytearray()
        self._ids: list[RecordId | None] = []
        self._places = array("i")
        self._without_box: list[int] = []

    @property
    def image_count(self) -> int:
        """Images so far."""
        return len(self._names)

    def image(
        self,
        file_name: str,
        *,
        path: str | None = None,
        size: tuple[int, int] | None = None,
        image_id: RecordId | None = None,
        source: str = "",
    ) -> int:
        """Add an image; its index.

        Args:
            file_name: as in the annotation file.
            path: where it is, None: to be looked for.
            size: (H, W) as stated.
            image_id: as in the file.
            source: name of the file that holds its boxes, where images have files of their own.
        """
        self._names.append(printable(file_name))
        self._paths.append(path)
        self._sizes.extend(size or (0, 0))
        self._image_ids.append(image_id)
        self._sources.append(source)
        self._counts.append(0)
        return len(self._names) - 1

    def box(
        self,
        image: int,
        numbers: Sequence[float] | None,
        label: int,
        place: int,
        *,
        ignore: bool = False,
        id_: RecordId | None = None,
    ) -> None:
        """Add a box.

        Args:
            image: index of its image.
            numbers: the four numbers of the file; None if it has no usable ones, which the reader has noted.
            label: of its category.
            place: its line, or its position in a list.
            ignore: a crowd or ignore region.
            id_: as in the file.
        """
        if numbers is None:
            self._without_box.append(len(self._owners))
        self._numbers.extend(_NAN_BOX if numbers is None else numbers)
        self._owners.append(image)
        self._labels.append(label)
        self._ignore.append(ignore)
        self._ids.append(id_)
        self._places.append(min(place, (1 << 31) - 1))
        self._counts[image] += 1

    def rows(self, image: int, numbers: Sequence[float], labels: Sequence[int], places: range) -> None:
        """Add many sound boxes of one image at once: four numbers, a label and a place of each."""
        self._numbers.extend(numbers)
        self._owners.extend([image] * len(labels))
        self._labels.extend(labels)
        self._ignore.extend(bytes(len(labels)))
        self._ids.extend([None] * len(labels))
        self._places.extend(places)
        self._counts[image] += len(labels)

    def note(self, kind: str, severity: Severity, image: int, what: str, place: str = "", way_out: str = "") -> None:
        """Note something about the next box of an image."""
        self.log.add(kind, severity, what, place, way_out, image, self._counts[image])

    def note_no_box(self, image: int, what: str, place: str, way_out: str = "") -> None:
        """Note that the next box of an image has no usable numbers."""
        self.note(NO_BOX, "error", image, f"{what}; kept without a box.", place, way_out)

    def missing_image(self, name: str, looked_in: str, where: str) -> None:
        """Note that the file of the next image is nowhere."""
        what = f"missing image: there is no file {name!r} in {looked_in}."
        way_out = "Put it there, or open the folder of the images together with the annotation file."
        self.log.add(MISSING_IMAGE, "error", what, where, way_out, self.image_count)

    def parsed(self, categories: Sequence[str]) -> Parsed:
        """Sort the boxes by image and check them."""
        owners = np.frombuffer(self._owners, np.int64) if self._owners else np.zeros(0, np.int64)
        numbers = np.array(self._numbers, np.float64).reshape(-1, 4)
        order = np.argsort(owners, kind="stable")
        ids = id_column([self._ids[row] for row in order.tolist()])
        columns = Columns(
            self._names,
            np.array(self._sizes, np.int32).reshape(-1, 2),
            id_column(self._image_ids),
            np.arange(len(self._names), dtype=np.int32),
            np.concatenate([[0], np.cumsum(self._counts, dtype=np.int64)]).astype(np.int64),
            self._convention.to_boxes(numbers[order]),
            np.array(self._labels, np.int64)[order],
            np.frombuffer(bytes(self._ignore), np.bool_)[order],
            ids,
            np.array(self._places, np.int32)[order],
            self._convention.normalised,
            self._place,
            self._sources if self._own_files else (),
            self._difficult,
        )
        without_box = np.flatnonzero(np.isin(order, self._without_box))
        BoxChecks(columns, numbers[order], self._convention, self.log, without_box).run()
        return Parsed(columns, tuple(categories), self.log.all())

    def dataset(self, categories: Sequence[str], format_: str, finder: ImageFinder | None = None) -> Dataset:
        """The data set; images without a path are looked for.

        Raises:
            AnnotationError: there is no image at all.
        """
        if not self._names:
            reason = next((finding.what for finding in self.log.all() if finding.severity == "error"), "")
            raise AnnotationError(
                f"there is no image that can be used. {reason}".rstrip(),
                where=str(self._source),
                way_out="Open the folder of the images to see them without annotations.",
            )
        return assemble(self.parsed(categories), self._source, format_, finder, self._paths)


def assemble(
    parsed: Parsed,
    source: Path,
    format_: str,
    finder: ImageFinder | None = None,
    paths: Sequence[str | None] = (),
) -> Dataset:
    """A data set of what was parsed, its images looked for.

    Args:
        parsed: images and boxes.
        source: the file or folder that was read.
        format_: name of the format.
        finder: looks for the images whose path is not known.
        paths: where each image is, as far as it is known; empty: no path is.
    """
    log = FindingLog(source.name)
    columns = parsed.columns
    found: list[str] = []
    if finder is None:
        found = [path or "" for path in paths]
    else:
        known = paths or [None] * len(columns.file_names)
        located = finder.locate(columns.file_names)
        for image, (path, own) in enumerate(zip(located, known, strict=True)):
            found.append(own if own is not None else path or _search(image, columns, finder, log))
    findings = by_severity((*parsed.findings, *log.all()))
    generic = source.name.lower() in ("annotations", "labels", "label_2", "xmls")
    name = f"{source.absolute().parent.name}/{source.name}" if generic else source.name
    return Dataset(name, source, Records(columns, found), parsed.categories, findings, format_)


def _search(image: int, columns: Columns, finder: ImageFinder, log: FindingLog) -> str:
    """The path of an image that is not where its name says."""
    name = columns.file_names[image]
    path = finder.find_last_part(name)
    if path is not None:
        if log.room(MOVED_IMAGE):
            what = f"there is no such file; {path}, whose name has the same last part, is shown."
            log.add(MOVED_IMAGE, "note", what, columns.where_image(image), image=image)
        else:
            log.count(MOVED_IMAGE)
        return str(path)
    if log.room(MISSING_IMAGE):
        shown = "" if name in columns.where_image(image) else f" {name!r}"
        what = f"missing image: there is no such file{shown} in {finder.looked_in}."
        way_out = "Put it there, or open the folder of the images together with the annotation file."
        log.add(MISSING_IMAGE, "error", what, columns.where_image(image), way_out, image)
    else:
        log.count(MISSING_IMAGE)
    return str(finder.expected(name))


def pixels_stated(value: object) -> int | None:
    """A length in whole pixels, also from 640.0 and "640"; None if it is none."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < 24 else None
        except ValueError:
            return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1 <= value <= MAX_SIDE:
        return None
    return int(value) if value == int(value) else None
