"""Reads ONNX files as data: the part of a graph that some of its values need, checked before anything is allocated.

A graph is a list of operators and weights in protobuf; operators that onnxruntime does not bring itself would be
programs of their own, and are refused. Source: onnx ``onnx.proto``, ``docs/ExternalData.md``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from rpnviz.errors import ModelFileError

_MOST = 2**31 - 1
"""Bytes that one protobuf message may have."""
_COPY_AGAIN = "Copy or download it again; the transfer may not have been complete."
_OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Whose operators onnxruntime brings itself."""
_RENAMING = ("Identity", "Cast", "DequantizeLinear")
"""Operators behind which a weight is still the same weight."""
_BITS = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
"""Of one number, by ``TensorProto.DataType``; text (8) has no such size."""
_TEXT = 8
_COMPLEX = (14, 15)
_EXTERNAL = 1
_SHAPE_INPUT = {"ConstantOfShape": 0, "Expand": 1}
"""Operators that make a tensor as large as an input says, and which input that is."""
_LONGEST_SHAPE = 1024
"""Bytes."""
_LISTS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def library(name: str, path: Path) -> Any:
    """A module of onnx or onnxruntime, imported when a graph is first read.

    Raises:
        ModelFileError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelFileError(
            f"ONNX graphs need onnx and onnxruntime, but {name} cannot be imported: {error}.",
            where=str(path),
            way_out="Install them with: pip install 'rpnviz[onnx]'",
        ) from error


class Graph:
    """The top level of a graph.

    Attributes:
        path: of the file.
        nodes: operators in the order in which they run.
        weights: tensors by name.
        makers: number of the operator that gives a value, by the value's name.
        inputs: what must be fed, in order.
        outputs: what the whole graph gives, in order.
    """

    def __init__(self, path: Path) -> None:
        """Read a file without its external weights.

        Raises:
            ModelFileError: it is damaged, no ONNX file, or what it needs is not installed.
        """
        onnx = library("onnx", path)
        damage = library("google.protobuf.message", path).DecodeError
        size = path.stat().st_size
        if size > _MOST:
            raise ModelFileError(
                f"it has {size:,} bytes; an ONNX file can hold no more than {_MOST:,}.", where=str(path)
            )
        self.path = path
        self.model = onnx.ModelProto()
        try:
            self.model.ParseFromString(path.read_bytes())
        except (damage, UnicodeDecodeError) as error:
            raise ModelFileError(
                f"it is cut off, or no ONNX file: {error}.", where=str(path), way_out=_COPY_AGAIN
            ) from error
        graph = self.model.graph
        if not graph.node:
            raise ModelFileError("it holds no graph of operators.", where=str(path), way_out=_COPY_AGAIN)
        if self.model.functions:
            raise ModelFileError(
                f"it defines {len(self.model.functions)} functions of its own, which rpnviz does not unfold.",
                where=str(path),
                way_out="Save it again through onnx.inliner.inline_local_functions.",
            )
        # protobuf gives a name that is no UTF-8 as bytes.
        if not all(isinstance(name, str) for name in _names(graph)):
            raise ModelFileError("it is damaged: a name in it is no text.", where=str(path), way_out=_COPY_AGAIN)
        self.nodes: Sequence[Any] = list(graph.node)
        self.weights: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.makers = {name: number for number, node in enumerate(self.nodes) for name in node.output if name}
        self.inputs = [value for value in graph.input if value.name not in self.weights]
        self.outputs = list(graph.output)

    def maker(self, name: str) -> Any | None:
        """The operator that gives a value; None for weights and inputs."""
        number = self.makers.get(name)
        return None if number is None else self.nodes[number]

    def behind(self, name: str, kinds: Sequence[str] = _RENAMING) -> str:
        """The value that ``name`` was before operators of these kinds."""
        seen = set()
        while name not in seen:
            seen.add(name)
            node = self.maker(name)
            if node is None or node.op_type not in kinds or not node.input:
                break
            name = node.input[0]
        return name

    def weight(self, name: str) -> Any | None:
        """The tensor that an input of an operator is; None if it is computed."""
        name = self.behind(name)
        node = self.maker(name)
        if node is not None and node.op_type == "Constant":
            return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        return self.weights.get(name)

    def needed(self, names: Iterable[str]) -> tuple[list[int], set[str]]:
        """Numbers of the operators, in order, and names of all values, from which ``names`` are computed."""
        numbers: set[int] = set()
        seen: set[str] = set()
        open_names = list(names)
        while open_names:
            name = open_names.pop()
            if not name or name in seen:
                continue
            seen.add(name)
            number = self.makers.get(name)
            if number is not None and number not in numbers:
                numbers.add(number)
                open_names.extend(_taken(self.nodes[number]))
        return sorted(numbers), seen

    def cut(self, names: Sequence[str]) -> bytes:
        """A model that computes ``names`` and nothing else, weights included, as bytes.

        Raises:
            ModelFileError: a weight does not have the size that its shape says, or lies outside the folder; the part
                is too large, or needs operators that onnxruntime does not bring.
        """
        onnx = library("onnx", self.path)
        numbers, used = self.needed(names)
        nodes = [self.nodes[number] for number in numbers]
        self._check_operators(nodes)
        self._check_made(nodes, used)
        # Lists of weights as inputs too are how files before version 4 of the format were written.
        made = onnx.ModelProto(ir_version=max(self.model.ir_version, 4))
        made.opset_import.extend(self.model.opset_import)
        made.graph.name = "rpn"
        made.graph.node.extend(nodes)
        made.graph.input.extend(value for value in self.inputs if value.name in used)
        made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        made.graph.initializer.extend(tensor for name, tensor in self.weights.items() if name in used)
        tensors = list(_tensors(made.graph))
        total = made.ByteSize() + sum(self._checked_size(tensor) for tensor in tensors if _is_external(tensor))
        if total > _MOST:
            raise ModelFileError(
                f"backbone and head take {total:,} bytes; rpnviz runs graphs of up to {_MOST:,}.", where=str(self.path)
            )
        for tensor in tensors:
            if _is_external(tensor):
                self._fetch(tensor)
            else:
                self._checked_size(tensor)
        return made.SerializeToString()

    def _check_operators(self, nodes: Sequence[Any]) -> None:
        foreign = {f"{node.domain}::{node.op_type}" for node in _all_nodes(nodes) if node.domain not in _OWN_DOMAINS}
        if foreign:
            raise ModelFileError(
                f"backbone and head need operators that onnxruntime does not have ({', '.join(sorted(foreign)[:4])}); "
                "they would be programs of their own, and are not loaded.",
                where=str(self.path),
                way_out="Export the network without them, or write an RPN dump: see docs/rpn-dump.md.",
            )

    def _check_made(self, nodes: Sequence[Any], used: set[str]) -> None:
        """Refuse what a few bytes of the file would make large: sparse tensors, and constants of a huge shape.

        Raises:
            ModelFileError: there is one.
        """
        where, way_out = str(self.path), "Save the model with plain, dense weights."
        if any(tensor.values.name in used for tensor in self.model.graph.sparse_initializer) or _has_sparse(nodes):
            raise ModelFileError("it has sparse weights, which rpnviz does not read.", where=where, way_out=way_out)
        for node in _all_nodes(nodes):
            place = _SHAPE_INPUT.get(node.op_type)
            shape = self.weight(node.input[place]) if place is not None and len(node.input) > place else None
            if shape is None or _is_external(shape) or self._checked_size(shape) > _LONGEST_SHAPE:
                continue
            values = library("onnx.numpy_helper", self.path).to_array(shape).ravel().tolist()
            if math.prod(max(int(value), 1) for value in values) > _MOST:
                raise ModelFileError(
                    f"its operator {node.op_type} makes a tensor of shape {tuple(values)}.",
                    where=where,
                    way_out=way_out,
                )

    def _checked_size(self, tensor: Any) -> int:
        """Bytes of a tensor's numbers, after a look whether the file has as many as the shape says.

        Raises:
            ModelFileError: it has not.
        """
        where, shape = str(self.path), tuple(tensor.dims)
        bits = _BITS.get(tensor.data_type, 0)
        if min(shape, default=0) < 0 or (not bits and tensor.data_type != _TEXT):
            raise ModelFileError(
                f"the weight {tensor.name!r} has shape {shape} and type {tensor.data_type}, which ONNX does not know.",
                where=where,
            )
        count = math.prod(shape)
        size = -(-count * bits // 8)
        if _is_external(tensor):
            file, offset, length = self._place(tensor)
            there = file.stat().st_size
            found, unit = (length, "bytes") if offset + length <= there else (max(there - offset, 0), "bytes")
            expected = size
        elif tensor.HasField("raw_data"):
            found, unit, expected = len(tensor.raw_data), "bytes", size
        else:
            found, unit = sum(len(getattr(tensor, name)) for name in _LISTS), "numbers"
            # Of numbers below a byte a list has whole bytes, of complex ones both parts.
            expected = size if 0 < bits < 8 else count * (2 if tensor.data_type in _COMPLEX else 1)
        if found != expected:
            raise ModelFileError(
                f"the weight {tensor.name!r} of shape {shape} needs {expected:,} {unit}, but the file has {found:,}.",
                where=where,
                way_out=_COPY_AGAIN,
            )
        return size

    def _place(self, tensor: Any) -> tuple[Path, int, int]:
        """File, first byte and number of bytes of a tensor outside the graph's file.

        Raises:
            ModelFileError: the file is missing, or not inside the folder of the graph.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
        outside = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor or ".." in parts
        folder = self.path.parent
        try:
            file = (folder / location).resolve()
            if outside or not location or folder.resolve() not in file.parents:
                raise ModelFileError(
                    f"its weight {tensor.name!r} is said to lie in {location!r}, outside the folder of the model. "
                    "Nothing was read from there.",
                    where=str(self.path),
                    way_out="Put the weights beside the model and save it with a plain file name.",
                )
            if not file.is_file():
                raise ModelFileError(
                    f"its weights lie in {location!r}, which is missing or no file.",
                    where=str(self.path),
                    way_out="Copy that file beside the model.",
                )
            offset = int(entries.get("offset") or 0)
            length = int(entries["length"]) if entries.get("length") else file.stat().st_size - offset
            if offset < 0 or length < 0:
                raise ValueError(f"offset {offset}, length {length}")
        except (OSError, ValueError) as error:
            raise ModelFileError(
                f"the place of its weight {tensor.name!r} cannot be read: {error}.", where=str(self.path)
            ) from error
        return file, offset, length

    def _fetch(self, tensor: Any) -> None:
        file, offset, length = self._place(tensor)
        try:
            with file.open("rb") as opened:
                opened.seek(offset)
                data = opened.read(length)
        except OSError as error:
            raise ModelFileError(
                f"the weights in {file.name!r} cannot be read: {error.strerror or error}.", where=str(self.path)
            ) from error
        tensor.raw_data = data
        tensor.data_location = 0
        del tensor.external_data[:]


def _is_external(tensor: Any) -> bool:
    return tensor.data_location == _EXTERNAL


def _taken(node: Any) -> Iterator[str]:
    """Names that an operator reads, those of the bodies of its branches and loops included."""
    yield from node.input
    for graph in _bodies(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _taken(inner)


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _all_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """Operators and those inside their bodies; protobuf has limited the depth."""
    for node in nodes:
        yield node
        for graph in _bodies(node):
            yield from _all_nodes(graph.node)


def _names(graph: Any) -> Iterator[Any]:
    """Everything in a graph that should be text."""
    for named in (graph.initializer, graph.input, graph.output):
        yield from (value.name for value in named)
    for tensor in _tensors(graph):
        yield from (part for entry in tensor.external_data for part in (entry.key, entry.value))
    for node in _all_nodes(graph.node):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (value.name for body in _bodies(node) for value in body.output)


def _has_sparse(nodes: Iterable[Any]) -> bool:
    """Whether an operator holds a sparse tensor, or its body has sparse weights."""
    return any(
        any(attribute.HasField("sparse_tensor") or attribute.sparse_tensors for attribute in node.attribute)
        or any(graph.sparse_initializer for graph in _bodies(node))
        for node in _all_nodes(nodes)
    )


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph: weights, and constants of operators."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in _bodies(node):
            yield from _tensors(inner)
