"""CVAT XML 1.1, of images (``<image>`` with shapes) and of videos (``<track>`` with a shape per frame).

Corners count from 0 and are edges, in floats. Boxes are taken as they are; of rotated boxes, polygons, ellipses and
masks the box around them. A shape is an ignore region if an attribute named ``ignore``, ``crowd``, ``iscrowd`` or
``difficult`` is true. Between two keyframes of a track a box moves in a straight line, as in CVAT, until a frame with
``outside``. Frame n of a video is the image file whose name ends in the number n (``frame_000012.png``).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.collector import Categories, Collector, pixels_stated
from rpnviz.datasets.findings import shown
from rpnviz.datasets.folder import is_image_name, natural_order
from rpnviz.datasets.image_finder import ImageFinder, image_folders
from rpnviz.datasets.labelme import IGNORE_FLAGS
from rpnviz.datasets.pixels import Order, PixelConvention, around_rotated
from rpnviz.datasets.text_files import names_in, number, whole_number
from rpnviz.datasets.xml_files import Element, XmlFile, root_tag
from rpnviz.errors import AnnotationError

FORMAT = "CVAT XML"
PIXELS = PixelConvention(Order.CORNERS, word="box")
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = ("box", "polygon", "ellipse", "mask")
_WITHOUT_BOX = ("polyline", "points", "cuboid", "skeleton", "tag")
_MAX_FRAMES = 1_000_000
"""More boxes between keyframes than this are no video but a mistake."""


def claims(path: Path) -> list[Claim]:
    """An XML file with the root ``annotations``, or a folder with one."""
    why = "root element 'annotations'"
    if not path.is_dir():
        return [Claim(path, why)] if path.suffix.lower() == ".xml" and root_tag(path) == "annotations" else []
    found = []
    for place, nearby in ((path, False), (path / "annotations", False), (path.absolute().parent, True)):
        if nearby and path.name != "images":
            continue
        names = names_in(place, ".xml")
        if len(names) <= 20:  # more are one per image
            found += [Claim(place / name, why, nearby) for name in names if root_tag(place / name) == "annotations"]
    return found


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a CVAT file.

    Raises:
        AnnotationError: it lists no image.
    """
    reader = _Reader(path, images)
    file = XmlFile(path)
    for index, element in enumerate(file.children()):
        if index % 256 == 0:
            progress(min(0.9, index / 100_000))
        reader.add(element)
    if file.problem:
        what = f"no whole XML: {file.problem}; what stands before that was kept."
        reader.collector.log.add("broken file", "error", what, way_out="Export the file again.")
    if file.root is None or file.root.tag != "annotations":
        given = "no root element" if file.root is None else f"the root element {file.root.tag!r}"
        raise AnnotationError(
            f"the file has {given}, expected 'annotations' as CVAT writes it. {file.problem}".rstrip(),
            where=str(path),
            way_out="Choose another file.",
        )
    reader.finish_tracks()
    progress(1.0)
    return reader.collector.dataset(reader.categories.names, FORMAT, reader.finder)


@dataclass
class _Frame:
    """A box of a track."""

    frame: int
    numbers: list[float] | None
    outside: bool
    line: int
    ignore: bool


class _Reader:
    def __init__(self, path: Path, images: Path | None) -> None:
        self.collector = Collector(path, PIXELS, "line")
        self.categories = Categories()
        self.finder = ImageFinder(path, images)
        self._folders = (images,) if images is not None else image_folders(path)
        self._tracks: list[tuple[str, list[_Frame]]] = []
        self._size: tuple[int, int] | None = None
        self._stop = -1

    def add(self, element: Element) -> None:
        """Take a child of the root."""
        if element.tag == "meta":
            self._read_meta(element)
        elif element.tag == "image":
            self._read_image(element)
        elif element.tag == "track":
            self._read_track(element)

    def _read_meta(self, meta: Element) -> None:
        task = next((child for child in meta.children if child.tag in ("task", "job", "project")), meta)
        size = task.find("original_size") or meta.find("original_size")
        if size is not None:
            height, width = pixels_stated(size.text_of("height")), pixels_stated(size.text_of("width"))
            self._size = (height, width) if height and width else None
        self._stop = whole_number(task.text_of("stop_frame") or "") or -1
        labels = task.find("labels")
        for label in labels.children if labels is not None else ():
            name = label.text_of("name")
            if name:
                self.categories.label(name)

    def _read_image(self, element: Element) -> None:
        name = element.attributes.get("name", "")
        where = f"line {element.line}"
        if not name:
            self.collector.log.add("no file name", "error", "the image has no name; left out.", where)
            return
        texts = [element.attributes.get(key) for key in ("height", "width")]
        size = None
        if any(text is not None for text in texts):
            height, width = (pixels_stated(text) for text in texts)
            if height is None or width is None:
                what = f"width x height is {shown(texts[1])} x {shown(texts[0])}, expected whole pixels; not used."
                self.collector.log.add("size", "warning", what, where, image=self.collector.image_count)
            else:
                size = (height, width)
        image = self.collector.image(name, size=size, image_id=element.attributes.get("id"))
        for shape in element.children:
            self._read_shape(shape, image)

    def _read_shape(self, shape: Element, image: int) -> None:
        where = f"line {shape.line}"
        if shape.tag not in _SHAPES:
            if shape.tag in _WITHOUT_BOX:
                what = f"a {shape.tag} has no box; left out."
                self.collector.log.add("no area", "note", what, where, image=image)
            return
        numbers = self._numbers(shape, image)
        label = shape.attributes.get("label") or "unknown"
        self.collector.box(image, numbers, self.categories.label(label), shape.line, ignore=_is_ignored(shape))

    def _numbers(self, shape: Element, image: int | None) -> list[float] | None:
        """The box of a shape; None if it has no usable one, which is noted where the image is known."""
        wrong, numbers = _box_of(shape)
        if numbers is None and image is not None:
            self.collector.note_no_box(image, wrong, f"line {shape.line}")
        angle = number(shape.attributes.get("rotation", "0")) or 0.0
        if numbers is None or not angle or not math.isfinite(angle):
            return numbers
        if image is not None:
            what = f"the {shape.tag} is rotated by {angle:g}°; the box around it is shown."
            self.collector.note("rotated box", "note", image, what, f"line {shape.line}")
        x1, y1, x2, y2 = numbers
        return around_rotated(((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), angle)

    # ------------------------------------------------------------------ videos

    def _read_track(self, track: Element) -> None:
        frames: list[_Frame] = []
        for shape in track.children:
            if shape.tag not in _SHAPES:
                continue
            frame = whole_number(shape.attributes.get("frame", ""))
            if frame is None or not 0 <= frame < 1 << 31:
                what = f"frame is {shown(shape.attributes.get('frame'))}, expected a whole number; left out."
                self.collector.log.add("no frame", "error", what, f"line {shape.line}")
                continue
            numbers = self._numbers(shape, None)
            if numbers is None:
                what = f"{_box_of(shape)[0]}; kept without a box."
                self.collector.log.add("bbox", "error", what, f"line {shape.line}")
            outside = shape.attributes.get("outside") == "1"
            frames.append(_Frame(frame, numbers, outside, shape.line, _is_ignored(shape)))
        frames.sort(key=lambda item: item.frame)
        self._tracks.append((track.attributes.get("label") or "unknown", frames))

    def finish_tracks(self) -> None:
        """Give every frame of a video its boxes."""
        if not self._tracks:
            return
        files, folder = self._frame_files()
        last = max((frame.frame for _, frames in self._tracks for frame in frames), default=-1)
        wanted = sorted(files) if files else range(min(max(last, self._stop) + 1, _MAX_FRAMES))
        by_frame: dict[int, list[tuple[_Frame, str]]] = {frame: [] for frame in wanted}
        made = 0
        for label, frames in self._tracks:
            for item in _filled(frames):
                made += 1
                if made > _MAX_FRAMES:
                    what = f"more than {_MAX_FRAMES:,} boxes between keyframes; the rest is left out."
                    self.collector.log.add("no frame", "error", what)
                    break
                if item.frame in by_frame:
                    by_frame[item.frame].append((item, label))
                elif files:
                    what = f"no image is of frame {item.frame}; its boxes are left out."
                    self.collector.log.add("unknown image", "warning", what, f"line {item.line}")
        for frame, items in by_frame.items():
            name = files.get(frame, f"frame_{frame:06d}.png")
            path = str(folder / name) if frame in files and folder is not None else None
            image = self.collector.image(name, path=path, size=self._size, image_id=frame)
            for item, label in items:
                self.collector.box(image, item.numbers, self.categories.label(label), item.line, ignore=item.ignore)

    def _frame_files(self) -> tuple[dict[int, str], Path | None]:
        """Image files by the number at the end of their names, from the first folder that has some."""
        for folder in self._folders:
            files: dict[int, str] = {}
            for name in sorted(names_in(folder), key=natural_order):
                found = re.search(r"(\d+)$", os.path.splitext(name)[0]) if is_image_name(name) else None
                if found and len(found[1]) < 10:
                    files.setdefault(int(found[1]), name)
            if files:
                return files, folder
        return {}, None


def _is_ignored(shape: Element) -> bool:
    return any(
        child.tag == "attribute"
        and child.attributes.get("name", "").lower() in IGNORE_FLAGS
        and child.text.lower() in ("true", "1", "yes")
        for child in shape.children
    )


def _box_of(shape: Element) -> tuple[str, list[float] | None]:
    """What is wrong with a shape, and its corners before rotation, one of the two."""
    attributes = shape.attributes
    if shape.tag == "polygon":
        return _box_of_points(attributes.get("points", ""))
    names = {"ellipse": ("cx", "cy", "rx", "ry"), "mask": ("left", "top", "width", "height")}.get(shape.tag, _CORNERS)
    values = [number(attributes.get(name, "")) for name in names]
    if any(value is None for value in values):
        given = ", ".join(f"{name} {attributes.get(name, 'missing')!r}"[:40] for name in names)
        return f"{given}: expected 4 numbers", None
    a, b, c, d = (value for value in values if value is not None)
    if shape.tag == "ellipse":
        return "", [a - c, b - d, a + c, b + d]
    return "", [a, b, a + c, b + d] if shape.tag == "mask" else [a, b, c, d]


def _box_of_points(text: str) -> tuple[str, list[float] | None]:
    xs, ys = [], []
    for pair in text.split(";"):
        parts = [number(part) for part in pair.split(",")]
        if len(parts) != 2 or parts[0] is None or parts[1] is None:
            return f"points is {shown(text)}, expected x,y;x,y;...", None
        xs.append(parts[0])
        ys.append(parts[1])
    if any(math.isnan(value) for value in (*xs, *ys)):
        return "", [math.nan] * 4
    return "", [min(xs), min(ys), max(xs), max(ys)]


def _filled(frames: list[_Frame]) -> Iterator[_Frame]:
    """The boxes of a track with those between keyframes; frames that are outside have none."""
    for index, item in enumerate(frames):
        if item.outside:
            continue
        yield item
        if index + 1 == len(frames) or item.numbers is None:
            continue
        following = frames[index + 1]
        target = item if following.outside or following.numbers is None else following
        for frame in range(item.frame + 1, following.frame):
            share = (frame - item.frame) / (following.frame - item.frame)
            pairs = zip(item.numbers, target.numbers or item.numbers, strict=True)
            yield _Frame(frame, [a + (b - a) * share for a, b in pairs], False, item.line, item.ignore)
