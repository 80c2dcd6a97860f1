"""A recorded step against the pipeline: equal, or what differs and which field explains it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_capture import BOXES, made_step, small

from rpnviz.core import presets
from rpnviz.core.recording import RecordedImage, RecordedStep
from rpnviz.core.replay import UNKNOWN, replay, sentence
from rpnviz.core.replay_draw import explain_draw
from rpnviz.core.replay_search import explain
from rpnviz.errors import ShapeError


def recorded(preset=None, boxes=BOXES, **changes):
    given = made_step(preset, boxes=boxes)
    images = tuple(
        RecordedImage(
            given["sizes"][number],
            given["boxes"][number].astype(np.float64),
            anchors=given["anchors"],
            **{
                name: given[name][number]
                for name in (
                    "labels",
                    "sampled_positive",
                    "sampled_negative",
                    "target_anchor",
                    "target_deltas",
                    "objectness",
                    "deltas",
                )
            },
        )
        for number in range(2)
    )
    grids = tuple(tuple(grid) for grid in given["grids"])
    strides = tuple(tuple(stride) for stride in given["strides"])
    step = RecordedStep(0, "torchvision", (96, 128), images, given["losses"], grids, strides)
    return dataclasses.replace(step, **changes)


def with_image(step, number, **changes):
    images = list(step.images)
    images[number] = dataclasses.replace(images[number], **changes)
    return dataclasses.replace(step, images=tuple(images))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_reproduces_its_own_recording(name):
    preset = small(name)
    images = replay(recorded(preset), preset)
    positive = sum(image.count(1)[0] for image in images)
    assert sum(image.distance for image in images) == 0
    assert sentence(images) == f"trainer {positive} positive, rpnviz {positive}, 0 differ"
    assert all(image.anchors.same for image in images)
    assert all(image.sample.fits for image in images)
    assert explain(recorded(preset), preset, images) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("conventions.forced_target", "claiming"),
        ("conventions.tie_rule", "first"),
        ("conventions.codec", "corners"),
        ("match.fg_iou_thresh", 0.5),
        ("match.bg_iou_thresh", 0.2),
        ("match.min_pos_iou", 0.45),
        ("match.allow_low_quality_matches", False),
    ],
)
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "the trainer's"])
def test_one_field_changed_on_either_side_is_found(field, value, ours):
    group, name = field.split(".")
    changed = small(conventions={name: value}) if group == "conventions" else small(**{name: value})
    plain = small()
    trainer, here = (plain, changed) if ours else (changed, plain)
    step = recorded(trainer)
    images = replay(step, here)
    assert sum(image.distance for image in images) > 0
    found = explain(step, here, images)
    assert found
    assert all(explanation.remaining == 0 for explanation in found)
    assert field in [switch.name for explanation in found for switch in explanation.switches]
    for explanation in found:
        assert sum(image.distance for image in replay(step, explanation.setting)) == 0


def test_a_whole_preset_is_named_where_no_field_suffices():
    there = presets.load("mmdetection")
    # A recording on mmdetection's own anchors, which differ from torchvision's in every level.
    step = recorded_with(there)
    here = presets.load("torchvision")
    found = explain(step, here, replay(step, here))
    assert [explanation.preset for explanation in found] == ["mmdetection"]
    assert found[0].text == "the rules and defaults of mmdetection as a whole"


def recorded_with(preset):
    """One image of 256 x 320 under a preset's own anchors."""
    from rpnviz.core import pipeline

    boxes = np.array([[64.0, 64, 128, 128], [72, 72, 124, 124], [10, 150, 40, 240]])
    inputs = pipeline.Inputs((256, 320), boxes, padded_size=(256, 320), as_seen=True)
    result = pipeline.run(inputs, preset.params, preset.conventions)
    image = RecordedImage(
        (256, 320),
        boxes,
        anchors=result.anchors.boxes,
        labels=result.match.labels,
        target_anchor=result.targets.anchor_index,
        target_deltas=result.targets.deltas,
    )
    grids = tuple((level.cells, *level.grid) for level in result.anchors.lattice)
    return RecordedStep(0, preset.name, (256, 320), (image,), {}, grids)


def test_a_threshold_is_told_with_all_that_the_labels_allow():
    step, here = recorded(small(fg_iou_thresh=0.6)), small(fg_iou_thresh=0.5)
    (found,) = explain(step, here, replay(step, here))
    low, high = found.limits["match.fg_iou_thresh"]
    assert low < 0.6 <= high
    assert found.text.endswith(f"(or any above {low:.3f}, up to {high:.3f})")
    iou = replay(step, here)[0].result.match.best_iou
    other = replay(step, here)[1].result.match.best_iou
    values = np.concatenate([iou, other])
    assert not ((values > low) & (values < high)).any()


def test_anchors_in_another_order_are_told_apart_from_others():
    anchors = recorded().images[0].anchors
    reordered = anchors.reshape(-1, 3, 4)[:, ::-1].reshape(-1, 4)
    check = replay(with_image(recorded(), 0, anchors=reordered), small())[0].anchors
    assert (check.same, check.reordered) == (False, True)
    moved = replay(with_image(recorded(), 0, anchors=anchors + 3), small())[0].anchors
    assert (moved.reordered, moved.largest) == (False, 3.0)


def test_labels_are_compared_on_the_recorded_anchors_where_ours_are_others():
    here = small()
    other = dataclasses.replace(here, params=here.params.with_values("anchors", aspect_ratios=((1.0,), (1.0,))))
    images = replay(recorded(), other)
    assert all(image.on_recorded for image in images)
    assert sum(len(image.labels_differ) for image in images) == 0
    assert "compared on the trainer's" in sentence(images)
    assert sum(image.distance for image in images) > 0


def test_without_recorded_anchors_another_number_cannot_be_compared():
    step = recorded()
    for number in (0, 1):
        step = with_image(step, number, anchors=None)
    assert replay(step, small())[0].comparable
    images = replay(step, presets.load("torchvision"))
    assert not images[0].comparable
    assert sentence(images).startswith(
        f"labels of {len(step.images[0].labels):,} anchors are recorded, but rpnviz makes"
    )


def test_of_a_trainer_that_only_tells_what_it_drew_only_that_is_compared():
    step = recorded()
    for number in (0, 1):
        step = with_image(step, number, labels=None)
    images = replay(step, small())
    drawn = sum(len(image.sampled) for image in step.images)
    assert sum((image.trainer != UNKNOWN).sum() for image in images) == drawn
    assert sentence(images) == f"of {drawn:,} anchors that the trainer tells the label of, 0 differ"


def test_a_draw_that_the_labels_do_not_allow_is_told():
    step = recorded()
    negative = np.flatnonzero(step.images[0].labels == 0)[-1:]
    wrong = with_image(step, 0, sampled_positive=np.sort(np.append(step.images[0].sampled_positive, negative)))
    check = replay(wrong, small())[0].sample
    assert not check.fits
    assert check.wrong.tolist() == negative.tolist()
    assert "drawn with another label" in sentence(replay(wrong, small()))


def test_where_nothing_is_recorded_to_compare_that_is_said():
    step = recorded()
    for number in (0, 1):
        step = with_image(
            step,
            number,
            labels=None,
            sampled_positive=None,
            sampled_negative=None,
            target_anchor=None,
            target_deltas=None,
        )
    images = replay(step, small())
    assert not any(image.tells for image in images)
    assert sentence(images) == "no label is compared: the capture holds neither labels nor a mini-batch"
    assert all(image.tells for image in replay(recorded(), small()))


def sampled_as(**values):
    """A recording whose mini-batch was drawn with other numbers."""
    preset = small()
    return recorded(dataclasses.replace(preset, params=preset.params.with_values("sample", **values)))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"batch_size_per_image": 64}, "sample.batch_size_per_image"),
        ({"positive_fraction": 0.01}, "sample.positive_fraction"),
        (
            {"batch_size_per_image": 40, "positive_fraction": 0.05},
            "sample.batch_size_per_image, sample.positive_fraction",
        ),
    ],
)
def test_another_size_or_share_of_the_mini_batch_is_found(values, names):
    step, here = sampled_as(**values), small()
    images = replay(step, here)
    assert not all(image.reproduced for image in images)
    assert sum(image.distance for image in images) == 0
    (found,) = explain_draw(here, images)
    assert [switch.name for switch in found.switches] == [names]
    if "batch_size_per_image" in values:
        assert found.setting.params.sample.batch_size_per_image == values["batch_size_per_image"]
    assert all(image.reproduced for image in replay(step, found.setting))
    assert explain_draw(here, replay(recorded(), here)) == ()


def test_the_recorded_draw_is_the_mini_batch():
    step = recorded()
    chosen = step.images[0].sampled_positive[:1]
    result = replay(with_image(step, 0, sampled_positive=chosen), small())[0].result
    assert result.sample.positive.tolist() == chosen.tolist()


def test_an_image_without_boxes_is_compared_too():
    boxes = (np.zeros((0, 4)), BOXES[1])
    images = replay(recorded(boxes=boxes), small())
    assert images[0].count(1) == (0, 0)
    assert images[0].distance == 0


def test_the_search_can_be_ended():
    class Enough(BaseException):
        pass

    def stop():
        raise Enough

    step = recorded(small(fg_iou_thresh=0.5))
    with pytest.raises(Enough):
        explain(step, small(), replay(step, small()), stop)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.zeros(5, np.int8)},
        {"deltas": np.zeros((7, 4), np.float32)},
        {"sampled_positive": np.array([-1])},
        {"sampled_positive": np.array([10**6])},
        {"sampled_positive": np.array([0.5])},
        {"target_deltas": np.zeros((1, 4))},
        {"classes": np.zeros(9, np.int64)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_that_do_not_fit_are_refused(changes):
    with pytest.raises(ShapeError):
        with_image(recorded(), 0, **changes)


def test_labels_of_another_kind_are_refused():
    labels = recorded().images[0].labels.copy()
    labels[3] = 7
    with pytest.raises(ShapeError, match="expected 1 positive"):
        with_image(recorded(), 0, labels=labels)


@pytest.mark.parametrize("name", ["torchvision", "detectron2", "mmdetection"])
@pytest.mark.parametrize(
    ("size", "ratios", "more"),
    [
        (0.5, (0.5, 1.0, 2.0), {}),
        (2.0, (0.5, 1.0, 2.0), {"fg_iou_thresh": 0.6}),
        (1.0, (0.3, 0.5, 1.0, 2.0), {}),
        (1.25, (1.0,), {"bg_iou_thresh": 0.2}),
    ],
)
@pytest.mark.parametrize("with_grids", [True, False])
def test_anchors_of_their_own_are_read_off_the_recording(name, size, ratios, more, with_grids):
    here = small(name)
    there = small(name, **more)
    own = there.params.anchors
    values = {"aspect_ratios": (ratios,) * 2}
    if own.sizes != -1:
        values["sizes"] = tuple((sizes[0] * size,) for sizes in own.sizes)
    else:
        values["scales"] = tuple(scale * size for scale in own.scales)
    there = dataclasses.replace(there, params=there.params.with_values("anchors", **values))
    step = recorded(there) if with_grids else recorded(there, grids=(), strides=())
    images = replay(step, here)
    found = explain(step, here, images, budget_s=1000)
    assert found
    for explanation in found:
        assert explanation.remaining == 0
        assert sum(image.distance for image in replay(step, explanation.setting)) == 0
        assert explanation.switches[0].name.startswith("anchors.")
    assert found[0].setting.params.anchors.aspect_ratios == values["aspect_ratios"]


def test_other_strides_are_read_off_the_recorded_grids():
    there = small()
    there = dataclasses.replace(there, params=there.params.with_values("anchors", strides=(4, 16)))
    step = recorded(there)
    (found,) = explain(step, small(), replay(step, small()))
    assert found.setting.params.anchors.strides == (4, 16)
    assert found.remaining == 0


def test_anchors_of_no_such_shape_are_not_looked_for_among_the_labels():
    step = recorded()
    anchors = step.images[0].anchors
    anchors = np.concatenate([anchors, anchors[:7]])
    step = dataclasses.replace(step, grids=(), strides=())
    for number in (0, 1):
        step = with_image(step, number, anchors=anchors, labels=None, objectness=None, deltas=None)
    images = replay(step, small())
    assert all(image.on_recorded for image in images)
    runs = []
    assert explain(step, small(), images, lambda: runs.append(1)) == ()
    assert len(runs) < len(presets.names())


def test_a_search_without_time_tells_what_it_has():
    step = recorded(small(fg_iou_thresh=0.5))
    assert explain(step, small(), replay(step, small()), budget_s=0) == ()
