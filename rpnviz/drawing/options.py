"""What a user may want to see: worlds, layers and their switches, filters, colours and heat maps; plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from rpnviz.core.matching import AnchorState, Rank
from rpnviz.palette import Role


class World(StrEnum):
    """What training sees, or what the model says."""

    TRAINING = "training"
    MODEL = "model"


class LayerKey(StrEnum):
    """Name of a layer, for switches and settings."""

    GT = "gt"
    POSITIVE = "positive"
    FORCED = "forced"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    LEFT_OUT = "left_out"
    MINI_BATCH = "mini_batch"
    """The positives and negatives that this step draws; positives that it does not draw are then faint."""
    CANDIDATES = "candidates"
    """Every box that enters NMS."""
    SUPPRESSED = "suppressed"
    KEPT = "kept"
    DROPPED = "dropped"
    """Candidates that are neither kept nor suppressed: too small, a low score, or cut after NMS."""
    EVERYTHING = "everything"
    """All anchors, or all decoded boxes; not in :data:`LAYERS`, see ``LayerOptions.everything``."""


RANK_TEXT = {
    Rank.NONE: "No positive",
    Rank.FORCED: "Forced only",
    Rank.MATCHED: "Matched",
    Rank.NOT_TRAINED: "Not trained on",
}
"""A rank in the same words everywhere."""


@dataclass(frozen=True)
class LayerSpec:
    """One line of the key.

    Attributes:
        key: of the layer.
        title: on screen.
        role: how it looks.
        visible: by default.
        digit: key 1 to 9 that shows and hides it.
    """

    key: LayerKey
    title: str
    role: Role
    visible: bool
    digit: int


LAYERS: dict[World, tuple[LayerSpec, ...]] = {
    World.TRAINING: (
        LayerSpec(LayerKey.GT, "Ground truth", Role.GT, True, 1),
        LayerSpec(LayerKey.POSITIVE, "Positive", Role.POSITIVE, True, 2),
        LayerSpec(LayerKey.FORCED, "Forced positive", Role.FORCED, True, 3),
        LayerSpec(LayerKey.NEUTRAL, "Neutral (not trained on)", Role.NEUTRAL, False, 4),
        LayerSpec(LayerKey.NEGATIVE, "Negative", Role.NEGATIVE, False, 5),
        LayerSpec(LayerKey.LEFT_OUT, "Left out (border, padding, crowd)", Role.LEFT_OUT, False, 6),
        LayerSpec(LayerKey.MINI_BATCH, "Mini-batch (drawn in this step)", Role.NEGATIVE, False, 7),
    ),
    World.MODEL: (
        LayerSpec(LayerKey.GT, "Ground truth", Role.GT, True, 1),
        LayerSpec(LayerKey.CANDIDATES, "Before NMS", Role.PROPOSAL, False, 2),
        LayerSpec(LayerKey.SUPPRESSED, "Suppressed by NMS", Role.SUPPRESSED, False, 3),
        LayerSpec(LayerKey.KEPT, "Kept after NMS", Role.PROPOSAL, True, 4),
        LayerSpec(LayerKey.DROPPED, "Dropped (size, score, top-n)", Role.LEFT_OUT, False, 5),
    ),
}


STATES = {
    LayerKey.POSITIVE: (AnchorState.POSITIVE,),
    LayerKey.FORCED: (AnchorState.FORCED,),
    LayerKey.NEUTRAL: (AnchorState.NEUTRAL,),
    LayerKey.NEGATIVE: (AnchorState.NEGATIVE,),
    LayerKey.LEFT_OUT: (AnchorState.LEFT_OUT_BORDER, AnchorState.LEFT_OUT_IGNORE),
}
"""The states of the anchors of a layer."""


class ColourBy(StrEnum):
    """What the colour of an outline says."""

    LABEL = "label"
    LEVEL = "level"
    IOU = "iou"
    SCORE = "score"
    GT = "gt"
    FATE = "fate"
    LOSS = "loss"


class Heat(StrEnum):
    """What a heat map shows, per position of the feature maps."""

    NONE = "none"
    BEST_IOU = "best_iou"
    POSITIVE = "positive"
    FORCED = "forced"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"
    LEFT_OUT = "left_out"
    OBJECTNESS = "objectness"


@dataclass(frozen=True)
class BoxFilter:
    """Which anchors, or boxes that come from them, are looked at; the default lets all pass.

    Attributes:
        sampled: only anchors in the mini-batch; boxes of a model pass.
        level: index of a level; None: all.
        shape: index of an anchor shape (cell) of its level; None: all.
        position: (level, row, column), the anchors of one position; None: all.
        iou: least and greatest best IoU, of a model's box itself.
        score: least and greatest objectness probability; boxes without one pass.
        size: least and greatest square root of the area, input px.
    """

    sampled: bool = False
    level: int | None = None
    shape: int | None = None
    position: tuple[int, int, int] | None = None
    iou: tuple[float, float] = (0.0, 1.0)
    score: tuple[float, float] = (0.0, 1.0)
    size: tuple[float, float] = (0.0, math.inf)


EVERY_BOX = BoxFilter()
"""The filter that lets all pass."""


@dataclass(frozen=True)
class LayerOptions:
    """What the user wants to see.

    Attributes:
        visible: layers that are switched on.
        show_all: layers that are drawn whole, as density if they are large, instead of the best of each box.
        selected_gt: index of a ground-truth box; only the anchors and proposals that concern it are drawn.
        everything: all anchors (decoded boxes in the Model world) as one density behind the rest.
        only: boxes that pass; ground truth always does.
        colour_by: what colours say; by label each layer has its own.
        heat: a heat map instead of the layers' outlines; ground truth stays.
        centres: whether the positions of a level are marked.
    """

    visible: frozenset[LayerKey]
    show_all: frozenset[LayerKey] = frozenset()
    selected_gt: int | None = None
    everything: bool = False
    only: BoxFilter = EVERY_BOX
    colour_by: ColourBy = ColourBy.LABEL
    heat: Heat = Heat.NONE
    centres: bool = False


def default_options(world: World) -> LayerOptions:
    """What a world shows at first."""
    return LayerOptions(frozenset(spec.key for spec in LAYERS[world] if spec.visible))
