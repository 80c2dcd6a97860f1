"""Opens model files: recognises them by their first bytes, and says what a file is where rpnviz cannot read it.

A model file is data, never code: pickles are recognised and refused, not loaded. Neither this module nor looking at a
file imports torch; opening one does.
"""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rpnviz.core.inputs import RPNOutput
from rpnviz.core.proposals import sigmoid
from rpnviz.errors import ModelFileError
from rpnviz.models import native
from rpnviz.models.base import ProposalModel
from rpnviz.paths import bundled_model

_HEAD = 512
_MAX_HEADER = 100_000_000
"""Limit of the safetensors format for its JSON header, in bytes."""
_READS = f"rpnviz reads weights in its own safetensors format ({native.FORMAT})"
_CHOOSE_OTHER = (
    f"{_READS}; the sample model is always there, and anchors, labels and mini-batches need no model at all."
)
_PICKLE = f"Pickled files can run code when they are loaded, so it was not opened. {_CHOOSE_OTHER}"

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, perhaps Keras weights", _CHOOSE_OTHER),
    (
        b"version https://git-lfs",
        "a Git LFS pointer: the place of the weights, not the weights",
        "Run 'git lfs pull' in the repository it comes from, then open it again.",
    ),
    (b"\x89PNG", "a PNG image", "Open it as an image."),
    (b"\xff\xd8\xff", "a JPEG image", "Open it as an image."),
    (b"GIF8", "a GIF image", "Open it as an image."),
    (b"II*\x00", "a TIFF image", "Open it as an image."),
    (b"MM\x00*", "a TIFF image", "Open it as an image."),
    (b"\x93NUMPY", "a NumPy array", _CHOOSE_OTHER),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and open the weights that are inside."),
)
_NETWORKS = (
    ("rpn.head.cls_logits", "torchvision"),
    ("rpn.head.conv", "torchvision"),
    ("proposal_generator.rpn_head", "detectron2"),
    ("rpn_head.rpn_cls", "mmdetection"),
)
"""A part of a weight's name, and the framework that names it so."""


def open_model(path: Path | None) -> ProposalModel:
    """Open a model; slow the first time, because torch is loaded then.

    Args:
        path: the file; None: the sample model that comes with rpnviz.

    Raises:
        ModelFileError: the file is missing, damaged or no model of a kind that rpnviz reads.
    """
    if path is None:
        path = bundled_model()
        if not path.is_file():
            raise ModelFileError(
                "the sample model is missing.",
                where=str(path),
                way_out="Install rpnviz again; its files are incomplete.",
            )
    metadata = _recognise(path)
    try:
        return native.load(path, metadata)
    except ImportError as error:
        raise ModelFileError(
            f"running a model needs PyTorch, which cannot be imported: {error}.",
            where=str(path),
            way_out="Install it with 'pip install torch'.",
        ) from error


def sanity(output: RPNOutput) -> str | None:
    """Whether outputs look like those of a trained network with its weights in the right places.

    Args:
        output: of an image with things on it; on an empty one a good network too finds nothing.

    Returns:
        One sentence for the user, or None if nothing looks wrong.
    """
    logits = np.concatenate([level.objectness.ravel() for level in output.levels])
    deltas = np.concatenate([level.deltas.ravel() for level in output.levels])
    advice = "weights look untrained or mis-mapped."
    undefined = np.count_nonzero(~np.isfinite(logits)) + np.count_nonzero(~np.isfinite(deltas))
    if undefined:
        return f"{undefined:,} of {logits.size + deltas.size:,} outputs are infinite or undefined: {advice}"
    probability = sigmoid(logits)
    mean = float(probability.mean())
    low, high = np.percentile(probability, [0.5, 99.5])
    if mean > 0.9 or (mean > 0.1 and high - low < 0.01):
        return f"mean objectness {mean:.2f} everywhere: {advice}"
    if probability.max() < 1e-4:
        return f"no objectness above {probability.max():.1e}: {advice}"
    if np.abs(deltas).max() < 1e-3:
        return f"no delta moves a box (the largest is {np.abs(deltas).max():.1e}): {advice}"
    return None


def _recognise(path: Path) -> Mapping[str, str]:
    """Metadata of a complete weight file of ours.

    Raises:
        ModelFileError: it is anything else; says what it looks like.
    """
    check = "Check the path and your rights to read it."
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelFileError(f"this is {kind}, expected a model file.", where=str(path), way_out=check)
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = int.from_bytes(head[:8], "little")
            if head[8:9] != b"{" or length > _MAX_HEADER:
                what, way_out = _describe(path, head)
                raise ModelFileError(
                    f"this is {what}, not a model that rpnviz reads.", where=str(path), way_out=way_out
                )
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise ModelFileError(
            f"the model file cannot be read: {error.strerror or error}.", where=str(path), way_out=check
        ) from error
    except ValueError as error:  # a NUL character or half a surrogate pair: no system has such a name
        raise ModelFileError("no file can have this name.", where=repr(str(path)), way_out=check) from error
    header = _read_header(path, text, length, status.st_size)
    found = header.pop("__metadata__", None)
    metadata = {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    if metadata.get("format") != native.FORMAT:
        raise _foreign(path, metadata, list(header))
    return metadata


def _read_header(path: Path, text: bytes, length: int, size: int) -> dict[str, Any]:
    """The JSON object of a safetensors file: tensor descriptions by name, and ``__metadata__``.

    Args:
        path: the file, for messages.
        text: the header as far as the file has it.
        length: of the whole header in bytes, as the file says.
        size: of the file in bytes.
    """
    cut_off = "Copy or download it again; the transfer was not complete."
    if len(text) < length:
        raise ModelFileError(
            f"this safetensors file is cut off: {size:,} bytes, but its header alone takes {length + 8:,}.",
            where=str(path),
            way_out=cut_off,
        )
    try:
        header = json.loads(text)
        described = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in described), default=0)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(
            f"this looks like a safetensors file, but its header is not readable: {type(error).__name__}: {error}.",
            where=str(path),
            way_out="Copy or download it again.",
        ) from error
    expected = 8 + length + end
    if size < expected:
        raise ModelFileError(
            f"this safetensors file is cut off: {size:,} bytes, expected {expected:,}.",
            where=str(path),
            way_out=cut_off,
        )
    return header


def _foreign(path: Path, metadata: Mapping[str, str], names: Sequence[str]) -> ModelFileError:
    """Error for a sound safetensors file that is not ours."""
    found = metadata.get("format", "")
    if found.startswith("rpnviz-rpn/"):
        return ModelFileError(
            f"the file is in format {found}; this version of rpnviz reads {native.FORMAT}.",
            where=str(path),
            way_out="Open it with a newer rpnviz.",
        )
    network = next((owner for part, owner in _NETWORKS if any(part in name for name in names)), None)
    kind = f"{network} weights" if network else "weights of another network"
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return ModelFileError(
        f"this safetensors file holds {kind} ({len(names)} tensors: {listed or 'none'}), which rpnviz cannot run.",
        where=str(path),
        way_out=_CHOOSE_OTHER,
    )


def _describe(path: Path, head: bytes) -> tuple[str, str]:
    """What a file is that is no safetensors, as the end of "this is ...", and the way out."""
    if not head:
        return "an empty file", "Copy or download it again."
    for signature, what, way_out in _SIGNATURES:
        if head.startswith(signature):
            return what, way_out
    if (head.startswith(b"BM") and head[6:10] == bytes(4)) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "an image", "Open it as an image."
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, as older PyTorch and detectron2 write it", _PICKLE
    if head.startswith(b"PK"):
        return _describe_zip(path)
    if path.suffix.lower() == ".onnx":
        return "an ONNX graph", _CHOOSE_OTHER
    start = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html")):
        return "a web page, as a failed download leaves it", "Download the file itself."
    if start.startswith(("{", "[")):
        return "JSON text", "If it holds annotations, open it as annotations."
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "a text file", _CHOOSE_OTHER
    return f"a file of an unknown kind (it begins with {head[:8].hex(' ')})", _CHOOSE_OTHER


def _describe_zip(path: Path) -> tuple[str, str]:
    """The same for a zip archive: only its table of contents is read, nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        return f"a damaged zip archive, perhaps a PyTorch checkpoint ({error})", "Copy or download it again."
    if any(name.endswith("constants.pkl") for name in names):
        return "a TorchScript program", _CHOOSE_OTHER
    if any(name.endswith(".pkl") for name in names):
        return "a PyTorch checkpoint (a zip archive with a pickle)", _PICKLE
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", _CHOOSE_OTHER
    if "model.weights.h5" in names:
        return "a Keras model", _CHOOSE_OTHER
    return "a zip archive", "Unpack it and open the weights that are inside."
