"""Small state_dicts with random weights, named as each framework names them."""

from __future__ import annotations

import re

import numpy as np


def torchvision_state(
    depths=(1, 1, 1, 1), deep=True, width=8, cells=3, groups=1, norm=True, convs=1, seed=0, fpn=True, pyramid=16
):
    """A ResNet with few channels, a pyramid and a head, under torchvision's names."""
    rng = np.random.default_rng(seed)
    state = {}

    def conv(name, out, into, size, bias=False):
        state[f"{name}.weight"] = rng.normal(0, (2 / (into * size * size)) ** 0.5, (out, into, size, size)).astype("f4")
        if bias:
            state[f"{name}.bias"] = rng.normal(0, 0.1, out).astype("f4")

    def bn(name, channels):
        state[f"{name}.weight"] = rng.uniform(0.5, 1.5, channels).astype("f4")
        state[f"{name}.bias"] = rng.normal(0, 0.1, channels).astype("f4")
        state[f"{name}.running_mean"] = rng.normal(0, 0.1, channels).astype("f4")
        state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, channels).astype("f4")

    body, expansion = "backbone.body.", 4 if deep else 1
    conv(f"{body}conv1", width, 3, 7)
    bn(f"{body}bn1", width)
    into, outs = width, []
    for stage, depth in enumerate(depths, 1):
        inner = width * 2 ** (stage - 1)
        out = inner * expansion
        for number in range(depth):
            here = f"{body}layer{stage}.{number}."
            shapes = (
                [(inner, into, 1), (inner, inner // groups, 3), (out, inner, 1)]
                if deep
                else [
                    (inner, into, 3),
                    (out, inner, 3),
                ]
            )
            for k, (a, b, size) in enumerate(shapes, 1):
                conv(f"{here}conv{k}", a, b, size)
                bn(f"{here}bn{k}", a)
            if number == 0 and (stage > 1 or into != out):
                conv(f"{here}downsample.0", out, into, 1)
                bn(f"{here}downsample.1", out)
            into = out
        outs.append(out)
    if fpn:
        for k, out in enumerate(outs):
            conv(f"backbone.fpn.inner_blocks.{k}.0", pyramid, out, 1, bias=True)
            conv(f"backbone.fpn.layer_blocks.{k}.0", pyramid, pyramid, 3, bias=True)
    before = pyramid if fpn else outs[-1]
    for k in range(convs):
        conv(f"rpn.head.conv.{k}.0", before, before, 3, bias=True)
    conv("rpn.head.cls_logits", cells, before, 1, bias=True)
    conv("rpn.head.bbox_pred", 4 * cells, before, 1, bias=True)
    return state


def as_detectron2(state):
    """The same weights under detectron2's names."""
    top = "backbone.bottom_up." if any("fpn" in name for name in state) else "backbone."
    rules = [
        (r"backbone\.body\.conv1\.weight", rf"{top}stem.conv1.weight"),
        (r"backbone\.body\.bn1\.(\w+)", rf"{top}stem.conv1.norm.\1"),
        (r"backbone\.body\.layer(\d)\.(\d+)\.conv(\d)\.weight", rf"{top}res<\1>.\2.conv\3.weight"),
        (r"backbone\.body\.layer(\d)\.(\d+)\.bn(\d)\.(\w+)", rf"{top}res<\1>.\2.conv\3.norm.\4"),
        (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.0\.weight", rf"{top}res<\1>.\2.shortcut.weight"),
        (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.1\.(\w+)", rf"{top}res<\1>.\2.shortcut.norm.\3"),
        (r"backbone\.fpn\.inner_blocks\.(\d)\.0\.(\w+)", r"backbone.fpn_lateral<<\1>>.\2"),
        (r"backbone\.fpn\.layer_blocks\.(\d)\.0\.(\w+)", r"backbone.fpn_output<<\1>>.\2"),
        (r"rpn\.head\.conv\.0\.0\.(\w+)", r"proposal_generator.rpn_head.conv.\1"),
        (r"rpn\.head\.cls_logits\.(\w+)", r"proposal_generator.rpn_head.objectness_logits.\1"),
        (r"rpn\.head\.bbox_pred\.(\w+)", r"proposal_generator.rpn_head.anchor_deltas.\1"),
    ]
    found = {}
    for name, value in _renamed(state, rules).items():
        name = re.sub(r"<<(\d)>>", lambda match: str(int(match[1]) + 2), name)
        found[re.sub(r"<(\d)>", lambda match: str(int(match[1]) + 1), name)] = value
    return found


def as_mmdetection(state):
    """The same weights under mmdetection's names."""
    return _renamed(
        state,
        [
            (r"backbone\.body\.(.*)", r"backbone.\1"),
            (r"backbone\.fpn\.inner_blocks\.(\d)\.0\.(\w+)", r"neck.lateral_convs.\1.conv.\2"),
            (r"backbone\.fpn\.layer_blocks\.(\d)\.0\.(\w+)", r"neck.fpn_convs.\1.conv.\2"),
            (r"rpn\.head\.conv\.0\.0\.(\w+)", r"rpn_head.rpn_conv.\1"),
            (r"rpn\.head\.cls_logits\.(\w+)", r"rpn_head.rpn_cls.\1"),
            (r"rpn\.head\.bbox_pred\.(\w+)", r"rpn_head.rpn_reg.\1"),
        ],
    )


def as_old_torchvision(state):
    """torchvision's names before 0.13."""
    return _renamed(
        state,
        [
            (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0\.(\w+)", r"backbone.fpn.\1_blocks.\2.\3"),
            (r"rpn\.head\.conv\.0\.0\.(\w+)", r"rpn.head.conv.\1"),
        ],
    )


def _renamed(state, rules):
    found = {}
    for name, value in state.items():
        for pattern, new in rules:
            if re.fullmatch(pattern, name):
                name = re.sub(pattern, new, name)
                break
        found[name] = value
    return found


def as_keras(state, bias=True):
    """The same network as Matterport's Keras layers: arrays by (layer, kind), with biases of their own."""
    rng = np.random.default_rng(7)
    arrays = {}

    def layer(name, torch_name, norm=None, torch_norm=None):
        weight = state.get(f"{torch_name}.weight")
        if weight is None:
            return
        arrays[name, "kernel"] = weight.transpose(2, 3, 1, 0)
        if norm is None:
            arrays[name, "bias"] = state[f"{torch_name}.bias"]
            return
        shift = rng.normal(0, 0.1, weight.shape[0]).astype("f4") if bias else np.zeros(weight.shape[0], "f4")
        arrays[name, "bias"] = shift
        arrays[norm, "gamma"], arrays[norm, "beta"] = state[f"{torch_norm}.weight"], state[f"{torch_norm}.bias"]
        arrays[norm, "moving_mean"] = state[f"{torch_norm}.running_mean"] + shift
        arrays[norm, "moving_variance"] = state[f"{torch_norm}.running_var"]

    layer("conv1", "backbone.body.conv1", "bn_conv1", "backbone.body.bn1")
    for stage in range(2, 6):
        for number in range(30):
            here, letter = f"backbone.body.layer{stage - 1}.{number}.", chr(ord("a") + number % 26)
            for k, part in enumerate("abc", 1):
                name = f"{stage}{letter}_branch2{part}"
                layer(f"res{name}", f"{here}conv{k}", f"bn{name}", f"{here}bn{k}")
            name = f"{stage}{letter}_branch1"
            layer(f"res{name}", f"{here}downsample.0", f"bn{name}", f"{here}downsample.1")
        layer(f"fpn_c{stage}p{stage}", f"backbone.fpn.inner_blocks.{stage - 2}.0")
        layer(f"fpn_p{stage}", f"backbone.fpn.layer_blocks.{stage - 2}.0")
    layer("rpn_conv_shared", "rpn.head.conv.0.0")
    layer("rpn_class_raw", "rpn.head.cls_logits")
    layer("rpn_bbox_pred", "rpn.head.bbox_pred")
    logits = arrays["rpn_class_raw", "kernel"]
    background = rng.normal(0, 1, logits.shape).astype("f4")
    arrays["rpn_class_raw", "kernel"] = np.stack([background, background + logits], -1).reshape(*logits.shape[:3], -1)
    bias_of = arrays["rpn_class_raw", "bias"]
    arrays["rpn_class_raw", "bias"] = np.stack([np.zeros_like(bias_of), bias_of], -1).ravel()
    for kind in ("kernel", "bias"):
        deltas = arrays["rpn_bbox_pred", kind]
        turned = deltas.reshape(*deltas.shape[:-1], -1, 4)[..., [1, 0, 3, 2]]
        arrays["rpn_bbox_pred", kind] = turned.reshape(deltas.shape)
    return arrays
