"""CSV with a row per box: with a header, as keras-retinanet has it without one, and as Open Images has it.

With a header the columns are found by name (upper and lower case alike); others are not used:

- image: ``filename``, ``file_name``, ``image``, ``image_path``, ``path``, ``image_id``, ``ImageID``
- corners: ``x1``/``xmin``, ``y1``/``ymin``, ``x2``/``xmax``, ``y2``/``ymax`` (also ``left``, ``top``, ``right``,
  ``bottom``), or corner and size: ``x``, ``y``, ``w``/``width``, ``h``/``height``
- category: ``class``, ``label``, ``category``, ``name``, ``class_name``, ``LabelName``
- size of the image: ``image_width`` and ``image_height``; ``width`` and ``height`` where there are corners
- ignore region, 0 or 1: ``ignore``, ``iscrowd``, ``crowd``, ``difficult``, ``IsGroupOf``
- ``id``

Without a header the columns are path, x1, y1, x2, y2, class; a row ``path,,,,,`` is an image without boxes.
Pixels count from 0 and corners are edges. Open Images (``XMin, XMax, YMin, YMax``, in that order) has shares of the
image, the image ``ID.jpg``, ``IsGroupOf`` for ignore, and names in ``class-descriptions-boxable.csv`` beside the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import shown
from rpnviz.datasets.folder import is_image_name
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import decode, names_in, number, read_bytes, read_text
from rpnviz.errors import AnnotationError

FORMAT = "CSV"
CORNERS = PixelConvention(Order.CORNERS, word="row")
SIZES = PixelConvention(Order.CORNER_SIZE, word="row")
OPEN_IMAGES = PixelConvention(Order.SPANS, normalised=True, word="row")

_NAMES = {
    "image": ("filename", "file_name", "image", "image_path", "path", "image_id", "imageid"),
    "x1": ("x1", "xmin", "left"), "y1": ("y1", "ymin", "top"), "x2": ("x2", "xmax", "right"),
    "y2": ("y2", "ymax", "bottom"), "x": ("x",), "y": ("y",), "w": ("w", "width"), "h": ("h", "height"),
    "category": ("class", "label", "category", "class_name", "labelname", "name"),
    "width": ("image_width", "width"), "height": ("image_height", "height"),
    "ignore": ("ignore", "iscrowd", "crowd", "difficult", "isgroupof"), "id": ("id",),
}  # fmt: skip
_WITHOUT_HEADER = {"image": 0, "x1": 1, "y1": 2, "x2": 3, "y2": 4, "category": 5}
_MAX_FIELD = 1 << 20


def claims(path: Path) -> list[Claim]:
    """A CSV file with columns for image and box, or a folder with some."""
    if not path.is_dir():
        why = _why(path)
        return [Claim(path, why)] if why else []
    places = [(path, False), (path / "annotations", False)]
    if path.name == "images":
        places.append((path.absolute().parent, True))
    files = [(place / name, nearby) for place, nearby in places for name in names_in(place, ".csv")[:20]]
    return [Claim(file, why, nearby) for file, nearby in files if (why := _why(file))]


def _why(path: Path) -> str:
    """What tells that a file is a table of boxes; empty if nothing does."""
    try:
        text = decode(read_bytes(path, 1 << 16))
    except AnnotationError:
        return ""
    rows = list(_rows(text[: text.rfind("\n") + 1] or text))[:3]
    if not rows:
        return ""
    columns = _columns(rows[0][1])
    if columns is not None:
        return "columns for image and box"
    fields = rows[0][1]
    is_plain = len(fields) >= 6 and is_image_name(Path(fields[0].replace("\\", "/")).name)
    return "rows of path, x1, y1, x2, y2, class" if is_plain and _are_numbers_or_empty(fields[1:5]) else ""


def _are_numbers_or_empty(fields: Sequence[str]) -> bool:
    return all(not field.strip() or number(field) is not None for field in fields)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row; a row that the csv module refuses comes with no fields."""
    first = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield reader.line_num, []
            continue
        if row and any(field.strip() for field in row):
            yield reader.line_num, row


def _columns(header: Sequence[str]) -> dict[str, int] | None:
    """Position of each column by its meaning; None if the row is no header of such a table."""
    cells = [cell.strip().lower() for cell in header]
    found: dict[str, int] = {}
    for meaning, names in _NAMES.items():
        position = next((cells.index(name) for name in names if name in cells), None)
        if position is not None:
            found[meaning] = position
    if "image" not in found:
        return None
    if all(name in found for name in ("x1", "y1", "x2", "y2")):
        return {meaning: at for meaning, at in found.items() if meaning not in ("x", "y", "w", "h")}
    if all(name in found for name in ("x", "y", "w", "h")):
        taken = (found["w"], found["h"])
        return {meaning: at for meaning, at in found.items() if meaning in ("w", "h") or at not in taken}
    return None


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a table.

    Raises:
        AnnotationError: it has no columns for image and box.
    """
    text = read_text(path)
    if text.startswith("PK\x03\x04"):
        what = "this is a spreadsheet or a zip archive, whatever its name says, expected a table as text."
        raise AnnotationError(what, where=str(path), way_out="Save it as CSV.")
    rows = _rows(text)
    first = next(rows, None)
    columns = _columns(first[1]) if first is not None else None
    has_header = columns is not None
    if columns is None:
        if first is None or len(first[1]) < 6 or not _are_numbers_or_empty(first[1][1:5]):
            raise AnnotationError(
                "the table has no columns for image and box: expected a header with names such as filename, x1, y1, "
                "x2, y2, class, or rows of path, x1, y1, x2, y2, class.",
                where=str(path),
                way_out="docs/datasets.md lists the names of the columns.",
            )
        columns = _WITHOUT_HEADER
    is_open_images = has_header and first is not None and _is_open_images([cell.strip() for cell in first[1]])
    convention = OPEN_IMAGES if is_open_images else CORNERS if "x1" in columns else SIZES
    collector = Collector(path, convention, "line")
    if not text.isascii():
        decode(read_bytes(path), collector.log)  # notes an encoding that others refuse
    table = _Table(columns, collector, _display_names(path) if is_open_images else {}, is_open_images)
    total = text.count("\n") + 1
    del text
    if not has_header and first is not None:
        table.add(*first)
    for place, row in rows:
        if place % 8192 == 0:
            progress(min(1.0, place / total))
        table.add(place, row)
    progress(1.0)
    format_ = "Open Images CSV" if is_open_images else FORMAT
    return collector.dataset(table.categories.names, format_, ImageFinder(path, images))


def _is_open_images(cells: list[str]) -> bool:
    return {"ImageID", "XMin", "XMax", "YMin", "YMax"} <= set(cells)


def _display_names(path: Path) -> dict[str, str]:
    """Names of Open Images' labels (``/m/01g317`` is Person), from the files that belong to it."""
    for name in names_in(path.parent, ".csv"):
        if name.startswith("class-descriptions") or name.endswith("class-descriptions.csv"):
            try:
                rows = _rows(read_text(path.parent / name))
            except AnnotationError:
                continue
            return {row[0]: row[1] for _, row in rows if len(row) >= 2}
    return {}


class _Table:
    """Takes the rows."""

    def __init__(
        self, columns: dict[str, int], collector: Collector, display_names: dict[str, str], is_open_images: bool
    ) -> None:
        self.categories = Categories()
        self._columns = columns
        self._collector = collector
        self._display_names = display_names
        self._is_open_images = is_open_images
        self._images: dict[str, int] = {}
        names = ("x1", "y1", "x2", "y2") if "x1" in columns else ("x", "y", "w", "h")
        if is_open_images:
            names = ("x1", "x2", "y1", "y2")
        self._numbers = [columns[name] for name in names]
        self._needed = max(*self._numbers, columns["image"]) + 1

    def _field(self, row: list[str], meaning: str) -> str:
        position = self._columns.get(meaning, len(row))
        return row[position].strip() if position < len(row) else ""

    def add(self, line: int, row: list[str]) -> None:
        """Take a row."""
        where = f"line {line}"
        log = self._collector.log
        if len(row) < self._needed:
            what = f"{len(row)} columns, expected at least {self._needed}; left out."
            log.add("columns", "error", what, where)
            return
        name = self._field(row, "image")
        if not name:
            log.add("no file name", "error", "the row names no image; left out.", where)
            return
        image = self._images.get(name)
        if image is None:
            image = self._images[name] = self._collector.image(self._file_name(name), size=self._size(row, where))
        texts = [row[position].strip() for position in self._numbers]
        if not any(texts):
            return  # an image without boxes
        values = [number(text) for text in texts]
        numbers = [value for value in values if value is not None]
        usable = len(numbers) == 4
        if not usable:
            given = ", ".join(repr(text[:40]) for text in texts)
            self._collector.note_no_box(image, f"the box is {given}, expected 4 numbers", where)
        label = self._field(row, "category")
        if not label and "category" in self._columns:
            what = "the row names no category; named 'unknown'."
            self._collector.note("unknown category", "warning", image, what, where)
        label = self._display_names.get(label, label)
        ignore = self._ignore(row, image, where)
        id_ = self._field(row, "id") or None
        label_index = self.categories.label(label or ("unknown" if "category" in self._columns else "object"))
        self._collector.box(image, numbers if usable else None, label_index, line, ignore=ignore, id_=id_)

    def _file_name(self, name: str) -> str:
        return name if not self._is_open_images or is_image_name(name) else f"{name}.jpg"

    def _size(self, row: list[str], where: str) -> tuple[int, int] | None:
        texts = [self._field(row, meaning) for meaning in ("height", "width")]
        if not all(texts):
            return None
        height, width = (pixels_stated(text) for text in texts)
        if height and width:
            return height, width
        what = f"the image is {shown(texts[1])} x {shown(texts[0])}, expected whole pixels; taken from the image."
        self._collector.log.add("size", "warning", what, where, image=self._collector.image_count)
        return None

    def _ignore(self, row: list[str], image: int, where: str) -> bool:
        text = self._field(row, "ignore").lower()
        if text in ("", "0", "false", "no", "-1"):  # -1 is unknown in Open Images
            return False
        if text not in ("1", "true", "yes"):
            what = f"the ignore flag is {shown(text)}, expected 0 or 1; taken for 1."
            self._collector.note("ignore", "warning", image, what, where)
        return True
