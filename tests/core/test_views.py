"""Training views: every framework's own flip and crop, and the boxes mapped back to those of the image."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.core import pipeline, presets
from rpnviz.core.matching import Rank
from rpnviz.core.params import CropKind, CropPlaces, CropStage, TrainViews, differences
from rpnviz.core.views import (
    is_problem,
    list_views,
    matched_views,
    outcome_of,
    run_view,
    run_views,
    see_views,
    unmatched_everywhere,
    views_with,
)
from rpnviz.errors import ParamsError

BOXES = np.array([[10.3, 20.7, 95.1, 77.2], [120.0, 30.0, 199.0, 140.0], [3.25, 100.5, 40.75, 149.0]])


def image(boxes=BOXES, size=(151, 203), ignore=None):
    return pipeline.Inputs(size, np.array(boxes, float), None, ignore)


def trainer(name, **views):
    preset = presets.load(name)
    return preset.params.with_views(TrainViews(**views)), preset.conventions


@pytest.mark.parametrize("name", presets.names())
def test_without_views_there_is_one_as_the_image_is(name):
    preset = presets.load(name)
    (seen,) = see_views(image(), preset.params, preset.conventions)
    plain = pipeline.run(image(), preset.params, preset.conventions)
    assert seen.view.name == f"{preset.params.resize.min_size} px"
    np.testing.assert_array_equal(seen.result.match.state, plain.match.state)
    np.testing.assert_array_equal(seen.result.gt.boxes, plain.gt.boxes)
    assert seen.gt.tolist() == [0, 1, 2]


def test_an_image_as_a_network_saw_it_is_one_view_and_not_resized_again():
    params, conventions = trainer("torchvision", min_sizes=(640, 800), flip=True, crop="relative")
    inputs = dataclasses.replace(image(), padded_size=(160, 224), as_seen=True)
    (outcome,) = run_views(inputs, params, conventions)
    assert (outcome.resized_size, outcome.input_size) == ((151, 203), (160, 224))
    assert outcome.view.name == "as the trainer saw it"
    plain = pipeline.run(inputs, params, conventions)
    assert list(outcome.ranks) == list(plain.match.ranks)
    np.testing.assert_array_equal(outcome.best_iou, plain.match.gt_best_iou)


def test_a_grid_makes_no_more_views_than_are_allowed():
    crops = {"crop": "absolute", "crop_size": (64, 64), "crop_places": "grid"}
    params, conventions = trainer("torchvision", min_sizes=(640, 700, 750, 800), flip=True, **crops)
    with pytest.raises(ParamsError, match="makes 512 views of an image of 600 x 600 px, expected at most 256"):
        next(see_views(image(size=(600, 600)), params, conventions))
    assert len(list_views((200, 500), params, conventions)) == 4 * 2 * 4 * 8


def flipped(name, size=(151, 203), boxes=BOXES):
    params, conventions = trainer(name, flip=True)
    plain, turned = see_views(image(boxes, size), params, conventions)
    return plain.result, turned.result


def test_torchvision_flips_float32_boxes_of_the_original():
    plain, turned = flipped("torchvision")
    # target["boxes"][:, [0, 2]] = width - target["boxes"][:, [2, 0]]; then times new / old in float32.
    boxes = BOXES.astype(np.float32)
    boxes[:, [0, 2]] = 203 - boxes[:, [2, 0]]
    (high, wide), ratio = plain.frame.resized_size, np.float32
    scale = ratio(wide) / ratio(203), ratio(high) / ratio(151)
    np.testing.assert_array_equal(turned.gt.boxes, boxes * np.array([*scale, *scale], np.float32))


def test_detectron2_flips_the_resized_image_in_float64():
    plain, turned = flipped("detectron2")
    high, wide = plain.frame.resized_size
    boxes = BOXES * np.array([wide / 203, high / 151] * 2)
    boxes[:, [0, 2]] = wide - boxes[:, [2, 0]]
    np.testing.assert_array_equal(turned.gt.boxes, np.clip(boxes, 0, [wide, high] * 2).astype(np.float32))


def test_mmdetection_flips_the_resized_boxes_in_float32():
    plain, turned = flipped("mmdetection")
    wide = plain.frame.resized_size[1]
    np.testing.assert_array_equal(turned.gt.boxes[:, 0], np.float32(wide) - plain.gt.boxes[:, 2])
    np.testing.assert_array_equal(turned.gt.boxes[:, 2], np.float32(wide) - plain.gt.boxes[:, 0])
    np.testing.assert_array_equal(turned.gt.boxes[:, 1::2], plain.gt.boxes[:, 1::2])


def test_py_faster_rcnn_counts_the_last_pixel():
    # append_flipped_images: widths - oldx2 - 1; the image is 203 px wide.
    _, turned = flipped("py-faster-rcnn", boxes=[[10, 20, 95, 77]])
    factor = 600 / 151
    np.testing.assert_array_equal(turned.gt.boxes, (np.array([[107, 20, 192, 77]]) * factor).astype(np.float32))
    assert turned.inputs.gt_boxes.tolist() == [[107, 20, 192, 77]]


def test_matterport_flips_the_padded_square():
    # 1024 x 601 in a square of 1024: 211 px on the left, 212 on the right; after the flip it is the other way round.
    plain, turned = flipped("matterport", size=(1024, 601), boxes=[[10, 20, 95, 77]])
    assert plain.frame.offset == (0, 211)
    assert turned.frame.offset == (0, 212)
    x1, y1, x2, y2 = plain.gt.boxes[0].tolist()
    assert turned.gt.boxes[0].tolist() == [1024 - x2, y1, 1024 - x1, y2]


def test_keras_retinanet_flips_about_the_centre():
    plain, turned = flipped("keras-retinanet")
    boxes = BOXES.copy()
    boxes[:, [0, 2]] = 203 - boxes[:, [2, 0]]
    np.testing.assert_array_equal(turned.gt.boxes, boxes * (800 / 151))
    assert plain.frame == turned.frame


@pytest.mark.parametrize("name", presets.names())
def test_a_flip_twice_is_no_flip(name):
    params, conventions = trainer(name, flip=True)
    _, once = see_views(image(np.round(BOXES)), params, conventions)
    _, twice = see_views(once.result.inputs, params, conventions)
    np.testing.assert_array_equal(twice.result.inputs.gt_boxes, np.round(BOXES))


@pytest.mark.parametrize("name", presets.names())
def test_a_view_is_what_its_own_image_would_give(name):
    """A crop of an original, resized, is the image that somebody would have cut out and annotated himself."""
    params, conventions = trainer(name, crop=CropKind.ABSOLUTE, crop_size=(100, 100), crop_count=3)
    for seen in see_views(image(), params, conventions):
        crop = seen.view.crop
        moved = BOXES[seen.gt] - [crop.left, crop.top, crop.left, crop.top]
        own = image(np.clip(moved, 0, 100), (100, 100))
        again = pipeline.run(own, params, conventions)
        np.testing.assert_array_equal(seen.result.match.state, again.match.state)
        np.testing.assert_allclose(seen.result.gt.boxes, again.gt.boxes, rtol=1e-6, atol=1e-4)


def test_crops_are_drawn_as_detectron2_draws_them():
    params, conventions = trainer("detectron2", crop=CropKind.RELATIVE_RANGE, crop_size=(0.5, 0.7), crop_seed=9)
    draws = np.random.RandomState(9)  # what numpy.random.seed(9) makes of the global one, which the framework asks
    least = np.asarray((0.5, 0.7), dtype=np.float32)
    for view in list_views((151, 203), params, conventions):
        shares = least + draws.rand(2) * (1 - least)
        height, width = int(151 * shares[0] + 0.5), int(203 * shares[1] + 0.5)
        top, left = draws.randint(151 - height + 1), draws.randint(203 - width + 1)
        crop = view.crop
        assert (crop.top, crop.left, crop.height, crop.width) == (top, left, height, width)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([CropKind.ABSOLUTE, CropKind.RELATIVE]),
    st.integers(1, 100),
    st.sampled_from(list(CropStage)),
)
def test_a_grid_of_crops_covers_the_image(height, width, kind, percent, stage):
    size = (percent, percent) if kind is CropKind.ABSOLUTE else (percent / 100, percent / 100)
    params, conventions = trainer(
        "torchvision", crop=kind, crop_size=size, crop_places=CropPlaces.GRID, crop_stage=stage
    )
    params = params.with_values("resize", mode="none")
    crops = [view.crop for view in list_views((height, width), params, conventions)]
    seen = np.zeros((height, width), bool)
    for crop in crops:
        assert min(crop.top, crop.left) >= 0
        assert crop.top + crop.height <= height
        assert crop.left + crop.width <= width
        seen[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = True
    assert seen.all() or len(crops) >= 8, "a grid of at most 8 by 8"


@pytest.mark.parametrize("stage", list(CropStage))
@pytest.mark.parametrize("name", presets.names())
def test_boxes_of_a_crop_map_back(name, stage):
    """What is cut off is missing, the others stand in the shown part, at the place of their own box."""
    params, conventions = trainer(
        name, crop=CropKind.RELATIVE, crop_size=(0.5, 0.5), crop_places=CropPlaces.GRID, crop_stage=stage, flip=True
    )
    outcomes = run_views(image(), params, conventions)
    assert len(outcomes) == 8
    for outcome in outcomes:
        x1, y1, x2, y2 = outcome.area
        for gt, rank in enumerate(outcome.ranks):
            cut = np.clip(BOXES[gt], [x1, y1, x1, y1], [x2, y2, x2, y2])
            overlap = (cut[2:] - cut[:2]).min()
            if rank is None:
                assert overlap < 2
                assert outcome.positives[gt] == 0
                assert np.isnan(outcome.best_iou[gt])
                continue
            assert overlap > -1
            left, top, right, bottom = outcome.boxes[gt]
            if outcome.view.flip:
                left, right = 1 - right, 1 - left
            shares = np.array([left, top, right, bottom])
            found = np.clip(shares, 0, 1) * np.array([x2 - x1, y2 - y1] * 2) + [x1, y1, x1, y1]
            np.testing.assert_allclose(found, cut, atol=2)  # Matterport's boxes are whole pixels


def test_a_short_side_is_the_resize_of_that_view():
    params, conventions = trainer("detectron2", min_sizes=(640, 800), flip=True)
    names = [view.name for view in list_views((151, 203), params, conventions)]
    assert names == ["640 px", "640 px · flipped", "800 px", "800 px · flipped"]
    outcomes = run_views(image(), params, conventions)
    assert [outcome.resized_size for outcome in outcomes] == [(640, 860)] * 2 + [(800, 1075)] * 2
    alone = pipeline.run(image(), params.with_values("resize", min_size=640), conventions)
    assert outcomes[0].ranks == alone.match.ranks
    np.testing.assert_array_equal(outcomes[0].positives, alone.match.gt_positives)


def test_a_batch_is_padded_to_at_least_the_forced_size():
    params, conventions = trainer("mmdetection", min_sizes=(320, 800), padded_size=(500, 600))
    assert [outcome.input_size for outcome in run_views(image(), params, conventions)] == [(500, 600), (800, 1088)]


def test_a_mode_without_a_short_side_ignores_them():
    params, conventions = trainer("torchvision", min_sizes=(320, 640), flip=True)
    params = params.with_values("resize", mode="none")
    views = list_views((151, 203), params, conventions)
    assert [(view.name, view.min_size) for view in views] == [("151 px", None), ("151 px · flipped", None)]


def test_ignore_regions_and_broken_boxes_go_along():
    boxes = [*BOXES.tolist(), [50, 50, 50, 90]]
    inputs = image(boxes, ignore=np.array([False, True, False, False]))
    params, conventions = trainer("detectron2", flip=True)
    for outcome in run_views(inputs, params, conventions):
        assert outcome.ranks[1] is Rank.NOT_TRAINED
        assert outcome.ranks[3] is Rank.NOT_TRAINED


def test_an_image_without_boxes_has_views_all_the_same():
    params, conventions = trainer("detectron2", flip=True)
    outcomes = run_views(image(np.zeros((0, 4))), params, conventions)
    assert [outcome.ranks for outcome in outcomes] == [(), ()]
    assert unmatched_everywhere(outcomes) == []


def test_counts_over_views():
    params, conventions = trainer("detectron2", min_sizes=(640, 672, 704, 736, 768, 800), flip=True)
    outcomes = run_views(image(), params, conventions)
    matched = [sum(outcome.ranks[gt] is Rank.MATCHED for outcome in outcomes) for gt in range(3)]
    assert [matched_views(outcomes, gt) for gt in range(3)] == matched
    assert [views_with(outcomes, gt) for gt in range(3)] == [12, 12, 12]
    assert unmatched_everywhere(outcomes) == [gt for gt in range(3) if not matched[gt]]


@pytest.mark.parametrize("name", presets.names())
def test_a_problem_in_a_view_is_that_of_its_result(name):
    params, conventions = trainer(name, min_sizes=(200, 640), flip=True)
    for seen in see_views(image([[10, 20, 14, 90], *BOXES]), params, conventions):
        outcome = outcome_of(seen, image([[10, 20, 14, 90], *BOXES]), params)
        found = [gt for gt in range(4) if is_problem(outcome, gt)]
        assert found == sorted(seen.result.match.problems())


def test_what_check_raises_ends_it():
    params, conventions = trainer("detectron2", flip=True)
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_views(image(), params, conventions, check)
    assert len(calls) == 2


# ---------------------------------------------------------------------- the document


VIEWS = st.builds(
    TrainViews,
    min_sizes=st.one_of(st.just(-1), st.lists(st.integers(1, 2000), min_size=1, max_size=6).map(tuple)),
    flip=st.booleans(),
    crop=st.sampled_from([CropKind.NONE, CropKind.RELATIVE, CropKind.RELATIVE_RANGE]),
    crop_size=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    crop_count=st.integers(1, 16),
    crop_seed=st.integers(0, 2**32 - 1),
    crop_stage=st.sampled_from(list(CropStage)),
    padded_size=st.one_of(st.just(-1), st.tuples(st.integers(1, 3000), st.integers(1, 3000))),
)


@given(VIEWS)
def test_the_document_brings_them_back(views):
    preset = presets.load("detectron2")
    document = json.loads(json.dumps(presets.to_document(preset, preset.params.with_views(views))))
    assert presets.from_document(document).params.views == views


def test_they_are_off_unless_asked_for():
    for name in presets.names():
        preset = presets.load(name)
        assert preset.params.views is None
        assert presets.to_document(preset, preset.params)["train_views"] == -1
        assert presets.from_document({"preset": name, "train_views": -1}).params == preset.params


def test_missing_fields_are_neutral():
    views = presets.from_document({"train_views": {"flip": True}}).params.views
    assert views == TrainViews(flip=True)


@pytest.mark.parametrize(
    ("value", "where", "allowed"),
    [
        (3, "train_views", "an object, or -1"),
        (None, "train_views", "an object, or -1"),
        ({"flips": True}, "train_views.flips", "known are min_sizes, flip"),
        ({"flip": None}, "train_views.flip", "leave the field out"),
        ({"min_sizes": []}, "train_views.min_sizes", "or -1 for off"),
        ({"min_sizes": [640, 0]}, "train_views.min_sizes[1]", "from 1"),
        ({"padded_size": [800]}, "train_views.padded_size", "2 items"),
        ({"crop": "square"}, "train_views.crop", "'relative_range'"),
        ({"crop": "relative", "crop_size": [384, 600]}, "train_views.crop_size", "shares up to 1"),
        ({"crop": "absolute", "crop_size": [0.9, 0.9]}, "train_views.crop_size", "whole px"),
        ({"crop": "relative_range", "crop_places": "grid"}, "train_views.crop_places", "'random'"),
        ({"min_sizes": [9] * 300}, "train_views.min_sizes", "at most 256"),
        ({"min_sizes": [9] * 9, "crop": "relative", "crop_count": 64}, "train_views.crop_count", "at most 256"),
    ],
)
def test_a_wrong_field_is_named(value, where, allowed):
    with pytest.raises(ParamsError, match=allowed) as caught:
        presets.from_document({"train_views": value})
    assert caught.value.where == where


def test_differences_name_the_whole_where_one_side_is_off():
    off = presets.load("detectron2").params
    on = off.with_views(TrainViews(flip=True))
    assert differences(off, on) == [("train_views", -1, TrainViews(flip=True))]
    assert differences(on, on.with_views(TrainViews(flip=True, crop_seed=3))) == [("train_views.crop_seed", 0, 3)]


def test_usual_views_are_the_frameworks_defaults():
    assert presets.usual_views("detectron2").min_sizes == (640, 672, 704, 736, 768, 800)
    assert all(presets.usual_views(name).flip for name in presets.names())
    with pytest.raises(ParamsError):
        presets.usual_views("caffe")


def test_labels_depend_on_no_view():
    preset = presets.load("torchvision")
    inputs = image()
    first = pipeline.run(inputs, preset.params, preset.conventions)
    second = pipeline.run(inputs, preset.params.with_views(TrainViews(flip=True)), preset.conventions, first)
    assert second.match is first.match


def test_a_crop_of_the_resized_image_is_the_input():
    params, conventions = trainer(
        "torchvision", min_sizes=(302,), crop=CropKind.ABSOLUTE, crop_size=(256, 256), crop_stage=CropStage.RESIZED
    )
    (view, *_) = list_views((151, 203), params, conventions)
    seen = run_view(view, image(), params, conventions)
    assert seen.result.frame.resized_size == (256, 256)
    assert seen.result.frame.scale == (1.0, 1.0)
    whole = pipeline.run(image(), dataclasses.replace(params.with_values("resize", min_size=302)), conventions)
    moved = whole.gt.boxes[seen.gt] - np.array([view.crop.left, view.crop.top] * 2, np.float32)
    np.testing.assert_array_equal(seen.result.gt.boxes, np.clip(moved, 0, 256))
