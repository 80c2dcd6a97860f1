"""Finds the RPN head in an ONNX graph: which values are objectness and deltas, and where the image enters.

A graph is a backbone with a head, whose outputs are objectness and deltas of every level, or a whole detector, whose
head is found by the names of its weights or, where an exporter has lost those, by the shapes of its convolutions.
Letters: A anchors at one position, a grid of (H, W) positions per level.

Source: torchvision ``models/detection/rpn.py: RPNHead``; detectron2 ``modeling/proposal_generator/rpn.py``; mmdet
``models/dense_heads/rpn_head.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rpnviz.errors import ModelFileError
from rpnviz.models.onnx_file import Graph, library

_HEADS = (
    ("torchvision", "rpn.head.cls_logits", "rpn.head.bbox_pred"),
    ("detectron2", "rpn_head.objectness_logits", "rpn_head.anchor_deltas"),
    ("mmdetection", "rpn_head.rpn_cls", "rpn_head.rpn_reg"),
)
"""How each framework calls the two last convolutions of the head."""
_MOST_ANCHORS = 36
"""At one position; a convolution with more channels gives no objectness."""
_MOST_PIXELS = 2**26
"""Of a fixed input size."""
_ACTIVATIONS = (
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "HardSwish", "HardSigmoid", "Gelu", "Mish", "Add", "Conv"),
    *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "MaxPool", "AveragePool", "Resize"),
    *("GlobalAveragePool", "Upsample"),
)
"""What follows the convolutions of a backbone and not the last ones of a head."""
_NORMALISING = ("Sub", "Div", "Mul", "BatchNormalization")
DUMP_INSTEAD = "docs/rpn-dump.md says how any network writes an RPN dump, with its own anchors, in about ten lines."
"""The way out where a graph tells too little."""


@dataclass(frozen=True)
class Pair:
    """The outputs of the head on one level.

    Attributes:
        objectness, deltas: names of the values, (1, A or 2 A, H, W) and (1, 4 A, H, W).
        cells: A.
        logits: per anchor, 1, or 2 if background has one of its own.
    """

    objectness: str
    deltas: str
    cells: int
    logits: int


@dataclass(frozen=True)
class Entry:
    """Where the image enters.

    Attributes:
        name: of the input.
        batched: whether it has a first axis for images.
        channels_last: whether the colours are the last axis.
        size: (H, W), None for a side that may be anything.
        dtype: of the numbers.
    """

    name: str
    batched: bool
    channels_last: bool
    size: tuple[int | None, int | None]
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class Head:
    """What was recognised.

    Attributes:
        pairs: of the levels, in the order of the graph.
        framework: whose names the weights have; empty if they say nothing.
        how: the pairs were found, in words.
        entry: of the image.
        resizes, normalises, pads: what the graph does to the image before its first convolution.
    """

    pairs: tuple[Pair, ...]
    framework: str
    how: str
    entry: Entry
    resizes: bool
    normalises: bool
    pads: bool

    @property
    def description(self) -> str:
        """Levels, anchors per position and input, in words."""
        cells = ", ".join(str(number) for number in sorted({pair.cells for pair in self.pairs}))
        height, width = (side or "any" for side in self.entry.size)
        size = "any size" if self.entry.size == (None, None) else f"{width} x {height} px"
        levels = f"{len(self.pairs)} level{'' if len(self.pairs) == 1 else 's'}"
        return f"{levels}, {cells} anchors per position, found by {self.how}, input of {size}"


def find_head(path: Path) -> tuple[Graph, Head]:
    """The graph of a file, without weights that lie outside it, and what was recognised in it.

    Raises:
        ModelFileError: it is damaged, has no RPN or more than one choice, or takes more than one image.
    """
    graph = Graph(path)
    framework, pairs, how = _pairs(graph)
    numbers, used = graph.needed(name for pair in pairs for name in (pair.objectness, pair.deltas))
    fed = [value for value in graph.inputs if value.name in used]
    if len(fed) != 1:
        listed = ", ".join(repr(value.name) for value in fed) or "none"
        raise ModelFileError(
            f"its RPN is computed from {len(fed)} inputs ({listed}), expected one image.",
            where=str(path),
            way_out="Export the network for a single image.",
        )
    first = next((graph.nodes[number] for number in numbers if graph.nodes[number].op_type == "Conv"), None)
    before, _ = graph.needed(first.input[:1]) if first is not None else ([], set())
    kinds = {graph.nodes[number].op_type for number in before}
    # Keras pads by a constant before its first convolution; padding to a multiple of 32 is computed from the image.
    pads = any(
        graph.nodes[number].op_type == "Pad"
        and len(graph.nodes[number].input) > 1
        and graph.weight(graph.nodes[number].input[1]) is None
        for number in before
    )
    return graph, Head(
        tuple(pairs),
        framework,
        how,
        _entry(path, fed[0]),
        bool(kinds & {"Resize", "Upsample"}),
        bool(kinds & set(_NORMALISING)),
        pads,
    )


def _entry(path: Path, value: Any) -> Entry:
    onnx = library("onnx", path)
    tensor = value.type.tensor_type
    dtypes = {onnx.TensorProto.FLOAT: "f4", onnx.TensorProto.FLOAT16: "f2", onnx.TensorProto.DOUBLE: "f8"}
    dtypes[onnx.TensorProto.UINT8] = "u1"
    sides = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim]
    shown = tuple("any" if side is None else side for side in sides)
    if not tensor.HasField("shape"):
        sides = [None] * 4
    batched = len(sides) == 4
    last = len(sides) in (3, 4) and sides[-1] == 3 and sides[-3] != 3
    inner = sides[-3:]
    if len(sides) not in (3, 4) or inner[2 if last else 0] not in (3, None) or tensor.elem_type not in dtypes:
        raise ModelFileError(
            f"its input {value.name!r} has shape {shown} and type {tensor.elem_type}, expected an image of three "
            "colours, (1, 3, H, W) or (3, H, W), of floats or bytes.",
            where=str(path),
        )
    if batched and sides[0] not in (1, None):
        raise ModelFileError(
            f"its input {value.name!r} takes {sides[0]} images at a time.",
            where=str(path),
            way_out="Export the network for a single image.",
        )
    height, width = inner[:2] if last else inner[1:]
    if (height or 1) * (width or 1) > _MOST_PIXELS:
        raise ModelFileError(
            f"its input {value.name!r} is an image of {width} x {height} px, expected at most {_MOST_PIXELS:,} px in "
            "all.",
            where=str(path),
        )
    return Entry(value.name, batched, last, (height, width), np.dtype(dtypes[tensor.elem_type]))


def _pairs(graph: Graph) -> tuple[str, list[Pair], str]:
    """Framework, outputs of the levels and how they were found: names first, then what is given, then shapes.

    Raises:
        ModelFileError: there are none, or more than one choice.
    """
    convs = [node for node in graph.nodes if node.op_type == "Conv" and len(node.input) > 1 and node.output]
    labels = [_labels(graph, node) for node in convs]
    for framework, objectness, deltas in _HEADS:
        logits, boxes = (
            [node for node, label in zip(convs, labels, strict=True) if _is_called(label, name)]
            for name in (objectness, deltas)
        )
        if logits and boxes:
            return framework, _named_pairs(graph, logits, boxes), "the names of its weights"
    pairs = _given_pairs(graph)
    if pairs:
        return "", pairs, "the channels of its outputs"
    pairs = _shaped_pairs(graph, convs)
    if pairs:
        return "", pairs, "the channels of its convolutions"
    outputs = ", ".join(repr(value.name) for value in graph.outputs[:6]) + (", ..." if len(graph.outputs) > 6 else "")
    raise ModelFileError(
        f"no region proposal network was found in it: none of its {len(convs)} convolutions has the name of one, and "
        f"neither outputs ({outputs or 'none'}) nor convolutions come in pairs of A and 4 A channels.",
        where=str(graph.path),
        way_out=DUMP_INSTEAD,
    )


def _labels(graph: Graph, conv: Any) -> tuple[str, ...]:
    """What an exporter may have called a convolution: its weight, and the operator by its place in the module."""
    weight = graph.behind(conv.input[1]).removesuffix(".weight")
    place = conv.name.strip("/").rpartition("/")[0].replace("/", ".")
    return weight, place


def _is_called(labels: Sequence[str], name: str) -> bool:
    return any(label == name or label.endswith(f".{name}") for label in labels)


def _channels(graph: Graph, conv: Any) -> int:
    """Of the output of a convolution; 0 if its weight is computed."""
    weight = graph.weight(conv.input[1])
    return int(weight.dims[0]) if weight is not None and len(weight.dims) == 4 else 0


def _named_pairs(graph: Graph, logits: Sequence[Any], boxes: Sequence[Any]) -> list[Pair]:
    """Pairs of convolutions that are known to be those of a head."""
    by_input: dict[str, list[Any]] = {}
    for node in boxes:
        by_input.setdefault(graph.behind(node.input[0]), []).append(node)
    shared = [by_input.get(graph.behind(node.input[0]), []) for node in logits]
    if all(len(nodes) == 1 for nodes in shared):
        boxes = [nodes[0] for nodes in shared]
    elif len(logits) != len(boxes):
        raise ModelFileError(
            f"its head has {len(logits)} convolutions for objectness and {len(boxes)} for deltas, expected as many.",
            where=str(graph.path),
            way_out=DUMP_INSTEAD,
        )
    found = []
    for one, four in zip(logits, boxes, strict=True):
        count, wanted = _channels(graph, one), _channels(graph, four)
        cells = wanted // 4
        if not cells or wanted % 4 or count not in (cells, 2 * cells):
            raise ModelFileError(
                f"its head has {count} logits and {wanted} deltas per position, expected four deltas for each anchor.",
                where=str(graph.path),
                way_out=DUMP_INSTEAD,
            )
        found.append(Pair(one.output[0], four.output[0], cells, count // cells))
    return found


def _given_pairs(graph: Graph) -> list[Pair]:
    """Pairs among the outputs; those of equal channels belong together in the order in which they are given."""
    by_channels: dict[int, list[str]] = {}
    for value in graph.outputs:
        name = graph.behind(value.name, ("Sigmoid", "Identity", "Cast"))
        node = graph.maker(name)
        shape = value.type.tensor_type.shape.dim
        if node is not None and node.op_type == "Conv" and len(node.input) > 1:
            channels = _channels(graph, node)
        else:
            channels = int(shape[1].dim_value) if len(shape) == 4 else 0
        if channels > 0 and name not in by_channels.setdefault(channels, []):
            by_channels[channels].append(name)
    for logits in (1, 2):
        choices = [
            (count, count * 4 // logits)
            for count in by_channels
            if count % logits == 0 and count // logits <= _MOST_ANCHORS and count * 4 // logits in by_channels
        ]
        if not choices:
            continue
        if len(choices) > 1:
            listed = ", ".join(f"{one} and {four} channels" for one, four in choices)
            raise _ambiguous(graph, f"its outputs come in several pairs that could be objectness and deltas: {listed}")
        count, wanted = choices[0]
        one, four = by_channels[count], by_channels[wanted]
        if len(one) != len(four):
            raise _ambiguous(
                graph, f"it has {len(one)} outputs of {count} channels, but {len(four)} of {wanted} channels"
            )
        four = _by_source(graph, one, four)
        return [Pair(a, b, count // logits, logits) for a, b in zip(one, four, strict=True)]
    return []


def _by_source(graph: Graph, one: list[str], four: list[str]) -> list[str]:
    """``four`` in the order of ``one`` where convolutions of the same value tell; else as it is."""

    def source(name: str) -> str:
        node = graph.maker(name)
        return graph.behind(node.input[0]) if node is not None and node.op_type == "Conv" else ""

    places = {source(name): name for name in four}
    ordered = [places.get(source(name), "") for name in one]
    return ordered if "" not in places and sorted(ordered) == sorted(four) else four


def _shaped_pairs(graph: Graph, convs: Sequence[Any]) -> list[Pair]:
    """Pairs of convolutions of the same value, A and 4 A channels wide, that no activation follows."""
    followed = {name for node in graph.nodes if node.op_type in _ACTIVATIONS for name in node.input}
    by_input: dict[str, list[tuple[int, Any]]] = {}
    for node in convs:
        channels = _channels(graph, node)
        if channels and node.output[0] not in followed:
            by_input.setdefault(graph.behind(node.input[0]), []).append((channels, node))
    for logits in (1, 2):
        found: list[tuple[Pair, tuple[str, str]]] = []
        for nodes in by_input.values():
            for count, one in nodes:
                for wanted, four in nodes:
                    if count * 4 == wanted * logits and count % logits == 0 and count // logits <= _MOST_ANCHORS:
                        pair = Pair(one.output[0], four.output[0], count // logits, logits)
                        found.append((pair, (graph.behind(one.input[1]), graph.behind(four.input[1]))))
        heads = {weights for _, weights in found}
        cells = {pair.cells for pair, _ in found}
        # A head shared by the levels, or one of its own for each.
        if len(heads) > 1 and (len(heads) < len(found) or len(cells) > 1):
            listed = ", ".join(sorted(f"{one} with {four}" for one, four in heads)[:4])
            raise _ambiguous(graph, f"several pairs of its convolutions could be the head, by their weights: {listed}")
        if found:
            return [pair for pair, _ in found]
    return []


def _ambiguous(graph: Graph, what: str) -> ModelFileError:
    return ModelFileError(
        f"which of its values are objectness and deltas cannot be told: {what}.",
        where=str(graph.path),
        way_out=f"Export backbone and head alone, with these outputs and no others. {DUMP_INSTEAD}",
    )
