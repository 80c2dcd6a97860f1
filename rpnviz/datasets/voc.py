"""Pascal VOC: a folder of XML files, one per image.

Fields that are used: filename, size/width, size/height, and of every object name, difficult and bndbox.

The corners count from 1 and include the last pixel: 1, 1, W, H is the whole image. What trainers make of them:

- detectron2 (``data/datasets/pascal_voc.py``) subtracts 1 from xmin and ymin alone: the box as it is shown here;
- py-faster-rcnn (``lib/datasets/pascal_voc.py``) subtracts 1 from all four and counts widths as x2 - x1 + 1: the same
  pixels; its uint16 makes 65,535 of a corner at 0; difficult objects are removed;
- mmdetection 3 (``mmdet/datasets/xml_style.py``) cuts floats, subtracts 1 from all four and measures x2 - x1: 1 px
  narrower and lower; difficult objects become ignore regions;
- keras-retinanet (``preprocessing/pascal_voc.py``) subtracts 1 from all four and measures x2 - x1: 1 px less too;
- torchvision's ``VOCDetection`` hands over the text of the file: your own code decides.
"""

from __future__ import annotations

import os
from pathlib import Path

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import shown
from rpnviz.datasets.folder import IMAGE_SUFFIXES, is_image_name, natural_order
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import names_in, number
from rpnviz.datasets.xml_files import Element, read_xml, root_tag
from rpnviz.errors import AnnotationError

FORMAT = "Pascal VOC XML"
PIXELS = PixelConvention(Order.CORNERS, first=1, inclusive=True, word="bndbox")
_FOLDERS = ("Annotations", "annotations", "xmls")
_IMAGE_FOLDERS = ("JPEGImages", "images")
_LOOKED_AT = 5


def claims(path: Path) -> list[Claim]:
    """An XML file with the root ``annotation``, or a folder of them, or one that has such a folder in or beside it."""
    if path.is_file():
        is_voc = path.suffix.lower() == ".xml" and root_tag(path) == "annotation"
        return [Claim(path, "root element 'annotation'")] if is_voc else []
    places = [path, *(path / name for name in _FOLDERS)]
    if path.name in _IMAGE_FOLDERS or names_in(path):
        places += [path.absolute().parent / name for name in _FOLDERS]
    for place in places:
        some = names_in(place, ".xml")[:_LOOKED_AT]
        if any(root_tag(place / name) == "annotation" for name in some):
            nearby = place.parent == path.absolute().parent and place != path
            return [Claim(place, f"XML files with the root element 'annotation' in {place.name}/", nearby)]
    return []


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read an XML file, or all XML files in a folder; the images are looked for beside them and in ``JPEGImages``.

    Raises:
        AnnotationError: there is no XML file with an image.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(names_in(folder, ".xml"), key=natural_order) if path.is_dir() else [path.name]
    collector = Collector(path, PIXELS, "line", own_files=True, difficult=True)
    places = _places(folder, images)
    listings = [
        {os.path.splitext(name)[0]: name for name in names_in(place) if is_image_name(name)} for place in places
    ]
    categories = Categories()
    for index, name in enumerate(files):
        if index % 64 == 0:
            progress(index / len(files))
        _read_file(folder / name, collector, categories, places, listings)
    progress(1.0)
    dataset = collector.dataset(categories.names, FORMAT)
    return dataset


def _places(folder: Path, images: Path | None) -> list[Path]:
    if images is not None:
        return [images]
    near = (folder, folder.absolute().parent)
    return [place for base in near for place in (base, *(base / name for name in _IMAGE_FOLDERS)) if place.is_dir()]


def _read_file(
    path: Path,
    collector: Collector,
    categories: Categories,
    places: list[Path],
    listings: list[dict[str, str]],
) -> None:
    try:
        root, problem = read_xml(path)
    except AnnotationError as error:
        collector.log.add("file", "error", f"{error.what} Left out.", path.name, error.way_out)
        return
    usable = root is not None and root.tag == "annotation"
    if problem:
        what = f"no whole XML: {problem}; what stands before that was kept."
        collector.log.add(
            "broken file", "error", what, path.name, "Export the file again.", collector.image_count if usable else None
        )
    if root is None or root.tag != "annotation":
        given = "has no root element" if root is None else f"has the root element {root.tag!r}"
        collector.log.add("file", "error", f"the file {given}, expected 'annotation'; left out.", path.name)
        return
    size = _size(root, path, collector)
    stated = root.text_of("filename") or ""
    where = _image_of(path, stated, places, listings, collector)
    image = collector.image(os.path.basename(where), path=where, size=size, image_id=path.stem, source=path.name)
    for position, element in enumerate(child for child in root.children if child.tag == "object"):
        _read_object(element, position, image, path, collector, categories)


def _size(root: Element, path: Path, collector: Collector) -> tuple[int, int] | None:
    """(H, W) as stated; 0 and a missing ``size`` are common and mean that it is not."""
    element = root.find("size")
    if element is None:
        return None
    texts = [element.text_of(name) for name in ("width", "height")]
    if all(text is None or text in ("", "0") for text in texts):
        return None
    width, height = (pixels_stated(text) for text in texts)
    if width is None or height is None:
        what = (
            f"size is {shown(texts[0])} x {shown(texts[1])}, expected whole pixels; the size is taken from the image."
        )
        collector.log.add("size", "warning", what, path.name, image=collector.image_count)
        return None
    return height, width


def _image_of(
    path: Path,
    stated: str,
    places: list[Path],
    listings: list[dict[str, str]],
    collector: Collector,
) -> str:
    """The image of an XML file: the one named like the file, as in all trainers, else the one that it names."""
    stated_name = stated.replace("\\", "/").split("/")[-1]
    own = next(
        (
            str(place / listing[path.stem])
            for place, listing in zip(places, listings, strict=True)
            if path.stem in listing
        ),
        None,
    )
    if own is not None:
        if stated_name and os.path.splitext(stated_name)[0] != path.stem:
            what = f"filename is {shown(stated)}, the file itself {path.name!r}: {os.path.basename(own)!r} is shown."
            way_out = "Correct the tag: trainers go by the name of the XML file."
            collector.log.add("file name tag", "note", what, path.name, way_out, collector.image_count)
        return own
    both = zip(places, listings, strict=True)
    found = next((str(place / stated_name) for place, listing in both if stated_name in listing.values()), None)
    if found is not None:
        what = f"no image is called {path.stem!r}; {stated_name!r}, which 'filename' names, is shown."
        way_out = "Rename one of the two: trainers go by the name of the XML file."
        collector.log.add("file name tag", "warning", what, path.name, way_out, collector.image_count)
        return found
    suffix = os.path.splitext(stated_name)[1].lower()
    name = path.stem + (suffix if suffix in IMAGE_SUFFIXES else ".jpg")
    collector.missing_image(name, ", ".join(map(str, places)), path.name)
    return str(places[-1 if len(places) == 1 else 0] / name) if places else str(path.parent / name)


def _read_object(
    element: Element, position: int, image: int, path: Path, collector: Collector, categories: Categories
) -> None:
    where = f"{path.name}: line {element.line}"
    name = element.text_of("name")
    if not name:
        given = "empty" if name == "" else "missing"
        what = f"the name of object {position + 1} is {given}; named 'unknown'."
        collector.note("unknown category", "warning", image, what, where)
    box = element.find("bndbox")
    numbers = None
    if box is None:
        collector.note_no_box(image, f"object {position + 1} has no 'bndbox'", where)
    else:
        texts = [box.text_of(field) for field in ("xmin", "ymin", "xmax", "ymax")]
        values = [None if text is None else number(text) for text in texts]
        if None in values:
            given = ", ".join("missing" if text is None else repr(text) for text in texts)
            collector.note_no_box(image, f"bndbox is {given}, expected 4 numbers", where)
        else:
            numbers = [value for value in values if value is not None]
    difficult = element.text_of("difficult") or "0"
    if difficult not in ("0", "1"):
        what = f"difficult is {shown(difficult)}, expected 0 or 1; taken for 1."
        collector.note("difficult", "warning", image, what, where)
    label = categories.label(name or "unknown")
    collector.box(image, numbers, label, element.line, ignore=difficult != "0")
