"""A drawing as PDF, written by Qt: the one module outside of the window that uses it, and only when called.

A PDF writer that embeds fonts is nothing to write anew, and Qt is installed with rpnviz anyway. No display is needed:
without a running application an offscreen one is made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from rpnviz import __version__
from rpnviz.drawing.text import printable
from rpnviz.errors import ExportError
from rpnviz.export.vector import Boxes, Drawing, Group, Picture, Plate, Text

if TYPE_CHECKING:
    from PySide6.QtGui import QColor, QGuiApplication, QPainter

LONGEST_SIDE = 14_400
"""Points; programs do not open longer pages (PDF 1.7, annex C.2)."""
_FAMILIES = ["Rubik", "DejaVu Sans", "Noto Sans", "Arial", "Helvetica", "sans-serif"]
_FONT_STEP = 64.0
"""Px of the font that is laid out and then scaled: nothing of it is rounded to whole px."""

_application: QGuiApplication | None = None


def pdf_bytes(drawing: Drawing) -> bytes:
    """The file.

    Convention:
        1 px of the picture is 1 pt, unless its page would be longer than :data:`LONGEST_SIDE`. Text is text, as wide as
        in the other formats; boxes are paths; pixels are kept without loss.

    Raises:
        ExportError: Qt cannot be loaded, or no font is installed.
    """
    _start_qt(drawing)
    from PySide6.QtCore import QBuffer, QIODevice, QMarginsF, QSizeF
    from PySide6.QtGui import QPageLayout, QPageSize, QPainter, QPdfWriter

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    writer.setTitle(printable(drawing.title))
    writer.setCreator(f"rpnviz {__version__}")
    writer.setResolution(72)
    shrunk = min(1.0, LONGEST_SIDE / max(drawing.width, drawing.height))
    page = QSizeF(max(1, round(drawing.width * shrunk)), max(1, round(drawing.height * shrunk)))
    exact = QPageSize.SizeMatchPolicy.ExactMatch
    size = QPageSize(page, QPageSize.Unit.Point, "picture", exact)
    # The orientation is that of the size given: landscape would swap its sides.
    writer.setPageLayout(QPageLayout(size, QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0)))
    painter = QPainter()
    if not painter.begin(writer):
        raise ExportError("Qt could not begin the PDF page.", where=drawing.title)
    try:
        painter.setRenderHint(QPainter.RenderHint.LosslessImageRendering)
        painter.scale(shrunk, shrunk)
        if drawing.ground is not None:
            painter.fillRect(0, 0, drawing.width, drawing.height, _colour(drawing.ground))
        for group in drawing.groups:
            _paint_group(painter, group)
    finally:
        painter.end()
    return _with_spaces(bytes(buffer.data().data()))


def _with_spaces(data: bytes) -> bytes:
    """Qt's tables of what a glyph means call the space a tab, the first character of that shape; copied text had tabs.

    A space is as long as a tab, so that no address in the file moves.
    """

    def range_of(found: re.Match[bytes]) -> bytes:
        return found[1] + found[2].replace(b"<0009>", b"<0020>")

    def table(found: re.Match[bytes]) -> bytes:
        return re.sub(rb"(<\w{4}> <\w{4}> )(\[[^\]]*\]|<\w{4}>)", range_of, found[0])

    return re.sub(rb"begincmap\n.*?endcmap", table, data, flags=re.DOTALL)


def _start_qt(drawing: Drawing) -> None:
    """Load Qt and make an application if there is none; fonts need it."""
    global _application
    try:
        from PySide6.QtGui import QFontDatabase, QGuiApplication
    except ImportError as error:
        raise ExportError(
            f"PDF files are written by Qt, which cannot be loaded ({error}).",
            where=drawing.title,
            way_out="Install the libraries that README.md lists, or write SVG or PNG.",
        ) from error
    if QGuiApplication.instance() is None:
        # By an argument, because the environment belongs to the user: a display that does not answer ends the process.
        _application = QGuiApplication(["rpnviz", "-platform", "offscreen"])
    if not QFontDatabase.families():
        raise ExportError(
            "no font is installed, so the PDF would have no text.",
            where=drawing.title,
            way_out="Install one, such as the package fonts-dejavu-core, or write SVG or PNG.",
        )


def _paint_group(painter: QPainter, group: Group) -> None:
    from PySide6.QtCore import QRectF

    painter.save()
    if group.clip is not None:
        painter.setClipRect(QRectF(*group.clip))
    for item in group.items:
        if isinstance(item, Picture):
            _paint_picture(painter, item, group.opacity)
        elif isinstance(item, Plate):
            place = QRectF(item.left, item.top, item.width, item.height)
            painter.fillRect(place, _colour(item.colour, item.opacity * group.opacity))
        elif isinstance(item, Text):
            _paint_text(painter, item, group.opacity)
        else:
            _paint_boxes(painter, item, group.opacity)
    painter.restore()


def _paint_picture(painter: QPainter, item: Picture, opacity: float) -> None:
    from PySide6.QtCore import QRectF
    from PySide6.QtGui import QImage

    pixels = np.ascontiguousarray(item.pixels)
    height, width, channels = pixels.shape
    kind = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    image = QImage(pixels.data, width, height, channels * width, kind)
    painter.setOpacity(opacity)
    painter.drawImage(QRectF(item.left, item.top, item.width, item.height), image)
    painter.setOpacity(1.0)


def _paint_text(painter: QPainter, item: Text, opacity: float) -> None:
    """One line, stretched to the width that was measured when it was placed."""
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QFont, QFontMetricsF

    font = QFont()
    font.setFamilies(_FAMILIES)
    font.setPixelSize(int(_FONT_STEP))
    font.setWeight(QFont.Weight.Bold if item.weight >= 450 else QFont.Weight.Normal)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    for ligatures in ("liga", "clig"):
        font.setFeature(QFont.Tag(ligatures), 0)  # who searches for "flag" shall find it
    natural = QFontMetricsF(font).horizontalAdvance(item.text)
    if natural <= 0 or item.width <= 0:
        return
    painter.save()
    painter.translate(item.left, item.baseline)
    painter.scale(item.width / natural, item.size / _FONT_STEP)
    painter.setFont(font)
    painter.setPen(_colour(item.colour, item.opacity * opacity))
    painter.drawText(QPointF(0, 0), item.text)
    painter.restore()


def _paint_boxes(painter: QPainter, item: Boxes, opacity: float) -> None:
    """Casings below all lines, then lines, then marks."""
    if item.casing is not None and opacity < 1:
        _paint_translucent(painter, item, opacity)
        return
    if item.casing is not None:
        casing = _colour(item.casing, opacity)
        _outline(painter, item, casing, item.casing_width)
        _fill_shapes(painter, item, casing, item.casing_width - item.width + 1)
    _outline(painter, item, _colour(item.colour, item.line_opacity * opacity), item.width)
    _fill_shapes(painter, item, _colour(item.colour, opacity), 1.0)


def _paint_translucent(painter: QPainter, item: Boxes, opacity: float) -> None:
    """Outlines through which the photo shines: of a line over its casing only the line does, so that the casing is
    drawn as what remains of it around the line."""
    from PySide6.QtCore import QPointF, QRectF, Qt
    from PySide6.QtGui import QPainterPath, QPainterPathStroker, QPolygonF

    assert item.casing is not None
    painter.setPen(Qt.PenStyle.NoPen)

    def stroked(path: QPainterPath, width: float, dashed: bool = True) -> QPainterPath:
        stroker = QPainterPathStroker()
        stroker.setWidth(width)
        stroker.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        stroker.setCapStyle(Qt.PenCapStyle.FlatCap)
        if item.dash and dashed:
            stroker.setDashPattern([length / width for length in item.dash])
        return stroker.createStroke(path)

    marks: dict[int, QPainterPath] = {}
    for shape in item.shapes:
        path = marks.setdefault(shape.index, QPainterPath())
        path.setFillRule(Qt.FillRule.WindingFill)
        path.addPolygon(QPolygonF([QPointF(x, y) for x, y in shape.points]))
        path.closeSubpath()
    casing, colour = _colour(item.casing, opacity), _colour(item.colour, item.line_opacity * opacity)
    for index, (x1, y1, x2, y2), radius in zip(
        item.index.tolist(), item.boxes.tolist(), item.rounding.tolist(), strict=True
    ):
        outline = QPainterPath()
        outline.addRoundedRect(QRectF(x1, y1, x2 - x1, y2 - y1), radius, radius)
        inked = stroked(outline, item.width)
        around = stroked(outline, item.casing_width)
        mark = marks.get(index)
        if mark is not None:
            inked = inked.united(mark)
            around = around.united(stroked(mark, item.casing_width - item.width, dashed=False)).united(mark)
        for path, ink in ((around.subtracted(inked), casing), (inked, colour)):
            painter.setBrush(ink)
            painter.drawPath(path)


def _outline(painter: QPainter, item: Boxes, colour: QColor, width: float) -> None:
    from PySide6.QtCore import QRectF, Qt
    from PySide6.QtGui import QPen

    if colour.alpha() < 255 and not item.dash and not item.rounding.any():
        _frames(painter, item, colour, width)
        return
    pen = QPen(colour, width)
    pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    if item.dash:
        pen.setDashPattern([length / width for length in item.dash])  # Qt counts in widths of the pen
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for (x1, y1, x2, y2), radius in zip(item.boxes.tolist(), item.rounding.tolist(), strict=True):
        rect = QRectF(x1, y1, x2 - x1, y2 - y1)
        if radius > 0:
            painter.drawRoundedRect(rect, radius, radius)
        else:
            painter.drawRect(rect)


def _frames(painter: QPainter, item: Boxes, colour: QColor, width: float) -> None:
    """Transparent lines as filled frames: Qt would write the same in twice as many words, for want of such a stroke."""
    from PySide6.QtCore import QRectF, Qt
    from PySide6.QtGui import QPainterPath

    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    half = width / 2
    for x1, y1, x2, y2 in item.boxes.tolist():
        frame = QPainterPath()
        frame.setFillRule(Qt.FillRule.OddEvenFill)
        frame.addRect(QRectF(x1 - half, y1 - half, x2 - x1 + width, y2 - y1 + width))
        if x2 - x1 > width and y2 - y1 > width:
            frame.addRect(QRectF(x1 + half, y1 + half, x2 - x1 - width, y2 - y1 - width))
        painter.drawPath(frame)


def _fill_shapes(painter: QPainter, item: Boxes, colour: QColor, border: float) -> None:
    from PySide6.QtCore import QPointF, Qt
    from PySide6.QtGui import QPen, QPolygonF

    pen = QPen(colour, border)
    pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
    painter.setPen(pen)
    painter.setBrush(colour)
    for shape in item.shapes:
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in shape.points]))


def _colour(colour: tuple[int, int, int], opacity: float = 1.0) -> QColor:
    from PySide6.QtGui import QColor

    made = QColor(*colour)
    made.setAlphaF(opacity)
    return made
