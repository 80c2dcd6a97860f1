"""What each trainer does with a finding, in words, from the trainers' conventions."""

from __future__ import annotations

from collections.abc import Callable

from rpnviz.core import presets
from rpnviz.core.conventions import (
    BoxClip,
    BoxScaling,
    Conventions,
    CrowdRule,
    EmptyImageRule,
    InvalidBoxRule,
    OutsideRule,
)
from rpnviz.datasets.base import CHOICE, MISSING_IMAGE
from rpnviz.datasets.box_checks import BEYOND, FLAT, FROM_ZERO, NO_BOX, NOT_FINITE, OUTSIDE, TWICE

CROWD, NO_BOXES, ALL_POSITIVE, OVERFLOW, SMALL = (
    "crowd",
    "no boxes",
    "all anchors positive",
    "overflow",
    "small at the input",
)
VOC_PIXELS = "pixels from 1"
UNROTATED, OTHER_SIZE, ROTATED, UNREADABLE = "unrotated", "other size", "rotated", "unreadable image"

NAN_KINDS = frozenset({NOT_FINITE, FLAT, NO_BOX, ALL_POSITIVE, OVERFLOW, NO_BOXES, FROM_ZERO})
"""Findings of these kinds can make the loss NaN or infinite, under the trainers that do not leave the box out."""

TITLES = {
    NOT_FINITE: "boxes with NaN or infinity",
    FLAT: "boxes without area",
    NO_BOX: "annotations without a usable box",
    OUTSIDE: "boxes outside the image",
    BEYOND: "boxes that reach beyond the image",
    TWICE: "boxes that are there twice",
    CROWD: "crowd and ignore regions, or objects marked difficult",
    NO_BOXES: "images without boxes",
    ALL_POSITIVE: "boxes that touch no anchor, which makes all anchors positive",
    OVERFLOW: "boxes whose regression targets explode",
    SMALL: "boxes that are small at the network's input",
    MISSING_IMAGE: "missing images",
    UNREADABLE: "images that cannot be read",
    UNROTATED: "annotations drawn on the unrotated image",
    OTHER_SIZE: "images of another size than stated",
    ROTATED: "images turned by EXIF",
    "rotated box": "rotated boxes, shown by the box around them",
    "no area": "shapes that have no box",
    VOC_PIXELS: "convention: corners count from 1 and include the last pixel",
    "counts from 0": "sign that corners count from 0 instead of 1",
    "counts from 1": "sign that corners count from 1 instead of 0",
    "names the last pixel": "sign that far corners name the last pixel",
    "shares": "sign of shares of the image where pixels are expected",
    "pixels": "sign of pixels where shares of the image are expected",
    "corners": "sign of corners where x, y, width, height is expected",
    "centres": "sign of centres where upper left corners are expected",
    "upper left": "sign of upper left corners where centres are expected",
    "sides": "sign of another order of the four numbers",
    CHOICE: "choice between several formats",
    "not used": "files that were not used",
    "not in it": "images that the annotations do not know",
    "no label file": "images without a label file",
    "label without image": "label files without an image",
    "file": "files that were left out",
    "broken file": "files that are broken",
}
"""Headings of the kinds; a kind that is not here is its own."""

_INVALID = {
    InvalidBoxRule.RAISES: "stops with an error",
    InvalidBoxRule.DROPS: "leaves the box out",
    InvalidBoxRule.DROPS_TINY: "leaves the box out",
    InvalidBoxRule.KEEPS: "trains on it",
}
_CROWD = {
    CrowdRule.DROPS: "leaves them out",
    CrowdRule.KEEPS: "trains on them as on any box",
    CrowdRule.BARS_NEGATIVES: "no anchor that touches one is negative",
    CrowdRule.IGNORES_BY_IOF: "leaves out anchors inside one, if ignore_iof_thresh is set",
    CrowdRule.IGNORES_BY_IOF_OF_REGION: "leaves out anchors that cover one, if ignore_iof_thresh is set",
}
_EMPTY = {
    EmptyImageRule.ALL_NEGATIVE: "every anchor is negative",
    EmptyImageRule.REFUSES: "skips the image or stops",
}


def _not_finite(conventions: Conventions) -> str:
    if conventions.invalid_box is InvalidBoxRule.RAISES:
        return "NaN passes its check: the loss becomes NaN"
    if conventions.invalid_box is InvalidBoxRule.KEEPS:
        return "trains on it: the loss becomes NaN"
    return _INVALID[conventions.invalid_box]


def _outside(conventions: Conventions) -> str:
    if conventions.outside_box is OutsideRule.DROPS:
        return "leaves the box out"
    if _cuts(conventions):
        return "cuts it to the image, then leaves it out as empty"
    return "trains on it: it may touch no anchor"


def _beyond(conventions: Conventions) -> str:
    if conventions.outside_box is OutsideRule.DROPS:
        return "leaves the box out"
    return "cuts it to the image" if _cuts(conventions) else "trains on the whole box"


def _cuts(conventions: Conventions) -> bool:
    """Whether boxes are cut to the image; masks end there anyway."""
    return conventions.box_clip is BoxClip.IMAGE or conventions.box_scaling is BoxScaling.MASKS


_RULES: dict[str, Callable[[Conventions], str]] = {
    FLAT: lambda conventions: _INVALID[conventions.invalid_box],
    NOT_FINITE: _not_finite,
    OUTSIDE: _outside,
    BEYOND: _beyond,
    CROWD: lambda conventions: _CROWD[conventions.crowd],
    NO_BOXES: lambda conventions: _EMPTY[conventions.empty_image],
}


VOC = "Pascal VOC XML"
_VOC_PIXELS = {
    "torchvision": "hands over the text: your own code subtracts",
    "detectron2": "subtracts 1 from xmin and ymin: the box as it is shown",
    "mmdetection": "subtracts 1 from all four and measures x2 - x1: 1 px narrower and lower",
    "py-faster-rcnn": "subtracts 1 from all four and measures x2 - x1 + 1: the same pixels; 65,535 for a corner at 0",
    "keras-retinanet": "subtracts 1 from all four and measures x2 - x1: 1 px narrower and lower",
}
_VOC_DIFFICULT = {
    "torchvision": "hands over the flag: your own code decides; trained on here",
    "detectron2": "trains on them as on any box",
    "mmdetection": "takes them for ignore regions, which act if ignore_iof_thresh is set",
    "py-faster-rcnn": "leaves them out",
    "keras-retinanet": "trains on them as on any box, unless skip_difficult is set",
}
"""Of the readers for VOC that come with the trainers; ``voc.py`` names their files. Matterport has none."""


def reactions(kind: str, format_: str = "") -> dict[str, str]:
    """What each trainer does with a record of that kind; empty where they all do the same or nothing."""
    if kind == VOC_PIXELS:
        return dict(_VOC_PIXELS)
    if kind == CROWD and format_ == VOC:
        return dict(_VOC_DIFFICULT)
    rule = _RULES.get(kind)
    return {} if rule is None else {name: rule(presets.load(name).conventions) for name in presets.names()}
