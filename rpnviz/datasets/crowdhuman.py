"""CrowdHuman: an ``.odgt`` file with one JSON object per line.

Boxes are ``fbox``, the whole body: x, y, width, height in pixels from 0; they may reach beyond the image. A ``tag`` of
"mask" and ``extra.ignore`` mark ignore regions; ``head_attr.ignore`` concerns the head alone and is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import shown
from rpnviz.datasets.folder import is_image_name
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import four_of, kind_of, record_id
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import names_in, read_bytes

FORMAT = "CrowdHuman"
PIXELS = PixelConvention(Order.CORNER_SIZE, word="fbox")


def claims(path: Path) -> list[Claim]:
    """An ``.odgt`` file, or a folder with one."""
    why = "JSON lines with 'gtboxes'"
    if path.is_dir():
        places = (path, path / "annotations")
        return [Claim(place / name, why) for place in places for name in names_in(place, ".odgt")]
    return [Claim(path, why)] if path.suffix.lower() == ".odgt" else []


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read an ``.odgt`` file; the image of ID "a,b" is ``a,b.jpg``.

    Raises:
        AnnotationError: no line is of an image.
    """
    collector = Collector(path, PIXELS, "box", own_files=False)
    categories = Categories()
    lines = read_bytes(path).splitlines()
    for index, line in enumerate(lines):
        if index % 256 == 0:
            progress(index / len(lines))
        if line.strip():
            _add_line(line.lstrip(b"\xef\xbb\xbf"), index + 1, collector, categories)
    progress(1.0)
    return collector.dataset(categories.names, FORMAT, ImageFinder(path, images))


def _add_line(line: bytes, place: int, collector: Collector, categories: Categories) -> None:
    where = f"line {place}"
    try:
        record: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        collector.log.add("no annotation", "error", f"no valid JSON: {error}; left out.", where)
        return
    if not isinstance(record, dict):
        what = f"the line holds {kind_of(record)}, expected an object; left out."
        collector.log.add("no annotation", "error", what, where)
        return
    id_ = record_id(record.get("ID"))
    if id_ is None or id_ == "":
        given = shown(record["ID"]) if "ID" in record else "missing"
        collector.log.add("no image id", "error", f"ID is {given}, expected a text; left out.", where)
        return
    width, height = pixels_stated(record.get("width")), pixels_stated(record.get("height"))
    size = (height, width) if width and height else None
    name = str(id_) if is_image_name(str(id_)) else f"{id_}.jpg"
    image = collector.image(name, size=size, image_id=id_)
    boxes = record.get("gtboxes", [])
    if not isinstance(boxes, list):
        what = f"gtboxes is {kind_of(boxes)}, expected a list; the image has no boxes."
        collector.log.add("no annotations", "error", what, where, image=image)
        return
    for position, box in enumerate(boxes):
        place_of_box = f"{where}: gtboxes[{position}]"
        if not isinstance(box, dict):
            what = f"the box is {kind_of(box)}, expected an object; left out."
            collector.log.add("no annotation", "error", what, place_of_box, image=image)
            continue
        numbers = four_of(box.get("fbox"))
        if numbers is None:
            collector.note_no_box(image, f"fbox is {shown(box.get('fbox'))}, expected 4 numbers", place_of_box)
        tag = box.get("tag")
        if not isinstance(tag, str) or not tag:
            what = f"tag is {shown(tag)}, expected a text; named 'unknown'."
            collector.note("unknown category", "warning", image, what, place_of_box)
            tag = "unknown"
        extra = box.get("extra")
        ignore = tag == "mask" or (isinstance(extra, dict) and extra.get("ignore") in (1, True))
        collector.box(image, numbers, categories.label(tag), position, ignore=ignore)
