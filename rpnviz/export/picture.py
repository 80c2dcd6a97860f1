"""The annotated picture as pixels: the photo with boxes, and a strip that says what they are.

A picture is read away from the program, so everything that made it stands on it: counts, parameters and what differs
from the trainer's own, sizes in both frames, model and version.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from rpnviz.drawing.frame import blank, draw_backdrop, on_nothing, paint
from rpnviz.export.look import MIN_SCALE, Look, Plan, Subject, make_plan
from rpnviz.export.strip import draw_strip, lay_out_strip
from rpnviz.export.words import paragraphs_of
from rpnviz.palette import background


def render_picture(subject: Subject, look: Look) -> NDArray[np.uint8]:
    """The annotated picture of one image.

    Args:
        subject: image, result and names.
        look: what is shown and how.

    Returns:
        (h + strip, max(w, 560), 3) uint8 RGB, h by w being the picture of the region at its scale, in the middle of
        the top. Without a strip (h, w, 3). An overlay is (h, w, 4) RGBA, not premultiplied.

    Raises:
        ExportError: see :func:`rpnviz.export.look.make_plan`.
    """
    plan = make_plan(subject, look)
    if look.overlay:
        return _render_overlay(plan)
    view, theme = plan.view, look.theme
    picture = subject.photo.render(view, look.dim, look.saturation, theme)
    draw_backdrop(picture, plan.backdrop, view, theme, plan.ratio)
    paint(picture, plan.layers, view, theme, plan.ratio)
    if not look.has_strip:
        return picture
    strip = draw_strip(lay_out_strip(paragraphs_of(plan), view.width, plan.strip_ratio), theme)
    if strip.shape[1] > view.width:
        wide = blank(view.height, strip.shape[1], background(theme))
        left = (strip.shape[1] - view.width) // 2
        wide[:, left : left + view.width] = picture
        picture = wide
    return np.concatenate([picture, strip])


def full_size(subject: Subject, look: Look) -> tuple[int, int]:
    """(width, height) of the picture with its strip, px, without drawing it.

    Raises:
        ExportError: see :func:`rpnviz.export.look.make_plan`.
    """
    plan = make_plan(subject, look)
    if not look.has_strip:
        return plan.view.width, plan.view.height
    strip = lay_out_strip(paragraphs_of(plan), plan.view.width, plan.strip_ratio)
    return max(plan.view.width, strip.width), plan.view.height + strip.height


def preview(subject: Subject, look: Look, most_pixels: int) -> NDArray[np.uint8]:
    """The picture at a smaller scale, with lines and text that are as much smaller, so that it is there at once.

    Args:
        subject, look: of the picture.
        most_pixels: of the photo in the preview; a picture of no more is drawn as it will be.

    Raises:
        ExportError: see :func:`rpnviz.export.look.make_plan`.
    """
    plan = make_plan(subject, look)
    x1, y1, x2, y2 = plan.region
    scale = min(look.scale, (most_pixels / ((x2 - x1) * (y2 - y1))) ** 0.5)
    if scale < look.scale:
        ratio = max(0.5, plan.ratio * scale / look.scale)
        look = dataclasses.replace(look, scale=max(scale, MIN_SCALE), ratio=ratio)
    return render_picture(subject, look)


def _render_overlay(plan: Plan) -> NDArray[np.uint8]:
    """Boxes and labels alone."""
    view, theme = plan.view, plan.look.theme

    def draw(frame: NDArray[np.uint8]) -> None:
        draw_backdrop(frame, plan.backdrop, view, theme, plan.ratio)
        paint(frame, plan.layers, view, theme, plan.ratio)

    return on_nothing(view.height, view.width, draw)
