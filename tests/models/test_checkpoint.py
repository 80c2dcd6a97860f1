"""Checkpoints of three frameworks with small random weights: recognised, translated, run, and refused where they must.

Parity with the frameworks themselves is in ``tests/parity``.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from made_states import as_detectron2, as_mmdetection, as_old_torchvision, torchvision_state
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from rpnviz.core import pipeline, presets
from rpnviz.errors import Cancelled, ModelFileError
from rpnviz.models.checkpoint import sidecar, write_sidecar
from rpnviz.models.registry import inspect_model, open_model

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def as_tensors(state):
    return {name: torch.from_numpy(value.copy()) for name, value in state.items()}


def written(tmp_path, state, name="model.pth", wrap=lambda state: state):
    path = tmp_path / name
    torch.save(wrap(as_tensors(state)), path)
    return path


def outputs(path, **options):
    model = open_model(path, {"device": "cpu", **options})
    found = model.propose(IMAGE)
    # The anchors that the settings make are those of the outputs.
    preset = presets.load("torchvision")
    params, conventions = model.settings.applied_to(preset.params, preset.conventions)
    inputs = pipeline.Inputs(IMAGE.shape[:2], np.zeros((0, 4)), outputs=found, padded_size=found.input_size)
    result = pipeline.run(inputs, params, conventions)
    assert len(result.anchors) == sum(level.objectness.size for level in found.levels)
    return found


def same(a, b, tolerance=0.0):
    for left, right in zip(a.levels, b.levels, strict=True):
        assert np.allclose(left.objectness, right.objectness, rtol=tolerance, atol=tolerance)
        assert np.allclose(left.deltas, right.deltas, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"depths": (2, 2, 2, 2), "deep": False}, "ResNet-18, FPN with 4 + 1 levels"),
        ({"depths": (3, 4, 6, 3)}, "ResNet-50, FPN"),
        ({"depths": (3, 4, 6, 3), "groups": 4}, "ResNeXt-50, FPN"),
        ({"depths": (1, 2, 1, 1)}, "ResNet with 1+2+1+1 blocks"),
        ({"convs": 2, "cells": 9}, "a head of 2 convolutions, 9 anchors per position"),
    ],
)
def test_the_architecture_is_read_from_the_shapes(tmp_path, options, name):
    path = written(tmp_path, torchvision_state(**options))
    info = inspect_model(path)
    assert name in info.description
    assert (info.format, info.preset) == ("torchvision", "torchvision")
    found = outputs(path)
    assert [level.objectness.shape[0] for level in found.levels] == [options.get("cells", 3)] * 5
    assert [-(-found.input_size[0] // stride) for stride in (4, 8, 16, 32, 64)] == [
        level.objectness.shape[1] for level in found.levels
    ]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "optimizer": {}, "epoch": 2},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
    ],
    ids=["training", "ddp", "lightning"],
)
def test_wrappers_make_no_difference(tmp_path, wrap):
    state = torchvision_state()
    bare = outputs(written(tmp_path, state))
    same(outputs(written(tmp_path, state, "wrapped.pth", wrap)), bare)


def test_half_precision_is_read_and_run_in_single(tmp_path):
    state = torchvision_state()
    halves = written(tmp_path, state, "half.pth", lambda s: {name: value.half() for name, value in s.items()})
    rounded = {name: value.astype("f2").astype("f4") for name, value in state.items()}
    same(outputs(halves), outputs(written(tmp_path, rounded)))


def test_old_names_and_safetensors_are_the_same_network(tmp_path):
    state = torchvision_state()
    bare = outputs(written(tmp_path, state))
    same(outputs(written(tmp_path, as_old_torchvision(state), "old.pth")), bare)
    save_file(state, tmp_path / "model.safetensors")
    same(outputs(tmp_path / "model.safetensors"), bare)


def two_sets(first, second, without=""):
    """Two networks in one state_dict under prefixes; the second without the weights whose names end so."""
    a, b = torchvision_state(seed=0), torchvision_state(seed=1)
    kept = {name: value for name, value in b.items() if not (without and name.endswith(without))}
    kept["roi_heads.more"] = np.ones(3, "f4")
    return {f"{first}{name}": v for name, v in a.items()} | {f"{second}{name}": v for name, v in kept.items()}


@pytest.mark.parametrize(
    ("first", "second", "without", "default", "choices"),
    [
        ("student.", "teacher.", "", "teacher", {"student": "107 tensors", "teacher": "107 tensors"}),
        ("model.", "ema.", "", "ema", {"model": "107 tensors", "ema": "107 tensors"}),
        ("model.", "ema.", ".bias", "model", {"ema": "79 tensors, 28 fewer than another", "model": "107 tensors"}),
        ("", "ema.module.", "", "ema.module", {"bare": "107 tensors", "ema.module": "107 tensors"}),
        ("", "module.", "", "bare", {"bare": "107 tensors", "module": "107 tensors"}),
    ],
)
def test_two_sets_of_weights_are_never_mixed(tmp_path, first, second, without, default, choices):
    path = written(tmp_path, two_sets(first, second, without))
    (asked,) = (question for question in inspect_model(path).questions if question.key == "weights")
    assert (asked.default, dict(asked.choices)) == (default, choices)
    alone = {
        first: written(tmp_path, torchvision_state(seed=0), "first.pth"),
        second: written(tmp_path, torchvision_state(seed=1), "second.pth"),
    }
    names = {(prefix.rstrip(".") or "bare"): file for prefix, file in alone.items()}
    same(outputs(path), outputs(names[default]))
    assert open_model(path).note.endswith(f"weights {default}")
    other = next(name for name in names if name != default)
    if without:
        with pytest.raises(ModelFileError, match="is missing"):
            open_model(path, {"weights": other})
    else:
        same(outputs(path, weights=other), outputs(names[other]))


def test_one_set_beside_other_tensors_is_no_question(tmp_path):
    state = {f"model.{name}": value for name, value in torchvision_state().items()}
    path = written(tmp_path, {**state, "loss.weight": np.ones(3, "f4"), "ema.decay": np.ones((), "f4")})
    assert "weights" not in [question.key for question in inspect_model(path).questions]
    same(outputs(path), outputs(written(tmp_path, torchvision_state(), "bare.pth")))


def test_bfloat16_in_safetensors_is_the_same_as_in_a_checkpoint(tmp_path):
    halves = {name: tensor.bfloat16() for name, tensor in as_tensors(torchvision_state()).items()}
    torch.save(halves, tmp_path / "model.pth")
    save_torch(halves, tmp_path / "model.safetensors")
    same(outputs(tmp_path / "model.safetensors"), outputs(tmp_path / "model.pth"))
    name = "backbone.body.conv1.weight"
    save_torch({**halves, name: halves[name].to(torch.float8_e5m2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match=f"'{name}' has the type F8_E5M2") as caught:
        inspect_model(tmp_path / "model.safetensors")
    assert "quantised" in caught.value.way_out


def test_mmdetection_with_torchvision_preprocessing_is_the_same_network(tmp_path):
    state = torchvision_state()
    path = written(tmp_path, as_mmdetection(state), "mm.pth", lambda s: {"state_dict": s, "meta": {}})
    info = inspect_model(path)
    assert info.format == "mmdetection"
    assert [question.key for question in info.questions] == ["style", "bn_eps", "device"]
    ours, bare = outputs(path), outputs(written(tmp_path, state))
    # mmdetection rounds the size and the bytes, torchvision neither.
    for left, right in zip(ours.levels, bare.levels, strict=True):
        assert np.corrcoef(left.objectness.ravel(), right.objectness.ravel())[0, 1] > 0.99


def test_the_detector_rpn_of_mmdetection_3_calls_its_head_another_name(tmp_path):
    state = as_mmdetection(torchvision_state())
    alone = {name.replace("rpn_head.", "bbox_head."): value for name, value in state.items()}
    path = written(tmp_path, alone, "rpn.pth")
    assert inspect_model(path).format == "mmdetection"
    same(outputs(path), outputs(written(tmp_path, state, "faster.pth")))


def test_detectron2_names_order_and_stride(tmp_path):
    state = torchvision_state()
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": as_detectron2(state), "__author__": "somebody"}))
    info = inspect_model(path)
    assert info.format == "detectron2"
    keys = {question.key: question.default for question in info.questions}
    assert keys["stride_in_1x1"] == "yes"
    assert keys["channel_order"] == "bgr"
    first = outputs(path)
    other = outputs(path, stride_in_1x1="no")
    assert not np.allclose(first.levels[1].objectness, other.levels[1].objectness, rtol=1e-3)
    # With torchvision's normalisation it is the same network; only the resampling differs.
    alike = outputs(path, stride_in_1x1="no", channel_order="rgb", pixel_std="57")
    bare = outputs(written(tmp_path, state))
    for left, right in zip(alike.levels, bare.levels, strict=True):
        assert np.corrcoef(left.objectness.ravel(), right.objectness.ravel())[0, 1] > 0.99


def test_a_c4_model_has_one_level(tmp_path):
    state = torchvision_state(depths=(1, 1, 1), fpn=False, cells=15)
    path = tmp_path / "c4.pkl"
    path.write_bytes(pickle.dumps({"model": as_detectron2(state)}))
    assert "C4 without a pyramid" in inspect_model(path).description
    model = open_model(path)
    assert model.settings.anchors.strides == (16,)
    assert model.settings.anchors.sizes == ((32.0, 64.0, 128.0, 256.0, 512.0),)
    proposals = model.settings.proposals
    assert (proposals.pre_nms_top_n.test, proposals.post_nms_top_n.test) == (6000, 1000)
    (level,) = outputs(path).levels
    assert level.objectness.shape[0] == 15


def test_four_stages_without_a_pyramid_are_dilated(tmp_path):
    """The fourth stage keeps the resolution of the third."""
    state = torchvision_state(fpn=False, cells=15)
    path = tmp_path / "dc5.pkl"
    path.write_bytes(pickle.dumps({"model": as_detectron2(state)}))
    assert "DC5 without a pyramid" in inspect_model(path).description
    assert open_model(path).settings.anchors.strides == (16,)
    found = outputs(path)
    assert found.levels[0].objectness.shape == (15, found.input_size[0] // 16, found.input_size[1] // 16)


def test_a_softmax_head_becomes_one_logit(tmp_path):
    state = torchvision_state()
    bare = outputs(written(tmp_path, as_mmdetection(state), "one.pth"))
    pairs = dict(state)
    for part in ("weight", "bias"):
        logits = state[f"rpn.head.cls_logits.{part}"]
        other = np.random.default_rng(1).normal(0, 1, logits.shape).astype("f4")
        both = np.stack([other + logits, other], axis=1)  # the object first
        pairs[f"rpn.head.cls_logits.{part}"] = both.reshape(-1, *logits.shape[1:])
    path = written(tmp_path, as_mmdetection(pairs), "two.pth")
    asked = {question.key: question for question in inspect_model(path).questions}
    assert asked["foreground"].default == "first"
    same(outputs(path), bare, 1e-4)
    turned = outputs(path, foreground="second")
    assert np.allclose(turned.levels[0].objectness, -bare.levels[0].objectness, atol=1e-3)


def test_the_epsilon_is_an_option_and_remembered(tmp_path):
    path = written(tmp_path, torchvision_state())
    first, other = outputs(path), outputs(path, bn_eps="0.1")
    assert not np.allclose(first.levels[0].objectness, other.levels[0].objectness)
    write_sidecar(path, {"bn_eps": "0.1"})
    same(outputs(path), other)
    assert sidecar(path).name == "model.pth.rpnviz.json"
    sidecar(path).write_text("no JSON")
    same(outputs(path), first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": "red"}, "no option 'colour'"),
        ({"device": "tpu"}, "expected one of auto, cpu, cuda, mps"),
        ({"bn_eps": "small"}, "an option is no number"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, words):
    path = written(tmp_path, torchvision_state())
    with pytest.raises(ModelFileError, match=words):
        open_model(path, options)


def test_what_is_missing_is_named(tmp_path):
    state = torchvision_state()
    for name, words in (
        ("backbone.body.layer2.0.conv2.weight", "'backbone.body.layer2.0.conv2.weight' is missing"),
        ("backbone.body.bn1.running_mean", "'backbone.body.bn1.running_mean' is missing"),
        ("rpn.head.bbox_pred.weight", "'rpn.head.bbox_pred.weight' is missing"),
    ):
        path = written(tmp_path, {key: value for key, value in state.items() if key != name})
        with pytest.raises(ModelFileError, match=words) as caught:
            open_model(path)
        assert caught.value.where == str(path)
    wrong = {**state, "rpn.head.bbox_pred.weight": state["rpn.head.bbox_pred.weight"][:8]}
    with pytest.raises(ModelFileError, match="four deltas for each logit"):
        open_model(written(tmp_path, wrong))
    narrow = {**state, "backbone.fpn.inner_blocks.1.0.weight": state["backbone.fpn.inner_blocks.1.0.weight"][:, :7]}
    with pytest.raises(ModelFileError, match="takes 7 channels"):
        open_model(written(tmp_path, narrow))


def test_a_run_can_be_cancelled(tmp_path):
    model = open_model(written(tmp_path, torchvision_state()))
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Cancelled):
        model.propose(IMAGE, cancelled)
    assert len(asked) == 5


def test_the_bundled_dataset_runs_through_the_whole_pipeline(tmp_path):
    found = outputs(written(tmp_path, torchvision_state()))
    assert found.resized_size == (800, 1066)
    assert found.input_size == (800, 1088)
