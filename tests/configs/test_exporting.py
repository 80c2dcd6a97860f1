"""What is written is what was meant: read again it is equal, and what cannot be written is refused or said."""

from __future__ import annotations

import dataclasses
import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpnviz.configs import documents, registry
from rpnviz.configs.deviations import exact_inverse
from rpnviz.configs.exporting import converted, effective, export_config
from rpnviz.core import presets
from rpnviz.core.anchors import make_anchors
from rpnviz.core.params import Params, TopN
from rpnviz.core.presets import Preset
from rpnviz.errors import ConfigFileError

fractions = st.floats(0, 1)
counts = st.integers(1, 10_000_000)
sides = st.integers(1, 5000)
lengths = st.floats(0.01, 5000)
ratios = st.lists(st.floats(0.001, 1000), min_size=1, max_size=4).map(tuple)
weights = st.floats(1e-3, 1e3)


def read_back(text: str, name: str, preset: str) -> Preset:
    form = registry.format_named(name)
    return form.read(documents.parse(text, documents.Path("c"), form.kind), preset).preset


def unseen(preset: Preset) -> Preset:
    """Without the views of training, of which a preset says nothing and detectron2 has a default."""
    return dataclasses.replace(preset, params=preset.params.with_views(None))


@st.composite
def expressible(draw, name: str) -> Params:
    """Parameters that a framework can be told."""
    params = presets.load(name).params
    levels = {
        "torchvision": st.lists(st.integers(1, 4096), min_size=1, max_size=6).map(tuple),
        "detectron2": st.integers(2, 7).flatmap(
            lambda low: st.integers(low, 7).map(lambda high: tuple(2**k for k in range(low, high + 1)))
        ),
        "mmdetection": st.lists(st.integers(1, 4096), min_size=1, max_size=6).map(tuple),
        "matterport": st.lists(st.integers(1, 4096), min_size=1, max_size=6).map(tuple),
        "keras-retinanet": st.integers(0, 8).flatmap(
            lambda low: st.integers(low, 9).map(lambda high: tuple(2**k for k in range(low, high + 1)))
        ),
    }[name]
    strides = draw(levels)
    same_ratios = name in ("mmdetection", "matterport", "keras-retinanet")
    shapes = (draw(ratios),) * len(strides) if same_ratios else tuple(draw(ratios) for _ in strides)
    anchors: dict = {"strides": strides, "aspect_ratios": shapes}
    match: dict = {}
    sample = {"batch_size_per_image": draw(counts.filter(lambda n: n <= 1_000_000))}
    resize: dict = {}
    proposals: dict = {}
    coder: dict = {}
    if name in ("torchvision", "detectron2"):
        anchors["sizes"] = tuple(tuple(draw(st.lists(lengths, min_size=1, max_size=3))) for _ in strides)
    elif name == "matterport":
        anchors["sizes"] = tuple((draw(lengths),) for _ in strides)
        anchors["subsample"] = draw(st.integers(1, 64))
    elif name == "mmdetection":
        anchors["base_sizes"] = draw(
            st.sampled_from([tuple(map(float, strides)), tuple(draw(lengths) for _ in strides)])
        )
        anchors["scales"] = tuple(draw(st.lists(lengths, min_size=1, max_size=3)))
        anchors["offset"] = draw(fractions)
    else:
        anchors["base_sizes"] = tuple(float(draw(st.integers(1, 1000))) for _ in strides)
        anchors["scales"] = tuple(draw(st.lists(st.floats(0.0001, 100), min_size=1, max_size=3)))
    if name in ("torchvision", "detectron2", "mmdetection"):
        low, high = sorted((draw(fractions), draw(fractions)))
        match = {"bg_iou_thresh": low, "fg_iou_thresh": high}
        sample["positive_fraction"] = draw(fractions)
        short, long = sorted((draw(sides), draw(sides)))
        resize = {"min_size": short, "max_size": long}
        resize["pad_multiple"] = draw(st.integers(1, 4096)) if name != "detectron2" else 32
    if name in ("detectron2", "mmdetection"):
        sample["seed"] = draw(st.integers(0, 2**63 - 1))
        match["border_thresh"] = float(draw(st.integers(-1, 100_000)))
        coder["weights"] = tuple(draw(weights.filter(exact_inverse)) for _ in range(4))
    if name == "detectron2":
        anchors["offset"] = draw(st.floats(0, 1, exclude_max=True))
        proposals["min_size"] = float(draw(st.integers(0, 100_000)))
        if max(strides) <= 32 and draw(st.booleans()):
            resize["pad_multiple"] = 1  # without a pyramid
    if name == "mmdetection":
        match["allow_low_quality_matches"] = draw(st.booleans())
        match["min_pos_iou"] = draw(fractions)
        match["ignore_iof_thresh"] = draw(st.one_of(st.just(-1.0), st.floats(0, 1, exclude_min=True)))
        proposals["min_size"] = draw(st.floats(0, 100_000))
    if name == "torchvision":
        proposals["score_thresh"] = draw(fractions)
    if name == "matterport":
        resize = {"min_size": draw(sides), "max_size": 64 * draw(sides.filter(lambda n: n < 1500))}
        resize["min_scale"] = draw(st.floats(0, 10))
        if draw(st.booleans()):  # pad64
            resize |= {"mode": "shortest_edge", "max_size": 100_000, "min_size": 64 * draw(st.integers(1, 50))}
        coder["weights"] = tuple(draw(weights.filter(exact_inverse)) for _ in range(4))
    if name != "keras-retinanet":
        proposals["nms_thresh"] = draw(fractions)
        before = TopN(draw(counts), draw(counts))
        proposals["pre_nms_top_n"] = before if name != "matterport" else TopN(before.train, before.train)
        proposals["post_nms_top_n"] = TopN(draw(counts), draw(counts))
    else:
        sample = {}
    groups = {"resize": resize, "anchors": anchors, "match": match, "sample": sample, "coder": coder}
    for group, values in {**groups, "proposals": proposals}.items():
        params = params.with_values(group, **values)
    return params


@pytest.mark.parametrize("name", registry.names())
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_as_it_was(name, data):
    params = data.draw(expressible(name))
    export = export_config(Preset(name, params, presets.load(name).conventions), name)
    assert export.refusals == ()
    assert export.remarks == ()
    back = unseen(read_back(export.text, name, name))
    assert effective(back.params, back.conventions) == effective(params, back.conventions)
    if name not in ("detectron2", "mmdetection") or params.match.allow_low_quality_matches:
        assert back.params == params
    assert back.conventions == presets.load(name).conventions


@pytest.mark.parametrize("source", presets.names())
@pytest.mark.parametrize("target", registry.names())
def test_every_trainers_defaults_can_be_written_for_every_other_and_every_difference_is_said(source, target):
    preset = presets.load(source)
    export = export_config(preset, target)
    assert export.refusals == ()
    back = read_back(export.text, target, registry.format_named(target).presets[0])
    if source == target:
        assert unseen(back) == preset
    own = source in registry.format_named(target).presets
    assert bool(export.remarks) != own
    comments = export.text.replace("\n#   ", " ")
    for remark in export.remarks:
        assert remark in " ".join(comments.split())
    # The anchors are where the source has them, as closely as the text says.
    wanted, problems = converted(preset, back)
    assert problems == []
    if wanted.anchors == back.params.anchors:
        mine = make_anchors((256, 320), preset.params.anchors, preset.conventions).boxes.astype(float)
        theirs = make_anchors((256, 320), back.params.anchors, back.conventions).boxes.astype(float)
        assert len(mine) == len(theirs)
        said = next((float(r.split("up to ")[1].split()[0]) for r in export.remarks if "up to" in r), 0.0)
        assert np.abs(np.sort(mine, axis=0) - np.sort(theirs, axis=0)).max() <= said * 1.01 + 4e-5


@pytest.mark.parametrize(
    ("source", "group", "values", "target", "says"),
    [
        (
            "mmdetection",
            "match",
            {"min_pos_iou": 0.1},
            "detectron2",
            r"match.min_pos_iou is 0.1, and detectron2 takes 0",
        ),
        (
            "torchvision",
            "match",
            {"allow_low_quality_matches": False},
            "torchvision",
            r"always forces the best anchors",
        ),
        ("detectron2", "match", {"border_thresh": 0.0}, "torchvision", r"anchors beyond the border take part"),
        ("detectron2", "match", {"border_thresh": 0.5}, "detectron2", r"BOUNDARY_THRESH is a whole number"),
        ("detectron2", "anchors", {"offset": 0.5}, "torchvision", r"stands on the corner of the image"),
        ("detectron2", "anchors", {"offset": -0.5}, "detectron2", r"OFFSET is at least 0"),
        ("detectron2", "anchors", {"strides": (4, 8, 16, 32, 60)}, "detectron2", r"powers of two"),
        ("detectron2", "resize", {"pad_multiple": 128}, "detectron2", r"follows from the backbone"),
        ("torchvision", "resize", {"mode": "square"}, "torchvision", r"resized by their short side"),
        ("torchvision", "coder", {"weights": (10, 10, 5, 5)}, "torchvision", r"fixed at 1"),
        ("matterport", "resize", {"max_size": 1000}, "matterport", r"IMAGE_MAX_DIM is a multiple of 64"),
        ("matterport", "resize", {"mode": "shortest_edge", "max_size": 100_000}, "matterport", r"pad64 needs"),
        ("torchvision", "resize", {"max_size": 1200}, "matterport", r"and matterport takes 1216"),
        ("matterport", "match", {"fg_iou_thresh": 0.5}, "matterport", r"fixed in build_rpn_targets"),
        ("matterport", "sample", {"positive_fraction": 0.3}, "matterport", r"fixed in build_rpn_targets"),
        ("matterport", "anchors", {"sizes": ((32, 40),) + ((64,),) * 4}, "matterport", r"a level has one size"),
        ("keras-retinanet", "match", {"fg_iou_thresh": 0.6}, "keras-retinanet", r"an argument of anchor_targets_bbox"),
        ("keras-retinanet", "anchors", {"base_sizes": (32.5, 64, 128, 256, 512)}, "keras-retinanet", r"whole number"),
        (
            "mmdetection",
            "anchors",
            {"aspect_ratios": ((1.0,),) + ((0.5, 1.0),) * 4},
            "mmdetection",
            r"all levels have the same ratios",
        ),
        (
            "torchvision",
            "anchors",
            {"sizes": ((32,), (64, 70), (128,), (256,), (512,))},
            "mmdetection",
            r"base sizes per level times scales that all levels share",
        ),
        ("mmdetection", "anchors", {"offset": 0.5, "base_sizes": (4, 8, 16, 32, 60)}, "detectron2", r"cannot say"),
    ],
)
def test_what_would_become_different_is_refused(source, group, values, target, says):
    preset = presets.load(source)
    params = preset.params.with_values(group, **values)
    export = export_config(dataclasses.replace(preset, params=params), target)
    assert export.text == ""
    assert any(re.search(says, line) for line in export.refusals), export.refusals


def test_conventions_of_ones_own(tmp_path):
    preset = presets.load("mmdetection")
    kept = dataclasses.replace(
        preset, conventions=preset.conventions.overridden({"tie_rule": "first", "cell_order": "size_ratio"})
    )
    assert read_back(export_config(kept, "mmdetection").text, "mmdetection", "mmdetection") == kept
    legacy = preset.conventions.overridden({"base_rounding": "corners", "anchor_pixels": "inclusive"})
    legacy_preset = dataclasses.replace(preset, conventions=legacy)
    assert "LegacyAnchorGenerator" in export_config(legacy_preset, "mmdetection").text
    lost = dataclasses.replace(preset, conventions=preset.conventions.overridden({"iou_dtype": "float64"}))
    assert "conventions.iou_dtype is float64" in export_config(lost, "mmdetection").refusals[0]
    assert export_config(lost, "detectron2").refusals


def test_what_has_no_effect_is_no_difference():
    preset = presets.load("torchvision")
    params = preset.params.with_values("match", border_thresh=0.0, ignore_iof_thresh=0.5).with_values(
        "resize", scale=3.0
    )
    export = export_config(dataclasses.replace(preset, params=params), "torchvision")
    assert export.refusals == ()
    # ... and it gets no effect in a trainer that has such a rule.
    export = export_config(dataclasses.replace(preset, params=params), "detectron2")
    assert "BOUNDARY_THRESH: -1" in export.text


def test_ratios_offsets_and_sizes_are_converted():
    text = export_config(presets.load("torchvision"), "matterport").text
    assert "RPN_ANCHOR_RATIOS = [2.0, 1.0, 0.5]" in text  # width / height
    text = export_config(presets.load("torchvision"), "mmdetection").text
    assert "scales=[8]" in text
    assert "base_sizes" not in text
    keras = export_config(presets.load("keras-retinanet"), "mmdetection").text
    assert "base_sizes=[32, 64, 128, 256, 512]" in keras
    assert "center_offset=0.125" in keras  # half a stride of 8 in base sizes of 32


def test_a_seed_that_cannot_be_written_is_said():
    preset = presets.load("torchvision")
    export = export_config(
        dataclasses.replace(preset, params=preset.params.with_values("sample", seed=5)), "torchvision"
    )
    assert export.remarks == ("sample.seed is 5, and torchvision takes 0: call torch.manual_seed before training.",)


def test_unknown_frameworks():
    with pytest.raises(ConfigFileError, match="no configurations of 'caffe'; known are torchvision"):
        export_config(presets.load("torchvision"), "caffe")


def test_every_limit_names_fields_that_exist():
    params = presets.load("torchvision").params
    for name in registry.names():
        form = registry.format_named(name)
        for field in form.limits:
            group, inner = field.split(".")
            if group != "conventions":
                assert hasattr(params, group)
                assert not inner or hasattr(getattr(params, group), inner), field
        assert all(reason[0] in string.ascii_letters for reason in form.limits.values())


@given(weight=st.floats(1e-6, 1e6))
def test_an_exact_inverse_is_exact(weight):
    number = exact_inverse(weight)
    assert number is None or 1 / number == weight
