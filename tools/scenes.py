"""Synthetic scenes with exact ground truth, the same pixels for the same seed.

Drawn with NumPy alone: no scene changes with the version of a drawing library, and edges are anti-aliased from the
distance to the outline, so that a box is known to a fraction of a pixel. Pixel i covers [i, i + 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAMES = ("ellipse", "rectangle", "triangle")
"""Category names by label."""
_REFERENCE = 320
"""Side in pixels for which the sizes below are given; larger scenes hold larger objects."""
_SMALLEST, _LARGEST = 16.0, 190.0
_MIN_VISIBLE = 0.35
_MIN_CONTRAST = 30.0


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture and what is on it.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        boxes: (M, 4) float64 xyxy pixels, the full extent of every object of which at least 35 % is visible.
        labels: (M,) int64 index into ``names``.
        names: category names.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = NAMES


@dataclass(frozen=True)
class Shape:
    """An ellipse, rectangle or triangle.

    Attributes:
        label: index into :data:`NAMES`.
        centre: (x, y) of the middle of the unrotated box, pixels.
        sides: (width, height) before rotation, pixels.
        angle: rotation in radians.
        apex: place of a triangle's tip along its top side, 0 to 1.
    """

    label: int
    centre: tuple[float, float]
    sides: tuple[float, float]
    angle: float = 0.0
    apex: float = 0.5

    def corners(self) -> NDArray[np.float64]:
        """(3 or 4, 2) corners of a triangle or rectangle, in order around it."""
        width, height = self.sides
        if NAMES[self.label] == "triangle":
            local = [(-0.5, 0.5), (self.apex - 0.5, -0.5), (0.5, 0.5)]
        else:
            local = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
        return self._turned(np.array(local) * (width, height))

    def box(self, size: int | None = None) -> NDArray[np.float64]:
        """(4,) xyxy pixels, exact; with ``size``, of the part inside a picture of ``size`` x ``size`` pixels."""
        whole = self._whole_box()
        if size is None or (whole.min() >= 0 and whole.max() <= size):
            return whole
        part = _cut(self.outline(), size)
        return np.concatenate([part.min(axis=0), part.max(axis=0)])

    def outline(self) -> NDArray[np.float64]:
        """(P, 2) points around the shape: its corners, or 360 points of an ellipse (off by 0.01 px at most)."""
        if NAMES[self.label] != "ellipse":
            return self.corners()
        turn = np.linspace(0, 2 * math.pi, 360, endpoint=False)
        return self._turned(np.stack([np.cos(turn), np.sin(turn)], axis=1) * self.sides / 2)

    def _turned(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (P, 2) around the origin, turned by the angle and moved to the centre."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return points @ np.array([[cos, sin], [-sin, cos]]) + self.centre

    def _whole_box(self) -> NDArray[np.float64]:
        if NAMES[self.label] == "ellipse":
            a, b = self.sides[0] / 2, self.sides[1] / 2
            cos, sin = math.cos(self.angle), math.sin(self.angle)
            half = np.array([math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)])
            return np.concatenate([self.centre - half, self.centre + half])
        corners = self.corners()
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])

    def coverage(self, x: NDArray, y: NDArray) -> NDArray:
        """Share of the pixels with centres ``x`` (W,) and ``y`` (H,) that the shape covers, (H, W), 0 to 1."""
        return np.clip(0.5 - self._distance(x, y), 0, 1)

    def _distance(self, x: NDArray, y: NDArray) -> NDArray:
        """Pixels to the outline, negative inside; exact near the outline, which is all that the edge needs."""
        if NAMES[self.label] == "ellipse":
            a, b = self.sides[0] / 2, self.sides[1] / 2
            cos, sin = math.cos(self.angle), math.sin(self.angle)
            x, y = x[None, :] - self.centre[0], y[:, None] - self.centre[1]
            u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
            radius = np.maximum(np.hypot(u, v), 1e-3)
            slope = np.maximum(np.hypot(u / a, v / b) / radius, 1e-3)
            return (radius - 1) / slope
        corners = self.corners()
        distance = np.full((len(y), len(x)), -np.inf)
        for start, stop in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            along = (stop - start) / np.hypot(*(stop - start))
            np.maximum(distance, along[1] * (x - start[0])[None, :] - along[0] * (y - start[1])[:, None], out=distance)
        return distance


def make_scene(seed: int, size: int = _REFERENCE) -> Scene:
    """A scene of ``size`` x ``size`` pixels; the seed alone decides what is on it.

    Convention:
        1 to 8 objects of 16 to 190 px (square root of the area, log-uniform) at 320 px, height / width 0.45 to 2.2,
        40 % rotated; the border cuts 15 %, at most in half per axis; later ones cover earlier ones.
    """
    rng = np.random.default_rng(seed)
    canvas = _background(rng, size)
    shapes: list[Shape] = []
    masks: list[NDArray[np.bool_]] = []
    for _ in range(int(rng.integers(0, 4))):
        _draw_line(rng, canvas)
    for _ in range(int(rng.integers(1, 9))):
        shape = _random_shape(rng, size)
        masks.append(draw_shape(rng, canvas, shape))
        shapes.append(shape)
    shapes = [shape for shape, seen in zip(shapes, visible(masks), strict=True) if seen]
    return Scene(
        image=finish(rng, canvas),
        boxes=np.array([shape.box(size) for shape in shapes]).reshape(-1, 4),
        labels=np.array([shape.label for shape in shapes], np.int64),
    )


def visible(masks: Sequence[NDArray[np.bool_]]) -> list[bool]:
    """For every object, whether the later ones leave at least 35 % of its (H, W) mask to be seen."""
    result = []
    free = np.ones((), np.bool_)
    for mask in reversed(masks):
        result.append(bool((mask & free).sum() >= _MIN_VISIBLE * mask.sum()))
        free = free & ~mask
    return result[::-1]


def _cut(outline: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The part of a convex polygon (P, 2) inside the picture, one border after the other (Sutherland-Hodgman)."""
    for axis, sign, border in ((0, 1, 0), (0, -1, size), (1, 1, 0), (1, -1, size)):
        depth = sign * (outline[:, axis] - border)
        kept = []
        for here, there, a, b in zip(outline, np.roll(outline, -1, axis=0), depth, np.roll(depth, -1), strict=True):
            if a >= 0:
                kept.append(here)
            if (a >= 0) != (b >= 0):
                kept.append(here + (there - here) * (a / (a - b)))
        outline = np.array(kept)
    return outline


def smooth_field(rng: np.random.Generator, height: int, width: int, cells: int) -> NDArray[np.float32]:
    """(height, width) random field, about -1 to 1, that changes over ``cells`` patches per side (cubic B-spline)."""

    def basis(length: int) -> NDArray[np.float32]:
        place = np.linspace(0, cells, length, endpoint=False)
        first = place.astype(int)
        t = place - first
        weights = np.stack(
            [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
        ) / np.float64(6)
        result = np.zeros((length, cells + 3), np.float32)
        np.put_along_axis(result, first[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
        return result

    control = rng.uniform(-1.5, 1.5, (cells + 3, cells + 3)).astype(np.float32)
    return (basis(height) @ control @ basis(width).T).astype(np.float32, copy=False)


def draw_shape(rng: np.random.Generator, canvas: NDArray[np.float32], shape: Shape) -> NDArray[np.bool_]:
    """Paint a shape with a gradient fill that stands out from what lies under it; returns its (H, W) mask."""
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = shape.box()
    left, top = max(0, math.floor(x1) - 1), max(0, math.floor(y1) - 1)
    right, bottom = min(width, math.ceil(x2) + 1), min(height, math.ceil(y2) + 1)
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    alpha = shape.coverage(x, y).astype(np.float32)
    window = canvas[top:bottom, left:right]
    under = float(window[alpha > 0.5].mean()) if (alpha > 0.5).any() else float(window.mean())
    colour = _colour(rng)
    while abs(float(colour.mean()) - under) < _MIN_CONTRAST:
        colour = _colour(rng)
    rows, columns = alpha.shape
    fill = colour + _gradient(rng, rows, columns, rng.uniform(0, 30))[..., None]
    if rng.random() < 0.5:
        fill = fill + _texture(rng, rows, columns, 2, 12) * np.float32(rng.uniform(5, 45))
    window += alpha[..., None] * (fill - window)
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = alpha > 0.5
    return mask


def finish(rng: np.random.Generator, canvas: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A camera's share: 30 % blurred, 15 % grey, noise of up to 14 grey levels; (H, W, 3) uint8."""
    if rng.random() < 0.3:
        canvas = _blur(canvas, rng.uniform(0.5, 1.5))
    if rng.random() < 0.15:
        canvas = np.broadcast_to(canvas.mean(axis=2, keepdims=True), canvas.shape)
        noise = rng.standard_normal((*canvas.shape[:2], 1), np.float32)
    else:
        noise = rng.standard_normal(canvas.shape, np.float32)
    canvas = canvas + noise * np.float32(rng.uniform(0, 14))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """(3,) a grey plus some hue."""
    return np.clip(rng.uniform(15, 240) + rng.uniform(-60, 60, 3), 0, 255).astype(np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int, amplitude: float) -> NDArray[np.float32]:
    """(height, width) linear ramp from -amplitude to amplitude in a random direction."""
    angle = rng.uniform(0, 2 * math.pi)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    ramp = x[None, :] * np.float32(math.cos(angle)) + y[:, None] * np.float32(math.sin(angle))
    return ramp * np.float32(amplitude / 1.415)


def _background(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    canvas = np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.float32)
    canvas += _gradient(rng, size, size, rng.uniform(0, 70))[..., None] * rng.uniform(0.6, 1, 3).astype(np.float32)
    for _ in range(int(rng.integers(0, 3))):
        blobs = smooth_field(rng, size, size, int(rng.integers(2, 7)))
        canvas += blobs[..., None] * rng.uniform(-50, 50, 3).astype(np.float32)
    if rng.random() < 0.5:
        canvas += _texture(rng, size, size, 8, 60) * np.float32(rng.uniform(3, 25))
    return canvas


def _texture(rng: np.random.Generator, height: int, width: int, coarse: int, fine: int) -> NDArray[np.float32]:
    """(height, width, 1) detail that is no object, about -1 to 1: one to three smooth fields of unequal scale."""
    cells = np.exp(rng.uniform(math.log(coarse), math.log(fine), int(rng.integers(1, 4)))).astype(int)
    fields = [smooth_field(rng, height, width, int(number)) for number in cells]
    return (sum(fields[1:], fields[0]) / np.float32(math.sqrt(len(fields))))[..., None]


def _draw_line(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    """A distractor: a thin line across the whole picture that is no object."""
    size = len(canvas)
    angle = rng.uniform(0, math.pi)
    x, y = np.arange(size) + 0.5, np.arange(size) + 0.5
    through = rng.uniform(0.1, 0.9, 2) * size
    distance = np.abs((x - through[0])[None, :] * math.sin(angle) - (y - through[1])[:, None] * math.cos(angle))
    alpha = np.clip(rng.uniform(0.5, 2) * size / _REFERENCE + 0.5 - distance, 0, 1).astype(np.float32)
    canvas += alpha[..., None] * (_colour(rng) - canvas)


def _random_shape(rng: np.random.Generator, size: int) -> Shape:
    """A random shape whose box lies inside the picture."""
    scale = size / _REFERENCE
    area_side = math.exp(rng.uniform(math.log(_SMALLEST), math.log(_LARGEST))) * scale
    aspect = math.sqrt(math.exp(rng.uniform(math.log(0.45), math.log(2.2))))
    label = int(rng.integers(len(NAMES)))
    angle = float(rng.uniform(0, math.pi)) if rng.random() < 0.4 else 0.0
    apex = float(rng.uniform(0.2, 0.8))
    shape = Shape(label, (0.0, 0.0), (area_side / aspect, area_side * aspect), angle, apex)
    x1, y1, x2, y2 = shape.box()
    if rng.random() < 0.15:
        x1, y1, x2, y2 = 0, 0, 0, 0
    centre = (float(rng.uniform(-x1, size - x2)), float(rng.uniform(-y1, size - y2)))
    return Shape(label, centre, shape.sides, angle, apex)


def _blur(canvas: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur, edges repeated."""
    reach = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        margin = [(reach, reach) if k == axis else (0, 0) for k in range(3)]
        padded = np.pad(canvas, margin, mode="edge")
        length = canvas.shape[axis]
        canvas = sum(tap * np.take(padded, range(k, k + length), axis=axis) for k, tap in enumerate(taps))
    return canvas
