"""Small state_dicts with random weights, named as each framework names them."""

from __future__ import annotations

import re

import numpy as np


def torchvision_state(depths=(1, 1, 1, 1), deep=True, width=8, cells=3, groups=1, norm=True, convs=1, seed=0, fpn=True):
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
    pyramid = 16
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
