"""What every reader hands over: images with their ground truth, and what was found wrong with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.inputs import Inputs
from rpnviz.errors import ImageFileError, ShapeError
from rpnviz.imaging import image_size, read_image, read_reduced, reduction_of

Severity = Literal["error", "warning", "note"]
"""``error``: a record cannot be used as it stands; ``warning``: something was assumed; ``note``: worth knowing."""

RecordId = int | str
"""Ids of images, annotations and categories; exports hold both kinds."""

Progress = Callable[[float], None]
"""Called with a fraction from 0 to 1; it may raise to end the work."""

ROUNDING_PX = 0.5
"""A box that reaches less than this beyond the image, in pixels, is taken for rounded, not for outside."""

MISSING_IMAGE, MOVED_IMAGE = "missing image", "moved image"
ABOUT_PLACES = frozenset({MISSING_IMAGE, MOVED_IMAGE})
"""Kinds of findings that depend on where the images are, not on what the annotation file says."""


CHOICE = "choice"
"""Kind of the note that something could have been opened in another way too; it is always told."""


def no_progress(fraction: float) -> None:
    """For callers who do not watch."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The boxes of one image as its annotation file has them; broken ones stay in.

    Attributes:
        boxes: (M, 4) float64 xyxy, original pixels of the image as it is shown; NaN where the file has no usable box.
        labels: (M,) int64 index into ``Dataset.categories``.
        ignore: (M,) bool, crowd or ignore region.
        ids: M annotation ids as in the file, None where it has none.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    ids: tuple[RecordId | None, ...]

    def __post_init__(self) -> None:
        count = len(self.ids)
        for name, shape in (("boxes", (count, 4)), ("labels", (count,)), ("ignore", (count,))):
            array = getattr(self, name)
            if array.shape != shape:
                raise ShapeError(f"{name} has shape {array.shape}, expected {shape}: {count} annotation ids are given.")
            array.flags.writeable = False

    @staticmethod
    def empty() -> GroundTruth:
        """No box at all; one object for all images without any, of which a data set may have 100,000."""
        return _NOTHING

    def __len__(self) -> int:
        return len(self.ids)


_NOTHING = GroundTruth(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool), ())


@dataclass(frozen=True)
class Finding:
    """Something wrong with one record, which was kept if at all possible.

    Attributes:
        severity: see :data:`Severity`.
        what: one sentence: field, value, what was expected and what was done.
        where: file and record, e.g. ``instances.json: annotation 17 (coins.png)``.
        way_out: what the user can do about it; may be empty.
        image: index into ``Dataset.images``, None if the finding is about no image of it.
        kind: a few words that are the same for all findings of the kind, to filter and count by.
        gt: index of the box in the image's ground truth, None if the finding is about no single box.
        count: how many records it speaks of; more than 1 where only the number was kept.
    """

    severity: Severity
    what: str
    where: str
    way_out: str = ""
    image: int | None = None
    kind: str = ""
    gt: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        for name in ("what", "where"):
            text = getattr(self, name)
            if not text.isprintable():  # names of a broken file may hold what steers a terminal
                shown = (mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)
                object.__setattr__(self, name, "".join(shown))

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.way_out}".rstrip()


class ImageRecord:
    """One image of a data set; its pixels are read when it is shown.

    Attributes:
        file_name: as in the annotation file; for plain images the name of the file.
        path: where the image is, or was expected if it is missing.
        size: (H, W) in pixels as the annotation file states it, None if it does not.
        image_id: its id in the annotation file, None for plain images.
        normalised: its file states boxes as shares of width and height, not as pixels.
        read: gives the pixels, (H, W, 3) uint8 RGB, where no image file holds them; ``size`` is then known, and
            ``path`` a name that no other image has.
        stored_in: the file that ``read`` reads.
        difficult: what its ground truth ignores are objects that Pascal VOC marks so, no crowds or regions.
        seen_size: (H, W) of the padded batch in which a network was given the image as it stands; None: it is an
            original, which is resized first.
        box_count: number of its ground-truth boxes; unlike ``gt`` it never needs the image.
    """

    __slots__ = (
        "_given",
        "_gt",
        "difficult",
        "file_name",
        "image_id",
        "normalised",
        "path",
        "read",
        "seen_size",
        "size",
        "stored_in",
    )

    def __init__(
        self,
        file_name: str,
        path: Path,
        size: tuple[int, int] | None = None,
        gt: GroundTruth | None = None,
        image_id: RecordId | None = None,
        read: Callable[[], NDArray[np.uint8]] | None = None,
        stored_in: Path | None = None,
        seen_size: tuple[int, int] | None = None,
        *,
        normalised: bool = False,
        difficult: bool = False,
    ) -> None:
        self.file_name = file_name
        self.path = path
        self.size = size
        self.image_id = image_id
        self.read = read
        self.stored_in = stored_in
        self.seen_size = seen_size
        self.normalised = normalised
        self.difficult = difficult
        self._given = GroundTruth.empty() if gt is None else gt
        self._gt = None if normalised and len(self._given) else self._given

    @property
    def box_count(self) -> int:
        """See the class."""
        return len(self._given)

    @property
    def gt(self) -> GroundTruth:
        """Its ground truth, empty if it has none.

        Formats such as YOLO state boxes as shares of an image whose size only the image tells: its header is read at
        the first call. The boxes are NaN where that cannot be read; then the image cannot be shown either.
        """
        gt = self._gt
        if gt is None:
            given = self._given
            try:
                height, width = shown_size(self)
                scale = np.array([width, height, width, height], np.float64)
            except ImageFileError:
                scale = np.full(4, np.nan)
            with np.errstate(over="ignore", invalid="ignore"):
                gt = GroundTruth(given.boxes * scale, given.labels, given.ignore, given.ids)
            self._gt = gt  # two threads may both come here, with the same outcome
        return gt

    def with_gt(self, gt: GroundTruth) -> ImageRecord:
        """The same image with other boxes, in pixels."""
        return self._like(self.path, gt, normalised=False)

    def at(self, path: Path) -> ImageRecord:
        """The same image, its file elsewhere."""
        return self._like(path, self._given, normalised=self.normalised)

    def _like(self, path: Path, gt: GroundTruth, *, normalised: bool) -> ImageRecord:
        return ImageRecord(
            self.file_name,
            path,
            self.size,
            gt,
            self.image_id,
            self.read,
            self.stored_in,
            self.seen_size,
            normalised=normalised,
            difficult=self.difficult,
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their ground truth.

    Attributes:
        name: shown to the user.
        source: the annotation file, folder or image that was opened.
        images: in the order of the annotation file, plain images by name. Large sets make a record when it is asked
            for, and the same one ever after.
        categories: names by label.
        findings: what is wrong with single records.
        format: name of the format, empty for plain images.
    """

    name: str
    source: Path
    images: Sequence[ImageRecord]
    categories: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    format: str = ""

    def file_names(self) -> Sequence[str]:
        """(N,) file names of the images, without making a record of them."""
        names = getattr(self.images, "file_names", None)
        return [record.file_name for record in self.images] if names is None else names

    def box_counts(self) -> NDArray[np.int64]:
        """(N,) number of ground-truth boxes per image, without making a record or opening an image."""
        counts = getattr(self.images, "box_counts", None)
        return np.array([record.box_count for record in self.images], np.int64) if counts is None else counts()

    def names_of(self, record: ImageRecord) -> tuple[str, ...]:
        """Category names of an image's ground truth, in its order."""
        return tuple(self.categories[label] for label in record.gt.labels.tolist())


@dataclass(frozen=True)
class Claim:
    """That a file or folder is of a format.

    Attributes:
        source: what :meth:`Reader.read` is given: the file or folder itself, or the file in it that decides.
        why: what it was recognised by, e.g. ``'data.yaml' with 'names'``.
        nearby: it stands beside the folder that was asked about, so it may belong to other images.
    """

    source: Path
    why: str
    nearby: bool = False


class Reader(Protocol):
    """What the module of a format offers; modules register in ``registry.FORMATS`` or as entry points.

    Pixel conventions differ between formats: each reader states its own as a ``pixels.PixelConvention`` and converts
    once. It fills ``GroundTruth.ignore`` with whatever its format has for crowds and ignore regions, keeps every record
    that it can, and notes in ``findings`` what is wrong with it.
    """

    def claims(self, path: Path) -> Sequence[Claim]:
        """What of the format there is at a file or folder; empty if nothing.

        Raises:
            AnnotationError: a file cannot be read, or is broken whatever its format.
        """

    def read(self, path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
        """Read what was claimed; ``images`` is the folder of the images, if it is known.

        Raises:
            AnnotationError: it cannot be used as a whole.
        """


class WholePixels:
    """The pixels of a large image in full, read when somebody needs them first; may be used from several threads."""

    def __init__(self, path: Path, upright: bool, size: tuple[int, int]) -> None:
        """Nothing is read yet.

        Args:
            path, upright: as for :func:`~rpnviz.imaging.read_image`.
            size: (H, W) as the header says.
        """
        self._path, self._upright, self._size = path, upright, size
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] | None = None

    def __call__(self, progress: Progress = no_progress) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, read-only; takes seconds the first time.

        Args:
            progress: told from 0 to 1 where the kind of the file allows; what it raises ends the reading.

        Raises:
            ImageFileError: the file cannot be read any more, or holds another image now.
        """
        with self._lock:
            progress(0.0)  # whoever has waited may want it no more
            if self._pixels is None:
                pixels = read_image(self._path, upright=self._upright, progress=progress)
                if pixels.shape[:2] != self._size:
                    raise ImageFileError(
                        f"the image has {_size_text(pixels.shape)} px now, it had {_size_text(self._size)} px.",
                        where=str(self._path),
                        way_out="Open it again.",
                    )
                pixels.flags.writeable = False
                self._pixels = pixels
            return self._pixels


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """The pixels of an image in the orientation in which its boxes are given.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, read-only; of a large image 2, 4 or 8 times smaller than ``size`` says.
        size: (H, W) in pixels, of the original.
        findings: what only the pixels could tell.
        read_whole: gives the original where ``pixels`` is smaller; else None.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    findings: tuple[Finding, ...] = ()
    read_whole: WholePixels | None = None

    def whole(self, progress: Progress = no_progress) -> NDArray[np.uint8]:
        """The original, (H, W, 3) uint8 RGB, read-only; of a large image see :class:`WholePixels`."""
        return self.pixels if self.read_whole is None else self.read_whole(progress)


def shown_size(record: ImageRecord) -> tuple[int, int]:
    """(H, W) that :func:`load_image` would show, from the file's header where that suffices.

    Raises:
        ImageFileError: the file is missing or no image.
    """
    if record.read is not None and record.size is not None:
        return record.size
    raw, upright = image_size(record.path)
    return _oriented(record.size, raw, upright)


def inputs_of(record: ImageRecord, size: tuple[int, int] | None = None) -> Inputs:
    """What the pipeline needs of an image.

    Args:
        record: the image.
        size: (H, W) where it is loaded already; None: see :func:`shown_size`.

    Raises:
        ImageFileError: the file is missing or no image.
    """
    gt = record.gt
    return Inputs(
        shown_size(record) if size is None else size,
        gt.boxes,
        gt.labels,
        gt.ignore,
        padded_size=record.seen_size,
        as_seen=record.seen_size is not None,
        gt_difficult=record.difficult,
    )


def _oriented(stated: tuple[int, int] | None, raw: tuple[int, int], upright: tuple[int, int]) -> tuple[int, int]:
    """Upright, unless the stated size is that of the stored rows and columns alone."""
    return raw if stated is not None and stated != upright and stated == raw else upright


def load_image(record: ImageRecord, progress: Progress = no_progress) -> LoadedImage:
    """Read the pixels of an image, of a large one a smaller copy, and compare its size with the stated one.

    Args:
        record: the image.
        progress: told from 0 to 1 where the kind of the file allows; what it raises ends the reading.

    Raises:
        ImageFileError: the file is missing or cannot be read as an image.

    Convention:
        Images are turned upright by their EXIF orientation. Only if the stated size is that of the stored rows and
        columns and not that of the upright image, the image stays as stored. A stated size that fits neither changes
        nothing but is a finding. The size of a large image is that of its header.
    """
    if record.read is not None:
        pixels = record.read()
        return LoadedImage(pixels, (pixels.shape[0], pixels.shape[1]))
    factor = reduction_of(record.path)
    if factor == 1:
        pixels = read_image(record.path, progress=progress)
        upright = pixels.shape[0], pixels.shape[1]
    else:
        upright = image_size(record.path)[1]
    # EXIF keeps or swaps the sides: only where they would be the stated ones is the file worth another look.
    swapped = record.size is not None and record.size != upright and record.size == upright[::-1]
    size = _oriented(record.size, image_size(record.path)[0], upright) if swapped else upright
    if factor > 1:
        pixels = read_reduced(record.path, factor, upright=size == upright, progress=progress)
    elif size != upright:
        pixels = read_image(record.path, upright=False, progress=progress)
    pixels.flags.writeable = False
    whole = WholePixels(record.path, size == upright, size) if factor > 1 else None
    return LoadedImage(pixels, size, _size_findings(record, size, upright), whole)


def _size_findings(record: ImageRecord, size: tuple[int, int], upright: tuple[int, int]) -> tuple[Finding, ...]:
    """What the size of an image says of its record; ``size`` is the shown one."""
    where = record.path.name
    if record.size is None:
        if record.normalised:  # shares were judged when they were read
            return ()
        return tuple(
            Finding(severity, f"GT {index} {what} of {_size_text(size)} px; kept as it is.", where, kind=what)
            for severity, indices, what in judge_position(record.gt.boxes, size)
            for index in indices.tolist()
        )
    stated = _size_text(record.size)
    if size != upright:
        return (
            Finding(
                "warning",
                f"annotations were drawn on the unrotated image: they state {stated} px, the image turned by its "
                f"EXIF orientation has {_size_text(upright)} px. It is shown unrotated.",
                where,
                "A trainer that honours EXIF would see these boxes in wrong places: store the image rotated.",
                kind="unrotated",
            ),
        )
    if record.size != size:
        return (
            Finding(
                "warning",
                f"the annotation file states {stated} px, the image has {_size_text(upright)} px. The boxes were kept "
                "as they are.",
                where,
                "Check whether the image was resized or exchanged after it was annotated.",
                kind="other size",
            ),
        )
    return ()


def judge_position(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64] | tuple[int, ...], margin: float = ROUNDING_PX
) -> list[tuple[Severity, NDArray[np.int64], str]]:
    """Which boxes lie outside their image.

    Args:
        boxes: (N, 4) xyxy pixels; boxes that are NaN anywhere are not judged.
        sizes: (N, 2) or (2,) image height and width in pixels, NaN where unknown.
        margin: how far a box may reach beyond the image and be taken for rounded, in the unit of the boxes.

    Returns:
        For boxes outside and partly outside: severity, their indices, and the judgement ("lies outside the image").
    """
    height, width = np.broadcast_to(np.asarray(sizes, np.float64), (len(boxes), 2)).T
    x1, y1, x2, y2 = boxes.T
    # Comparisons with NaN are False: a box or size that is unknown is neither.
    outside = (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height)
    partly = ((x1 < -margin) | (y1 < -margin) | (x2 > width + margin) | (y2 > height + margin)) & ~outside
    return [
        ("warning", np.flatnonzero(outside), "lies outside the image"),
        ("note", np.flatnonzero(partly), "reaches beyond the image"),
    ]


def _size_text(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]}"
