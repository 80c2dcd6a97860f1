"""A picture as a file of the format that its name asks for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from rpnviz.errors import ExportError
from rpnviz.export.look import Look, Subject
from rpnviz.export.picture import render_picture
from rpnviz.export.svg import svg_bytes
from rpnviz.export.vector import make_drawing
from rpnviz.files import check_target, write_whole
from rpnviz.imaging import cv2, encode_png


class Format(StrEnum):
    """Kinds of files; the value is the ending."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"

    @property
    def is_vector(self) -> bool:
        """Whether boxes and text stay such."""
        return self is not Format.PNG


def format_of(path: str | Path) -> Format:
    """The format that a name asks for.

    Raises:
        ExportError: it has another ending, or none.
    """
    path = Path(path)
    ending = path.suffix[1:].lower()
    if ending not in list(Format):
        kind = f"the name ends in {path.suffix!r}" if path.suffix else "the name has no ending"
        raise ExportError(
            f"pictures are written as PNG, SVG or PDF, and {kind}.",
            where=str(path),
            way_out=f"Use {path.with_suffix('.png').name!r}." if path.name else "Name a file.",
        )
    return Format(ending)


def save_picture(path: str | Path, subject: Subject, look: Look) -> None:
    """Write a picture; an older file of that name stays whole until the new one is complete.

    Args:
        path: ends in ``.png``, ``.svg`` or ``.pdf``; its folder must exist.
        subject: image, result and names.
        look: what is shown and how.

    Raises:
        ExportError: the picture cannot be made, see :func:`rpnviz.export.look.make_plan`, or the file not be written.
    """
    format_ = format_of(path)
    check_target(path)  # before the work of drawing
    try:
        data = picture_bytes(format_, subject, look)
    except (MemoryError, cv2.error) as error:  # OpenCV has an error of its own for want of memory
        raise ExportError(
            "the picture is too large for the free memory.", where=str(path), way_out="Choose a smaller scale."
        ) from error
    write_whole(path, data)


def picture_bytes(format_: Format, subject: Subject, look: Look) -> bytes:
    """The content of the file; reads the whole of a large image where its smaller copy would not do.

    Raises:
        ImageFileError: that cannot be read any more.
        ExportError: see :func:`rpnviz.export.look.make_plan`, and :func:`rpnviz.export.pdf.pdf_bytes`.
    """
    if not look.overlay and not subject.photo.is_sharp(min(look.scale, 1.0)):
        subject.photo.sharpen()
    if format_ is Format.PNG:
        return encode_png(render_picture(subject, look))
    drawing = make_drawing(subject, look)
    if format_ is Format.SVG:
        return svg_bytes(drawing)
    from rpnviz.export.pdf import pdf_bytes  # loads Qt when it writes

    return pdf_bytes(drawing)
