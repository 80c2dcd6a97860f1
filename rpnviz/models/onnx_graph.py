"""ONNX graphs as proposal models: what the file does not say is asked, and only what the RPN head needs is run.

Letters: A anchors at one position, a grid of (H, W) positions per level.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import presets
from rpnviz.core.anchors import grid_shapes
from rpnviz.core.frame import Frame, make_frame, stated_frame
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.params import AnchorParams, ResizeParams
from rpnviz.core.presets import Preset
from rpnviz.errors import Cancelled, ModelFileError, ParamsError
from rpnviz.models.base import ModelInfo, Question, answered, check_image, stop_if, stop_if_asked
from rpnviz.models.onnx_file import library
from rpnviz.models.onnx_head import DUMP_INSTEAD, Head, find_head
from rpnviz.models.pixels import IMAGENET_MEAN, IMAGENET_STD, MATTERPORT_MEAN, Pixels, prepared

_ASK_EVERY_S = 0.02
"""Between two questions whether a run is still wanted."""

_ZEROS, _ONES, _BYTES = (0.0,) * 3, (1.0,) * 3, (255.0,) * 3
_RULES: dict[str, tuple[str, tuple[float, ...], tuple[float, ...], bool]] = {
    "unit": ("RGB, ImageNet mean and std (of 0 to 1, or of 0 to 255)", IMAGENET_MEAN, IMAGENET_STD, False),
    "bgr": ("BGR 0 to 255 minus Caffe's mean", IMAGENET_MEAN[::-1], _ONES, True),
    "rgb": ("RGB 0 to 255 minus Matterport's mean", MATTERPORT_MEAN, _ONES, False),
    "none": ("RGB 0 to 255 as they are", _ZEROS, _ONES, False),
    "none_bgr": ("BGR 0 to 255 as they are: detectron2 normalises inside", _ZEROS, _ONES, True),
    "zero_one": ("RGB 0 to 1", _ZEROS, _BYTES, False),
    "inside": ("RGB 0 to 1 in original size: torchvision's whole detectors resize inside", _ZEROS, _BYTES, False),
}
"""Answers to ``pixels``: meaning; mean and std of pixels 0 to 255, in the order of the colours; blue comes first."""
_RESAMPLING = {"torchvision": "torch", "detectron2": "pil", "mmdetection": "cv2", "matterport": "skimage"}
_OTHER_STRIDES = {("torchvision", 3): (32, 32, 64), ("detectron2", 1): (16,)}
"""Of a framework's builders with other levels than its preset and 15 anchors per position: MobileNetV3, and C4."""
_FIVE_SIZES, _RATIOS = (32.0, 64.0, 128.0, 256.0, 512.0), (0.5, 1.0, 2.0)


def inspect(path: Path) -> ModelInfo:
    """What an ONNX file is, and what it does not say; nothing is run.

    Raises:
        ModelFileError: it is damaged or has no RPN; or onnx is not installed.
    """
    _, head = find_head(path)
    preset = head.framework or "torchvision"
    return ModelInfo("onnx", preset, head.description, (), tuple(_questions(head, preset)))


def open_graph(path: Path, options: Mapping[str, str]) -> OnnxModel:
    """Make a model of an ONNX file.

    Args:
        path: the file; weights outside it lie in its folder.
        options: answers by key; for the others the defaults hold.

    Raises:
        ModelFileError: as :func:`inspect`; an answer is none of the choices, the preset has other anchors than the
            graph has outputs, or onnxruntime cannot run it.
    """
    graph, head = find_head(path)
    stop_if_asked()
    answers = answered(path, _questions(head, options.get("preset", "")), options)
    preset = presets.load(answers["preset"])
    settings = ModelSettings(
        _resize(path, preset, answers),
        _anchors(path, head, preset),
        preset.params.coder,
        preset.conventions,
        preset=preset.name,
    )
    session = _session(path, graph.cut([name for pair in head.pairs for name in (pair.objectness, pair.deltas)]))
    return OnnxModel(path.name, _note(head, answers), settings, head, answers, session)


# --------------------------------------------------------------------------- what it does not say


def _questions(head: Head, preset: str) -> list[Question]:
    """What the file does not say; ``preset``: the answer to the first question, where it is known."""
    own = head.framework or "torchvision"
    choices = (
        ("torchvision", "800 / 1333 px; cell anchors rounded, stride measured"),
        ("detectron2", "800 / 1333 px, BGR"),
        ("mmdetection", "800 / 1333 px; anchors of 8 strides"),
        ("matterport", "square of 1024 px; deltas are dy, dx, dh, dw"),
    )
    preset = preset if preset in dict(choices) else own
    names = [name for name, _ in choices]
    asked = [
        Question("preset", "Whose anchors, coder and size of the input it has", choices, own),
        Question(
            "pixels",
            "What it takes as pixels",
            tuple((key, meaning) for key, (meaning, *_) in _RULES.items()),
            _usual_pixels(head, preset),
            ("preset", {name: _usual_pixels(head, name) for name in names}),
        ),
    ]
    fixed = head.entry.size != (None, None)
    if not fixed or head.resizes:
        for key, text in (("min_size", "Short"), ("max_size", "Long")):
            asked.append(
                Question(key, f"{text} side of the resized image in px; 'preset': what the preset says", (), "preset")
            )
    if fixed:
        asked.append(
            Question(
                "fit",
                "How an image comes to the fixed size of the input",
                (
                    ("pad", "as large as fits, the rest is padded"),
                    ("preset", "by the preset's rule where that fits, the rest is padded"),
                    ("stretch", "each side is scaled alone"),
                ),
                _usual_fit(head, presets.load(preset).params.resize),
                ("preset", {name: _usual_fit(head, presets.load(name).params.resize) for name in names}),
            )
        )
    if any(pair.logits == 2 for pair in head.pairs):
        asked.append(
            Question(
                "foreground",
                "Which of the two logits of an anchor is the object",
                (("first", "mmdetection 2.5 and later"), ("second", "Matterport, mmdetection before")),
                "first" if preset == "mmdetection" else "second",
                ("preset", {name: "first" if name == "mmdetection" else "second" for name in names}),
            )
        )
    return asked


def _usual_pixels(head: Head, preset: str) -> str:
    """What the framework's own exporters leave to the caller."""
    if head.resizes:
        return "inside"
    if preset == "torchvision":
        return "zero_one" if head.normalises else "unit"
    if preset == "detectron2":
        return "none_bgr" if head.normalises else "bgr"
    if head.normalises:
        return "none"
    return "unit" if preset == "mmdetection" else "rgb"


def _usual_fit(head: Head, rule: ResizeParams) -> str:
    """``preset`` for an input that has just the room for what the preset makes of landscape or portrait images."""
    height, width = head.entry.size
    if height is None or width is None:
        return "pad"
    most = rule.max_size + rule.pad_multiple
    return "preset" if rule.max_size <= max(height, width) < most and min(height, width) >= rule.min_size else "pad"


def _resize(path: Path, preset: Preset, answers: Mapping[str, str]) -> ResizeParams:
    """The preset's rule with the sides that were answered."""
    try:
        own = {key: int(answers[key]) for key in ("min_size", "max_size") if answers.get(key, "preset") != "preset"}
        return preset.params.with_values("resize", **own).resize
    except (ParamsError, ValueError) as error:
        raise ModelFileError(f"the sides of the resized image are not usable: {error}", where=str(path)) from error


def _anchors(path: Path, head: Head, preset: Preset) -> AnchorParams:
    """The preset's anchors, or those of another builder of that framework, if they are as many as the outputs.

    Raises:
        ModelFileError: they are not.
    """
    own = preset.params.anchors
    cells = sorted(pair.cells for pair in head.pairs)
    if sorted(own.cells) == cells:
        return own
    strides = _OTHER_STRIDES.get((preset.name, len(cells)))
    if strides is not None and set(cells) == {15}:
        return replace(own, strides=strides, sizes=(_FIVE_SIZES,) * len(cells), aspect_ratios=(_RATIOS,) * len(cells))
    levels = f"{len(cells)} level{'' if len(cells) == 1 else 's'}"
    raise ModelFileError(
        f"it has {levels} with {_listed(cells)} anchors per position; the preset {preset.name} has "
        f"{len(own.cells)} with {_listed(own.cells)}.",
        where=str(path),
        way_out=f"Choose another preset. {DUMP_INSTEAD}",
    )


def _listed(cells: Sequence[int]) -> str:
    return ", ".join(str(number) for number in sorted(set(cells)))


def _note(head: Head, answers: Mapping[str, str]) -> str:
    """What one should know before trusting it."""
    parts = [f"ONNX graph, {head.description}", f"pixels as '{answers['pixels']}'"]
    if "fit" in answers:
        how = {"pad": "scaled to fit and padded", "preset": "scaled by the preset's rule and padded"}
        parts.append(f"images are {how.get(answers['fit'], 'stretched')} to that fixed size")
    if answers["pixels"] == "inside":
        parts.append(f"it resizes inside, to sizes that are taken to be those of {answers['preset']}'s rule")
    return ", ".join(parts)


# --------------------------------------------------------------------------- running it


def _session(path: Path, model: bytes) -> Any:
    """A session of onnxruntime on the CPU; no library of operators is ever loaded for it."""
    runtime = library("onnxruntime", path)
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what it has to say comes with its exceptions
    try:
        # Its fallback would print, and try the same processor again.
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its exceptions share no base of their own
        raise ModelFileError(
            f"onnxruntime cannot run it: {_first_line(error)}", where=str(path), way_out=DUMP_INSTEAD
        ) from error


def _first_line(error: Exception) -> str:
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)).strip() or type(error).__name__
    line = text.splitlines()[0].rstrip(".")
    return f"{line[:300]}..." if len(line) > 300 else f"{line}."


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """An ONNX graph that runs on the CPU; see :class:`rpnviz.models.base.ProposalModel`."""

    name: str
    note: str
    settings: ModelSettings
    _head: Head = field(repr=False)
    _answers: Mapping[str, str] = field(repr=False)
    _session: Any = field(repr=False)

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`.

        Raises:
            ModelFileError: onnxruntime fails on it, or the outputs are not of the size that the preset makes.
        """
        check_image(image)
        stop_if(cancelled)
        frame, batch = self._fed(image)
        stop_if(cancelled)
        arrays = self._run(batch, cancelled)
        stop_if(cancelled)
        levels = self._levels(arrays, frame)
        stated = self._head.entry.size != (None, None)
        return RPNOutput(levels, frame.resized_size, frame.input_size, self.settings, self.name, stated=stated)

    def _fed(self, image: NDArray[np.uint8]) -> tuple[Frame, NDArray]:
        """The frame of the network's input, and what the graph takes."""
        entry, answer = self._head.entry, self._answers["pixels"]
        inside = answer == "inside"
        conventions, size = self.settings.conventions, (image.shape[0], image.shape[1])
        frame = make_frame(size, self.settings.resize, conventions)
        _, mean, std, bgr = _RULES[answer]
        resample = _RESAMPLING[self._answers["preset"]]
        given = frame
        if entry.size != (None, None):
            room = (entry.size[0] or frame.input_size[0], entry.size[1] or frame.input_size[1])
            resized = self._fitted(size, frame.resized_size, room, inside)
            given = frame = stated_frame(size, resized, room, conventions)
            if inside:
                # The graph resizes again, what was padded here included.
                whole = make_frame(room, self.settings.resize, conventions)
                twice = [max(1, round(a * b / c)) for a, b, c in zip(resized, whole.resized_size, room, strict=True)]
                frame = stated_frame(size, (twice[0], twice[1]), whole.input_size, conventions)
        elif inside:
            given = replace(frame, resized_size=size, input_size=size, offset=(0, 0))
        elif self._head.pads:
            given = replace(frame, input_size=frame.resized_size, offset=(0, 0))
        if resample == "torch":
            mean, std = (tuple(value / 255 for value in values) for values in (mean, std))
        batch = prepared(image, given, Pixels(mean, std, bgr, resample)).numpy()
        if entry.dtype.kind == "u":
            batch = np.clip(np.rint(batch), 0, 255)
        if entry.channels_last:
            batch = batch.transpose(0, 2, 3, 1)
        return frame, np.ascontiguousarray(batch if entry.batched else batch[0], entry.dtype)

    def _fitted(
        self, size: tuple[int, int], usual: tuple[int, int], room: tuple[int, int], inside: bool
    ) -> tuple[int, int]:
        """(H, W) of an image in a fixed input: as the preset has it where that fits, else as large as fits."""
        if self._answers["fit"] == "stretch":
            return room
        if self._answers["fit"] == "preset" and not inside and usual[0] <= room[0] and usual[1] <= room[1]:
            return usual
        scale = min(room[0] / size[0], room[1] / size[1])
        height, width = (min(max(1, round(side * scale)), most) for side, most in zip(size, room, strict=True))
        return height, width

    def _run(self, batch: NDArray, cancelled: Callable[[], bool] | None) -> list[NDArray]:
        runtime = library("onnxruntime", Path(self.name))
        options = runtime.RunOptions()
        options.log_severity_level = 4
        names = [name for pair in self._head.pairs for name in (pair.objectness, pair.deltas)]
        feed = {self._head.entry.name: batch}
        try:
            if cancelled is None:
                return list(self._session.run(names, feed, options))
            # A graph runs without asking anybody: it does so in a thread, and is told to stop between two operators.
            with ThreadPoolExecutor(1, "rpnviz-onnx") as pool:
                future = pool.submit(self._session.run, names, feed, options)
                while not wait([future], _ASK_EVERY_S).done:
                    if cancelled():
                        options.terminate = True
                return list(future.result())
        except Exception as error:  # its exceptions share no base of their own
            if options.terminate:
                raise Cancelled from None
            shape = " x ".join(str(side) for side in batch.shape)
            raise ModelFileError(
                f"onnxruntime fails on an input of {shape}: {_first_line(error)}",
                where=self.name,
                way_out="Check the options 'preset' and 'pixels', and the input size that it was exported for.",
            ) from error

    def _levels(self, arrays: Sequence[NDArray], frame: Frame) -> tuple[LevelOutput, ...]:
        """Outputs of all levels, finest first, after a look at their shapes."""
        found = []
        for number, pair in enumerate(self._head.pairs):
            logits, deltas = arrays[2 * number], arrays[2 * number + 1]
            grid = logits.shape[2:]
            wanted = ((1, pair.cells * pair.logits, *grid), (1, 4 * pair.cells, *grid))
            if len(grid) != 2 or (logits.shape, deltas.shape) != wanted:
                raise ModelFileError(
                    f"its values {pair.objectness!r} and {pair.deltas!r} have shapes {logits.shape} and "
                    f"{deltas.shape}, expected (1, {pair.cells * pair.logits}, H, W) and (1, {4 * pair.cells}, H, W).",
                    where=self.name,
                    way_out=DUMP_INSTEAD,
                )
            objectness = np.array(logits[0], np.float32)
            if pair.logits == 2:
                both = objectness.reshape(pair.cells, 2, *grid)
                place = 0 if self._answers["foreground"] == "first" else 1
                objectness = both[:, place] - both[:, 1 - place]
            boxes = np.array(deltas[0], np.float32).reshape(pair.cells, 4, *grid)
            if self._answers["preset"] == "matterport":
                boxes = np.ascontiguousarray(boxes[:, [1, 0, 3, 2]])
            found.append((objectness, boxes))
        found.sort(key=lambda level: -level[0][0].size)
        anchors = self.settings.anchors
        shapes = [objectness.shape for objectness, _ in found]
        expected = [
            (cells, *grid) for cells, grid in zip(anchors.cells, grid_shapes(frame.input_size, anchors), strict=True)
        ]
        if shapes != expected:
            height, width = frame.input_size
            raise ModelFileError(
                f"its levels have (A, H, W) = {_shapes(shapes)}; the preset {self._answers['preset']} makes "
                f"{_shapes(expected)} of an input of {width} x {height} px.",
                where=self.name,
                way_out=f"Check the options 'preset' and 'pixels', and the size of the input. {DUMP_INSTEAD}",
            )
        return tuple(LevelOutput(objectness, boxes) for objectness, boxes in found)


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(tuple(int(side) for side in shape)) for shape in shapes)
