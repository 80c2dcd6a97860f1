"""Outputs of Matterport's files equal those of Keras on the same layers, to what float32 leaves of a hundred of them.

The graph is written anew from the layer names and the structure of matterport/Mask_RCNN ``mrcnn/model.py:
resnet_graph, rpn_graph, build_rpn_model, MaskRCNN.build``; Keras computes it on its torch backend.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import layers as kl

from rpnviz.core import pipeline, presets
from rpnviz.core.frame import make_frame
from rpnviz.core.presets import Preset
from rpnviz.export.proposals import own_thresholds
from rpnviz.models.dump import read_dump
from rpnviz.models.keras_h5 import read_arrays
from rpnviz.models.registry import inspect_model, open_model

SIDE = 512
"""Of the square; half of Matterport's own, for speed."""
PHOTO = (400, 600)
STRIDES = (4, 8, 16, 32, 64)
CELLS = 3
STD = (0.1, 0.1, 0.2, 0.2)
"""``RPN_BBOX_STD_DEV``."""


def normalised(x, name, norm, filters, size, stride=1, **kwargs):
    """A convolution with a bias, and Matterport's normalisation, whose epsilon is Keras's default of 1e-3."""
    x = kl.Conv2D(filters, size, strides=stride, name=name, **kwargs)(x)
    return kl.BatchNormalization(name=norm)(x)


def residual_block(x, stage, letter, filters, stride):
    """The first of a stage halves the resolution in its 1x1 convolutions and has a shortcut of its own."""
    res, bn = (f"{kind}{stage}{letter}_branch" for kind in ("res", "bn"))
    y = kl.Activation("relu")(normalised(x, f"{res}2a", f"{bn}2a", filters, 1, stride))
    y = kl.Activation("relu")(normalised(y, f"{res}2b", f"{bn}2b", filters, 3, padding="same"))
    y = normalised(y, f"{res}2c", f"{bn}2c", 4 * filters, 1)
    if letter == "a":
        x = normalised(x, f"{res}1", f"{bn}1", 4 * filters, 1, stride)
    return kl.Activation("relu", name=f"res{stage}{letter}_out")(kl.Add()([y, x]))


def matterport(depths=(3, 4, 6, 3)):
    """Matterport's graph up to the outputs of its RPN: logits and probabilities (1, N, 2), deltas (1, N, 4)."""
    image = kl.Input((None, None, 3), name="input_image")
    x = normalised(kl.ZeroPadding2D((3, 3))(image), "conv1", "bn_conv1", 64, 7, 2)
    x = kl.MaxPooling2D((3, 3), strides=(2, 2), padding="same")(kl.Activation("relu")(x))
    stages = {}
    for stage, depth in enumerate(depths, 2):
        for number in range(depth):
            stride = 2 if stage > 2 and number == 0 else 1
            x = residual_block(x, stage, "abcdefghijklmnopqrstuvwxyz"[number], 64 * 2 ** (stage - 2), stride)
        stages[stage] = x
    merged = {5: kl.Conv2D(256, 1, name="fpn_c5p5")(stages[5])}
    for stage in (4, 3, 2):
        above = kl.UpSampling2D((2, 2), name=f"fpn_p{stage + 1}upsampled")(merged[stage + 1])
        beside = kl.Conv2D(256, 1, name=f"fpn_c{stage}p{stage}")(stages[stage])
        merged[stage] = kl.Add(name=f"fpn_p{stage}add")([above, beside])
    pyramid = [kl.Conv2D(256, 3, padding="same", name=f"fpn_p{k}")(merged[k]) for k in (2, 3, 4, 5)]
    pyramid.append(kl.MaxPooling2D((1, 1), strides=2, name="fpn_p6")(pyramid[-1]))
    feature = kl.Input((None, None, 256), name="input_rpn_feature_map")
    shared = kl.Conv2D(512, 3, padding="same", activation="relu", name="rpn_conv_shared")(feature)
    logits = kl.Reshape((-1, 2))(kl.Conv2D(2 * CELLS, 1, name="rpn_class_raw")(shared))
    probabilities = kl.Activation("softmax", name="rpn_class_xxx")(logits)
    deltas = kl.Reshape((-1, 4))(kl.Conv2D(4 * CELLS, 1, name="rpn_bbox_pred")(shared))
    rpn = keras.Model(feature, [logits, probabilities, deltas], name="rpn_model")
    levels = zip(*(rpn(feature) for feature in pyramid), strict=True)
    names = ("rpn_class_logits", "rpn_class", "rpn_bbox")
    outputs = [kl.Concatenate(axis=1, name=name)(list(parts)) for name, parts in zip(names, levels, strict=True)]
    return keras.Model(image, outputs, name="mask_rcnn")


def layers_with_weights(model):
    """Each layer that has some, those of ``rpn_model`` too."""
    for layer in model.layers:
        yield from (inner for inner in getattr(layer, "layers", [layer]) if inner.weights)


SMALLER = {"conv1": 1 / 64, "rpn_class_raw": 0.02, "rpn_bbox_pred": 0.02}
"""Gain of the kernels that pixels of 0 to 255 enter, and of those whose outputs become probabilities and sides."""


def randomise(model):
    """Random weights, biases and statistics, spread so that outputs differ and no residual outgrows the others."""
    rng = np.random.default_rng(0)
    for layer in layers_with_weights(model):
        for weight in layer.weights:
            shape = tuple(weight.shape)
            match weight.name:
                case "kernel":
                    value = rng.normal(0, (2 / np.prod(shape[:3])) ** 0.5 * SMALLER.get(layer.name, 1), shape)
                case "gamma":
                    value = rng.uniform(0.4, 1.0, shape)
                case "moving_variance":
                    value = rng.uniform(0.2, 1.5, shape)
                case _:  # biases, beta, moving_mean
                    value = rng.normal(0, 0.1, shape)
            weight.assign(value.astype(np.float32))


def write_as_old_keras(path, model):
    """A file as Keras 2 wrote weights: a group per layer, the layers of ``rpn_model`` together in its own."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.0.8"
        for layer in model.layers:
            group, names = file.create_group(layer.name), []
            for inner in getattr(layer, "layers", [layer]):
                for weight in inner.weights:
                    names.append(f"{inner.name}/{weight.name}:0".encode())
                    group[names[-1]] = weight.value.detach().numpy()
            group.attrs["weight_names"] = names


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model and its file. The model has what Keras itself reads out of it."""
    model, path = matterport(), tmp_path_factory.mktemp("keras") / "mask_rcnn_coco.h5"
    randomise(model)
    write_as_old_keras(path, model)
    for layer in layers_with_weights(model):
        layer.set_weights([np.zeros(weight.shape, np.float32) for weight in layer.weights])
    model.load_weights(path)
    yield model, path
    path.unlink()


def opened(path):
    """The file as rpnviz opens it, on the small square."""
    model = open_model(path, {"device": "cpu"})
    resize = dataclasses.replace(model.settings.resize, min_size=400, max_size=SIDE)
    return dataclasses.replace(model, settings=dataclasses.replace(model.settings, resize=resize))


def molded(model, image):
    """(1, H, W, 3) as rpnviz gives an image to the network, which is what Matterport's ``mold_inputs`` makes."""
    frame = make_frame(image.shape[:2], model.settings.resize, model.settings.conventions)
    return frame, model._prepared(image, frame).permute(0, 2, 3, 1).contiguous().numpy()


def run(network, batch):
    """Outputs as arrays, by torch's own way to NumPy: that of Keras warns of NumPy 2."""
    with torch.inference_mode():
        return [output.numpy() for output in network(torch.from_numpy(batch))]


def by_level(flat):
    """(N, ...) of all levels in a row as one (A, H, W, ...) per level."""
    start = 0
    for stride in STRIDES:
        side = SIDE // stride
        stop = start + side * side * CELLS
        yield np.moveaxis(flat[start:stop].reshape(side, side, CELLS, *flat.shape[1:]), 2, 0)
        start = stop
    assert start == len(flat)


def proposal_boxes(anchors, deltas):
    """Boxes (K, 4) xyxy px as ``ProposalLayer`` moves and clips them: where the far pixel's index is 1."""
    last, shift = SIDE - 1, np.array([0, 0, 1, 1])
    x1, y1, x2, y2 = ((anchors.astype(np.float64) - shift) / last).T
    dy, dx, dh, dw = (deltas.astype(np.float64) * STD).T
    height, width = (y2 - y1) * np.exp(dh), (x2 - x1) * np.exp(dw)
    left = (x1 + x2) / 2 + dx * (x2 - x1) - width / 2
    top = (y1 + y2) / 2 + dy * (y2 - y1) - height / 2
    return np.stack([left, top, left + width, top + height], axis=1).clip(0, 1) * last + shift


def followed(output, params=None):
    """The pipeline on outputs, under Matterport's rules."""
    preset = presets.load("matterport")
    preset = Preset(preset.name, params or preset.params, preset.conventions)
    return pipeline.run_outputs(pipeline.Inputs(PHOTO, np.zeros((0, 4))), output, preset.params, preset.conventions)


def error(own, reference):
    """Largest difference, in standard deviations of the reference."""
    return float(np.abs(own - reference).max() / reference.std())


def test_outputs_and_boxes_are_those_of_keras(saved, photo):
    network, path = saved
    assert inspect_model(path).description.startswith("ResNet-50, FPN with 4 + 1 levels, a head of 1 convolution, 3 ")
    model = opened(path)
    output = model.propose(photo)
    frame, batch = molded(model, photo)
    assert frame.input_size == (SIDE, SIDE)
    logits, probabilities, deltas = (each[0] for each in run(network, batch))
    objectness = logits[:, 1] - logits[:, 0]
    for own, scores, moves in zip(output.levels, by_level(objectness), by_level(deltas), strict=True):
        assert len(np.unique(scores)) > 0.99 * scores.size
        assert error(own.objectness, scores) < 1e-4
        dy, dx, dh, dw = np.moveaxis(moves, -1, 0)
        for column, expected in enumerate((dx, dy, dw, dh)):
            assert error(own.deltas[:, column], expected) < 1e-4

    result = followed(output, own_thresholds(model, presets.load("matterport").params))
    found = result.proposals.candidates
    reference = proposal_boxes(result.anchors.boxes[found.anchor_index], deltas[found.anchor_index])
    assert len(reference) == 6000
    assert np.abs(found.boxes - reference).max() < 0.005
    assert np.abs(found.objectness_prob - probabilities[found.anchor_index, 1]).max() < 1e-4


# Keras's way from its own variables to NumPy.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_what_keras_writes_itself_is_read_alike(saved, tmp_path):
    network, path = saved
    network.save(tmp_path / "whole.h5")
    old, new = read_arrays(path), read_arrays(tmp_path / "whole.h5")
    assert set(old) <= set(new)
    assert all(np.array_equal(new[key], value) for key, value in old.items())


def test_the_recipe_of_the_documentation_runs_and_gives_the_same_outputs(saved, tmp_path, photo, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "rpn-dump.md").read_text()
    code = text.split("## Matterport")[1].split("```python\n")[1].split("```")[0]
    network, path = saved
    model = opened(path)
    frame, batch = molded(model, photo)
    (top, left), (height, width) = frame.offset, frame.resized_size
    # What the recipe takes of mrcnn and of Keras 2, which do not run here.
    matterport = types.SimpleNamespace(
        keras_model=network,
        config=types.SimpleNamespace(RPN_ANCHOR_RATIOS=[0.5, 1, 2]),
        mold_inputs=lambda images: (batch, None, np.array([[top, left, top + height, left + width]])),
    )
    shapes = types.ModuleType("mrcnn.model")
    shapes.compute_backbone_shapes = lambda config, shape: np.array(
        [[-(-shape[0] // s), -(-shape[1] // s)] for s in STRIDES]
    )
    monkeypatch.setitem(sys.modules, "mrcnn", types.ModuleType("mrcnn"))
    monkeypatch.setitem(sys.modules, "mrcnn.model", shapes)
    monkeypatch.setattr(
        keras.backend,
        "function",
        lambda inputs, outputs: lambda values: run(keras.Model(inputs, outputs), *values),
        raising=False,
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {"model": matterport, "image": photo})
    dump = read_dump(tmp_path / "dump.npz")
    assert (dump.original_size, dump.output.resized_size) == (PHOTO, frame.resized_size)
    own = model.propose(photo)
    for ours, theirs in zip(own.levels, dump.output.levels, strict=True):
        assert error(ours.objectness, theirs.objectness) < 1e-4
        assert error(ours.deltas, theirs.deltas) < 1e-4
    ours, theirs = (followed(output).proposals.boxes for output in (own, dump.output))
    assert len(ours) == len(theirs) == 1000
    near = [np.abs(ours - box).max(axis=1).min() < 0.05 for box in theirs]
    assert np.mean(near) > 0.97
