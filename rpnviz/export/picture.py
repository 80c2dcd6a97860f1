"""The annotated picture: the photo in its own resolution with boxes, and a strip that says what they are.

A picture is read away from the program, so everything that made it stands on it: counts, parameters and what differs
from the trainer's own, sizes in both frames, model and version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.params import Params, ResizeMode, differences
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset, load
from rpnviz.core.rules import plain
from rpnviz.core.terms import terms
from rpnviz.drawing.frame import DIM, SATURATION, Photo, Viewport, blank, paint
from rpnviz.drawing.scene import (
    LayerKey,
    LayerOptions,
    World,
    gt_roles,
    legend,
    make_layers,
    summary,
)
from rpnviz.errors import ExportError, ImageFileError
from rpnviz.export.strip import Piece, draw_strip
from rpnviz.imaging import write_png
from rpnviz.palette import Role, Theme, background


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

_GROUPS_OF_STAGE = {
    Stage.GT: ("resize",),
    Stage.ANCHORS: ("resize", "anchors"),
    Stage.LABELS: ("resize", "anchors", "match", "sample"),
    Stage.PROPOSALS: ("resize", "anchors", "coder", "proposals"),
    Stage.KEPT: ("resize", "anchors", "coder", "proposals"),
}

_SCALE_FROM = 1400
"""Width of a picture in px from which lines and text grow with it: it will be looked at as a whole."""


def options_of(stage: Stage, show_all: bool = False) -> LayerOptions:
    """The layers of a stage.

    Args:
        stage: what is shown.
        show_all: every box, as density where there are many, instead of the best of each ground-truth box.
    """
    visible = _LAYERS_OF_STAGE[stage]
    return LayerOptions(visible, visible if show_all else frozenset(), everything=stage is Stage.ANCHORS)


def render_picture(
    image_rgb: NDArray[np.uint8],
    result: Result,
    stage: Stage,
    *,
    file_name: str,
    gt_names: Sequence[str] = (),
    preset: Preset | None = None,
    model_note: str = "",
    theme: Theme = Theme.DARK,
    show_all: bool = False,
    options: LayerOptions | None = None,
    dim: float = DIM,
    saturation: float = SATURATION,
) -> NDArray[np.uint8]:
    """The annotated picture of one image.

    Args:
        image_rgb: (H, W, 3) uint8, the original.
        result: of the stage's world; the stages of a model need its proposals.
        stage: what is shown.
        file_name: of the image, printed in the strip.
        gt_names: category names of the ground truth.
        preset: the trainer; its name, and what differs from it, are printed.
        model_note: name of the model and what one should know about it; for the stages of a model.
        theme: dark, or light for paper.
        show_all: see :func:`options_of`.
        options: layers, if not those of the stage.
        dim, saturation: of the photo, see :class:`Photo`.

    Returns:
        (H + strip, max(W, 560), 3) uint8 RGB; the photo is in its original resolution, at the top.

    Raises:
        ExportError: the stage shows proposals and there are none.
    """
    world = stage.world
    if world is World.MODEL and result.proposals is None:
        raise ExportError(
            f"stage {stage.value!r} shows what a model proposes, and no model was run on {file_name}.",
            way_out="Load a model first, or choose one of the stages gt, anchors and labels.",
        )
    options = options_of(stage, show_all) if options is None else options
    height, width = image_rgb.shape[:2]
    ratio = max(1.0, width / _SCALE_FROM)
    view = Viewport(width, height, 1.0)
    picture = Photo(image_rgb).render(view, dim, saturation, theme)
    paint(picture, make_layers(result, world, options, gt_names), view, theme, ratio)
    strip = draw_strip(_strip_lines(result, stage, options, file_name, preset, model_note), width, theme, ratio)
    if strip.shape[1] > width:
        wide = blank(height, strip.shape[1], background(theme))
        left = (strip.shape[1] - width) // 2
        wide[:, left : left + width] = picture
        picture = wide
    return np.concatenate([picture, strip])


def save_picture(path: str | Path, rgb: NDArray[np.uint8]) -> None:
    """Write a picture as PNG; an older file of that name stays whole until the new one is complete.

    Raises:
        ExportError: the name does not end in ``.png``, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        kind = f"end in {path.suffix!r}" if path.suffix else "have an ending"
        raise ExportError(
            f"pictures are written as PNG, and the name does {'not ' if not path.suffix else ''}{kind}.",
            where=str(path),
            way_out=f"Use {path.with_suffix('.png').name!r}." if path.name else "Name a file.",
        )
    try:
        write_png(path, rgb)
    except ImageFileError as error:
        raise ExportError(error.what, where=error.where, way_out=error.way_out) from error


def _strip_lines(
    result: Result,
    stage: Stage,
    options: LayerOptions,
    file_name: str,
    preset: Preset | None,
    model_note: str,
) -> list[list[Piece]]:
    """Everything that stands below the picture, a list of pieces per paragraph."""
    frame = result.frame
    sizes = f"{_size(frame.image_size)} px, network input {_size(frame.resized_size)} px"
    if frame.input_size != frame.resized_size:
        sizes += f", padded to {_size(frame.input_size)}"
    lines = [
        [Piece(file_name, bold=True, elide=True), Piece(stage.heading, bold=True), Piece(sizes, muted=True)],
        _legend_line(result, stage, options),
    ]
    lines.append(
        [
            Piece(f"{words[0].upper()}{words[1:]}: {count}")
            for words, count in summary(result, stage.world)
            if words not in _IN_THE_LEGEND and (stage not in (Stage.GT, Stage.ANCHORS) or words.startswith("GT"))
        ]
    )
    if model_note:
        lines.append([Piece(f"Model: {model_note}")])
    name = preset.name if preset is not None else "unknown"
    lines.append([Piece(f"Preset {name}", bold=True), *(Piece(text) for text in _parameter_texts(result, stage))])
    changed = _changes(result, stage, preset)
    if changed:
        lines.append([Piece("Changed from the preset:", bold=True), *(Piece(text) for text in changed)])
    return lines


_IN_THE_LEGEND = {
    "positive",
    "forced",
    "neutral",
    "negative",
    "left out",
    "before NMS",
    "suppressed by NMS",
    "kept after NMS",
    "ground truth",
}
"""Counts that stand beside the samples already."""


def _size(size: tuple[int, int]) -> str:
    """(H, W) as people write it."""
    return f"{size[1]} x {size[0]}"


def _legend_line(result: Result, stage: Stage, options: LayerOptions) -> list[Piece]:
    pieces = []
    for entry in legend(result, stage.world, options):
        if entry.key is LayerKey.GT:
            pieces += _gt_pieces(result, stage.world, entry.visible)
            continue
        if not entry.visible and (stage in (Stage.GT, Stage.ANCHORS) or not entry.total):
            continue
        if not entry.visible:
            text = f"{entry.title}: {entry.total:,}, not drawn"
        elif entry.shown < entry.total:
            text = f"{entry.title}: {entry.shown:,} of {entry.total:,} drawn ({entry.why})"
        else:
            text = f"{entry.title}: {entry.total:,}" + (", as density" if entry.dense else "")
        pieces.append(Piece(text, role=entry.role, dense=entry.dense, muted=not entry.visible))
    return pieces


def _gt_pieces(result: Result, world: World, visible: bool) -> list[Piece]:
    """Ground truth by how it is drawn; those that have a problem or are not trained on only where there are any."""
    roles = gt_roles(result, world)
    words = {
        Role.GT: "Ground truth",
        Role.GT_PROBLEM: "Ground truth with a problem",
        Role.LEFT_OUT: "Ground truth not trained on",
    }
    drawn = "" if visible else ", not drawn"
    return [
        Piece(f"{text}: {roles.count(role):,}{drawn}", role=role, muted=not visible)
        for role, text in words.items()
        if role in roles or role is Role.GT
    ]


def _parameter_texts(result: Result, stage: Stage) -> list[str]:
    """The parameters that concern a stage, in plain words."""
    params, means = result.params, terms(result.conventions)
    groups = _GROUPS_OF_STAGE[stage]
    texts = [_resize_text(params)]
    if "anchors" in groups:
        anchors = params.anchors
        texts += [
            f"strides {_numbers(anchors.strides)}",
            f"sizes {_per_level(anchors.level_sizes)}",
            f"ratios {means.ratio} {_per_level(anchors.aspect_ratios)}",
        ]
    if "match" in groups:
        match = params.match
        forced = "no" if not match.allow_low_quality_matches else "yes"
        if match.allow_low_quality_matches and match.min_pos_iou > 0:
            forced += f", from IoU {match.min_pos_iou:g}"
        texts += [
            f"positive IoU ≥ {match.fg_iou_thresh:g}",
            f"negative IoU {means.negative.sign} {match.bg_iou_thresh:g}",
            f"best anchor of an object is positive: {forced}",
        ]
    if "sample" in groups:
        sample = params.sample
        texts.append(
            f"mini-batch {sample.batch_size_per_image}, at most {sample.positive_fraction:.0%} positive"
            if means.draws
            else "no mini-batch: all positives and negatives train"
        )
    if "proposals" in groups:
        wanted = params.proposals
        texts += [
            f"before NMS at most {wanted.pre_nms:,} {means.pre_nms_scope}",
            f"score ≥ {wanted.score_thresh:g}",
        ]
        if means.side is not None:
            texts.append(f"sides {means.side.sign} {wanted.min_size:g} {means.side_frame} px")
        if stage is Stage.KEPT:
            texts += [f"NMS IoU {wanted.nms_thresh:g}", f"after NMS at most {wanted.post_nms:,}"]
    return texts


def _resize_text(params: Params) -> str:
    resize = params.resize
    padding = f", padded to multiples of {resize.pad_multiple}" if resize.pad_multiple > 1 else ""
    if resize.mode is ResizeMode.SHORTEST_EDGE:
        return f"short side {resize.min_size} px, long side at most {resize.max_size} px{padding}"
    return f"resize {resize.mode.value}{padding}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _per_level(levels: Sequence[Sequence[float]]) -> str:
    """One list where all levels share it, else the levels apart by slashes."""
    if len(set(map(tuple, levels))) == 1:
        return _numbers(levels[0])
    return " / ".join(_numbers(level) for level in levels)


def _changes(result: Result, stage: Stage, preset: Preset | None) -> list[str]:
    """Parameters and conventions that differ from the trainer's own, as far as they concern the stage."""
    if preset is None:
        return []
    own = load(preset.name)
    groups = _GROUPS_OF_STAGE[stage]
    base = own.params
    if result.inputs.outputs is not None:
        # A model comes with its own resize, anchors and coder: they are not changes of anybody.
        settings = result.inputs.outputs.settings
        base = dataclasses.replace(base, resize=settings.resize, anchors=settings.anchors, coder=settings.coder)
    changed = [
        f"{name} {_short(before)} → {_short(after)}"
        for name, before, after in differences(base, result.params)
        if name.split(".")[0] in groups
    ]
    return changed + [
        f"{name} {getattr(own.conventions, name)} → {value}"
        for name, value in result.conventions.overrides_from(own.conventions).items()
    ]


def _short(value: object) -> str:
    value = plain(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "[" + " ".join(_short(part) for part in value) + "]"
    return str(value)
