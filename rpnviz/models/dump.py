"""RPN dumps: what a network of any trainer gave for one image, recorded in ``.npz`` or ``.safetensors``.

The format is described for users in ``docs/rpn-dump.md``. A folder of dumps is a model that knows those images.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.array_files import read_arrays, read_size
from rpnviz.core import presets
from rpnviz.core.anchors import recorded_anchors
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput, built_in
from rpnviz.core.params import AnchorParams
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.errors import ModelFileError, ParamsError, ShapeError
from rpnviz.models.base import ModelInfo, check_image, stop_if_asked

FORMAT = "rpn-dump/1"
SUFFIXES = (".npz", ".safetensors")
_NAMES = frozenset(
    {
        *("original_size", "resized_size", "input_size", "anchors", "strides"),
        *("format", "file_name", "step", "preset", "delta_order", "delta_weights", "delta_clip"),
    }
)
_LEVEL = re.compile(r"level\d+\.(objectness|deltas)")
_MOST = 2**29
"""Bytes that the arrays may unpack to together; those of a quarter of a million anchors take 10 MB."""


@dataclass(frozen=True, eq=False)
class Dump:
    """One recording.

    Attributes:
        output: as the network gave it.
        original_size: (H, W) of the image.
        file_name: of the image; empty if the file does not say.
        step: of the training; None if the file does not say.
    """

    output: RPNOutput
    original_size: tuple[int, int]
    file_name: str
    step: int | None


def is_dump(names: Any) -> bool:
    """Whether arrays of these names make a dump."""
    return "level0.objectness" in names and "level0.deltas" in names


def read_dump(path: Path, preset: str | None = None) -> Dump:
    """Read one dump.

    Args:
        path: the file.
        preset: whose anchors and coder hold where the file has none of its own; None: as it says, else torchvision's.

    Raises:
        ModelFileError: an array is missing, has another shape than the others say, or is no number.
    """
    arrays, metadata = read_arrays(path, _is_known, _MOST)
    try:
        return _dump(path, arrays, metadata, presets.load(preset or metadata.get("preset") or "torchvision"))
    except (ShapeError, ParamsError, ValueError, KeyError, TypeError) as error:
        what = f"the array {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelFileError(
            f"it is no complete RPN dump: {what}.", where=str(path), way_out="docs/rpn-dump.md says what it must hold."
        ) from error


def labels(path: Path) -> tuple[str, int | None]:
    """The image's file name and the training step that a dump states, without reading its outputs.

    Raises:
        ModelFileError: the file is damaged.
    """
    arrays, metadata = read_arrays(path, lambda name: name in ("file_name", "step"))
    return metadata.get("file_name", ""), _step(arrays, metadata)


def _step(arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> int | None:
    text = metadata.get("step", str(int(arrays["step"])) if "step" in arrays else "")
    return int(text) if text.lstrip("-").isdigit() else None


def _is_known(name: str) -> bool:
    """Whether the format has an array or a text of this name."""
    stop_if_asked()
    return name in _NAMES or _LEVEL.fullmatch(name) is not None


def _dump(path: Path, arrays: Mapping[str, NDArray], metadata: Mapping[str, str], preset: Preset) -> Dump:
    found = metadata.get("format", FORMAT)
    if found != FORMAT:
        raise ValueError(f"its format is {found!r}, expected {FORMAT!r}")
    levels: list[LevelOutput] = []
    while f"level{len(levels)}.objectness" in arrays:
        levels.append(_level(arrays, len(levels), metadata.get("delta_order", "dxdydwdh")))
    original, resized, padded = (
        read_size(arrays[name], name) for name in ("original_size", "resized_size", "input_size")
    )
    shapes = [level.objectness.shape for level in levels]
    if "strides" in arrays:
        strides = [float(row[-1]) for row in np.atleast_2d(arrays["strides"].reshape(len(levels), -1))]
    else:
        strides = [float(2 ** round(np.log2(max(padded[1] / shape[2], 1)))) for shape in shapes]
    params = preset.params.anchors
    anchors = None
    if "anchors" in arrays:
        anchors = np.asarray(arrays["anchors"], preset.conventions.iou_dtype.value)
        recorded_anchors(anchors, shapes, strides)  # says at once where they do not fit
        params = _named(params, strides, [shape[0] for shape in shapes])
    weights, clip = metadata.get("delta_weights"), metadata.get("delta_clip")
    coded = preset.params
    if weights:
        coded = coded.with_values("coder", weights=tuple(float(value) for value in json.loads(weights)))
    if clip:
        coded = coded.with_values("coder", dwh_clip=float(clip))
    settings = ModelSettings(
        preset.params.resize, params, coded.coder, preset.conventions, preset=preset.name, shapes_known=anchors is None
    )
    source = path.name
    output = RPNOutput(tuple(levels), resized, padded, settings, source, stated=True, anchors=anchors)
    return Dump(output, original, metadata.get("file_name", ""), _step(arrays, metadata))


def _level(arrays: Mapping[str, NDArray], number: int, order: str) -> LevelOutput:
    objectness = np.asarray(arrays[f"level{number}.objectness"], np.float32)
    deltas = np.asarray(arrays[f"level{number}.deltas"], np.float32)
    if objectness.ndim != 3:
        raise ValueError(f"'level{number}.objectness' has shape {objectness.shape}, expected (A, H, W)")
    wanted = (objectness.shape[0], 4, *objectness.shape[1:])
    if deltas.size != int(np.prod(wanted)) or deltas.shape[-2:] != wanted[-2:]:
        raise ValueError(f"'level{number}.deltas' has shape {deltas.shape}, expected {wanted} or (4 A, H, W)")
    deltas = deltas.reshape(wanted)
    if order == "dydxdhdw":
        deltas = deltas[:, [1, 0, 3, 2]]
    elif order != "dxdydwdh":
        raise ValueError(f"delta_order is {order!r}, expected 'dxdydwdh' or 'dydxdhdw'")
    return LevelOutput(np.ascontiguousarray(objectness), np.ascontiguousarray(deltas))


def _named(params: AnchorParams, strides: list[float], cells: list[int]) -> AnchorParams:
    """Parameters with the levels and the number of shapes of recorded anchors; the boxes themselves are recorded."""
    sizes = tuple(tuple(float(k + 1) for k in range(count)) for count in cells)
    whole = tuple(max(1, round(stride)) for stride in strides)
    return AnchorParams(whole, sizes, ((1.0,),) * len(cells), params.offset, -1, (1.0,), params.subsample)


@dataclass(frozen=True, eq=False)
class DumpModel:
    """A recording, or several, as a model that runs nothing; see :class:`rpnviz.models.base.ProposalModel`."""

    name: str
    note: str
    settings: ModelSettings
    _dumps: Mapping[str, Path] = field(repr=False)
    _preset: str | None = field(repr=False)
    _only: Dump | None = field(repr=False)

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`.

        Raises:
            ModelFileError: nothing was recorded for this image, or it was of another size.
        """
        check_image(image)
        dump = self._only or self._of(file_name)
        if dump.file_name and file_name and Path(dump.file_name).name != Path(file_name).name:
            raise ModelFileError(
                f"it was recorded for {dump.file_name}, not for {file_name}.",
                where=self.name,
                way_out="Open that image, or record this one too.",
            )
        if dump.original_size != image.shape[:2]:
            height, width = dump.original_size
            raise ModelFileError(
                f"it was recorded for an image of {width} x {height} px; this one has {image.shape[1]} x "
                f"{image.shape[0]}.",
                where=self.name,
                way_out="Open the image that was given to the network, as it was before resizing.",
            )
        return dump.output

    def _of(self, file_name: str) -> Dump:
        for key in (Path(file_name).name, Path(file_name).stem):
            if key in self._dumps:
                return read_dump(self._dumps[key], self._preset)
        raise ModelFileError(f"the folder has no dump for {file_name or 'this image'}.", where=self.name)


def open_dump(path: Path, preset: str | None = None) -> DumpModel:
    """A dump, or a folder of dumps, as a model.

    Args:
        path: a file, or a folder whose files are named like the images or hold ``file_name``.
        preset: see :func:`read_dump`.

    Raises:
        ModelFileError: the file is no complete dump, or the folder holds none.
    """
    if not path.is_dir():
        dump = read_dump(path, preset)
        of = f"recorded for {dump.file_name}" if dump.file_name else "a recording of one image"
        step = f", step {dump.step:,}" if dump.step is not None else ""
        return DumpModel(path.name, f"{of}{step}", dump.output.settings, {}, preset, dump)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ModelFileError("the folder holds no RPN dump (.npz or .safetensors).", where=str(path))
    return dump_model(files, path.name, preset)


def dump_model(files: Sequence[Path], name: str, preset: str | None = None) -> DumpModel:
    """Dumps of several images as one model.

    Args:
        files: at least one; each is named like its image, or holds ``file_name``.
        name: of the model.
        preset: see :func:`read_dump`.

    Raises:
        ModelFileError: the first is no complete dump, or one is damaged.
    """
    first = read_dump(files[0], preset)
    names = {}
    for file in files:
        stop_if_asked()
        names[file.stem] = file
        named = labels(file)[0]
        if named:
            names[Path(named).name] = file
    noun = "image" if len(files) == 1 else "images"
    return DumpModel(name, f"recordings of {len(files):,} {noun}", first.output.settings, names, preset, None)


def inspect(path: Path) -> ModelInfo:
    """What a dump is.

    Raises:
        ModelFileError: see :func:`read_dump`.
    """
    if path.is_dir():
        model = open_dump(path)
        return ModelInfo("dump", "torchvision", model.note, (), ())
    dump = read_dump(path)
    cells = sorted({level.objectness.shape[0] for level in dump.output.levels})
    own = "its own anchors" if dump.output.anchors is not None else "the preset's anchors"
    text = f"{len(dump.output.levels)} levels, {', '.join(map(str, cells))} anchors per position, {own}"
    return ModelInfo("dump", "torchvision", text, (), ())


def dump_bytes(result: Result, file_name: str) -> bytes:
    """The outputs behind a result as a compressed ``.npz``, with the anchors they belong to.

    Args:
        result: of an image, with a network's outputs.
        file_name: of the image.

    Raises:
        ValueError: the result was computed without a network.
        ModelFileError: the network's conventions are those of no preset, and a dump can only name one.
    """
    output = result.inputs.outputs
    if output is None:
        raise ValueError("the result has no outputs to record")
    coder = output.settings.coder
    arrays: dict[str, Any] = {}
    for number, level in enumerate(output.levels):
        arrays[f"level{number}.objectness"] = level.objectness
        arrays[f"level{number}.deltas"] = level.deltas
    texts = {
        "format": FORMAT,
        "file_name": file_name,
        "preset": _preset_of(output),
        "delta_weights": json.dumps(list(coder.weights)),
        "delta_clip": repr(coder.dwh_clip),
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        allow_pickle=False,
        **arrays,
        anchors=result.anchors.boxes,
        original_size=np.array(result.inputs.image_size),
        resized_size=np.array(output.resized_size),
        input_size=np.array(output.input_size),
        strides=np.array(output.settings.anchors.strides),
        **{name: np.array(text) for name, text in texts.items()},
    )
    return file.getvalue()


def _preset_of(output: RPNOutput) -> str:
    """The preset whose conventions turn the outputs into the same boxes; of several the network's own."""
    own = output.settings.conventions
    alike = [name for name in presets.names() if built_in(presets.load(name).conventions) == built_in(own)]
    if not alike:
        raise ModelFileError(
            "it cannot be recorded: its conventions are those of no preset.",
            where=output.source,
            way_out="Write the dump where the network is trained: see docs/rpn-dump.md.",
        )
    if output.settings.preset in alike:
        return output.settings.preset
    return next((name for name in alike if presets.load(name).conventions == own), alike[0])
