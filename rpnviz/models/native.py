"""rpnviz's own weight files: safetensors whose metadata say how the network was built.

Metadata, all strings as safetensors demands: ``format`` is ``rpnviz-rpn/1``; ``name`` and ``note`` are shown to the
user; ``step`` is the number of training steps, if it is a checkpoint of a training; ``settings`` is a JSON object with
the groups ``resize``, ``anchors`` and ``coder`` of a Params document, under torchvision's conventions; ``widths`` is a
JSON object with the channels of the network. Weights are float16, computed with as float32.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rpnviz.core import presets
from rpnviz.core.frame import make_frame
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.rules import ListOf, Number, check_names, plain
from rpnviz.errors import ModelFileError, ParamsError
from rpnviz.models.base import check_image, stop_if
from rpnviz.models.preloading import preload_torch

if TYPE_CHECKING:
    from rpnviz.models.network import Network

FORMAT = "rpnviz-rpn/1"
_GROUPS = ("resize", "anchors", "coder")
_UNUSED = "num_batches_tracked"
"""BatchNorm's step counter: only training with a cumulative average reads it, so files do not carry it."""


@dataclass(frozen=True, eq=False)
class NativeModel:
    """A network of :mod:`rpnviz.models.network` with its weights; see :class:`rpnviz.models.base.ProposalModel`."""

    name: str
    note: str
    settings: ModelSettings
    _network: Network = field(repr=False)

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`."""
        import torch

        from rpnviz.models.network import normalise

        check_image(image)
        conventions = self.settings.conventions
        frame = make_frame((image.shape[0], image.shape[1]), self.settings.resize, conventions)
        stop_if(cancelled)
        resized = torch.from_numpy(resize(image, frame.resized_size))
        bottom, right = (a - b for a, b in zip(frame.input_size, frame.resized_size, strict=True))
        with torch.inference_mode():
            batch = torch.nn.functional.pad(normalise(resized[None]), (0, right, 0, bottom))
            outputs = self._network(batch, lambda: stop_if(cancelled))
        levels = tuple(LevelOutput(level.objectness[0].numpy(), level.deltas[0].numpy()) for level in outputs)
        return RPNOutput(levels, frame.resized_size, frame.input_size, self.settings, self.name)


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at ``size`` (H, W): averaged where it shrinks, linear where it grows; always a copy in C order."""
    from rpnviz.imaging import cv2

    if image.shape[:2] == size:
        return image.copy()
    shrinks = size[0] < image.shape[0]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (size[1], size[0]), interpolation=mode)
    return resized.astype(np.uint8, copy=False)


def save(
    network: Network, path: Path, settings: ModelSettings, *, name: str, note: str, step: int | None = None
) -> None:
    """Write the weights as float16 with everything that is needed to run them."""
    from safetensors.torch import save as serialise

    tensors = {
        key: tensor.half().contiguous() for key, tensor in network.state_dict().items() if not key.endswith(_UNUSED)
    }
    document = {group: plain(getattr(settings, group)) for group in _GROUPS}
    document["conventions"] = settings.conventions.overrides_from(presets.load("torchvision").conventions)
    metadata = {
        "format": FORMAT,
        "name": name,
        "note": note,
        "settings": json.dumps(document),
        "widths": json.dumps(network.widths._asdict()),
    }
    if step is not None:
        metadata["step"] = str(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(serialise(tensors, metadata))
    os.replace(beside, path)


def load(path: Path, metadata: Mapping[str, str]) -> NativeModel:
    """Open a weight file whose header was already read and found to be ours.

    Args:
        path: a complete safetensors file.
        metadata: its metadata.

    Raises:
        ModelFileError: the metadata are not what the format demands, or the weights do not fit them.
    """
    settings = _read_settings(path, metadata)
    preload_torch()
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as deserialise

    from rpnviz.models.network import STRIDES, Network, Widths

    if settings.anchors.strides != STRIDES or len(set(settings.anchors.cells)) != 1:
        raise ModelFileError(
            f"its anchors have strides {settings.anchors.strides} and {settings.anchors.cells} shapes per position; "
            f"this network has strides {STRIDES} and the same number on every level.",
            where=str(path),
        )
    if settings.resize.pad_multiple % STRIDES[-1]:
        raise ModelFileError(
            f"it pads images to multiples of {settings.resize.pad_multiple} px; this network needs multiples of "
            f"{STRIDES[-1]}.",
            where=str(path),
        )
    # On the meta device a network is shapes alone: none is allocated that the file does not fill, and torch's global
    # random generator is not asked for initial weights.
    with torch.device("meta"):
        network = Network(settings.anchors.cells[0], Widths(*_read_widths(path, metadata, len(STRIDES))))
    # Not memory-mapped: a training that writes the file again would change the weights, or end the program.
    try:
        tensors = deserialise(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"the weights cannot be read: {error}.", where=str(path)) from error
    state = network.state_dict()
    wanted = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith(_UNUSED)}
    _compare_shapes(path, {key: tuple(tensor.shape) for key, tensor in tensors.items()}, wanted)
    tensors = {key: tensor.float() for key, tensor in tensors.items()}
    broken = [key for key in wanted if not bool(tensors[key].isfinite().all())]
    if broken:
        raise ModelFileError(
            f"{len(broken)} of {len(wanted)} weights hold infinite or undefined numbers, the first is {broken[0]}.",
            where=str(path),
            way_out="Save the model again; the training that made it may have diverged.",
        )
    counter = torch.zeros((), dtype=torch.int64)
    network.load_state_dict({key: tensors.get(key, counter) for key in state}, assign=True)
    network.eval().requires_grad_(False)
    return NativeModel(metadata.get("name") or path.stem, metadata.get("note", ""), settings, network)


def _read_widths(path: Path, metadata: Mapping[str, str], num_stages: int) -> tuple[Any, Any, Any]:
    """Channels of stem (2,), stages (``num_stages``,) and pyramid, checked."""
    document = _read_json(path, metadata, "widths")
    channels = Number(1, 4096, whole=True)
    try:
        return (
            ListOf(channels, 2).read(document.get("stem"), "widths.stem"),
            ListOf(channels, num_stages).read(document.get("stages"), "widths.stages"),
            channels.read(document.get("pyramid"), "widths.pyramid"),
        )
    except ParamsError as error:
        raise ModelFileError(f"its metadata are not usable: {error}", where=str(path)) from error


def _read_json(path: Path, metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        document = json.loads(metadata[key])
    except KeyError:
        raise ModelFileError(f"its metadata say {FORMAT} but hold no {key!r}.", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"metadata {key!r} is not JSON: {error}.", where=str(path)) from None
    if not isinstance(document, dict):
        raise ModelFileError(f"metadata {key!r} is {document!r}, expected a JSON object.", where=str(path))
    return document


def _read_settings(path: Path, metadata: Mapping[str, str]) -> ModelSettings:
    """A Params document of those groups that a network fixes; fields that came later have torchvision's values."""
    document = _read_json(path, metadata, "settings")
    try:
        check_names(document, [*_GROUPS, "preset", "conventions"], "")
        for group in _GROUPS:
            if group not in document:
                raise ParamsError("is missing.", where=group)
        read = presets.from_document(document)
    except ParamsError as error:
        raise ModelFileError(f"its settings are not usable: {error}", where=str(path)) from error
    return ModelSettings(read.params.resize, read.params.anchors, read.params.coder, read.conventions, preset=read.name)


def _compare_shapes(path: Path, found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Name every weight that is missing, unknown or of another shape, not only the first."""
    problems = [f"{key} is missing" for key in wanted if key not in found]
    problems += [f"{key} is unknown" for key in found if key not in wanted]
    problems += [
        f"{key} has shape {found[key]}, expected {shape}"
        for key, shape in wanted.items()
        if key in found and found[key] != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ModelFileError(
            f"its weights do not fit its own metadata: {'; '.join(problems[:5])}{more}.",
            where=str(path),
            way_out="Write the file again with the version of rpnviz that trained it.",
        )
