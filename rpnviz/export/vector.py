"""A picture as a list of things to draw, back to front, for formats that keep boxes and text as such.

The same layers, label places and strip as the pixels have; coordinates are exact, not rounded to pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.coverage import DENSITY_STRENGTH
from rpnviz.drawing.density import density_of
from rpnviz.drawing.frame import Viewport, draw_backdrop, on_nothing
from rpnviz.drawing.outlines import dash_of, mark_shapes, outer_reach
from rpnviz.drawing.scene import MAX_OUTLINES, Layer, LayerKey
from rpnviz.drawing.tags import Tag, place_tags, tag_colours, text_place
from rpnviz.drawing.text import MEDIUM, measure, printable
from rpnviz.drawing.viewport import device_boxes, in_view
from rpnviz.export.look import Look, Plan, Subject, make_plan
from rpnviz.export.strip import StripLayout, lay_out_strip
from rpnviz.export.words import paragraphs_of
from rpnviz.palette import CASING, RGB, STYLES, Mark, Role, Theme, background, parse_colour, rgb

MANY_BOXES = 20_000
"""Boxes in a vector file from which programs are slow with it."""
_FAR = 4096.0
"""Coordinates are cut this far outside the page, px: programs do not agree on what lies at 1e30."""
_BYTES_PER_BOX = {"svg": 82, "pdf": 40}


@dataclass(frozen=True, eq=False)
class Picture:
    """An embedded image: (h, w, 3) RGB or (h, w, 4) RGBA, not premultiplied, at (left, top, width, height) px."""

    pixels: NDArray[np.uint8]
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Plate:
    """A filled rectangle without a line, px."""

    left: float
    top: float
    width: float
    height: float
    colour: RGB
    opacity: float = 1.0


@dataclass(frozen=True)
class Text:
    """One line of text.

    Attributes:
        text: printable, without line breaks.
        left, baseline: where it starts, px.
        width: px that it takes, whatever the font.
        size: of the font, px.
        weight: of the font, 100 to 1000.
        colour, opacity: of the text.
    """

    text: str
    left: float
    baseline: float
    width: float
    size: float
    weight: int
    colour: RGB
    opacity: float = 1.0


@dataclass(frozen=True)
class Shape:
    """A filled polygon that belongs to a box: corners in px, and the box's index."""

    index: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Boxes:
    """Outlines that look alike, and their marks.

    Attributes:
        boxes: (N, 4) float64 xyxy px of the page, finite, x1 <= x2 and y1 <= y2.
        index: (N,) int64 of ground truth or anchors; -1 for a sample of the key.
        colour, width: of the line, px; it is centred on the edge of the box.
        dash: lengths of line and gap in turn, px; empty: solid.
        rounding: (N,) radius of the corners, px.
        casing, casing_width: a wider line below all lines, None: without.
        shapes: marks, filled with the colour; the casing goes around them too.
        line_opacity: of every single line, so that many on each other are stronger than one.
    """

    boxes: NDArray[np.float64]
    index: NDArray[np.int64]
    colour: RGB
    width: float
    dash: tuple[float, ...]
    rounding: NDArray[np.float64]
    casing: RGB | None = None
    casing_width: float = 0.0
    shapes: tuple[Shape, ...] = ()
    line_opacity: float = 1.0


Item = Picture | Plate | Text | Boxes


@dataclass(frozen=True)
class Group:
    """Things that belong together, such as a layer.

    Attributes:
        id: unique in the drawing, letters, digits and hyphens.
        title: for people.
        items: back to front.
        opacity: of the whole.
        clip: (left, top, width, height) px beyond which nothing is drawn.
    """

    id: str
    title: str
    items: tuple[Item, ...]
    opacity: float = 1.0
    clip: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Drawing:
    """A page.

    Attributes:
        width, height: px.
        ground: behind everything; None: transparent.
        title: of the document.
        description: what stands on the strip, line by line, whether it is drawn or not.
        groups: back to front.
    """

    width: int
    height: int
    ground: RGB | None
    title: str
    description: tuple[str, ...]
    groups: tuple[Group, ...] = field(repr=False)

    def boxes(self) -> int:
        """Number of boxes in it."""
        return sum(len(item.boxes) for group in self.groups for item in group.items if isinstance(item, Boxes))


def make_drawing(subject: Subject, look: Look) -> Drawing:
    """The annotated picture of one image as a drawing.

    Args:
        subject: image, result and names.
        look: what is shown and how; see ``dense_vectors``.

    Raises:
        ExportError: see :func:`rpnviz.export.look.make_plan`.
    """
    plan = make_plan(subject, look)
    theme, view = look.theme, plan.view
    paragraphs = paragraphs_of(plan)
    strip = lay_out_strip(paragraphs, view.width, plan.strip_ratio) if look.has_strip else None
    width = max(view.width, strip.width) if strip else view.width
    left = (width - view.width) // 2
    groups = [] if look.overlay else [Group("photo", "Photo", (_photo(plan, left),))]
    if plan.backdrop.shown:
        groups.append(Group("backdrop", _backdrop_title(plan), (_backdrop(plan, left),)))
    names: set[str] = {"photo", "backdrop", "labels", "strip"}
    for layer in plan.layers:
        items = tuple(_layer_items(layer, plan, left))
        if items:
            name = _unused(f"{layer.key.value}-{layer.role.value}".replace("_", "-"), names)
            clip = (float(left), 0.0, float(view.width), float(view.height))
            groups.append(Group(name, _title(layer), items, layer.opacity, clip))
    labels = tuple(_labels(plan, left))
    if labels:
        groups.append(Group("labels", "Labels", labels))
    height = view.height
    if strip is not None:
        groups.append(Group("strip", "Legend and parameters", tuple(_strip_items(strip, height, theme))))
        height += strip.height
    words = tuple(" · ".join(piece.text for piece in paragraph) for paragraph in paragraphs if paragraph)
    ground = None if look.overlay else background(theme)
    return Drawing(width, height, ground, f"{subject.file_name}: {look.heading}", words, tuple(groups))


def size_warning(subject: Subject, look: Look, kind: str) -> str:
    """What to tell before a vector file of very many boxes is written; empty if it is not that large.

    Args:
        subject, look: of the picture.
        kind: ``svg`` or ``pdf``; other formats have no boxes.

    Raises:
        ExportError: see :func:`rpnviz.export.look.make_plan`.
    """
    if kind not in _BYTES_PER_BOX or not look.dense_vectors:
        return ""
    number = sum(len(layer.boxes) for layer in make_plan(subject, look).layers)
    if number <= MANY_BOXES:
        return ""
    megabytes = number * _BYTES_PER_BOX[kind] / 1e6
    return (
        f"{number:,} boxes as vectors take about {megabytes:,.0f} MB, and programs are slow with more than "
        f"{MANY_BOXES:,}."
    )


def _unused(name: str, names: set[str]) -> str:
    """The name, with a number if it is taken."""
    found, number = name, 1
    while found in names:
        number += 1
        found = f"{name}-{number}"
    names.add(found)
    return found


def _title(layer: Layer) -> str:
    role = {Role.GT_PROBLEM: " with a problem", Role.LEFT_OUT: " not trained on"}.get(layer.role, "")
    return layer.title + (role if layer.key is LayerKey.GT else "")


def _photo(plan: Plan, left: int) -> Picture:
    """The region in the photo's own pixels, or in those of the picture where these are fewer."""
    look, (x1, y1, x2, y2) = plan.look, plan.region
    view = plan.view if look.scale <= 1 else Viewport(x2 - x1, y2 - y1, 1.0, -x1, -y1)
    pixels = plan.subject.photo.render(view, look.dim, look.saturation, look.theme)
    return Picture(pixels, left, 0, plan.view.width, plan.view.height)


def _backdrop_title(plan: Plan) -> str:
    heat = plan.backdrop.heat
    return "Centres of the positions" if heat is None else heat.title


def _backdrop(plan: Plan, left: int) -> Picture:
    """Heat map and centres in the pixels of the picture."""
    view = plan.view

    def draw(frame: NDArray[np.uint8]) -> None:
        draw_backdrop(frame, plan.backdrop, view, plan.look.theme, plan.ratio)

    return Picture(on_nothing(view.height, view.width, draw), left, 0, view.width, view.height)


def page_boxes(boxes: NDArray, view: Viewport, left: float = 0.0) -> NDArray[np.float64]:
    """Boxes (N, 4), original xyxy, on the page, (N, 4) float64 px.

    Convention:
        Exact, but for coordinates far outside the page, which are cut; corners in the wrong order are exchanged.
        A box with a NaN stays NaN.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        page = np.asarray(boxes, np.float64) * np.array([view.scale, view.scale_y] * 2) + np.array(
            [view.dx, view.dy] * 2
        )
    page = np.clip(page, -_FAR, np.array([view.width, view.height] * 2) + _FAR)
    corners = page.reshape(-1, 2, 2)
    ordered = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return ordered + np.array([left, 0.0, left, 0.0])


def _layer_items(layer: Layer, plan: Plan, left: int) -> Iterator[Item]:
    look, view, ratio = plan.look, plan.view, plan.ratio
    theme = look.theme
    if not len(layer.boxes):
        return
    device = device_boxes(layer.boxes, view)
    reach = 1 if layer.dense else outer_reach(layer.role, ratio)
    seen = np.flatnonzero(in_view(device, view, reach) & ~np.isnan(layer.boxes).any(axis=1))
    if not len(seen):
        return
    page, index = page_boxes(layer.boxes[seen], view, left), layer.ids[seen]
    colour = layer.rgb(theme)
    if layer.dense:
        density = density_of(layer.population, layer.rows, view)
        if look.dense_vectors:
            yield _thin(page, index, colour, (), _line_opacity(density.table))
        else:
            height, width = density.counts.shape
            pixels = np.empty((height, width, 4), np.uint8)
            pixels[..., :3] = colour
            pixels[..., 3] = density.table[density.counts]
            yield Picture(pixels, left + density.left, density.top, width, height)
    elif len(seen) > MAX_OUTLINES:
        yield _thin(page, index, colour, dash_of(layer.role, ratio))
    else:
        yield _styled(page, index, layer.role, colour, theme, ratio)


def _thin(
    boxes: NDArray[np.float64],
    index: NDArray[np.int64],
    colour: RGB,
    dash: tuple[int, ...],
    line_opacity: float = 1.0,
) -> Boxes:
    """Lines of 1 px, as the pixels have them for many boxes; half of it where they are transparent."""
    width = 1.0 if line_opacity >= 1 else 0.5
    return Boxes(boxes, index, colour, width, dash, np.zeros(len(boxes)), line_opacity=line_opacity)


def _line_opacity(table: NDArray[np.uint8]) -> float:
    """Of one line, so that as many on each other as on the densest pixels are as strong as the density there."""
    many = int(np.searchsorted(table, round(DENSITY_STRENGTH * 255)))
    return max(0.03, 1 - (1 - DENSITY_STRENGTH) ** (1 / max(many, 1)))


def _styled(
    boxes: NDArray[np.float64],
    index: NDArray[np.int64],
    role: Role,
    colour: RGB,
    theme: Theme,
    ratio: float,
    keep_marks: bool = False,
) -> Boxes:
    """Lines with the width, casing, dash and mark of their role."""
    style = STYLES[role]
    width, edge = style.width * ratio, max(1, round(ratio))
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    rounding = np.minimum(3 * ratio, sides / 4) if style.mark is Mark.ROUND else np.zeros(len(boxes))
    shapes = tuple(
        Shape(int(index[row]), tuple(map(tuple, points)))
        for row in range(len(boxes))
        for points in mark_shapes(boxes[row : row + 1], style.mark, width / 2 + 1, ratio, keep_marks).tolist()
    )
    dash = dash_of(role, ratio)
    casing = parse_colour(CASING[theme])
    return Boxes(boxes, index, colour, width, dash, rounding, casing, width + 2 * edge, shapes)


def _labels(plan: Plan, left: int) -> Iterator[Item]:
    """Plates and texts where the pixels have them."""
    view, ratio, theme = plan.view, plan.ratio, plan.look.theme
    tags: list[Tag] = []
    for layer in plan.layers:
        if layer.labels is None or layer.dense:
            continue
        device = device_boxes(layer.boxes, view)
        for row in np.flatnonzero(in_view(device, view, outer_reach(layer.role, ratio))).tolist():
            x1, y1, x2, y2 = device[row].tolist()
            tags.append(Tag((x1, y1, x2, y2), layer.labels[row], layer.role, layer.opacity))
    for placed in place_tags(tuple(tags), view.width, view.height, ratio):
        plate, colour, strength = tag_colours(placed.tag.role, theme)
        opacity = placed.tag.opacity
        yield Plate(placed.left + left, placed.top, placed.width, placed.height, plate, strength * opacity)
        x, baseline, size = text_place(placed, ratio)
        width = measure(placed.text, size, MEDIUM).width
        yield Text(printable(placed.text), x + left, baseline, width, size, MEDIUM, colour, opacity)


def _strip_items(strip: StripLayout, top: int, theme: Theme) -> Iterator[Item]:
    yield Plate(0, top, strip.width, strip.height, background(theme))
    for sample in strip.samples:
        place = (sample.left, sample.top + top, sample.width, sample.height)
        piece = sample.piece
        if piece.role is None or piece.dense:
            yield Picture(piece.sample(theme, sample.width, sample.height, 1), *place)
        else:
            edge = outer_reach(piece.role, sample.scale)
            box = np.array([[place[0] + edge, place[1] + edge, 0, 0]], np.float64) + 0.5
            box[0, 2:] = place[0] + place[2] - edge - 0.5, place[1] + place[3] - edge - 0.5
            colour = rgb(piece.role, theme) if piece.shade is None else piece.shade.rgb(theme)
            yield _styled(box, np.array([-1]), piece.role, colour, theme, sample.scale, keep_marks=True)
    for words in strip.words:
        colour = words.colour(theme)
        baseline = words.baseline + top
        yield Text(printable(words.text), words.left, baseline, words.width, strip.font, words.weight, colour)
