from __future__ import annotations

import dataclasses
import json

import pytest

from rpnviz.core import presets
from rpnviz.core.params import differences, merge_patch
from rpnviz.errors import ParamsError

TORCHVISION = presets.load("torchvision")


@pytest.mark.parametrize("name", presets.names())
def test_document_round_trip_through_json(name):
    preset = presets.load(name)
    document = json.loads(json.dumps(presets.to_document(preset, preset.params, preset.conventions)))
    assert document["conventions"] == {}
    assert presets.from_document(document) == preset
    for field in dataclasses.fields(preset.conventions):  # every choice survives as an override
        for choice in type(getattr(preset.conventions, field.name)):
            changed = preset.conventions.overridden({field.name: choice.value})
            again = presets.from_document(presets.to_document(preset, preset.params, changed))
            assert again.conventions == changed


def test_missing_fields_come_from_the_preset():
    read = presets.from_document({"match": {"fg_iou_thresh": 0.5}})
    assert read.params.match.fg_iou_thresh == 0.5
    assert read.params.match.bg_iou_thresh == 0.3
    assert read.params.anchors == TORCHVISION.params.anchors


def test_conventions_hold_overrides_only():
    read = presets.from_document({"conventions": {"tie_rule": "first"}})
    document = presets.to_document(TORCHVISION, read.params, read.conventions)
    assert document["conventions"] == {"tie_rule": "first"}
    assert presets.to_document(TORCHVISION, TORCHVISION.params)["conventions"] == {}


@pytest.mark.parametrize(
    ("document", "where", "allowed"),
    [
        ({"match": {"fg_iou_thresh": 1.2}}, "match.fg_iou_thresh", "from 0 to 1"),
        ({"match": {"fg_iou_thresh": True}}, "match.fg_iou_thresh", "a number"),
        ({"match": {"fg_iou_thresh": float("nan")}}, "match.fg_iou_thresh", "a number"),
        ({"match": {"fg_iou_thresh": None}}, "match.fg_iou_thresh", "-1"),
        ({"match": {"fg": 0.5}}, "match.fg", "fg_iou_thresh"),
        ({"match": {"bg_iou_thresh": 0.8}}, "match.bg_iou_thresh", "at most"),
        ({"match": {"allow_low_quality_matches": 1}}, "match.allow_low_quality_matches", "true or false"),
        ({"resize": {"mode": "stretch"}}, "resize.mode", "'shortest_edge'"),
        ({"resize": {"min_size": 800.5}}, "resize.min_size", "whole number"),
        ({"anchors": {"sizes": [[32]]}}, "anchors.sizes", "expected 5"),
        ({"anchors": {"sizes": [[32], [], [1], [1], [1]]}}, "anchors.sizes[1]", "at least one"),
        ({"anchors": {"sizes": [[32], ["a"], [1], [1], [1]]}}, "anchors.sizes[1][0]", "a number"),
        ({"anchors": {"strides": "4"}}, "anchors.strides", "a list"),
        ({"coder": {"weights": [1, 1, 1]}}, "coder.weights", "4 items"),
        ({"proposals": {"pre_nms_top_n": {"train": 0}}}, "proposals.pre_nms_top_n.train", "at least 1|from 1"),
        ({"proposals": {"pre_nms_top_n": 7}}, "proposals.pre_nms_top_n", "train, test"),
        ({"matching": {}}, "matching", "known are"),
        ({"match": 3}, "match", "an object"),
        ({"preset": "caffe"}, "preset", "torchvision"),
        ({"conventions": {"tie": "all"}}, "conventions.tie", "tie_rule"),
        ({"conventions": {"tie_rule": "none"}}, "conventions.tie_rule", "'all', 'first'"),
        ({"conventions": []}, "conventions", "an object"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(document, where, allowed):
    with pytest.raises(ParamsError, match=allowed) as caught:
        presets.from_document(document)
    assert caught.value.where == where


def test_a_list_is_no_document():
    with pytest.raises(ParamsError, match="an object"):
        presets.from_document([])


def test_constructor_checks_and_converts():
    params = dataclasses.replace(TORCHVISION.params.match, fg_iou_thresh=1, bg_iou_thresh=0)
    assert isinstance(params.fg_iou_thresh, float)
    with pytest.raises(ParamsError, match=r"match\.fg_iou_thresh"):
        dataclasses.replace(TORCHVISION.params.match, fg_iou_thresh=-0.1)


def test_differences_name_the_field_and_both_values():
    changed = TORCHVISION.params.with_values("match", fg_iou_thresh=0.5)
    assert differences(TORCHVISION.params, changed) == [("match.fg_iou_thresh", 0.7, 0.5)]


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ("a", {"b": {"c": None}}, {"b": {}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patch(target, patch, merged):
    assert merge_patch(target, patch) == merged
