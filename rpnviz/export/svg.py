"""A drawing as SVG: a layer per group, an element per box, text as text; nothing outside of the file is needed.

In Inkscape every group is a layer. Casings are drawn by ``<use>`` of the boxes themselves, so that a box that is moved
or deleted takes its casing along.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from rpnviz.export.vector import Boxes, Drawing, Group, Item, Picture, Plate, Text
from rpnviz.imaging import encode_png
from rpnviz.palette import RGB

_FONTS = "Rubik, 'DejaVu Sans', 'Noto Sans', Arial, sans-serif"
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"'
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg_bytes(drawing: Drawing) -> bytes:
    """The file, UTF-8.

    Convention:
        1 px of the picture is 1 user unit; coordinates have up to 3 decimals. Every box is a ``<rect>`` with its index
        as ``data-index`` (a ``<path>`` where it has no width or height); marks of a box are polygons with the same.
    """
    width, height = drawing.width, drawing.height
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'{_HEAD} width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{_text(drawing.title)}</title>",
        f"<desc>{_text(chr(10).join(drawing.description))}</desc>",
    ]
    if drawing.ground is not None:
        lines.append(f'<rect id="ground" width="{width}" height="{height}" fill="{_hex(drawing.ground)}"/>')
    for group in drawing.groups:
        lines += _group(group)
    lines.append("</svg>\n")
    return "\n".join(lines).encode("utf-8")


def _group(group: Group) -> Iterator[str]:
    clip = opacity = ""
    if group.clip is not None:
        left, top, width, height = map(_number, group.clip)
        rect = f'<rect x="{left}" y="{top}" width="{width}" height="{height}"/>'
        yield f'<defs><clipPath id="{group.id}-clip">{rect}</clipPath></defs>'
        clip = f' clip-path="url(#{group.id}-clip)"'
    if group.opacity < 1:
        opacity = f' opacity="{_number(group.opacity)}"'
    name = quoteattr(_xml(group.title))
    yield f'<g id="{group.id}" inkscape:groupmode="layer" inkscape:label={name}{clip}{opacity}>'
    for number, item in enumerate(group.items):
        yield from _item(item, f"{group.id}-{number}")
    yield "</g>"


def _item(item: Item, name: str) -> Iterator[str]:
    if isinstance(item, Picture):
        data = base64.b64encode(encode_png(item.pixels)).decode("ascii")
        yield f'<image {_place(item)} preserveAspectRatio="none" xlink:href="data:image/png;base64,{data}"/>'
    elif isinstance(item, Plate):
        yield f'<rect {_place(item)} fill="{_hex(item.colour)}"{_opacity("fill-opacity", item.opacity)}/>'
    elif isinstance(item, Text):
        if item.width > 0:
            yield (
                f'<text x="{_number(item.left)}" y="{_number(item.baseline)}" '
                f'textLength="{_number(item.width)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" '
                f'font-family="{_FONTS}" font-size="{_number(item.size)}" font-weight="{_weight(item.weight)}" '
                f'fill="{_hex(item.colour)}"{_opacity("fill-opacity", item.opacity)}>{_text(item.text)}</text>'
            )
    else:
        yield from _boxes(item, name)


def _boxes(item: Boxes, name: str) -> Iterator[str]:
    """Casings below all lines, then lines, then marks; each box and mark stands in the file once."""
    dash = f' stroke-dasharray="{" ".join(map(_number, item.dash))}"' if item.dash else ""
    boxes, marks = f"{name}-boxes", f"{name}-marks"
    if item.casing is not None:
        casing = _hex(item.casing)
        width = _number(item.casing_width)
        yield f'<use xlink:href="#{boxes}" fill="none" stroke="{casing}" stroke-width="{width}"{dash}/>'
        if item.shapes:
            around = _number(item.casing_width - item.width + 1)
            yield f'<use xlink:href="#{marks}" fill="{casing}" stroke="{casing}" stroke-width="{around}"/>'
    colour = _hex(item.colour)
    opacity = _opacity("stroke-opacity", item.line_opacity)
    yield f'<g fill="none" stroke="{colour}" stroke-width="{_number(item.width)}"{dash}{opacity}>'
    yield f'<g id="{boxes}">'
    rounded = item.rounding.any()
    # Strings for all boxes at once: a quarter of a million of them take a second.
    x1, y1, x2, y2 = np.round(item.boxes, 3).T
    columns = (item.index, x1, y1, np.round(x2 - x1, 3), np.round(y2 - y1, 3), np.round(item.rounding, 3))
    for index, x, y, width_, height, radius in zip(*(column.tolist() for column in columns), strict=True):
        corner = f' rx="{radius:g}"' if rounded else ""
        data = f' data-index="{index}"' if index >= 0 else ""
        place = _short(x), _short(y), _short(width_), _short(height)
        if width_ and height:
            yield '<rect{} x="{}" y="{}" width="{}" height="{}"{}/>'.format(data, *place, corner)
        else:
            # A rectangle without a width or height is not drawn; such a box is a line or a point all the same.
            yield '<path{} stroke-linecap="square" d="M{},{}h{}v{}"/>'.format(data, *place)
    yield "</g></g>"
    if item.shapes:
        yield f'<g fill="{colour}" stroke="{colour}" stroke-width="1"><g id="{marks}">'
        for shape in item.shapes:
            points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
            data = f' data-index="{shape.index}"' if shape.index >= 0 else ""
            yield f'<polygon{data} points="{points}"/>'
        yield "</g></g>"


def _place(item: Picture | Plate) -> str:
    left, top, width, height = map(_number, (item.left, item.top, item.width, item.height))
    return f'x="{left}" y="{top}" width="{width}" height="{height}"'


def _number(value: float) -> str:
    return _short(round(float(value), 3))


def _short(value: float) -> str:
    """A number of at most 3 decimals without a needless end."""
    return str(int(value)) if value == int(value) else repr(value)


def _opacity(name: str, value: float) -> str:
    return "" if value >= 1 else f' {name}="{_number(value)}"'


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _weight(weight: int) -> int:
    """Regular or bold, which every font has; for 500 most would take regular."""
    return 400 if weight < 450 else 700


def _xml(text: str) -> str:
    """Without characters that XML does not know, such as the halves of others that file names may hold."""
    return _NOT_XML.sub("?", text)


def _text(text: str) -> str:
    return escape(_xml(text))
