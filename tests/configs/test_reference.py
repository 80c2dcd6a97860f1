"""Anchors from exported and re-read configurations equal the arrays that the frameworks themselves made."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "reference"))

from cases import load_cases
from translate import anchor_params, canvas_size, preset_of, shapes_of

from rpnviz.configs import documents, registry
from rpnviz.configs.exporting import export_config
from rpnviz.core.anchors import make_anchors

CASES = [
    case
    for case in load_cases()
    if case.kind == "anchors"
    and case.framework in registry.names()
    # These are made with features that the framework's own configuration cannot name (one size per level and so on).
    and "/anchors/" in case.id
]


def test_there_are_cases_of_every_framework():
    assert {case.framework for case in CASES} == set(registry.names())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_exported_configuration_has_the_frameworks_own_anchors(case):
    inputs, outputs = case.arrays()
    preset = preset_of(case)
    size, shapes = canvas_size(case, inputs), shapes_of(case, inputs)
    anchors = anchor_params(case, preset, len(shapes))
    if case.framework == "torchvision":  # the case says the feature maps; the snippet wants their strides
        anchors = dataclasses.replace(anchors, strides=tuple(max(pair) for pair in case.params["strides"]))
    preset = dataclasses.replace(preset, params=dataclasses.replace(preset.params, anchors=anchors))
    if case.framework == "detectron2" and anchors.strides == (16,):
        preset = dataclasses.replace(preset, params=preset.params.with_values("resize", pad_multiple=1))
    export = export_config(preset, case.framework)
    assert export.refusals == ()
    form = registry.format_named(case.framework)
    back = form.read(documents.parse(export.text, Path("c"), form.kind), preset.name).preset
    boxes = make_anchors(size, back.params.anchors, back.conventions, shapes).boxes
    if case.framework == "matterport":
        boxes = boxes[:, [1, 0, 3, 2]]
    if "anchors" in outputs:
        np.testing.assert_array_equal(boxes, outputs["anchors"].astype(boxes.dtype))
    digest = hashlib.sha256(np.ascontiguousarray(boxes.astype(np.float32)).tobytes()).hexdigest()
    expected = case.params.get("sha256_float32")
    assert expected is None or digest == expected
    assert "anchors" in outputs or expected
