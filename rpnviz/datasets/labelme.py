"""LabelMe: a JSON file per image with ``shapes``.

Corners count from 0 and are edges, in floats. A rectangle has two points in any order; of polygons, circles (centre and
a point on the line) and rotated rectangles the box around them is taken; points and lines have no box and are left out.
The two points of a mask are the first and the last of its pixels, so its box ends 1 px behind the second.
A shape is an ignore region if one of its flags ``ignore``, ``crowd`` or ``difficult`` is set.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.folder import natural_order
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import decode_slowly, is_json_with, kind_of, read_text
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import names_in
from rpnviz.errors import AnnotationError

FORMAT = "LabelMe JSON"
PIXELS = PixelConvention(Order.CORNERS, word="points")
IGNORE_FLAGS = frozenset({"ignore", "crowd", "iscrowd", "difficult"})
"""Names under which annotation tools without a word for it mark ignore regions."""

_EXPECTED = "Expected LabelMe JSON: an object with the list 'shapes'."
_LOOKED_AT = 5
_WITHOUT_BOX = frozenset({"point", "points", "line", "linestrip"})


class _File(msgspec.Struct):
    """What is used of a file; the embedded image, which may have megabytes, is passed over."""

    shapes: list[Any]
    imagePath: Any = None
    imageWidth: Any = None
    imageHeight: Any = None


def claims(path: Path) -> list[Claim]:
    """A JSON file with ``shapes``, or a folder with some.

    Raises:
        AnnotationError: the file that was named is no JSON.
    """
    if not path.is_dir():
        return [Claim(path, "lists 'shapes'")] if _is_labelme(path) else []
    places = [(path, False), (path / "annotations", False), (path / "labels", False)]
    if path.name == "images":
        places += [(path.absolute().parent / name, True) for name in ("annotations", "labels")]
    for place, nearby in places:
        for name in names_in(place, ".json")[:_LOOKED_AT]:
            try:
                if _is_labelme(place / name):
                    return [Claim(place, f"JSON files with 'shapes' in {place.name}/", nearby)]
            except AnnotationError:
                continue
    return []


def _is_labelme(path: Path) -> bool:
    def test(text: bytes) -> bool:
        msgspec.json.decode(text, type=_File)
        return True

    return is_json_with(path, test, (b'"shapes"',), _EXPECTED)


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read one file, or all files in a folder.

    Raises:
        AnnotationError: there is no file with an image.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(names_in(folder, ".json"), key=natural_order) if path.is_dir() else [path.name]
    collector = Collector(path, PIXELS, "shape", own_files=True)
    finder = ImageFinder(folder / "annotations.json", images)
    categories = Categories()
    for index, name in enumerate(files):
        if index % 64 == 0:
            progress(index / len(files))
        _read_file(folder / name, collector, categories, finder, alone=not path.is_dir())
    progress(1.0)
    return collector.dataset(categories.names, FORMAT)


def _read_file(path: Path, collector: Collector, categories: Categories, finder: ImageFinder, alone: bool) -> None:
    log = FindingLog(path.name)
    try:
        content = _decode(path, log)
    except AnnotationError as error:
        if alone:
            raise
        collector.log.add("file", "error", f"{error.what} Left out.", path.name, error.way_out)
        return
    for finding in log.all():
        collector.log.add(finding.kind, finding.severity, finding.what, path.name, finding.way_out)
    if content is None:
        collector.log.add("file", "note", "the file has no 'shapes'; left out.", path.name)
        return
    size = None
    if content.imageWidth is not None or content.imageHeight is not None:
        width, height = pixels_stated(content.imageWidth), pixels_stated(content.imageHeight)
        if width is None or height is None:
            given = f"{shown(content.imageWidth)} x {shown(content.imageHeight)}"
            what = f"imageWidth x imageHeight is {given}, expected whole pixels; the size is taken from the image."
            collector.log.add("size", "warning", what, path.name, image=collector.image_count)
        else:
            size = (height, width)
    stated = content.imagePath if isinstance(content.imagePath, str) else ""
    found = finder.find(stated) or finder.find_last_part(stated) if stated else None
    if found is None:
        found = finder.find_stem(path.stem)
    name = os.path.basename(str(found)) if found else stated.replace("\\", "/").split("/")[-1] or path.stem + ".jpg"
    if found is None:
        collector.missing_image(name, finder.looked_in, path.name)
    where = str(found or finder.expected(name))
    image = collector.image(name, path=where, size=size, image_id=path.stem, source=path.name)
    for position, shape in enumerate(content.shapes):
        _read_shape(shape, position, image, path.name, collector, categories)


def _decode(path: Path, log: FindingLog) -> _File | None:
    """The file; None if it is JSON of another kind."""
    text = read_text(path, _EXPECTED, log)
    try:
        return msgspec.json.decode(text, type=_File)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, RecursionError):
        whole = decode_slowly(text, path, _EXPECTED)
        if isinstance(whole, dict) and isinstance(whole.get("shapes"), list):
            return _File(whole["shapes"], whole.get("imagePath"), whole.get("imageWidth"), whole.get("imageHeight"))
    return None


def _read_shape(
    shape: Any, position: int, image: int, source: str, collector: Collector, categories: Categories
) -> None:
    where = f"{source}: shape {position}"
    if not isinstance(shape, dict):
        what = f"the shape is {kind_of(shape)}, expected an object; left out."
        collector.log.add("no annotation", "error", what, where, image=image)
        return
    kind = shape.get("shape_type", "polygon")
    if isinstance(kind, str) and kind in _WITHOUT_BOX:
        collector.log.add("no area", "note", f"a {kind} has no box; left out.", where, image=image)
        return
    label = shape.get("label")
    if not isinstance(label, str) or not label:
        given = shown(label) if "label" in shape else "missing"
        collector.note("unknown category", "warning", image, f"label is {given}, expected a text.", where)
        label = "unknown"
    flags = shape.get("flags")
    ignore = isinstance(flags, dict) and any(flags.get(name) is True for name in IGNORE_FLAGS)
    numbers = _corners(shape.get("points"), kind)
    if numbers is None:
        what = f"points is {shown(shape.get('points'))}, expected pairs of numbers"
        collector.note_no_box(image, what, where)
    collector.box(image, numbers, categories.label(label), position, ignore=ignore)


def _corners(points: Any, kind: Any) -> list[float] | None:
    """The box around points."""
    if not isinstance(points, Sequence) or isinstance(points, str) or not points:
        return None
    pairs = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            return None
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in point):
            return None
        try:
            pairs.append((float(point[0]), float(point[1])))
        except OverflowError:
            return None
    if kind == "circle" and len(pairs) == 2:
        (x, y), (edge_x, edge_y) = pairs
        radius = math.hypot(edge_x - x, edge_y - y)
        return [x - radius, y - radius, x + radius, y + radius]
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    if any(math.isnan(value) for value in (*xs, *ys)):
        return [math.nan] * 4
    last_pixel = 1 if kind == "mask" else 0  # the points of a mask are its first and its last pixel
    return [min(xs), min(ys), max(xs) + last_pixel, max(ys) + last_pixel]
