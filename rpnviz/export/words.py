"""The words on the strip of a picture: what made it, so that it can be read away from the program."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rpnviz.core.anchors import level_name
from rpnviz.core.ground_truth import Reaction
from rpnviz.core.params import Params, ResizeMode, differences
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset, load
from rpnviz.core.rules import plain
from rpnviz.core.terms import terms
from rpnviz.drawing.colouring import shades
from rpnviz.drawing.filtering import filter_text
from rpnviz.drawing.frame import legible_grid
from rpnviz.drawing.heat import heat_text
from rpnviz.drawing.options import EVERY_BOX
from rpnviz.drawing.scene import LayerKey, LayerOptions, World, gt_roles, legend, summary
from rpnviz.export.look import Plan, Stage
from rpnviz.export.strip import Piece
from rpnviz.palette import Role

_GROUPS_OF_STAGE = {
    Stage.GT: ("resize",),
    Stage.ANCHORS: ("resize", "anchors"),
    Stage.LABELS: ("resize", "anchors", "match", "sample"),
    Stage.PROPOSALS: ("resize", "anchors", "coder", "proposals"),
    Stage.KEPT: ("resize", "anchors", "coder", "proposals"),
}


def paragraphs_of(plan: Plan) -> list[list[Piece]]:
    """Everything that stands below the picture, a list of pieces per paragraph."""
    subject, look = plan.subject, plan.look
    result, stage, preset = subject.result, look.stage, subject.preset
    frame = result.frame
    sizes = f"{_size(frame.image_size)} px, network input {_size(frame.resized_size)} px"
    if frame.input_size != frame.resized_size:
        sizes += f", padded to {_size(frame.input_size)}"
    lines = [
        [Piece(subject.file_name, bold=True, elide=True), Piece(look.heading, bold=True), Piece(sizes, muted=True)],
        _legend_line(result, stage, look.options),
        _scale_line(plan),
    ]
    if plan.is_part:
        x1, y1, x2, y2 = plan.region
        lines[0].append(Piece(f"part from {x1}, {y1} to {x2}, {y2}; the numbers are those of the whole image"))
    lines.append(
        [
            Piece(f"{words[0].upper()}{words[1:]}: {count}")
            for words, count in summary(result, stage.world)
            if words not in _IN_THE_LEGEND and (stage not in (Stage.GT, Stage.ANCHORS) or words.startswith("GT"))
        ]
    )
    if stage.world is World.TRAINING and result.gt.reaction is not None:
        lines.append([Piece(_REACTIONS[result.gt.reaction], bold=True)])
    name = preset.name if preset is not None else "unknown"
    own, rest = _parameter_texts(result, stage)
    if subject.model_note:
        # A model comes with its own resize and anchors: they are not the trainer's.
        lines.append([Piece("Model", bold=True), Piece(subject.model_note), *(Piece(text) for text in own)])
        own = []
    lines.append([Piece(f"Preset {name}", bold=True), *(Piece(text) for text in own + rest)])
    changed = _changes(result, stage, preset)
    if changed:
        lines.append([Piece("Changed from the preset:", bold=True), *(Piece(text) for text in changed)])
    return lines


def _scale_line(plan: Plan) -> list[Piece]:
    """The filter, what colours mean where they do not mean the label, and which level's positions are marked."""
    result, options = plan.subject.result, plan.look.options
    pieces = []
    if options.only != EVERY_BOX:
        pieces.append(Piece(f"Only {filter_text(result, options.only)}", bold=True))
    heat = plan.backdrop.heat
    if heat is not None:
        pieces.append(Piece(heat_text(heat), ramp=True))
    else:
        role = Role.PROPOSAL if plan.look.stage.world is World.MODEL else Role.POSITIVE
        pieces += [Piece(shade.text, role=role, shade=shade) for shade in shades(result, options.colour_by)]
    grid = legible_grid(plan.backdrop, plan.view, plan.ratio)
    if grid is not None:
        name = level_name(result.params.anchors.strides[grid.level], grid.level)
        pieces.append(Piece(f"Dots: centres of {name}"))
    return pieces


_REACTIONS = {
    Reaction.RAISES: "The trainer stops with an error on this image: a box has no positive width and height",
    Reaction.SKIPS: "The trainer skips this image: it has no ground truth",
}
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


def _parameter_texts(result: Result, stage: Stage) -> tuple[list[str], list[str]]:
    """The parameters that concern a stage, in plain words: those of resize and anchors, and the others."""
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
    own, texts = texts, []
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
    return own, texts


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
