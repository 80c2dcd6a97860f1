"""Parameters as a configuration of any trainer, with everything said that would become different.

What is written is read again and compared: a parameter that the trainer cannot be told never slips through. A value of
one's own that would be lost is a refusal; where two trainers differ by their nature, a remark in the text says so.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz import __version__
from rpnviz.configs import documents, registry
from rpnviz.configs.base import ConfigFormat, Fate, TrainerConfig
from rpnviz.core import presets
from rpnviz.core.anchors import base_anchors
from rpnviz.core.conventions import (
    BorderRule,
    CellOrder,
    Conventions,
    CrowdRule,
    DrawRule,
    OffsetUnit,
    ProposalStages,
    SmallBoxRule,
)
from rpnviz.core.params import AnchorParams, Params, ProposalMode, ResizeMode, TopN, differences
from rpnviz.core.presets import Preset
from rpnviz.core.rules import doc_of, plain
from rpnviz.errors import ConfigFileError

_LINE = 100
_ONLY_PROPOSALS = ("proposals.", "coder.dwh_clip")
"""Parameters that change neither anchors nor labels: a difference is remarked on, never refused."""
_NO_MINI_BATCH = ("sample.",)
_SEED = "sample.seed"


@dataclass(frozen=True)
class Export:
    """What came of writing a configuration.

    Attributes:
        framework: it was written for.
        text: the configuration with the remarks as comments; empty if it was refused.
        remarks: what becomes different there by the trainer's nature, a sentence each.
        refusals: why nothing was written, a sentence each; empty if it was.
    """

    framework: str
    text: str
    remarks: tuple[str, ...]
    refusals: tuple[str, ...]


def export_config(source: Preset, framework: str, read_from: TrainerConfig | None = None) -> Export:
    """Write a trainer's parameters for that trainer or another one.

    Args:
        source: preset with its parameters and conventions.
        framework: one of :func:`rpnviz.configs.registry.names`.
        read_from: the configuration that ``source`` began with: what was not understood of it is missing here too.

    Raises:
        ConfigFileError: there is no such framework.
    """
    form = registry.format_named(framework)
    own = source.name in form.presets
    target = source if own else presets.load(form.presets[0])
    wanted, problems = converted(source, target)
    flip = _flip(source.params, read_from)
    text = ""
    if not problems:
        text = form.write(wanted, target, flip)
        try:
            back = form.read(documents.parse(text, Path("export"), form.kind), target.name).preset
        except ConfigFileError as error:
            problems.append(f"{framework} cannot be told this: {error.where.rpartition(', ')[2]}: {error.what}")
    if problems:
        return Export(framework, "", (), tuple(problems))
    refusals, remarks = _compared(source, wanted, back, form, flip)
    if not own:
        remarks = [*_anchor_remark(source, back), *remarks, *_convention_remarks(source, back, form.name)]
    if refusals:
        return Export(framework, "", tuple(remarks), tuple(refusals))
    shown = source.params.views
    if shown is not None and flip is None and back.params.views is not None and back.params.views.flip:
        ends = f"{framework} flips them unless it is told not to."
        remarks.append(f"Whether training flips images was not said, so it is not said here either: {ends}")
    if read_from is not None:
        name = read_from.files[0].name
        remarks += [
            f"{note.field} = {note.value} of {name} is not in here: {note.became}."
            for note in read_from.notes
            if note.fate is Fate.NOT_UNDERSTOOD
        ]
    return Export(framework, _commented(text, source, framework, remarks), tuple(remarks), ())


def _flip(params: Params, read_from: TrainerConfig | None) -> bool | None:
    """Whether training flips images; None where nobody said: the views of a file that is silent on it show none."""
    views = params.views
    if views is None:
        return read_from.flip if read_from is not None else None
    silent = read_from is not None and read_from.flip is None and not views.flip
    return None if silent else views.flip


# ---------------------------------------------------------------------- one trainer's terms in another's


def converted(source: Preset, target: Preset) -> tuple[Params, list[str]]:
    """The parameters in the terms of another trainer, and what has no such terms, a sentence each."""
    params = effective(source.params, source.conventions)
    if source.name == target.name:
        return params, []
    problems: list[str] = []
    anchors = params.anchors
    if source.conventions.ratio_meaning is not target.conventions.ratio_meaning:
        inverse = tuple(tuple(1 / ratio for ratio in level) for level in anchors.aspect_ratios)
        anchors = dataclasses.replace(anchors, aspect_ratios=inverse)
    if target.params.anchors.sizes != -1:
        anchors = dataclasses.replace(anchors, sizes=anchors.level_sizes, base_sizes=-1, scales=(1.0,))
    elif anchors.base_sizes == -1:
        anchors = _as_base_sizes(anchors)
    shift = _first_centres(params.anchors, source.conventions)
    units = _units(anchors, target.conventions)
    offsets = {centre / unit if centre else 0.0 for centre, unit in zip(shift, units, strict=True)}
    offset = offsets.pop()
    if any(not math.isclose(offset, other, rel_tol=1e-12) for other in offsets):
        centres = ", ".join(f"{centre:g}" for centre in shift)
        problems.append(
            f"anchors.offset: the first anchors of the levels stand at {centres} px, which one offset of "
            f"{target.name} cannot say."
        )
    elif abs(offset) <= 1000:
        anchors = dataclasses.replace(anchors, offset=offset)
    return dataclasses.replace(params, anchors=anchors), problems


def _as_base_sizes(anchors: AnchorParams) -> AnchorParams:
    """Sizes per level as base sizes times common scales: the strides as bases where that fits, else the first sizes."""
    sizes = anchors.level_sizes
    for bases in (tuple(map(float, anchors.strides)), tuple(level[0] for level in sizes)):
        scales = tuple(size / bases[0] for size in sizes[0])
        made = tuple(tuple(base * scale for scale in scales) for base in bases)
        if made == sizes:
            return dataclasses.replace(anchors, sizes=-1, base_sizes=bases, scales=scales)
    return anchors


def _units(anchors: AnchorParams, conventions: Conventions) -> list[float]:
    """What an offset of 1 is at each level, in px."""
    if conventions.offset_unit is OffsetUnit.STRIDE or not isinstance(anchors.base_sizes, tuple):
        return [float(stride) for stride in anchors.strides]
    return [base - conventions.anchor_pixels.extra for base in anchors.base_sizes]


def _first_centres(anchors: AnchorParams, conventions: Conventions) -> list[float]:
    """Where the centre of the first cell is at each level, in px."""
    return [anchors.offset * unit for unit in _units(anchors, conventions)]


def effective(params: Params, conventions: Conventions) -> Params:
    """The parameters with every field that has no effect at one fixed value, so that equal effects compare equal."""
    resize = params.resize
    if resize.mode is not ResizeMode.SCALE:
        resize = dataclasses.replace(resize, scale=1.0)
    if resize.mode in (ResizeMode.SCALE, ResizeMode.NONE):
        resize = dataclasses.replace(resize, min_size=800, max_size=1333, min_scale=0.0)
    if resize.mode is ResizeMode.SQUARE:
        resize = dataclasses.replace(resize, pad_multiple=64)
    anchors = params.anchors
    if anchors.base_sizes == -1:
        anchors = dataclasses.replace(anchors, scales=(1.0,))
    match: dict[str, Any] = {}
    if conventions.border is BorderRule.NONE:
        match["border_thresh"] = -1.0
    if conventions.crowd not in (CrowdRule.IGNORES_BY_IOF, CrowdRule.IGNORES_BY_IOF_OF_REGION):
        match["ignore_iof_thresh"] = -1.0
    if not params.match.allow_low_quality_matches:
        match["min_pos_iou"] = 0.0
    sample = params.sample
    if conventions.draw is DrawRule.NONE:
        sample = dataclasses.replace(sample, batch_size_per_image=256, positive_fraction=0.5, seed=0)
    proposals: dict[str, Any] = {"mode": ProposalMode.TEST}
    coder = params.coder
    if conventions.proposal_stages is ProposalStages.NONE:
        numbers = TopN(2000, 1000)
        proposals |= {"pre_nms_top_n": numbers, "post_nms_top_n": numbers}
        proposals |= {"score_thresh": 0.0, "min_size": 0.0, "nms_thresh": 0.7}
        coder = dataclasses.replace(coder, dwh_clip=-1.0)
    elif conventions.small_box is SmallBoxRule.NONE:
        proposals["min_size"] = 0.0
    return dataclasses.replace(
        params,
        resize=resize,
        anchors=anchors,
        match=dataclasses.replace(params.match, **match),
        sample=sample,
        coder=coder,
        proposals=dataclasses.replace(params.proposals, **proposals),
    )


# ---------------------------------------------------------------------- what became different


def _compared(
    source: Preset, wanted: Params, back: Preset, form: ConfigFormat, flip: bool | None
) -> tuple[list[str], list[str]]:
    """Refusals and remarks about parameters that the text does not carry over, and about conventions of one's own."""
    usual = presets.load(source.name)
    own = source.name in form.presets
    refusals: list[str] = []
    remarks: list[str] = []
    for field, before, after in differences(wanted, effective(back.params, back.conventions)):
        # What nobody said of the views is left to the trainer.
        unsaid = wanted.views is None if field == "train_views" else field == "train_views.flip" and flip is None
        if unsaid or _nearly(before, after):
            continue
        if field.startswith("train_views"):
            remarks.append(f"{field} is {before}, which is not written: how training varies images stands apart.")
            continue
        reason = _limit(form.limits, field)
        line = f"{field} is {_short(before)}, and {form.name} takes {_short(after)}{f': {reason}' if reason else ''}."
        harmless = field == _SEED or field.startswith(_ONLY_PROPOSALS)
        if field.startswith(_NO_MINI_BATCH) and back.conventions.draw is DrawRule.NONE:
            harmless = True
        (remarks if harmless or (not own and _is_usual(field, source.params, usual.params)) else refusals).append(line)
    for field, value in source.conventions.overrides_from(usual.conventions).items():
        if getattr(back.conventions, field) != value:
            reason = _limit(form.limits, f"conventions.{field}")
            refusals.append(
                f"conventions.{field} is {value}, and {form.name} takes {getattr(back.conventions, field)}: {reason}."
            )
    return refusals, remarks


def _is_usual(field: str, params: Params, usual: Params) -> bool:
    """Whether a field has its trainer's default value; the two ways to give sizes belong together, with the strides."""
    group, name = field.split(".")
    sizes = ("strides", "sizes", "base_sizes", "scales")
    names = sizes if name in sizes[1:] else (name,)
    mine, theirs = getattr(params, group), getattr(usual, group)
    return all(getattr(mine, each) == getattr(theirs, each) for each in names)


def _limit(limits: Mapping[str, str], field: str) -> str:
    return limits.get(field) or limits.get(f"{field.split('.')[0]}.", "")


def _nearly(a: object, b: object) -> bool:
    """Whether two values differ by the last bit of a conversion alone, which no arithmetic in float32 sees."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(_nearly(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def _anchor_remark(source: Preset, back: Preset) -> list[str]:
    """How far the anchors of one cell stand from those of the source, measured."""
    most = 0.0
    for level in range(len(source.params.anchors.strides)):
        mine, theirs = _cell(source, level), _cell(back, level)
        if mine.shape != theirs.shape:
            return []  # the parameters differ, which is said
        most = max(most, float(np.abs(mine - theirs).max()))
    if most == 0:
        return []
    return [f"The anchors of a cell differ from {source.name}'s by up to {most:.3g} px at their corners."]


def _cell(preset: Preset, level: int) -> NDArray[np.float64]:
    """The anchors of the first cell, (ratios, sizes, 4) xyxy whatever the trainer's order."""
    params, conventions = preset.params.anchors, preset.conventions
    boxes = base_anchors(params, level, conventions).astype(np.float64)
    if conventions.offset_unit is OffsetUnit.STRIDE:
        boxes = boxes + params.offset * params.strides[level]
    ratios = len(params.aspect_ratios[level])
    if conventions.cell_order is CellOrder.RATIO_SIZE:
        return boxes.reshape(ratios, -1, 4)
    return boxes.reshape(-1, ratios, 4).swapaxes(0, 1)


_CONVERTED = ("ratio_meaning", "offset_unit", "coder_weights")
"""Conventions that only say how a parameter is counted, which the conversion has settled."""
_OF_PROPOSALS = (
    *("end_corner", "decode_clamp", "proposal_frame", "score", "top_k", "small_box", "non_finite", "clip"),
    *("nms_compare", "nms_pixels", "nms_grouping", "tie_order"),
)


def _convention_remarks(source: Preset, back: Preset, framework: str) -> list[str]:
    passed = set(_CONVERTED)
    if effective(source.params, source.conventions).match.border_thresh == -1 == back.params.match.border_thresh:
        passed.add("border")
    if ProposalStages.NONE in (source.conventions.proposal_stages, back.conventions.proposal_stages):
        passed.update(_OF_PROPOSALS)
    return [
        f"{doc_of(Conventions, field)}: {getattr(source.conventions, field)} in {source.name}, {value} in {framework}."
        for field, value in back.conventions.overrides_from(source.conventions).items()
        if field not in passed
    ]


def _short(value: object) -> str:
    text = str(plain(value))
    return text if len(text) <= 60 else f"{text[:59]}…"


def _commented(text: str, source: Preset, framework: str, remarks: list[str]) -> str:
    """The text under what is to be known about it."""
    head = [f"Written by rpnviz {__version__} for {framework}, from the parameters of {source.name}."]
    if remarks:
        head.append(
            f"{framework} does not do the same as {source.name}:" if source.name != framework else "Not in here:"
        )
        head += [f"- {remark}" for remark in remarks]
    lines = []
    for line in head:
        words, current = line.split(), "#"
        for word in words:
            if len(current) + len(word) + 1 > _LINE and current != "#":
                lines.append(current)
                current = "#  "
            current += f" {word}"
        lines.append(current)
    return "\n".join(lines) + "\n" + text


def refusal(export: Export) -> ConfigFileError:
    """The error of an export that was refused."""
    listed = " ".join(f"({number}) {text}" for number, text in enumerate(export.refusals, 1))
    return ConfigFileError(
        f"these parameters cannot be written for {export.framework} without changing what they do: {listed}",
        way_out="Choose that trainer's preset to see what it does, or change those values.",
    )
