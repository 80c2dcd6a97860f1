"""KITTI: a text file of 15 columns per image.

Columns: type, truncated, occluded, alpha, left, top, right, bottom, and seven of the box in space (a sixteenth is a
score). Corners count from 0 and are edges, in floats. ``DontCare`` is an ignore region.
"""

from __future__ import annotations

import os
from pathlib import Path

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector
from rpnviz.datasets.folder import is_image_name, natural_order
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import decode, four_numbers, names_in, number, read_bytes
from rpnviz.errors import AnnotationError

FORMAT = "KITTI"
PIXELS = PixelConvention(Order.CORNERS, word="columns 5 to 8")
_LABELS = ("label_2", "labels", "training/label_2", "label_02")
_IMAGES = {"label_2": "image_2", "labels": "images", "label_02": "image_02"}
_LOOKED_AT = 5
_COLUMNS = 15


def claims(path: Path) -> list[Claim]:
    """A folder of label files, or one with such a folder in it (``label_2``) or beside it (``image_2``)."""
    if not path.is_dir():
        return []
    places = [(path, False), *((path / name, False) for name in _LABELS)]
    places += [(path.absolute().parent / label, True) for label, image in _IMAGES.items() if path.name == image]
    for place, nearby in places:
        if any(_looks_like_labels(place / name) for name in names_in(place, ".txt")[:_LOOKED_AT]):
            return [Claim(place, f"text files of {_COLUMNS} columns in {place.name}/", nearby)]
    return []


def _looks_like_labels(path: Path) -> bool:
    try:
        text = decode(read_bytes(path, 4096))
    except AnnotationError:
        return False
    fields = next((line.split() for line in text.splitlines() if line.strip()), [])
    return (
        len(fields) in (_COLUMNS, _COLUMNS + 1) and number(fields[0]) is None and four_numbers(fields[4:8]) is not None
    )


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read all label files in a folder; the images are looked for beside it (``image_2`` for ``label_2``).

    Raises:
        AnnotationError: there is none.
    """
    collector = Collector(path, PIXELS, "line", own_files=True)
    categories = Categories()
    beside = path.absolute().parent / _IMAGES.get(path.name, "images")
    finder = ImageFinder(path / "labels.txt", images or (beside if beside.is_dir() else None))
    files = sorted(names_in(path, ".txt"), key=natural_order)
    for index, name in enumerate(files):
        if index % 256 == 0:
            progress(index / len(files))
        stem = os.path.splitext(name)[0]
        found = finder.find_stem(stem)
        try:
            text = decode(read_bytes(path / name), collector.log, name)
        except AnnotationError as error:
            collector.log.add("file", "error", f"{error.what} Left out.", name, error.way_out)
            continue
        if found is None:
            collector.missing_image(f"{stem}.png", finder.looked_in, name)
            found = finder.expected(f"{stem}.png")
        image = collector.image(found.name, path=str(found), image_id=stem, source=name)
        for line, content in enumerate(text.splitlines(), 1):
            fields = content.split()
            if fields:
                _add_line(image, fields, line, name, collector, categories)
    _report_images_without(path, files, beside if images is None else images, collector)
    progress(1.0)
    return collector.dataset(categories.names, FORMAT)


def _add_line(
    image: int, fields: list[str], line: int, source: str, collector: Collector, categories: Categories
) -> None:
    where = f"{source}: line {line}"
    kind = fields[0]
    numbers = four_numbers(fields[4:8])
    if len(fields) not in (_COLUMNS, _COLUMNS + 1) and numbers is not None:
        what = f"{len(fields)} columns, expected {_COLUMNS}; columns 5 to 8 were taken for the box."
        collector.note("columns", "warning", image, what, where)
    if numbers is None:
        given = " ".join(fields[4:8]) or "missing"
        collector.note_no_box(image, f"columns 5 to 8 are {given[:80]!r}, expected 4 numbers", where)
    collector.box(image, numbers, categories.label(kind), line, ignore=kind == "DontCare")


def _report_images_without(path: Path, files: list[str], images: Path, collector: Collector) -> None:
    labelled = {os.path.splitext(name)[0] for name in files}
    without = [name for name in names_in(images) if is_image_name(name) and os.path.splitext(name)[0] not in labelled]
    if without:
        what = f"{len(without):,} images have no label file and are not shown: {', '.join(without[:5])}."
        collector.log.add("no label file", "note", what, path.name, count=len(without))
