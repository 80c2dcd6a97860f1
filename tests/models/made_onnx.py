"""ONNX graphs written by hand from small state_dicts: a ResNet of bottlenecks, a pyramid and a head."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
CLS, BOX = "rpn.head.cls_logits", "rpn.head.bbox_pred"


class Maker:
    """Collects operators and weights of one graph; every method gives the name of the value that it makes."""

    def __init__(self, state):
        self.state, self.nodes, self.weights, self.count = state, [], {}, 0

    def op(self, kind, *inputs, output="", **attributes):
        self.count += 1
        output = output or f"v{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def put(self, name, array):
        self.weights[name] = np.asarray(array)
        return name

    def conv(self, x, name, norm=None, stride=1, output=""):
        weight = self.put(f"{name}.weight", self.state[f"{name}.weight"])
        bias = [self.put(f"{name}.bias", self.state[f"{name}.bias"])] if f"{name}.bias" in self.state else []
        pad = self.state[weight].shape[-1] // 2
        last = norm is None
        x = self.op("Conv", x, weight, *bias, output=output if last else "", strides=[stride] * 2, pads=[pad] * 4)
        if last:
            return x
        parts = [
            self.put(f"{norm}.{part}", self.state[f"{norm}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        return self.op("BatchNormalization", x, *parts, epsilon=1e-5)

    def relu(self, x):
        return self.op("Relu", x)


def network(maker, x):
    """Names of the values (objectness, deltas) of every level."""
    body, state = "backbone.body.", maker.state
    x = maker.relu(maker.conv(x, f"{body}conv1", f"{body}bn1", 2))
    x = maker.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    found = []
    for stage in range(1, 5):
        number = 0
        while f"{body}layer{stage}.{number}.conv1.weight" in state:
            here = f"{body}layer{stage}.{number}."
            stride = 2 if stage > 1 and number == 0 else 1
            y = maker.relu(maker.conv(x, f"{here}conv1", f"{here}bn1"))
            y = maker.relu(maker.conv(y, f"{here}conv2", f"{here}bn2", stride))
            y = maker.conv(y, f"{here}conv3", f"{here}bn3")
            if f"{here}downsample.0.weight" in state:
                x = maker.conv(x, f"{here}downsample.0", f"{here}downsample.1", stride)
            x = maker.relu(maker.op("Add", x, y))
            number += 1
        found.append(x)
    merged = [maker.conv(x, f"backbone.fpn.inner_blocks.{k}.0") for k, x in enumerate(found)]
    twice = maker.put("twice", np.array([1, 1, 2, 2], np.float32))
    for k in (2, 1, 0):
        above = maker.op(
            "Resize",
            merged[k + 1],
            "",
            twice,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        merged[k] = maker.op("Add", merged[k], above)
    pyramid = [maker.conv(x, f"backbone.fpn.layer_blocks.{k}.0") for k, x in enumerate(merged)]
    pyramid.append(maker.op("MaxPool", pyramid[-1], kernel_shape=[1, 1], strides=[2, 2]))
    outputs = []
    for level, x in enumerate(pyramid):
        x = maker.relu(maker.conv(x, "rpn.head.conv.0.0"))
        outputs.append((maker.conv(x, CLS, output=f"objectness{level}"), maker.conv(x, BOX, output=f"deltas{level}")))
    return outputs


def model(maker, outputs, shape=(1, 3, "h", "w"), dtype=FLOAT, more_inputs=(), domains=()):
    """The graph as a model whose input ``image`` has that shape."""
    graph = helper.make_graph(
        maker.nodes,
        "graph",
        [helper.make_tensor_value_info("image", dtype, shape), *more_inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in maker.weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def plain(state, **options):
    """Backbone and head alone: its outputs are objectness and deltas of every level."""
    maker = Maker(state)
    pairs = network(maker, "image")
    return model(maker, [one for one, _ in pairs] + [four for _, four in pairs], **options)


def whole(state, inside=False, foreign=True):
    """A detector: what follows the head ends in an operator that nobody has, and in one that needs a second input."""
    maker = Maker(state)
    x = "image"
    if inside:
        mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
        x = maker.op("Sub", x, maker.put("mean", mean[:, None, None]))
        x = maker.op("Div", x, maker.put("std", std[:, None, None]))
        x = maker.op("Unsqueeze", x, maker.put("axis", np.array([0])))
        sides = maker.put("sides", np.array([1, 3, 800, 1066]))
        x = maker.op("Resize", x, "", "", sides, mode="linear", coordinate_transformation_mode="half_pixel")
        x = maker.op("Pad", x, maker.put("room", np.array([0, 0, 0, 0, 0, 0, 0, 22])))
    pairs = network(maker, x)
    flat = [maker.op("Reshape", maker.op("Sigmoid", one), maker.put("flat", np.array([1, -1]))) for one, _ in pairs]
    joined = maker.op("Concat", *flat, axis=1)
    boxes = maker.op("NotKnown", joined, "image_sizes", domain="somebody") if foreign else joined
    sizes = helper.make_tensor_value_info("image_sizes", FLOAT, [2])
    return model(
        maker,
        [boxes],
        (3, 300, 400) if inside else (1, 3, "h", "w"),
        more_inputs=[sizes] if foreign else [],
        domains=["somebody"],
    )


def renamed(made, change):
    """The model with the weights under other names."""
    names = {tensor.name: change(number, tensor.name) for number, tensor in enumerate(made.graph.initializer)}
    for tensor in made.graph.initializer:
        tensor.name = names[tensor.name]
    for node in made.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
    return made
