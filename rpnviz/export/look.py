"""What a picture is of and how it shall look; every format starts from the same plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.drawing.frame import DIM, SATURATION, Backdrop, Photo, Viewport, make_backdrop
from rpnviz.drawing.scene import Layer, LayerKey, LayerOptions, World, make_layers
from rpnviz.errors import ExportError
from rpnviz.export.strip import MIN_WIDTH
from rpnviz.palette import Theme

Region = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole original px, the last two exclusive."""

MIN_SCALE, MAX_SCALE = 0.01, 32.0
"""Limits of the scale of a picture."""
MAX_PIXELS = 400_000_000
"""Of an enlarged picture; 400 million take 1.2 GB while they are drawn."""
_SCALE_FROM = 1400
"""Width of a picture in px from which lines and text grow with it: it will be looked at as a whole."""


class Stage(StrEnum):
    """What a picture shows."""

    GT = "gt"
    ANCHORS = "anchors"
    LABELS = "labels"
    PROPOSALS = "proposals"
    KEPT = "kept"

    @property
    def world(self) -> World:
        """Whether training or a model made it."""
        return World.MODEL if self in (Stage.PROPOSALS, Stage.KEPT) else World.TRAINING

    @property
    def heading(self) -> str:
        """In the strip."""
        return _HEADINGS[self]


_HEADINGS = {
    Stage.GT: "Ground truth",
    Stage.ANCHORS: "All anchors",
    Stage.LABELS: "Labels of the anchors",
    Stage.PROPOSALS: "Proposals before NMS",
    Stage.KEPT: "Proposals after NMS",
}

_LAYERS_OF_STAGE = {
    Stage.GT: frozenset({LayerKey.GT}),
    Stage.ANCHORS: frozenset({LayerKey.GT}),
    Stage.LABELS: frozenset({LayerKey.GT, LayerKey.POSITIVE, LayerKey.FORCED}),
    Stage.PROPOSALS: frozenset({LayerKey.GT, LayerKey.CANDIDATES}),
    Stage.KEPT: frozenset({LayerKey.GT, LayerKey.KEPT}),
}

_HEADING_OF_WORLD = {World.TRAINING: "Training targets", World.MODEL: "Model proposals"}


def options_of(stage: Stage, show_all: bool = False) -> LayerOptions:
    """The layers of a stage.

    Args:
        stage: what is shown.
        show_all: every box, as density where there are many, instead of the best of each ground-truth box.
    """
    visible = _LAYERS_OF_STAGE[stage]
    return LayerOptions(visible, visible if show_all else frozenset(), everything=stage is Stage.ANCHORS)


@dataclass(frozen=True, eq=False)
class Subject:
    """One image and what was computed for it.

    Attributes:
        photo: the original.
        result: of the world of what is shown; the stages of a model need its proposals.
        file_name: of the image.
        gt_names: category names of the ground truth.
        preset: the trainer; its name, and what differs from it, are printed.
        model_note: name of the model and what one should know about it; for the stages of a model.
    """

    photo: Photo
    result: Result
    file_name: str
    gt_names: Sequence[str] = ()
    preset: Preset | None = None
    model_note: str = ""

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], result: Result, file_name: str, **given: object) -> Subject:
        """From the pixels, (H, W, 3) uint8 RGB; further arguments as the attributes."""
        return cls(Photo(rgb), result, file_name, **given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Look:
    """How a picture looks, whatever the image.

    Attributes:
        stage: what is shown.
        layers: layers as on a screen, instead of those of the stage, which then names the world alone.
        show_all: see :func:`options_of`.
        theme: dark, or light for paper.
        scale: pixels of the picture per original pixel; points in a PDF.
        crop: x1, y1, x2, y2 in original pixels; None: the whole image. Whole pixels that it touches are shown.
        strip: legend, counts, parameters and file name below the picture. An overlay has none.
        overlay: boxes and labels alone on a transparent ground, exactly as large as the image would be.
        dim, saturation: of the photo, see :class:`~rpnviz.drawing.photo.Photo`.
        dense_vectors: vector files hold every box of a layer that is drawn as density, instead of its pixels.
        ratio: px per px of line widths and text; None: they grow with the picture, see :attr:`Plan.ratio`.
    """

    stage: Stage = Stage.LABELS
    layers: LayerOptions | None = None
    show_all: bool = False
    theme: Theme = Theme.DARK
    scale: float = 1.0
    crop: tuple[float, float, float, float] | None = None
    strip: bool = True
    overlay: bool = False
    dim: float = DIM
    saturation: float = SATURATION
    dense_vectors: bool = False
    ratio: float | None = None

    @property
    def options(self) -> LayerOptions:
        """The layers that are drawn."""
        return options_of(self.stage, self.show_all) if self.layers is None else self.layers

    @property
    def heading(self) -> str:
        """What is shown, in the strip."""
        return self.stage.heading if self.layers is None else _HEADING_OF_WORLD[self.stage.world]

    @property
    def has_strip(self) -> bool:
        """Whether anything stands below the picture."""
        return self.strip and not self.overlay


@dataclass(frozen=True, eq=False)
class Plan:
    """A picture before a format is chosen.

    Attributes:
        subject, look: what is drawn and how.
        region: the part of the image that is shown.
        view: from original pixels to those of the picture, without the strip.
    """

    subject: Subject
    look: Look
    region: Region
    view: Viewport

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """What is drawn, back to front."""
        subject, look = self.subject, self.look
        return make_layers(subject.result, look.stage.world, look.options, subject.gt_names)

    @cached_property
    def backdrop(self) -> Backdrop:
        """What lies between photo and layers."""
        return make_backdrop(self.subject.result, self.look.stage.world, self.look.options)

    @cached_property
    def ratio(self) -> float:
        """Px per px of line widths and text.

        Convention:
            1 up to 1,400 px of width, from there on in proportion to it; an enlarged small picture has lines and text
            that grow with the root of its scale, so that half of the enlargement makes room.
        """
        if self.look.ratio is not None:
            return self.look.ratio
        return max(1.0, self.view.width / _SCALE_FROM, math.sqrt(self.look.scale))

    @property
    def strip_ratio(self) -> float:
        """Px per px of the strip's text: as :attr:`ratio`, but a narrow picture does not get a tower of short lines."""
        return max(1.0, min(self.ratio, self.view.width / MIN_WIDTH)) if self.look.ratio is None else self.ratio

    @property
    def is_part(self) -> bool:
        """Whether less than the whole image is shown."""
        height, width = self.subject.photo.size
        return self.region != (0, 0, width, height)


def make_plan(subject: Subject, look: Look) -> Plan:
    """Check what is wanted and place it.

    Raises:
        ExportError: the stage shows proposals and there are none, the crop lies outside the image, or the scale, dim
            or saturation is out of range.
    """
    check_look(look)
    if look.stage.world is World.MODEL and subject.result.proposals is None:
        raise ExportError(
            f"stage {look.stage.value!r} shows what a model proposes, and no model was run on {subject.file_name}.",
            way_out="Load a model first, or choose one of the stages gt, anchors and labels.",
        )
    region = _region(subject, look)
    width, height = picture_size(region, look.scale)
    if look.scale > 1 and width * height > MAX_PIXELS:
        raise ExportError(
            f"at scale {look.scale:g} the picture would have {width:,} x {height:,} px, "
            f"and {MAX_PIXELS:,} pixels are the most.",
            where=subject.file_name,
            way_out="Choose a smaller scale, or a part of the image.",
        )
    # By the whole pixels of the picture: a side of 1 px at scale 0.1 is still 1 px.
    view = Viewport(width, height, look.scale, -region[0] * look.scale, -region[1] * look.scale)
    return Plan(subject, look, region, view)


def picture_size(region: Region, scale: float) -> tuple[int, int]:
    """(width, height) of the picture of a region, px, without the strip."""
    x1, y1, x2, y2 = region
    return max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))


def check_look(look: Look) -> None:
    """Check what does not depend on an image.

    Raises:
        ExportError: scale, dim or saturation is out of range, or the crop has no area.
    """
    for name, value, low, high in (
        ("scale", look.scale, MIN_SCALE, MAX_SCALE),
        ("dim", look.dim, 0.0, 1.0),
        ("saturation", look.saturation, 0.0, 1.0),
    ):
        if not low <= value <= high:
            raise ExportError(f"{name} is {value:g}, allowed are {low:g} to {high:g}.")
    if look.crop is not None:
        x1, y1, x2, y2 = look.crop
        if not (all(map(math.isfinite, look.crop)) and x2 > x1 and y2 > y1):
            raise ExportError(
                f"the part {_numbers(look.crop)} has no area.",
                way_out="Give X1,Y1,X2,Y2 in pixels of the original, X1 below X2 and Y1 below Y2.",
            )


def _region(subject: Subject, look: Look) -> Region:
    """Whole pixels of the image that the crop touches."""
    height, width = subject.photo.size
    if look.crop is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = look.crop
    region = (
        math.floor(min(max(x1, 0), width)),
        math.floor(min(max(y1, 0), height)),
        math.ceil(min(max(x2, 0), width)),
        math.ceil(min(max(y2, 0), height)),
    )
    if region[2] <= region[0] or region[3] <= region[1]:
        raise ExportError(
            f"the part {_numbers(look.crop)} lies outside the image of {width} x {height} px.",
            where=subject.file_name,
            way_out="Give X1,Y1,X2,Y2 in pixels of the original.",
        )
    return region


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
