"""The numbers a user turns, one frozen group per stage, and their JSON document.

Defaults belong to a preset (:mod:`rpnviz.core.presets`), never to a group: the same field means different numbers in
different trainers. "Off" is -1, never null, because a merge patch (RFC 7396) deletes a key with null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from rpnviz.core.rules import Choice, Flag, Group, ListOf, Number, OffOr, Ruled, check_names, plain, ruled
from rpnviz.errors import ParamsError


class ResizeMode(StrEnum):
    """How the image is brought to the size of the network input."""

    SHORTEST_EDGE = "shortest_edge"
    """The short side becomes ``min_size`` unless the long side would exceed ``max_size``."""
    SQUARE = "square"
    """The same, then padded to a square of ``max_size``."""
    SCALE = "scale"
    """Both sides times ``scale``."""
    NONE = "none"
    """The image keeps its size; only the padding applies."""


class ProposalMode(StrEnum):
    """Which of the two top-n settings applies."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True)
class ResizeParams(Ruled):
    """Original image to network input."""

    document_key: ClassVar[str] = "resize"

    mode: ResizeMode = ruled(Choice(ResizeMode), "How the image is resized")
    min_size: int = ruled(Number(1, 100_000, whole=True), "Short side after resizing, in px")
    max_size: int = ruled(Number(1, 100_000, whole=True), "Long side after resizing, at most, in px")
    scale: float = ruled(Number(1e-4, 1e4), "Factor of both sides in the mode scale")
    min_scale: float = ruled(Number(0, 1e4), "The scale that min_size asks for is at least this")
    pad_multiple: int = ruled(Number(1, 4096, whole=True), "The padded sides are multiples of this, in px")


@dataclass(frozen=True)
class AnchorParams(Ruled):
    """The anchors of every level of the feature pyramid."""

    document_key: ClassVar[str] = "anchors"

    strides: tuple[int, ...] = ruled(
        ListOf(Number(1, 4096, whole=True)), "Distance of neighbouring cells per level, in input px"
    )
    sizes: tuple[tuple[float, ...], ...] | int = ruled(
        OffOr(ListOf(ListOf(Number(0.01, 100_000)))),
        "Anchor sizes (square root of the area) per level, in input px; -1 if base_sizes and scales give them",
    )
    aspect_ratios: tuple[tuple[float, ...], ...] = ruled(
        ListOf(ListOf(Number(0.001, 1000))),
        "Aspect ratios per level; the preset says whether height / width or the inverse",
    )
    offset: float = ruled(
        Number(-1000, 1000), "Centre of the first cell, in strides or base sizes, whichever the preset counts in"
    )
    base_sizes: tuple[float, ...] | int = ruled(
        OffOr(ListOf(Number(0.01, 100_000))), "Base size per level, in input px, that the scales multiply; -1 is off"
    )
    scales: tuple[float, ...] = ruled(
        ListOf(Number(0.0001, 100_000)),
        "Factors of the base size at every level; without effect while base_sizes is off",
    )
    subsample: int = ruled(Number(1, 64, whole=True), "Every how many-th cell carries anchors")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.sizes == -1) == (self.base_sizes == -1):
            state = "off" if self.sizes == -1 else "on"
            raise ParamsError(
                f"sizes and base_sizes are both {state}; expected one of them to be -1.", where="anchors.base_sizes"
            )
        for name in ("sizes", "aspect_ratios", "base_sizes"):
            value = getattr(self, name)
            if value != -1 and len(value) != len(self.strides):
                raise ParamsError(
                    f"has {len(value)} levels, expected {len(self.strides)}: one entry per stride.",
                    where=f"anchors.{name}",
                )

    @property
    def level_sizes(self) -> tuple[tuple[float, ...], ...]:
        """Anchor sizes per level, whichever way they are given, in input px."""
        if isinstance(self.base_sizes, tuple):
            return tuple(tuple(base * scale for scale in self.scales) for base in self.base_sizes)
        assert isinstance(self.sizes, tuple)
        return self.sizes

    @property
    def cells(self) -> tuple[int, ...]:
        """Anchors at one position, per level."""
        return tuple(len(s) * len(r) for s, r in zip(self.level_sizes, self.aspect_ratios, strict=True))


@dataclass(frozen=True)
class MatchParams(Ruled):
    """Which anchors are positive, negative or neutral."""

    document_key: ClassVar[str] = "match"

    fg_iou_thresh: float = ruled(Number(0, 1), "An anchor is positive if its best IoU is at least this")
    bg_iou_thresh: float = ruled(Number(0, 1), "An anchor is negative if its best IoU is below this")
    allow_low_quality_matches: bool = ruled(
        Flag(), "The best anchors of a ground-truth box are positive whatever their IoU"
    )
    min_pos_iou: float = ruled(Number(0, 1), "...but only if that best IoU is at least this")
    border_thresh: float = ruled(
        Number(-1, 100_000), "Anchors may reach beyond the image by less than this, in input px; -1 is off"
    )
    ignore_iof_thresh: float = ruled(
        Number(-1, 1), "An anchor is ignored if more than this share of it lies in an ignore region; -1 is off"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bg_iou_thresh > self.fg_iou_thresh:
            raise ParamsError(
                f"{self.bg_iou_thresh:g} is above match.fg_iou_thresh ({self.fg_iou_thresh:g}); "
                "expected at most that, so that no anchor is both negative and positive.",
                where="match.bg_iou_thresh",
            )


@dataclass(frozen=True)
class SampleParams(Ruled):
    """The mini-batch of anchors that enter the loss."""

    document_key: ClassVar[str] = "sample"

    batch_size_per_image: int = ruled(Number(1, 1_000_000, whole=True), "Anchors drawn per image and step")
    positive_fraction: float = ruled(Number(0, 1), "Share of positives in the mini-batch, at most")
    seed: int = ruled(Number(0, 2**63 - 1, whole=True), "Seed of the draw")


@dataclass(frozen=True)
class CoderParams(Ruled):
    """Boxes as deltas of an anchor."""

    document_key: ClassVar[str] = "coder"

    weights: tuple[float, float, float, float] = ruled(
        ListOf(Number(1e-6, 1e6), length=4), "Factors of dx, dy, dw, dh in the targets"
    )
    dwh_clip: float = ruled(Number(-1, 1000), "dw and dh are cut to at most this when decoding; -1 is off")


@dataclass(frozen=True)
class TopN(Ruled):
    """One number for training and one for inference."""

    train: int = ruled(Number(1, 10_000_000, whole=True), "While training")
    test: int = ruled(Number(1, 10_000_000, whole=True), "At inference")


@dataclass(frozen=True)
class ProposalParams(Ruled):
    """From the network's outputs to proposals."""

    document_key: ClassVar[str] = "proposals"

    mode: ProposalMode = ruled(Choice(ProposalMode), "Which of the two top-n settings applies")
    pre_nms_top_n: TopN = ruled(Group(TopN), "Best-scored boxes kept before NMS, per level")
    post_nms_top_n: TopN = ruled(Group(TopN), "Best-scored boxes kept after NMS, per image")
    score_thresh: float = ruled(Number(0, 1), "A box needs at least this objectness probability")
    min_size: float = ruled(Number(0, 100_000), "Both sides of a box are at least this, in input px")
    nms_thresh: float = ruled(Number(0, 1), "A box is suppressed if its IoU with a better one is above this")

    @property
    def pre_nms(self) -> int:
        """``pre_nms_top_n`` of the current mode."""
        return getattr(self.pre_nms_top_n, self.mode.value)

    @property
    def post_nms(self) -> int:
        """``post_nms_top_n`` of the current mode."""
        return getattr(self.post_nms_top_n, self.mode.value)


class CropKind(StrEnum):
    """What ``crop_size`` counts in (detectron2's and mmdetection's ``RandomCrop`` use the same words)."""

    NONE = "none"
    """No crop: the whole image is shown."""
    ABSOLUTE = "absolute"
    """Height and width in px, at most the image's."""
    RELATIVE = "relative"
    """Shares of the image's height and width."""
    RELATIVE_RANGE = "relative_range"
    """Shares that are drawn from these up to 1; only with drawn positions."""


class CropPlaces(StrEnum):
    """Where crops are taken."""

    GRID = "grid"
    """Evenly spread, so that they cover the image; at most 8 by 8."""
    RANDOM = "random"
    """``crop_count`` of them, drawn from ``crop_seed`` as the frameworks draw them."""


class CropStage(StrEnum):
    """What is cropped."""

    ORIGINAL = "original"
    """The original image; the crop is then resized. detectron2's ``INPUT.CROP``."""
    RESIZED = "resized"
    """The resized image, as in large-scale jittering (torchvision ``FixedSizeCrop``, mmdetection's ``lsj``)."""


MOST_VIEWS = 256
"""Views of one image, at most."""


@dataclass(frozen=True)
class TrainViews(Ruled):
    """The views in which a trainer shows an image: every short side, plain and flipped, every crop."""

    document_key: ClassVar[str] = "train_views"

    min_sizes: tuple[int, ...] | int = ruled(
        OffOr(ListOf(Number(1, 100_000, whole=True))),
        "Short sides after resizing, in px; -1: resize.min_size alone",
        default=-1,
    )
    flip: bool = ruled(Flag(), "Every view plain and flipped left to right", default=False)
    crop: CropKind = ruled(Choice(CropKind), "Whether crops are shown, and what crop_size counts in", CropKind.NONE)
    crop_size: tuple[float, float] = ruled(
        ListOf(Number(0.001, 100_000), length=2), "Height and width of the crops, in px or as shares", (0.9, 0.9)
    )
    crop_places: CropPlaces = ruled(Choice(CropPlaces), "Where crops are taken", CropPlaces.RANDOM)
    crop_count: int = ruled(Number(1, 64, whole=True), "Crops that are drawn; without effect on a grid", 4)
    crop_seed: int = ruled(Number(0, 2**32 - 1, whole=True), "Seed of the drawn crops (numpy.random.seed)", 0)
    crop_stage: CropStage = ruled(Choice(CropStage), "What is cropped", CropStage.ORIGINAL)
    padded_size: tuple[int, int] | int = ruled(
        OffOr(ListOf(Number(1, 100_000, whole=True), length=2)),
        "Height and width that the batch is padded to at least, in px; -1: every view alone",
        default=-1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop in (CropKind.RELATIVE, CropKind.RELATIVE_RANGE) and max(self.crop_size) > 1:
            raise ParamsError(
                f"{list(self.crop_size)} is not allowed for the crop {str(self.crop)!r}, expected shares up to 1.",
                where="train_views.crop_size",
            )
        if self.crop is CropKind.ABSOLUTE and any(side != int(side) for side in self.crop_size):
            raise ParamsError(
                f"{list(self.crop_size)} is not allowed for the crop 'absolute', expected whole px.",
                where="train_views.crop_size",
            )
        if self.crop is CropKind.RELATIVE_RANGE and self.crop_places is CropPlaces.GRID:
            raise ParamsError(
                "'grid' is not allowed for the crop 'relative_range', whose sizes are drawn; expected 'random'.",
                where="train_views.crop_places",
            )
        sides = 1 if isinstance(self.min_sizes, int) else len(self.min_sizes)
        drawn = self.crop is not CropKind.NONE and self.crop_places is CropPlaces.RANDOM
        views = sides * (2 if self.flip else 1) * (self.crop_count if drawn else 1)
        if views > MOST_VIEWS:
            raise ParamsError(
                f"ask for {views:,} views of an image, expected at most {MOST_VIEWS}: fewer short sides or crops.",
                where="train_views.crop_count" if drawn else "train_views.min_sizes",
            )

    def __str__(self) -> str:
        """In few words: ``640, 672 px, flipped, crop relative 0.9 x 0.9``."""
        sides = "" if isinstance(self.min_sizes, int) else f"{', '.join(map(str, self.min_sizes))} px"
        size = " x ".join(f"{side:g}" for side in self.crop_size)
        parts = [sides, "flipped" if self.flip else ""]
        parts += [f"crop {self.crop} {size}" if self.crop is not CropKind.NONE else ""]
        if not isinstance(self.padded_size, int):
            parts.append(f"padded to {self.padded_size[0]} x {self.padded_size[1]} px")
        return ", ".join(filter(None, parts)) or "as it is"


@dataclass(frozen=True)
class Params(Ruled):
    """All groups together; a stage reads the groups that concern it."""

    resize: ResizeParams = ruled(Group(ResizeParams), "Original image to network input")
    anchors: AnchorParams = ruled(Group(AnchorParams), "Anchors of every level")
    match: MatchParams = ruled(Group(MatchParams), "Labels of the anchors")
    sample: SampleParams = ruled(Group(SampleParams), "The mini-batch")
    coder: CoderParams = ruled(Group(CoderParams), "Box deltas")
    proposals: ProposalParams = ruled(Group(ProposalParams), "Outputs to proposals")
    train_views: TrainViews | int = ruled(
        OffOr(Group(TrainViews)), "Views in which the trainer shows an image; -1: as it is", default=-1
    )

    @property
    def views(self) -> TrainViews | None:
        """The training views; None where the trainer shows the image as it is."""
        return self.train_views if isinstance(self.train_views, TrainViews) else None

    def with_views(self, views: TrainViews | None) -> Params:
        """A copy with other training views, or with none."""
        return dataclasses.replace(self, train_views=-1 if views is None else views)

    def with_values(self, group: str, **values: Any) -> Params:
        """A copy with some fields of one group replaced; training views that are off begin with the image as it is.

        Raises:
            ParamsError: a value is not allowed.
        """
        old: Any = (self.views or TrainViews()) if group == "train_views" else getattr(self, group)
        return dataclasses.replace(self, **{group: dataclasses.replace(old, **values)})


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396): objects merge, null deletes a key, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def differences(a: Params, b: Params) -> list[tuple[str, Any, Any]]:
    """Fields in which two parameter sets differ, as (``group.field``, value in a, value in b) in document order."""
    found = []
    for group in dataclasses.fields(Params):
        left, right = getattr(a, group.name), getattr(b, group.name)
        if left == -1 or right == -1:  # an optional group that is off on one side differs as a whole
            if left != right:
                found.append((group.name, left, right))
            continue
        for field in dataclasses.fields(left):
            x, y = getattr(left, field.name), getattr(right, field.name)
            if x != y:
                found.append((f"{group.name}.{field.name}", x, y))
    return found


def read_params(document: Mapping[str, object], defaults: Params) -> Params:
    """Params from the groups of a document; missing groups and fields come from ``defaults``.

    Raises:
        ParamsError: a group or field is unknown or a value is not allowed.
    """
    merged = plain(defaults)
    if isinstance(document.get("train_views"), Mapping) and merged["train_views"] == -1:
        merged["train_views"] = plain(TrainViews())
    known = [field.name for field in dataclasses.fields(Params)]
    check_names(document, known, "")
    return Group(Params).read(merge_patch(merged, _keep_missing(document)), "")


def _keep_missing(document: Mapping[str, object]) -> dict[str, object]:
    """A null in a document, as opposed to a patch, is a wrong value: say so rather than fall back to the default."""
    for group, fields in document.items():
        if group == "train_views" and fields == -1:
            continue
        if group == "train_views" and not isinstance(fields, Mapping):
            raise ParamsError(f"{fields!r} is not allowed, expected an object, or -1 for off.", where=group)
        if not isinstance(fields, Mapping):
            raise ParamsError(f"{fields!r} is not allowed, expected an object with fields.", where=group)
        for name, value in fields.items():
            if value is None:
                raise ParamsError(
                    'null is not allowed; leave the field out, or use -1 for "off".', where=f"{group}.{name}"
                )
    return dict(document)
