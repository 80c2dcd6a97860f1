"""Draws the synthetic scenes of ``sample_images/`` and writes them into its ``instances.json``.

    python tools/make_samples.py [--out FOLDER]

The records of the photos (image ids below 1000) are kept, those of the scenes are replaced. The same scenes come out
every time. Boxes are exact: every shape is a polygon, and its box is that of its corners.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.imaging import cv2, write_png
from rpnviz.paths import sample_images

FIRST_ID = 1000
"""Images, annotations and categories of scenes have ids from here on."""
CATEGORIES = ("circle", "ellipse", "rectangle", "triangle", "hexagon", "bar", "frame", "crowd")
_FINER = 4
"""Shapes are drawn this many times larger and averaged: smooth edges without a drawing library's own smoothing."""
_SHIFT = 4
"""cv2 takes corners in 1/16 pixels."""
_LICENCE = {"id": FIRST_ID, "name": "CC0: drawn by tools/make_samples.py", "url": ""}

# Muted paints that stand apart from each other and from both kinds of paper.
_PAINTS = [
    (226, 113, 91),
    (242, 186, 84),
    (128, 172, 110),
    (84, 151, 172),
    (103, 116, 176),
    (171, 117, 166),
    (209, 132, 148),
    (98, 158, 140),
]
_LIGHT_PAPER = ((238, 235, 228), (205, 208, 211))
_DARK_PAPER = ((62, 68, 80), (34, 37, 46))
_SKY = ((166, 196, 219), (225, 229, 224))

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A filled polygon.

    Attributes:
        category: one of :data:`CATEGORIES`.
        corners: (K, 2) x, y in pixels.
        paint: RGB.
        hole: (K, 2) corners of a hole in it, or None.
    """

    category: str
    corners: NDArray[np.float64]
    paint: tuple[int, int, int]
    hole: NDArray[np.float64] | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels."""
        (x1, y1), (x2, y2) = self.corners.min(axis=0).tolist(), self.corners.max(axis=0).tolist()
        return x1, y1, x2, y2


@dataclass
class Scene:
    """A picture and what is on it; shapes are drawn in their order.

    Attributes:
        file_name: in ``sample_images/``.
        size: (H, W) in pixels.
        paper: colours at the top and at the bottom.
        shapes: with a box each.
        extras: drawn too, without a box of their own.
        crowds: x1, y1, x2, y2 of regions marked ``iscrowd``.
    """

    file_name: str
    size: tuple[int, int]
    paper: tuple[tuple[int, int, int], tuple[int, int, int]]
    shapes: list[Shape] = field(default_factory=list)
    extras: list[Shape] = field(default_factory=list)
    crowds: list[tuple[float, float, float, float]] = field(default_factory=list)

    def draw(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        height, width = self.size
        top, bottom = (np.array(colour, np.float32) for colour in self.paper)
        share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        canvas = np.repeat(top + (bottom - top) * share, width, axis=1)
        for shape in self.extras + self.shapes:
            _paint(canvas, shape)
        return np.rint(canvas).clip(0, 255).astype(np.uint8)


def _paint(canvas: NDArray[np.float32], shape: Shape) -> None:
    """Put a shape on the canvas: a soft shadow below right, a fill lit from above left, a darker rim."""
    x1, y1, x2, y2 = shape.box
    reach = min(x2 - x1, y2 - y1)
    blur = min(9.0, max(0.6, 0.06 * reach))
    margin = math.ceil(4 * blur) + 2
    height, width = canvas.shape[:2]
    left, top = max(0, math.floor(x1) - margin), max(0, math.floor(y1) - margin)
    right, bottom = min(width, math.ceil(x2) + margin), min(height, math.ceil(y2) + margin)
    window = canvas[top:bottom, left:right]
    size = (bottom - top, right - left)
    cover = coverage(shape, (left, top), size)
    shadow = cv2.warpAffine(cover, np.array([[1, 0, 0.7 * blur], [0, 1, 1.1 * blur]]), size[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), blur) * np.float32(0.33)
    window *= 1 - shadow[..., None]
    x = (np.arange(left, right, dtype=np.float32) + 0.5 - x1) / np.float32(x2 - x1)
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - y1) / np.float32(y2 - y1)
    light = 1.13 - 0.26 * np.clip((x[None, :] + y[:, None]) / 2, 0, 1)
    fill = np.array(shape.paint, np.float32) * light[..., None]
    if reach > 14:
        inner = cv2.GaussianBlur(cover, (0, 0), 1.3)
        fill *= (0.72 + 0.28 * np.clip((inner - 0.5) * 2.6, 0, 1))[..., None]
    window += cover[..., None] * (np.clip(fill, 0, 250) - window)


def coverage(shape: Shape, origin: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """Share of every pixel of a window that the shape covers, (H, W), 0 to 1."""
    mask = np.zeros((size[0] * _FINER, size[1] * _FINER), np.uint8)
    outlines = [shape.corners] if shape.hole is None else [shape.corners, shape.hole]
    middle = (shape.corners.min(axis=0) + shape.corners.max(axis=0)) / 2
    points = []
    for outline in outlines:
        # Pixel i covers [i, i + 1), and cv2 counts from the middle of a pixel. It also fills every pixel that the
        # outline touches; a hair inside, an outline between two pixels touches the inner one alone.
        exact = ((outline - origin) * _FINER - 0.5) * (1 << _SHIFT) - np.sign(outline - middle)
        points.append(np.rint(exact).astype(np.int32)[:, None])
    cv2.fillPoly(mask, points, (255,), cv2.LINE_8, _SHIFT)
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


# -------------------------------------------------------------------------------------------------------------- shapes


def _regular(count: int, turn: float = 0.0) -> NDArray[np.float64]:
    angles = turn + np.arange(count) * 2 * math.pi / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_UNIT: dict[str, NDArray[np.float64]] = {
    "circle": _regular(96),
    "ellipse": _regular(96),
    "hexagon": _regular(6, math.pi / 6),
    "triangle": np.array([(0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),
    "rectangle": np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),
}


def _fitted(outline: str, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Corners of an outline that fills the box x1, y1, x2, y2."""
    unit = _UNIT[outline]
    unit = (unit - unit.min(axis=0)) / np.ptp(unit, axis=0)
    return unit * (box[2] - box[0], box[3] - box[1]) + box[:2]


def _turned(centre: Point, length: float, thickness: float, degrees: float) -> NDArray[np.float64]:
    """Corners of a rectangle around ``centre``, its long side at an angle to the horizontal."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    local = _UNIT["rectangle"] * (length / 2, thickness / 2)
    return local @ np.array([[cos, sin], [-sin, cos]]) + centre


def _at(centre: Point, width: float, height: float) -> tuple[float, float, float, float]:
    return centre[0] - width / 2, centre[1] - height / 2, centre[0] + width / 2, centre[1] + height / 2


def _paints(rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    """Every paint before one comes twice."""
    while True:
        for index in rng.permutation(len(_PAINTS)).tolist():
            yield _PAINTS[index]


def _free_box(
    rng: np.random.Generator, size: tuple[int, int], sides: tuple[int, int], taken: list[Shape], gap: float
) -> tuple[float, float, float, float]:
    """A place for a box of ``sides`` (width, height) that keeps its distance from all others, whole pixels."""
    height, width = size
    for _ in range(20_000):
        x = int(rng.integers(12, width - sides[0] - 11))
        y = int(rng.integers(12, height - sides[1] - 11))
        if all(
            x + sides[0] + gap < other.box[0]
            or other.box[2] + gap < x
            or y + sides[1] + gap < other.box[1]
            or other.box[3] + gap < y
            for other in taken
        ):
            return float(x), float(y), float(x + sides[0]), float(y + sides[1])
    raise RuntimeError(f"no room is left for a box of {sides}: make it smaller, or the list shorter")


# -------------------------------------------------------------------------------------------------------------- scenes


def shapes_1024() -> Scene:
    """Many sizes and aspect ratios, none over another: some fit an anchor, some none."""
    scene = Scene("shapes_1024.png", (1024, 1024), _LIGHT_PAPER)
    rng = np.random.default_rng(11)
    paints = _paints(rng)
    wanted = [
        ("circle", 330, 330),
        ("rectangle", 440, 150),
        ("triangle", 190, 300),
        ("hexagon", 210, 184),
        ("ellipse", 120, 280),
        ("rectangle", 92, 250),
        ("circle", 130, 130),
        ("ellipse", 236, 76),
        ("triangle", 150, 96),
        ("rectangle", 128, 128),
        ("bar", 300, 34),
        ("hexagon", 96, 84),
        ("circle", 64, 64),
        ("rectangle", 40, 108),
        ("ellipse", 88, 46),
        ("triangle", 60, 70),
        ("rectangle", 57, 53),
        ("bar", 18, 190),
        ("circle", 36, 36),
        ("hexagon", 44, 40),
        ("rectangle", 70, 24),
        ("triangle", 30, 26),
        ("circle", 22, 22),
        ("ellipse", 16, 30),
        ("rectangle", 20, 18),
        ("circle", 14, 14),
        ("circle", 8, 8),
    ]
    for category, width, height in wanted:
        box = _free_box(rng, scene.size, (width, height), scene.shapes, 11)
        outline = "rectangle" if category == "bar" else category
        scene.shapes.append(Shape(category, _fitted(outline, box), next(paints)))
    return scene


def tiny_objects() -> Scene:
    """Objects of 3 to 12 px in a wide picture: smaller than the smallest default anchor."""
    scene = Scene("tiny_objects.png", (480, 640), _SKY)
    rng = np.random.default_rng(5)
    paints = _paints(rng)
    for index in range(42):
        side = round(3 + 9 * (index / 41) ** 1.2)
        category = ("circle", "rectangle", "triangle")[index % 3]
        other = max(3, min(12, round(side * float(rng.uniform(0.75, 1.35)))))
        box = _free_box(rng, scene.size, (side, side if category == "circle" else other), scene.shapes, 14)
        r, g, b = next(paints)
        scene.shapes.append(Shape(category, _fitted(category, box), (r * 6 // 10, g * 6 // 10, b * 6 // 10)))
    return scene


def elongated() -> Scene:
    """Bars of 1:10 and 1:15, lying, standing and leaning, beside shapes that anchors fit."""
    scene = Scene("elongated.png", (600, 800), _DARK_PAPER)
    paints = _paints(np.random.default_rng(2))
    boxes = [
        ("bar", "rectangle", (60, 60, 660, 100)),  # 15:1
        ("bar", "rectangle", (60, 140, 90, 440)),  # 1:10
        ("bar", "rectangle", (140, 150, 156, 390)),  # 1:15
        ("bar", "rectangle", (210, 540, 510, 570)),  # 10:1
        ("ellipse", "ellipse", (720, 70, 756, 430)),  # 1:10
        ("triangle", "triangle", (600, 470, 632, 566)),  # 1:3
        ("rectangle", "rectangle", (240, 190, 368, 318)),  # 1:1
        ("circle", "circle", (60, 480, 150, 570)),
    ]
    for category, outline, (x1, y1, x2, y2) in boxes:
        scene.shapes.append(Shape(category, _fitted(outline, (x1, y1, x2, y2)), next(paints)))
    scene.shapes.append(Shape("bar", _turned((540, 330), 330, 24, 38), next(paints)))
    return scene


def nested() -> Scene:
    """One object inside another: pairs of boxes with an IoU above 0.7 compete for the same anchors."""
    scene = Scene("nested.png", (640, 640), _LIGHT_PAPER)
    paints = _paints(np.random.default_rng(8))
    pairs = [
        ("frame", "rectangle", _at((180, 170), 256, 230), "circle", _at((180, 170), 230, 204)),
        ("circle", "circle", _at((480, 170), 220, 220), "hexagon", _at((480, 170), 196, 200)),
        ("rectangle", "rectangle", _at((170, 470), 200, 250), "ellipse", _at((170, 470), 176, 226)),
        ("frame", "rectangle", _at((460, 430), 140, 132), "rectangle", _at((460, 430), 120, 114)),
    ]
    for category, outline, box, inner, inner_box in pairs:
        corners = _fitted(outline, box)
        hole = None
        if category == "frame":
            hole = _fitted(outline, (box[0] + 5, box[1] + 5, box[2] - 5, box[3] - 5))
        scene.shapes.append(Shape(category, corners, next(paints), hole))
        scene.shapes.append(Shape(inner, _fitted(inner, inner_box), next(paints)))
    # Small in large: the IoU is low here, both get anchors of their own.
    scene.shapes.append(Shape("rectangle", _fitted("rectangle", (350, 540, 590, 610)), next(paints)))
    scene.shapes.append(Shape("circle", _fitted("circle", (450, 555, 490, 595)), next(paints)))
    return scene


def crowd() -> Scene:
    """Objects that overlap, and one region of many that is annotated as a crowd."""
    scene = Scene("crowd.png", (600, 800), _LIGHT_PAPER)
    rng = np.random.default_rng(21)
    paints = _paints(rng)
    for row in range(5):
        for column in range(13):
            x = 92 + 50.0 * column + 25 * (row % 2) + float(rng.uniform(-5, 5))
            y = 70 + 30.0 * row + float(rng.uniform(-4, 4))
            side = float(rng.integers(34, 45))
            scene.extras.append(Shape("circle", _fitted("circle", _at((x, y), side, side)), next(paints)))
    boxes = np.array([shape.box for shape in scene.extras])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    scene.crowds.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    front = [
        ("circle", (110, 330, 250, 470)),
        ("circle", (190, 350, 320, 480)),
        ("circle", (250, 310, 400, 460)),
        ("hexagon", (360, 360, 500, 482)),
        ("triangle", (460, 310, 610, 480)),
        ("rectangle", (560, 350, 700, 470)),
        ("ellipse", (610, 420, 760, 530)),
        ("rectangle", (250, 470, 430, 560)),
        ("ellipse", (380, 450, 560, 550)),
    ]
    for category, (x1, y1, x2, y2) in front:
        scene.shapes.append(Shape(category, _fitted(category, (x1, y1, x2, y2)), next(paints)))
    return scene


def empty() -> Scene:
    """Nothing to find: an image without ground truth, in which every anchor is negative."""
    return Scene("empty.png", (480, 640), _SKY)


SCENES: tuple[Callable[[], Scene], ...] = (shapes_1024, tiny_objects, elongated, nested, crowd, empty)


# -------------------------------------------------------------------------------------------------------------- output


def with_scenes(document: dict[str, Any], scenes: list[Scene]) -> dict[str, Any]:
    """A COCO document whose scenes are these; everything else in it stays."""

    def kept(name: str, key: str = "id") -> list[dict[str, Any]]:
        return [record for record in document[name] if record[key] < FIRST_ID]

    images, annotations = kept("images"), kept("annotations")
    kept_annotations = len(annotations)
    used = {shape.category for scene in scenes for shape in scene.shapes}
    used |= {"crowd"} if any(scene.crowds for scene in scenes) else set()
    ids = {name: FIRST_ID + index for index, name in enumerate(CATEGORIES) if name in used}
    for image_id, scene in enumerate(scenes, FIRST_ID):
        height, width = scene.size
        images.append(
            {
                "id": image_id,
                "file_name": scene.file_name,
                "width": width,
                "height": height,
                "license": _LICENCE["id"],
            }
        )
        boxes = [(shape.category, shape.box, 0) for shape in scene.shapes]
        boxes += [("crowd", box, 1) for box in scene.crowds]
        for category, (x1, y1, x2, y2), iscrowd in boxes:
            bbox = [_number(value) for value in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(
                {
                    "id": FIRST_ID + len(annotations) - kept_annotations,
                    "image_id": image_id,
                    "category_id": ids[category],
                    "bbox": bbox,
                    "area": _number(bbox[2] * bbox[3]),
                    "iscrowd": iscrowd,
                }
            )
    categories = kept("categories") + [{"id": id_, "name": name} for name, id_ in ids.items()]
    return {
        **document,
        "licenses": [*kept("licenses"), _LICENCE],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _number(value: float) -> float:
    """To 1/100 pixel, whole numbers without a point."""
    value = round(value, 2)
    return int(value) if value == int(value) else value


def _text(document: dict[str, Any]) -> str:
    """JSON with one record a line: small, and a change shows as the lines that changed."""
    parts = []
    for name, value in document.items():
        if isinstance(value, list):
            records = ",\n  ".join(json.dumps(record, ensure_ascii=False) for record in value)
            parts.append(f" {json.dumps(name)}: [\n  {records}\n ]")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Draw all scenes and update ``instances.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=sample_images(), help="folder with instances.json")
    folder = parser.parse_args().out
    scenes = [make() for make in SCENES]
    for scene in scenes:
        path = folder / scene.file_name
        write_png(path, scene.draw())
        print(f"{scene.file_name}: {len(scene.shapes)} boxes, {path.stat().st_size:,} bytes")
    instances = folder / "instances.json"
    document = json.loads(instances.read_text(encoding="utf-8"))
    instances.write_text(_text(with_scenes(document, scenes)), encoding="utf-8")


if __name__ == "__main__":
    main()
