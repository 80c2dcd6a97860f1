"""The views in which a trainer shows an image: short sides, flips, crops and padding, and how every box fares in each.

A view is an image of its own with boxes of its own, run through the same pipeline; its boxes map back to ``Inputs``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import pipeline
from rpnviz.core.boxes import clip_boxes
from rpnviz.core.conventions import BoxClip, BoxScaling, Conventions
from rpnviz.core.frame import Frame, flipped_original, make_frame, scale_ground_truth
from rpnviz.core.inputs import Inputs, frozen
from rpnviz.core.matching import WEAK_IOU, Rank
from rpnviz.core.params import MOST_VIEWS, CropKind, CropPlaces, CropStage, Params, ResizeMode, ResizeParams, TrainViews
from rpnviz.core.pipeline import Result
from rpnviz.errors import ParamsError

_GRID_MOST = 8
"""Rows and columns of a grid of crops, at most."""


@dataclass(frozen=True)
class Crop:
    """A rectangle that is cut out, in px of what is cropped.

    Attributes:
        number: among the crops of the image, from 1.
        top, left, height, width: px.
    """

    number: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class View:
    """One way in which the trainer shows the image.

    Attributes:
        name: such as ``640 px · flipped``.
        min_size: the short side that is asked for, px; None where the resize mode asks for none.
        flip: left to right.
        crop: None: the whole image.
        crop_stage: what is cropped.
        padded_size: (H, W) that the batch is padded to at least; None: this view alone.
    """

    name: str
    min_size: int | None
    flip: bool
    crop: Crop | None
    crop_stage: CropStage
    padded_size: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Seen:
    """A view that was run.

    Attributes:
        view: which.
        result: of the view's own image and boxes.
        gt: (K,) index in the image's ``Inputs`` of every box of the view; a box that the crop cuts off is missing.
    """

    view: View
    result: Result
    gt: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How the M boxes of an image fare in one view.

    Attributes:
        view: which.
        resized_size, input_size: (H, W) of the view, before and after padding.
        ranks: per box; None where the crop cuts it off.
        anchors: how many the view has.
        positives: (M,) anchors trained towards it, forced ones included.
        best_iou: (M,) NaN where it is cut off or not trained on.
        area: (4,) xyxy, the part of the image that is shown, original px.
        boxes: (M, 4) the boxes on the view as shares of its width and height; NaN where they are cut off.
    """

    view: View
    resized_size: tuple[int, int]
    input_size: tuple[int, int]
    ranks: tuple[Rank | None, ...]
    anchors: int
    positives: NDArray[np.int64]
    best_iou: NDArray[np.float64]
    area: NDArray[np.float64]
    boxes: NDArray[np.float64]


_AS_SEEN = View("as the trainer saw it", None, False, None, CropStage.ORIGINAL, None)


def list_views(image_size: tuple[int, int], params: Params, conventions: Conventions) -> tuple[View, ...]:
    """The views of an image (H, W): by short side, then by crop, plain before flipped; without any, as it is.

    Raises:
        ParamsError: a grid of crops makes more than ``MOST_VIEWS`` of this image.
    """
    views = params.views or TrainViews()
    sided = params.resize.mode in (ResizeMode.SHORTEST_EDGE, ResizeMode.SQUARE)
    sides = views.min_sizes if isinstance(views.min_sizes, tuple) and sided else (params.resize.min_size,)
    padded = views.padded_size if isinstance(views.padded_size, tuple) else None
    found = []
    for side in sides:
        resized = _whole_frame(image_size, params, conventions, side).resized_size
        cropped = image_size if views.crop_stage is CropStage.ORIGINAL else resized
        crops: Sequence[Crop | None] = [None] if views.crop is CropKind.NONE else _crops(cropped, views)
        name = f"{side if sided else min(resized):,} px"
        for crop in crops:
            for flip in (False, True) if views.flip else (False,):
                words = [name, *(["flipped"] if flip else []), *([f"crop {crop.number}"] if crop else [])]
                asked = side if sided else None
                found.append(View(" · ".join(words), asked, flip, crop, views.crop_stage, padded))
    if len(found) > MOST_VIEWS:
        height, width = image_size
        raise ParamsError(
            f"a grid of such crops makes {len(found):,} views of an image of {width} x {height} px, expected at most "
            f"{MOST_VIEWS}.",
            where="train_views.crop_size",
            way_out="Take larger crops, fewer short sides, or crops that are drawn.",
        )
    return tuple(found)


def _resize(params: Params, min_size: int | None) -> ResizeParams:
    return params.resize if min_size is None else dataclasses.replace(params.resize, min_size=min_size)


def _whole_frame(image_size: tuple[int, int], params: Params, conventions: Conventions, min_size: int | None) -> Frame:
    """The frame of the whole image at a short side."""
    return make_frame(image_size, _resize(params, min_size), conventions)


def _crops(size: tuple[int, int], views: TrainViews) -> list[Crop]:
    """The crops of an image (H, W).

    Convention:
        Drawn ones take the draws of ``numpy.random`` in the frameworks' order: two for the shares of
        ``relative_range``, then top and left, each of 0 to what is left over, crop after crop.

    Source: detectron2 ``data/transforms/augmentation_impl.py: RandomCrop``, the same in mmdet ``datasets/transforms/
    transforms.py: RandomCrop``.
    """
    height, width = size
    draws = np.random.RandomState(views.crop_seed)

    def sides() -> tuple[int, int]:
        if views.crop is CropKind.ABSOLUTE:
            return min(int(views.crop_size[0]), height), min(int(views.crop_size[1]), width)
        shares = np.array(views.crop_size)
        if views.crop is CropKind.RELATIVE_RANGE:
            least = np.array(views.crop_size, np.float32)
            shares = least + draws.rand(2) * (1 - least)
        return max(int(height * shares[0] + 0.5), 1), max(int(width * shares[1] + 0.5), 1)

    if views.crop_places is CropPlaces.RANDOM:
        found = []
        for number in range(1, views.crop_count + 1):
            high, wide = sides()
            top, left = draws.randint(height - high + 1), draws.randint(width - wide + 1)
            found.append(Crop(number, int(top), int(left), high, wide))
        return found
    high, wide = sides()
    places = [(top, left) for top in _spread(height, high) for left in _spread(width, wide)]
    return [Crop(number, top, left, high, wide) for number, (top, left) in enumerate(places, 1)]


def _spread(whole: int, part: int) -> list[int]:
    """Starts of as many parts as cover the whole, evenly apart."""
    number = min(math.ceil(whole / part), _GRID_MOST)
    if number == 1:
        return [(whole - part) // 2]
    return [round(step * (whole - part) / (number - 1)) for step in range(number)]


def run_view(
    view: View, inputs: Inputs, params: Params, conventions: Conventions, previous: Result | None = None
) -> Seen:
    """Run the pipeline on one view of an image.

    Args:
        view: of :func:`list_views`, for the same parameters.
        inputs: the image; its outputs and padded size are left aside, they belong to the whole of it. One that stands
            as a network was given it is run as it is, whatever the view.
        params, conventions: of the trainer.
        previous: an earlier result; only saves time.

    Convention:
        Boxes move with the crop and are cut to it; one of which no area is left is no box of the view.

    Source: detectron2 ``data/detection_utils.py: transform_instance_annotations, filter_empty_instances``; torchvision
    ``references/detection/transforms.py: FixedSizeCrop``; mmdet ``RandomCrop`` (``bbox_clip_border``, ``is_inside``).
    """
    if inputs.as_seen:
        seen = pipeline.run(dataclasses.replace(inputs, outputs=None), params, conventions, previous)
        return Seen(view, seen, frozen(np.arange(len(inputs.gt_boxes))))
    resize = _resize(params, view.min_size)
    size, boxes, crop = inputs.image_size, inputs.gt_boxes, view.crop
    index = np.arange(len(boxes))
    if crop is not None:
        if view.crop_stage is CropStage.RESIZED:
            whole = _whole_frame(size, params, conventions, view.min_size)
            top, left = whole.offset
            moved = scale_ground_truth(boxes, whole, conventions) - [left, top, left, top]
            resize = dataclasses.replace(resize, mode=ResizeMode.NONE)
        else:
            moved = boxes.astype(np.float32) if conventions.box_scaling is BoxScaling.PER_AXIS_FLOAT32 else boxes
        size = crop.height, crop.width
        shift = np.array([crop.left, crop.top, crop.left, crop.top], moved.dtype)
        boxes, index = _cut(moved - shift, size, conventions)
    padded = None
    if view.padded_size is not None:
        own = make_frame(size, resize, conventions).own_size
        padded = max(own[0], view.padded_size[0]), max(own[1], view.padded_size[1])
    here = Inputs(
        image_size=size,
        gt_boxes=flipped_original(boxes, size[1], conventions) if view.flip else boxes,
        gt_labels=None if inputs.gt_labels is None else inputs.gt_labels[index],
        gt_ignore=None if inputs.gt_ignore is None else inputs.gt_ignore[index],
        padded_size=padded,
        flipped_from=boxes if view.flip else None,
    )
    result = pipeline.run(here, dataclasses.replace(params, resize=resize), conventions, previous)
    return Seen(view, result, frozen(index))


def _cut(
    moved: NDArray, size: tuple[int, int], conventions: Conventions
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes of a crop (H, W), and the rows of ``moved`` they are; broken ones stay what they are."""
    with np.errstate(invalid="ignore"):
        cut = clip_boxes(moved, size)
        broken = ~np.all(moved[:, 2:] > moved[:, :2], axis=1)
        index = np.flatnonzero(np.all(cut[:, 2:] > cut[:, :2], axis=1) | broken)
    # Where the trainer cuts them after all resizing, its own cut decides the last bit.
    kept = moved if conventions.box_clip is BoxClip.IMAGE else np.where(np.reshape(broken, (-1, 1)), moved, cut)
    return kept[index].astype(np.float64), index


def see_views(
    inputs: Inputs, params: Params, conventions: Conventions, check: Callable[[], None] = lambda: None
) -> Iterator[Seen]:
    """Run every view of an image, one after another.

    Args:
        inputs, params, conventions: as for :func:`~rpnviz.core.pipeline.run`.
        check: called before every run; what it raises ends it.

    Convention:
        A recorded image that stands as a network was given it (``Inputs.as_seen``) is such a view already, and the only
        one: it is run as it is, not resized, flipped or cropped again.
    """
    previous = None
    for view in (_AS_SEEN,) if inputs.as_seen else list_views(inputs.image_size, params, conventions):
        check()
        seen = run_view(view, inputs, params, conventions, previous)
        previous = seen.result
        yield seen


def run_views(
    inputs: Inputs, params: Params, conventions: Conventions, check: Callable[[], None] = lambda: None
) -> tuple[Outcome, ...]:
    """How the boxes of an image fare in every view; arguments as for :func:`see_views`."""
    return tuple(outcome_of(seen, inputs, params) for seen in see_views(inputs, params, conventions, check))


def outcome_of(seen: Seen, inputs: Inputs, params: Params) -> Outcome:
    """What remains of a view once its anchors are forgotten."""
    result, index, boxes = seen.result, seen.gt, len(inputs.gt_boxes)
    ranks: list[Rank | None] = [None] * boxes
    for gt, rank in zip(index.tolist(), result.match.ranks, strict=True):
        ranks[gt] = rank
    positives, best, places = np.zeros(boxes, np.int64), np.full(boxes, np.nan), np.full((boxes, 4), np.nan)
    positives[index] = result.match.gt_positives
    best[index] = result.match.gt_best_iou
    (height, width), (top, left) = result.frame.resized_size, result.frame.offset
    places[index] = (result.gt.boxes - np.array([left, top, left, top])) / np.array([width, height, width, height])
    return Outcome(
        seen.view,
        result.frame.resized_size,
        result.frame.input_size,
        tuple(ranks),
        len(result.anchors),
        frozen(positives),
        frozen(best),
        frozen(_area(seen.view, inputs.image_size, params, result.conventions)),
        frozen(places),
    )


def _area(view: View, image_size: tuple[int, int], params: Params, conventions: Conventions) -> NDArray[np.float64]:
    """The part of the image that a view shows, xyxy original px."""
    height, width = image_size
    crop = view.crop
    if crop is None:
        return np.array([0.0, 0.0, width, height])
    area = np.array([crop.left, crop.top, crop.left + crop.width, crop.top + crop.height], np.float64)
    if view.crop_stage is CropStage.RESIZED:
        high, wide = _whole_frame(image_size, params, conventions, view.min_size).resized_size
        area *= np.array([width / wide, height / high, width / wide, height / high])
    return area


def matched_views(outcomes: Sequence[Outcome], gt: int) -> int:
    """In how many views a box is matched."""
    return sum(outcome.ranks[gt] is Rank.MATCHED for outcome in outcomes)


def views_with(outcomes: Sequence[Outcome], gt: int) -> int:
    """In how many views a box is shown and trained on."""
    return sum(outcome.ranks[gt] not in (None, Rank.NOT_TRAINED) for outcome in outcomes)


def is_problem(outcome: Outcome, gt: int, weak_iou: float = WEAK_IOU) -> bool:
    """Whether a box has a problem in a view, as :meth:`MatchResult.problems` means it."""
    rank = outcome.ranks[gt]
    return rank is Rank.NONE or (rank is Rank.FORCED and bool(outcome.best_iou[gt] < weak_iou))


def unmatched_everywhere(outcomes: Sequence[Outcome]) -> list[int]:
    """Boxes that some view trains on, and that none matches."""
    count = len(outcomes[0].ranks) if outcomes else 0
    return [gt for gt in range(count) if views_with(outcomes, gt) and not matched_views(outcomes, gt)]
