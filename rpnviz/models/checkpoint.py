"""Checkpoints of torchvision, detectron2 and mmdetection as proposal models.

What a file cannot tell is asked (:class:`~rpnviz.models.base.Question`), with the framework's own value as the default.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.array_files import read_arrays
from rpnviz.core import presets
from rpnviz.core.frame import Frame, make_frame
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.params import AnchorParams, Params, TopN
from rpnviz.core.presets import Preset
from rpnviz.errors import ModelFileError, ParamsError
from rpnviz.models.base import ModelInfo, Question, answered, check_image, stop_if, stop_if_asked
from rpnviz.models.keras_h5 import read_arrays as read_keras
from rpnviz.models.keras_h5 import translate as translate_keras
from rpnviz.models.layouts import (
    Layout,
    is_softmax,
    layout_of,
    merge_softmax,
    size_of,
    translate,
    usual_set,
    weight_sets,
)
from rpnviz.models.pickles import Stub, read_pickle, state_dict
from rpnviz.models.pixels import IMAGENET_MEAN, IMAGENET_STD, MATTERPORT_MEAN, UNIT_MEAN, UNIT_STD, Pixels, prepared
from rpnviz.models.preloading import preload_torch

if TYPE_CHECKING:
    from rpnviz.models.convnet import Detector

_BARE = "bare"
"""Stands for a set of weights that has nothing before its names."""
_QUICKLY_READ = 64 * 2**20
"""Bytes of a pickle without an archive around it."""
_RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Weights:
    """A checkpoint as read.

    Attributes:
        layout: whose names it has.
        state: under torchvision's present names.
        stubs: names in it that were not looked up.
        module: the pickled module, where the file holds a whole one.
        meta: what else the checkpoint says of itself.
        set_name: of these weights, where the file holds several sets; empty for the only one.
        sets: names of all sets and their numbers of tensors, where there are several.
    """

    layout: Layout
    state: dict[str, NDArray]
    stubs: tuple[str, ...]
    module: Stub | None
    meta: Mapping[str, Any]
    set_name: str = ""
    sets: tuple[tuple[str, int], ...] = ()


def read_weights(path: Path, set_name: str = "") -> Weights:
    """Read a checkpoint; the last one is kept, because it is inspected before it is opened.

    Args:
        path: the file.
        set_name: whose weights, where there are several sets; the usual ones where it is none of them.

    Raises:
        ModelFileError: it is damaged, or holds no RPN of a known framework.
    """
    status = path.stat()
    found = _read(path, status.st_mtime_ns, status.st_size)
    return found.get(set_name) or next(iter(found.values()))


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int, _size: int) -> dict[str, Weights]:
    """By the names of the sets, the usual one first."""
    stubs: tuple[str, ...] = ()
    value: Any = None
    if _is_hdf5(path):
        return {"": Weights(Layout.MATTERPORT, _translate_keras(path), (), None, {})}
    if path.suffix.lower() == ".safetensors":
        tensors, _ = read_arrays(path, _each)
    else:
        found = read_pickle(path)
        tensors, stubs, value = state_dict(found.value), found.stubs, found.value
    whole = _layout(path, tensors)
    module = value if isinstance(value, Stub) else None
    meta = value.get("meta") if isinstance(value, Mapping) else None
    said = meta if isinstance(meta, Mapping) else {}
    sets = weight_sets(tensors)
    if len(sets) == 1:
        return {"": Weights(whole, translate(next(iter(sets.values())), whole), stubs, module, said)}
    layouts = {prefix: _layout(path, held) for prefix, held in sets.items()}
    states = {prefix: translate(held, layouts[prefix]) for prefix, held in sets.items()}
    usual = usual_set(states)
    sizes = tuple((prefix or _BARE, size_of(held)) for prefix, held in states.items())
    return {
        (prefix or _BARE): Weights(layouts[prefix], states[prefix], stubs, module, said, prefix or _BARE, sizes)
        for prefix in sorted(states, key=lambda prefix: prefix != usual)
    }


def _each(_name: str) -> bool:
    stop_if_asked()
    return True


def _layout(path: Path, tensors: Mapping[str, NDArray]) -> Layout:
    layout = layout_of(tensors)
    if layout is None:
        listed = ", ".join(list(tensors)[:4]) + (", ..." if len(tensors) > 4 else "")
        raise ModelFileError(
            f"it holds {len(tensors):,} tensors ({listed or 'none'}), but no region proposal network of torchvision, "
            "detectron2 or mmdetection.",
            where=str(path),
            way_out="Any other network can write an RPN dump: see docs/rpn-dump.md.",
        )
    return layout


def check_names(path: Path) -> None:
    """Refuse a pickle whose tensors, by their names, are no RPN's; a large one that only whole tells them passes.

    Raises:
        ModelFileError: it holds an optimiser, or another network, or is damaged.
        Cancelled: nobody waits for it any more.
    """
    if _is_hdf5(path) or path.suffix.lower() == ".safetensors":
        return  # told by their first bytes and their header
    if zipfile.is_zipfile(path) or path.stat().st_size <= _QUICKLY_READ:
        _layout(path, state_dict(read_pickle(path, numbers=False).value))


def _translate_keras(path: Path) -> dict[str, NDArray]:
    try:
        return translate_keras(read_keras(path))
    except (ValueError, LookupError) as error:
        raise ModelFileError(
            f"its arrays have other shapes than those of Matterport's Mask R-CNN: {error}.", where=str(path)
        ) from error


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def inspect(path: Path) -> ModelInfo:
    """What a checkpoint is, and what it does not say.

    Raises:
        ModelFileError: see :func:`read_weights`; or its weights do not make a network.
    """
    weights = read_weights(path)
    preload_torch()
    detector = _detector(path, weights, {question.key: question.default for question in questions(weights)}, "cpu")
    recovered = "; its own anchors, sizes and thresholds were found in it" if _recovered(weights.module) else ""
    return ModelInfo(
        weights.layout.value,
        weights.layout.value,
        f"{detector.description}{recovered}",
        weights.stubs,
        tuple(questions(weights)),
    )


def open_checkpoint(path: Path, options: Mapping[str, str]) -> CheckpointModel:
    """Make a model of a checkpoint.

    Args:
        path: the file.
        options: answers by key; for the others the defaults hold.

    Raises:
        ModelFileError: as :func:`inspect`, or an answer is none of the choices.
    """
    weights = read_weights(path, options.get("weights", ""))
    preload_torch()
    answers = answered(path, questions(weights), options)
    device = _device(answers.pop("device"))
    detector = _detector(path, weights, answers, device)
    settings = _settings(path, weights, detector, answers)
    note = f"{detector.description}, {weights.layout}" + (f", weights {weights.set_name}" if weights.sets else "")
    return CheckpointModel(path.name, note, settings, detector, _pixels(weights, answers), device)


def questions(weights: Weights) -> list[Question]:
    """What the file does not say, with the framework's own answers."""
    state = weights.state
    grouped = _is_grouped(state)
    caffe = weights.layout is Layout.DETECTRON2 and not grouped
    asked = []
    if weights.sets:
        most = max(size for _, size in weights.sets)
        choices = tuple(
            (name, f"{size:,} tensors" + ("" if size == most else f", {most - size:,} fewer than another"))
            for name, size in weights.sets
        )
        asked.append(Question("weights", "Which of the weights in the file", choices, weights.set_name))
    if weights.layout is Layout.MMDETECTION:
        asked.append(
            Question(
                "style",
                "Whose backbone it began with",
                (("pytorch", "torchvision's: RGB, stride in the 3x3"), ("caffe", "Caffe's: BGR, stride in the 1x1")),
                "pytorch",
            )
        )
        if is_softmax(state):
            asked.append(
                Question(
                    "foreground",
                    "Which of the two logits of an anchor is the object",
                    (("first", "mmdetection 2.5 and later"), ("second", "before")),
                    "second" if _version(weights.meta).startswith(("0", "1", "2.0")) else "first",
                )
            )
    if weights.layout is Layout.DETECTRON2:
        asked.append(
            Question(
                "stride_in_1x1",
                "Which convolution of a bottleneck halves the resolution",
                (("yes", "the 1x1: R-50 and R-101 of MSRA"), ("no", "the 3x3: X-101, or torchvision's backbone")),
                "yes" if caffe else "no",
            )
        )
        asked.append(
            Question(
                "pixel_std",
                "What pixels are divided by",
                (("1", "nothing: R-50 and R-101 of MSRA"), ("57", "57.375, 57.12, 58.395: X-101")),
                "1" if caffe else "57",
            )
        )
        asked.append(
            Question("channel_order", "Order of the colours", (("bgr", "detectron2's own"), ("rgb", "")), "bgr")
        )
    if "backbone.body.0.0.weight" in state:
        asked.append(
            Question(
                "variant",
                "Which builder made it",
                (("large", "fasterrcnn_mobilenet_v3_large_fpn, 800 px"), ("320", "..._large_320_fpn, 320 px")),
                "large",
            )
        )
    asked.append(
        Question(
            "bn_eps",
            "Epsilon of the batch normalisation; 0 in torchvision's COCO_V1 weights",
            (),
            "1e-3" if weights.layout is Layout.MATTERPORT else "1e-5",
        )
    )
    asked.append(Question("device", "Where it runs", tuple((name, "") for name in devices()), "auto"))
    return asked


def _version(meta: Mapping[str, Any]) -> str:
    """Of mmdetection, as a checkpoint states it; empty where it states none."""
    stated = meta.get("mmdet_version", "")
    return stated if isinstance(stated, str) else ""


@lru_cache(maxsize=1)
def devices() -> tuple[str, ...]:
    """Where a network can run on this machine."""
    return ("auto", "cpu", "cuda", "mps")


def _device(wanted: str) -> str:
    """The device itself: ``auto`` takes the fastest there is.

    Raises:
        ModelFileError: it is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise ModelFileError(f"the device {wanted!r} is not available here.", way_out="Choose 'auto' or 'cpu'.")
    return wanted


def _is_grouped(state: Mapping[str, NDArray]) -> bool:
    """Whether the backbone is a ResNeXt."""
    inner = state.get("backbone.body.layer1.0.conv2.weight")
    return inner is not None and inner.shape[0] != inner.shape[1]


def _detector(path: Path, weights: Weights, answers: Mapping[str, str], device: str) -> Detector:
    from rpnviz.models.convnet import Detector, NetOptions

    state = weights.state
    if is_softmax(state):
        state = merge_softmax(state, 0 if answers.get("foreground") == "first" else 1)
    keras = weights.layout is Layout.MATTERPORT
    in_1x1 = keras or answers.get("stride_in_1x1") == "yes" or answers.get("style") == "caffe"
    try:
        eps = float(answers.get("bn_eps", "1e-5"))
        return Detector(state, NetOptions(eps, in_1x1, keras), device)
    except ModelFileError as error:
        raise ModelFileError(error.what, where=str(path), way_out=error.way_out) from error
    except ValueError as error:
        raise ModelFileError(f"an option is no number: {error}.", where=str(path)) from error


def _recovered(module: Stub | None) -> dict[str, Any]:
    """Anchors, sizes and thresholds of a pickled torchvision detector; empty where it is none."""
    children = module.__dict__.get("_modules") if module is not None else None
    if not isinstance(children, Mapping):
        return {}
    rpn, transform = children.get("rpn"), children.get("transform")
    if not isinstance(rpn, Stub) or not isinstance(transform, Stub):
        return {}
    generator = (rpn.__dict__.get("_modules") or {}).get("anchor_generator")
    if not isinstance(generator, Stub):
        return {}
    held, sizes = rpn.__dict__, transform.__dict__
    return {
        "sizes": generator.__dict__.get("sizes"),
        "aspect_ratios": generator.__dict__.get("aspect_ratios"),
        "min_size": sizes.get("min_size"),
        "max_size": sizes.get("max_size"),
        "image_mean": sizes.get("image_mean"),
        "image_std": sizes.get("image_std"),
        "pre_nms_top_n": held.get("_pre_nms_top_n"),
        "post_nms_top_n": held.get("_post_nms_top_n"),
        "nms_thresh": held.get("nms_thresh"),
        "score_thresh": held.get("score_thresh"),
        "box_min_size": held.get("min_size"),
    }


def _settings(path: Path, weights: Weights, detector: Detector, answers: Mapping[str, str]) -> ModelSettings:
    """The framework's own settings, with what the file says itself."""
    preset = presets.load(weights.layout.value)
    own = _recovered(weights.module)
    try:
        params = _params(preset, detector, own, answers)
    except (ParamsError, TypeError, ValueError) as error:
        raise ModelFileError(f"its settings are not usable: {error}", where=str(path)) from error
    return ModelSettings(params.resize, params.anchors, params.coder, preset.conventions, params.proposals, preset.name)


def _params(preset: Preset, detector: Detector, own: Mapping[str, Any], answers: Mapping[str, str]) -> Params:
    params = dataclasses.replace(preset.params, anchors=_anchors(preset, detector, own))
    if len(detector.strides) == 1:
        # detectron2 config/defaults.py, which only Base-RCNN-FPN.yaml changes; mmdet faster-rcnn_r50-caffe-c4.py.
        params = params.with_values("proposals", pre_nms_top_n=TopN(12000, 6000), post_nms_top_n=TopN(2000, 1000))
    if answers.get("variant") == "320":
        params = params.with_values("resize", min_size=320, max_size=640)
        params = params.with_values("proposals", pre_nms_top_n=TopN(2000, 150), post_nms_top_n=TopN(2000, 150))
    if "variant" in answers:
        params = params.with_values("proposals", score_thresh=0.05)
    sides = own.get("min_size")
    if isinstance(sides, (tuple, list)) and sides and isinstance(own.get("max_size"), int):
        params = params.with_values("resize", min_size=int(sides[-1]), max_size=int(own["max_size"]))
    for name in ("pre_nms_top_n", "post_nms_top_n"):
        value = own.get(name)
        if isinstance(value, Mapping) and {"training", "testing"} <= set(value):
            params = params.with_values("proposals", **{name: TopN(int(value["training"]), int(value["testing"]))})
    for name, key in (("nms_thresh", "nms_thresh"), ("score_thresh", "score_thresh"), ("min_size", "box_min_size")):
        if isinstance(own.get(key), (int, float)):
            params = params.with_values("proposals", **{name: float(own[key])})
    return params


def _anchors(preset: Preset, detector: Detector, own: Mapping[str, Any]) -> AnchorParams:
    """The file's own anchors, else those of the builder that makes so many levels and shapes."""
    anchors, levels, cells = preset.params.anchors, len(detector.strides), detector.cells
    sizes, ratios = own.get("sizes"), own.get("aspect_ratios")
    if not (isinstance(sizes, tuple) and isinstance(ratios, tuple) and len(sizes) == levels):
        sizes, ratios = _usual_shapes(detector.strides, cells)
    same = tuple(tuple(float(value) for value in level) for level in sizes)
    shapes = tuple(tuple(float(value) for value in level) for level in ratios)
    if isinstance(anchors.base_sizes, tuple) and len(detector.strides) == len(anchors.strides) and cells == 3:
        return dataclasses.replace(anchors, strides=detector.strides)  # mmdetection's own, in its float order
    return dataclasses.replace(
        anchors, strides=detector.strides, sizes=same, aspect_ratios=shapes, base_sizes=-1, scales=(1.0,)
    )


def _usual_shapes(strides: tuple[int, ...], cells: int) -> tuple[Any, Any]:
    """Sizes and ratios that make ``cells`` shapes: five sizes on few levels, else 8 strides, in parts of an octave."""
    ratios = _RATIOS if cells % 3 == 0 else (1.0,)
    each = cells // len(ratios)
    if each == 5:
        sizes: tuple[tuple[float, ...], ...] = ((32.0, 64.0, 128.0, 256.0, 512.0),) * len(strides)
    else:
        sizes = tuple(tuple(8.0 * stride * 2 ** (k / each) for k in range(each)) for stride in strides)
    return sizes, (ratios,) * len(strides)


def _pixels(weights: Weights, answers: Mapping[str, str]) -> Pixels:
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    ones = (1.0, 1.0, 1.0)
    if weights.layout is Layout.TORCHVISION:
        own = _recovered(weights.module)
        if isinstance(own.get("image_mean"), (list, tuple)) and isinstance(own.get("image_std"), (list, tuple)):
            mean, std = tuple(map(float, own["image_mean"])), tuple(map(float, own["image_std"]))
            return Pixels(mean, std, False, "torch")
        return Pixels(UNIT_MEAN, UNIT_STD, False, "torch")
    if weights.layout is Layout.MATTERPORT:
        return Pixels(MATTERPORT_MEAN, ones, False, "skimage")
    if weights.layout is Layout.DETECTRON2:
        bgr = answers["channel_order"] == "bgr"
        step = -1 if bgr else 1
        return Pixels(mean[::step], ones if answers["pixel_std"] == "1" else std[::step], bgr, "pil")
    caffe = answers["style"] == "caffe"
    return Pixels(mean[::-1] if caffe else mean, ones if caffe else std, caffe, "cv2")


@dataclass(frozen=True, eq=False)
class CheckpointModel:
    """A checkpoint that runs; see :class:`rpnviz.models.base.ProposalModel`."""

    name: str
    note: str
    settings: ModelSettings
    _detector: Detector = field(repr=False)
    _pixels: Pixels = field(repr=False)
    _device: str = field(repr=False)

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`."""
        import torch

        check_image(image)
        frame = make_frame((image.shape[0], image.shape[1]), self.settings.resize, self.settings.conventions)
        stop_if(cancelled)
        with torch.inference_mode():
            batch = self._prepared(image, frame)
            outputs = self._detector(batch, lambda: stop_if(cancelled))
            cells = self._detector.cells
            levels = tuple(
                LevelOutput(
                    objectness[0].contiguous().cpu().numpy(),
                    deltas[0].contiguous().reshape(cells, 4, *deltas.shape[-2:]).cpu().numpy(),
                )
                for objectness, deltas in outputs
            )
        return RPNOutput(levels, frame.resized_size, frame.input_size, self.settings, self.name)

    def at_half(self) -> CheckpointModel:
        """See :meth:`rpnviz.models.base.Previewing.at_half`."""
        resize = self.settings.resize
        multiple = max(resize.pad_multiple, 1)
        short, long = (
            max(multiple, round(side / 2 / multiple) * multiple) for side in (resize.min_size, resize.max_size)
        )
        small = dataclasses.replace(resize, min_size=short, max_size=long)
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, resize=small))

    def _prepared(self, image: NDArray[np.uint8], frame: Frame) -> Any:
        """(1, 3, H, W) float32 as the framework gives it to its network."""
        return prepared(image, frame, self._pixels, self._device)


def read_sidecar(path: Path) -> dict[str, str]:
    """The answers that were given for a model file before; none where they cannot be read."""
    try:
        document = json.loads(sidecar(path).read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in document["options"].items()}
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return {}


def write_sidecar(path: Path, options: Mapping[str, str]) -> None:
    """Remember the answers beside the model file; a folder that cannot be written to is no reason to stop."""
    from rpnviz.files import write_whole

    try:
        text = json.dumps({"options": dict(options)}, indent=2) + "\n"
        write_whole(str(sidecar(path)), text.encode())
    except (OSError, ModelFileError):
        return


def sidecar(path: Path) -> Path:
    """Where the answers for a model file are kept."""
    return path.with_name(f"{path.name}.rpnviz.json")
