"""YOLO: a text file of normalised boxes per image, and ``data.yaml`` with the names and the folders of the splits.

A line is class, centre x, centre y, width, height, all but the class as shares of the image; a line of class and an
outline (2 n numbers) stands for the box around it. A sixth number is taken for a confidence and not used. The size of
an image comes from its header when it is needed, turned upright by its EXIF orientation as Ultralytics does.

The label file of ``.../images/a.jpg`` is ``.../labels/a.txt`` (the last folder named ``images`` counts), else ``a.txt``
beside the image. An image without one is background.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector
from rpnviz.datasets.findings import FindingLog, shown
from rpnviz.datasets.folder import is_image_name, natural_order
from rpnviz.datasets.pixels import Order, PixelConvention
from rpnviz.datasets.text_files import decode, folders_in, names_in, number, read_bytes, walk, whole_number
from rpnviz.datasets.yaml_files import read_yaml
from rpnviz.errors import AnnotationError

FORMAT = "YOLO"
PIXELS = PixelConvention(Order.CENTRE_SIZE, normalised=True, word="line")
_SPLITS = ("train", "val", "valid", "test")
_YAML = (".yaml", ".yml")
_LOOKED_AT = 5
_PLAIN = re.compile(r"[0-9.eE+ \r\n-]*")
_PROGRESS_EVERY = 256


def claims(path: Path) -> list[Claim]:
    """A YAML file with names or splits, a list of images, or a folder with labels for its images.

    Raises:
        AnnotationError: a YAML file that was named is broken.
    """
    if not path.is_dir():
        return _claims_of_file(path)
    for name in (*names_in(path, ".yaml"), *names_in(path, ".yml")):
        try:
            if _is_description(read_yaml(path / name)):
                return [Claim(path / name, "'names' or the folders of splits")]
        except AnnotationError:
            continue
    for folder in (path, *(path / name for name in folders_in(path))):
        if (folder / "images").is_dir() and (folder / "labels").is_dir() and _has_labels(folder / "labels"):
            return [Claim(path, "images/ and labels/")]
    swapped = _swapped(str(path.absolute()) + os.sep)
    if swapped is not None and _has_labels(Path(swapped)):
        return [Claim(path, f"labels in {swapped}", nearby=True)]
    texts = names_in(path, ".txt")
    images = {os.path.splitext(name)[0] for name in names_in(path) if is_image_name(name)} if texts else set()
    beside = [name for name in texts if os.path.splitext(name)[0] in images][:_LOOKED_AT]
    if any(_looks_like_labels(path / name) for name in beside):
        return [Claim(path, "a text file of normalised boxes beside each image")]
    return []


def _claims_of_file(path: Path) -> list[Claim]:
    suffix = path.suffix.lower()
    if suffix in _YAML:
        return [Claim(path, "'names' or the folders of splits")] if _is_description(read_yaml(path)) else []
    if suffix == ".txt":
        lines = [line for line in decode(read_bytes(path, 1 << 16)).splitlines()[:_LOOKED_AT] if line.strip()]
        if lines and all(is_image_name(os.path.basename(line.strip())) for line in lines):
            return [Claim(path, "a list of images")]
    return []


def _is_description(content: Any) -> bool:
    """Whether YAML is a ``data.yaml``; a model's YAML has ``backbone``."""
    if not isinstance(content, dict) or "backbone" in content:
        return False
    return isinstance(content.get("names"), list | dict) or any(
        isinstance(content.get(split), str | list) for split in ("train", "val")
    )


def _has_labels(folder: Path) -> bool:
    for place in walk(folder):
        some = names_in(place, ".txt")[:_LOOKED_AT]
        if some:
            return any(_looks_like_labels(place / name) for name in some)
    return False


def _looks_like_labels(path: Path) -> bool:
    """Whether a text file begins with a line of five or more numbers, or is empty."""
    try:
        text = decode(read_bytes(path, 4096))
    except AnnotationError:
        return False
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        return path.name != "classes.txt"
    fields = first.split()
    return len(fields) >= 5 and all(number(field) is not None for field in fields[1:5])


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a ``data.yaml``, a list of images, or a folder.

    Args:
        path: what was claimed.
        images: folder of the images; the splits of a YAML file are then not looked for.
        progress: called with a fraction from 0 to 1; it may raise to end the work.

    Raises:
        AnnotationError: there is no image, or the file is neither a description nor a list of images.
    """
    description: Mapping[str, Any] = {}
    if path.suffix.lower() in _YAML and not path.is_dir():
        content = read_yaml(path)
        if not _is_description(content):
            raise AnnotationError(
                "the file is no description of a data set: expected 'names' and the folders of 'train' and 'val'.",
                where=str(path),
                way_out="Name the folder of the images.",
            )
        description = content
    elif not path.is_dir() and not _claims_of_file(path):
        raise _no_list(path)
    collector = Collector(path, PIXELS, "line", own_files=True)
    reader = _Reader(path, collector, Categories(_names(description, path, collector)), description)
    sources = [images] if images is not None else _sources(path, description, collector)
    files = list(dict.fromkeys(file for source in sources for file in _images_of(source, collector)))
    for index, file in enumerate(files):
        if index % _PROGRESS_EVERY == 0:
            progress(index / len(files))
        reader.add(file)
    reader.finish(files)
    progress(1.0)
    return collector.dataset(reader.categories.names, FORMAT)


def _no_list(path: Path) -> AnnotationError:
    """Why a text file is no list of images, and what to open where it holds the boxes of one."""
    lines = (line.strip() for line in decode(read_bytes(path, 4096)).splitlines())
    first = next((line for line in lines if line), "")
    way_out = "A list names one image a line, with its suffix."
    if first and _looks_like_labels(path):
        way_out = "It looks like the boxes of one image: open the folder that holds images and labels."
    given = f"its first line is {shown(first)}" if first else "it is empty"
    return AnnotationError(f"the file is no list of images: {given}.", where=str(path), way_out=way_out)


def _names(description: Mapping[str, Any], path: Path, collector: Collector) -> list[str]:
    """Category names by class number; numbers that a mapping leaves out get names of their own."""
    names = description.get("names")
    if names is None and not description:
        names = _names_beside(path)
    by_number: dict[int, str] = {}
    if isinstance(names, list):
        by_number = dict(enumerate(str(name) if isinstance(name, str | int | float) else shown(name) for name in names))
    elif isinstance(names, dict):
        for key, name in names.items():
            position = whole_number(str(key)) if isinstance(key, str | int) else None
            if position is None or not 0 <= position < 100_000:
                what = f"names has the key {shown(key)}, expected a class number; left out."
                collector.log.add("category", "error", what, "names")
                continue
            by_number[position] = str(name) if isinstance(name, str | int | float) else shown(name)
    elif description:
        given = "missing" if names is None else shown(names)
        what = f"names is {given}, expected a list, or a mapping from class number to name."
        collector.log.add("category", "warning", what, "names")
    count = max(by_number, default=-1) + 1
    stated = description.get("nc")
    if isinstance(stated, int) and by_number and stated != count:
        what = f"nc is {stated}, but names has {count}; nc is not used."
        collector.log.add("nc", "warning", what, "nc", "Make them the same: a trainer stops here.")
    return [by_number.get(index, f"class {index}") for index in range(count)]


def _names_beside(path: Path) -> list[str] | None:
    """Names from ``classes.txt``, as labelling tools write it beside the labels."""
    folder = path if path.is_dir() else path.parent
    for file in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if file.is_file():
            try:
                return [line.strip() for line in decode(read_bytes(file, 1 << 20)).splitlines() if line.strip()]
            except AnnotationError:
                return None
    return None


def _sources(path: Path, description: Mapping[str, Any], collector: Collector) -> list[Path]:
    """Folders and lists of images: those of the splits, else the folder itself."""
    if not description:
        return [path]
    base = path.parent
    named = description.get("path")
    root = base
    if isinstance(named, str) and named and "\0" not in named and (base / named).is_dir():
        root = base / named  # an absolute path replaces the base
    sources: list[Path] = []
    for split in _SPLITS:
        stated = description.get(split)
        for entry in stated if isinstance(stated, list) else [stated]:
            if entry is None or entry == "":
                continue
            if not isinstance(entry, str):
                what = f"{split} is {shown(entry)}, expected a folder or a list of images; left out."
                collector.log.add("split", "warning", what, split)
                continue
            found = _place_of(entry, root, base)
            if found is None:
                what = f"{split} is {entry!r}, and there is no such folder or file in {root}; left out."
                collector.log.add("split", "warning", what, split, "Correct 'path' or the split.")
            else:
                sources.append(found)
    return sources or [base]


def _place_of(entry: str, root: Path, base: Path) -> Path | None:
    """Where a split is; Roboflow writes ``../train/images`` for ``train/images``, and Ultralytics puts up with it."""
    names = [entry]
    if entry.startswith("../"):
        names.append(entry[3:])
    try:
        return next((place / name for place in (root, base) for name in names if (place / name).exists()), None)
    except (OSError, ValueError):
        return None


def _images_of(source: Path, collector: Collector) -> Iterator[str]:
    """Paths of the images in a folder and below it, or of a list."""
    if source.is_dir():
        for place in walk(source):
            names = [name for name in names_in(place) if is_image_name(name)]
            yield from (os.path.join(place, name) for name in sorted(names, key=natural_order))
        return
    try:
        text = decode(read_bytes(source), collector.log, source.name)
    except AnnotationError as error:
        collector.log.add("split", "error", f"{error.what} Left out.", source.name, error.way_out)
        return
    for line in text.splitlines():
        name = line.strip()
        if name:
            yield os.path.normpath(os.path.join(source.parent, name.replace("\\", "/")))


def _swapped(path: str) -> str | None:
    """A path with its last folder ``images`` called ``labels``; None if it has none."""
    before, found, after = path.rpartition(f"{os.sep}images{os.sep}")
    return f"{before}{os.sep}labels{os.sep}{after}" if found else None


class _Reader:
    """Reads the label file of one image after the other."""

    def __init__(
        self, path: Path, collector: Collector, categories: Categories, description: Mapping[str, Any]
    ) -> None:
        self.categories = categories
        self._base = str((path if path.is_dir() else path.parent).absolute())
        self._collector = collector
        self._listed = len(categories.names)
        self._has_keypoints = "kpt_shape" in description
        self._listings: dict[str, set[str]] = {}
        self._labels_read: set[str] = set()
        self._without: list[int] = []
        self._confidences: Counter[int] = Counter()
        self._unlisted: dict[int, tuple[int, str]] = {}
        self._unlisted_count: Counter[int] = Counter()

    def add(self, path: str) -> None:
        """Take an image with its labels."""
        collector = self._collector
        stem = os.path.splitext(path)[0]
        swapped = _swapped(os.path.abspath(path))
        candidates = [stem + ".txt"] if swapped is None else [os.path.splitext(swapped)[0] + ".txt", stem + ".txt"]
        label_file = next((file for file in candidates if self._exists(file)), None)
        source = self._relative(label_file or candidates[0])
        if not self._exists(path):
            collector.missing_image(os.path.basename(path), os.path.dirname(path), source)
        image = collector.image(self._relative(path), path=path, source=source)
        if label_file is None:
            self._without.append(image)
            return
        self._labels_read.add(label_file)
        try:
            text = decode(read_bytes(Path(label_file)), collector.log, source)
        except AnnotationError as error:
            collector.log.add("file", "error", f"{error.what} The image has no boxes.", source, error.way_out, image)
            return
        lines = text.splitlines()
        if self._add_plain(image, text, lines):
            return
        for line, content in enumerate(lines, 1):
            fields = content.split()
            if fields:
                self._add_line(image, fields, line, source)

    def _exists(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._listings:
            self._listings[folder] = set(names_in(folder))
        return name in self._listings[folder]

    def _relative(self, path: str) -> str:
        try:
            relative = os.path.relpath(path, self._base)
        except ValueError:  # another drive
            return path
        return path if relative.startswith(os.pardir) else relative.replace(os.sep, "/")

    def _add_plain(self, image: int, text: str, lines: list[str]) -> bool:
        """Take a file of nothing but listed classes with four numbers each; otherwise take nothing and say so.

        Nearly all files are such, and a tenth of the time is enough for them.
        """
        if not _PLAIN.fullmatch(text):
            return False
        try:
            values = [float(field) for field in text.split()]
        except ValueError:
            return False
        classes = values[::5]
        if len(values) != 5 * len(lines) or any(line.count(" ") != 4 or line[0] == " " for line in lines):
            return False
        if any(not value.is_integer() or not 0 <= value < self._listed for value in classes):
            return False
        numbers = [value for index in range(0, len(values), 5) for value in values[index + 1 : index + 5]]
        self._collector.rows(image, numbers, [int(value) for value in classes], range(1, len(lines) + 1))
        return True

    def _add_line(self, image: int, fields: list[str], line: int, source: str) -> None:
        where = f"{source}: line {line}"
        label = self._label(image, fields[0], where)
        numbers = self._numbers(image, fields, where)
        self._collector.box(image, numbers, label, line)

    def _label(self, image: int, text: str, where: str) -> int:
        class_ = whole_number(text)
        if class_ is None and text in self.categories:
            what = f"the class is {text!r}, expected a number; taken for the category of that name."
            self._collector.note("class", "warning", image, what, where, "Write the number: trainers stop here.")
            return self.categories.label(text)
        if class_ is None or not 0 <= class_ < 1 << 31:
            what = f"the class is {shown(text)}, expected a whole number from 0; named 'unknown'."
            self._collector.note("class", "error", image, what, where)
            return self.categories.label("unknown")
        if class_ < self._listed:
            return class_
        if self._listed:
            self._unlisted_count[class_] += 1
            self._unlisted.setdefault(class_, (image, where))
        return self.categories.label(f"unknown ({class_})" if self._listed else f"class {class_}")

    def _numbers(self, image: int, fields: list[str], where: str) -> list[float] | None:
        values = [number(field) for field in fields[1:]]
        if None in values or len(values) < 4:
            bad = next((field for field, value in zip(fields[1:], values, strict=True) if value is None), None)
            wrong = f"{shown(bad)} is no number" if bad is not None else f"{len(fields)} values"
            way_out = "A line is class, centre x, centre y, width, height, or class and the points of an outline."
            self._collector.note_no_box(image, f"{wrong}, expected a class and at least 4 numbers", where, way_out)
            return None
        numbers = [value for value in values if value is not None]
        if len(numbers) == 4 or self._has_keypoints:
            return numbers[:4]
        if len(numbers) == 5:
            self._confidences[image] += 1
            return numbers[:4]
        if len(numbers) % 2:
            way_out = "An outline has an x and a y for every point."
            what = f"{len(fields)} values, expected 5, or a class and an even number of coordinates"
            self._collector.note_no_box(image, what, where, way_out)
            return None
        xs, ys = numbers[0::2], numbers[1::2]
        if any(value != value for value in numbers):
            return [float("nan")] * 4
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]

    def finish(self, files: list[str]) -> None:
        """What only all files together tell."""
        log = self._collector.log
        if self._without and len(self._without) < len(files):
            what = f"{len(self._without):,} of {len(files):,} images have no label file: they count as background."
            log.add("no label file", "note", what, image=self._without[0], count=len(self._without))
        elif self._without:
            what = "no image has a label file: none has ground truth."
            way_out = "Labels are looked for in 'labels/' for 'images/', and beside the images."
            log.add("no label file", "warning", what, way_out=way_out)
        if self._confidences:
            count, first = sum(self._confidences.values()), min(self._confidences)
            what = f"{count:,} lines have a sixth number, taken for a confidence and not used: results, not labels?"
            log.add("confidence", "warning", what, image=first, count=count)
        for class_, (image, where) in self._unlisted.items():
            count = self._unlisted_count[class_]
            used = f"{count:,} line{'s' if count > 1 else ''}, this one first"
            what = f"class {class_} is beyond the {self._listed} names; named 'unknown ({class_})' ({used})."
            way_out = "Add the name, or correct the class: trainers stop here."
            log.add("unknown category", "warning", what, where, way_out, image, count=count)
        self._report_orphans(log)

    def _report_orphans(self, log: FindingLog) -> None:
        """Label files that no image asked for."""
        for folder in sorted({os.path.dirname(file) for file in self._labels_read}):
            for name in sorted(self._listings.get(folder, ())):
                file = os.path.join(folder, name)
                if name.endswith(".txt") and file not in self._labels_read and _looks_like_labels(Path(file)):
                    what = "there is no image for this label file; left out."
                    log.add("label without image", "warning", what, self._relative(file))
