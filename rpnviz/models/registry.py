"""Opens model files: recognises them by their first bytes, and says what a file is where rpnviz cannot read it.

A model file is data, never code: pickles are read by :mod:`rpnviz.models.pickles`, which runs nothing. Neither this
module nor recognising a file imports torch; opening one does.
"""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from rpnviz.core.inputs import RPNOutput
from rpnviz.core.proposals import sigmoid
from rpnviz.errors import ModelFileError
from rpnviz.models import checkpoint, dump, native, onnx_graph
from rpnviz.models.base import ModelFormat, ModelInfo, ProposalModel
from rpnviz.models.layouts import layout_of
from rpnviz.paths import bundled_model

_HEAD = 512
_MAX_HEADER = 100_000_000
"""Limit of the safetensors format for its JSON header, in bytes."""
_CHOOSE_OTHER = (
    "rpnviz reads checkpoints of torchvision, detectron2 and mmdetection (.pth, .pkl, .safetensors), Matterport's .h5, "
    "ONNX graphs and RPN dumps; any other network can write a dump with about ten lines: see docs/rpn-dump.md."
)

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
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


class _Native:
    """The sample model's own format."""

    name = "rpnviz"

    def sniff(self, path: Path, head: bytes) -> int:
        """See :meth:`~rpnviz.models.base.ModelFormat.sniff`."""
        return 100 if _is_safetensors(head) and _header_of(path)[0].get("format") == native.FORMAT else 0

    def inspect(self, path: Path) -> ModelInfo:
        """See :meth:`~rpnviz.models.base.ModelFormat.inspect`."""
        metadata, _ = _header_of(path)
        return ModelInfo(self.name, "torchvision", metadata.get("note", ""), (), ())

    def open(self, path: Path, options: Mapping[str, str]) -> ProposalModel:
        """See :meth:`~rpnviz.models.base.ModelFormat.open`."""
        _check_options(path, options, ())
        metadata, _ = _header_of(path)
        return native.load(path, metadata)


class _Dumps:
    """Recordings: one file, or a folder of them."""

    name = "dump"

    def sniff(self, path: Path, head: bytes) -> int:
        """See :meth:`~rpnviz.models.base.ModelFormat.sniff`."""
        if path.is_dir():
            return 50
        if head.startswith(b"PK"):
            names = [name.removesuffix(".npy") for name in _members(path)]
            return 90 if dump.is_dump(names) else 0
        return 90 if _is_safetensors(head) and dump.is_dump(_header_of(path)[1]) else 0

    def inspect(self, path: Path) -> ModelInfo:
        """See :meth:`~rpnviz.models.base.ModelFormat.inspect`."""
        return dump.inspect(path)

    def open(self, path: Path, options: Mapping[str, str]) -> ProposalModel:
        """See :meth:`~rpnviz.models.base.ModelFormat.open`."""
        _check_options(path, options, ("preset",))
        return dump.open_dump(path, options.get("preset"))


class _Checkpoints:
    """torchvision's, detectron2's and mmdetection's."""

    name = "checkpoint"

    def sniff(self, path: Path, head: bytes) -> int:
        """See :meth:`~rpnviz.models.base.ModelFormat.sniff`."""
        if head.startswith(b"PK"):
            names = _members(path)
            script = any(name.endswith("constants.pkl") for name in names)
            return 80 if not script and any(name.endswith("data.pkl") for name in names) else 0
        if head.startswith(b"\x89HDF\r\n\x1a\n"):
            return 60
        if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return 60
        return 70 if _is_safetensors(head) and layout_of(dict.fromkeys(_header_of(path)[1])) is not None else 0

    def inspect(self, path: Path) -> ModelInfo:
        """See :meth:`~rpnviz.models.base.ModelFormat.inspect`."""
        return checkpoint.inspect(path)

    def open(self, path: Path, options: Mapping[str, str]) -> ProposalModel:
        """See :meth:`~rpnviz.models.base.ModelFormat.open`."""
        return checkpoint.open_checkpoint(path, {**checkpoint.read_sidecar(path), **options})


class _OnnxGraphs:
    """A backbone with an RPN head, or a whole detector."""

    name = "onnx"
    _FIELDS = (
        b"\x08",
        b"\x12",
        b"\x1a",
        b"\x22",
        b"\x28",
        b"\x32",
        b"\x3a",
        b"\x42",
        b"\x72",
        b"\xa2\x01",
        b"\xca\x01",
    )
    """Number and kind of the fields of a model, as protobuf writes them; any may come first."""

    def sniff(self, path: Path, head: bytes) -> int:
        """See :meth:`~rpnviz.models.base.ModelFormat.sniff`."""
        return 85 if path.suffix.lower() == ".onnx" and head.startswith(self._FIELDS) else 0

    def inspect(self, path: Path) -> ModelInfo:
        """See :meth:`~rpnviz.models.base.ModelFormat.inspect`."""
        return onnx_graph.inspect(path)

    def open(self, path: Path, options: Mapping[str, str]) -> ProposalModel:
        """See :meth:`~rpnviz.models.base.ModelFormat.open`."""
        return onnx_graph.open_graph(path, {**checkpoint.read_sidecar(path), **options})


def _check_options(path: Path, options: Mapping[str, str], known: Sequence[str]) -> None:
    for key in options:
        if key not in known:
            allowed = f"known are {', '.join(known)}" if known else "it has none"
            raise ModelFileError(f"there is no option {key!r} for it; {allowed}.", where=str(path))


_RARELY_ASKED = ("bn_eps", "device")
"""Questions whose usual answer is nearly always right; they are shown where others are asked."""

_BUILT_IN: tuple[ModelFormat, ...] = (_Native(), _Dumps(), _Checkpoints(), _OnnxGraphs())


@lru_cache(maxsize=1)
def formats() -> tuple[ModelFormat, ...]:
    """All formats: the built-in ones, and those that other packages register under ``rpnviz.model_formats``."""
    others = [entry.load()() for entry in entry_points(group="rpnviz.model_formats")]
    return (*_BUILT_IN, *others)


def recognise(path: Path) -> ModelFormat:
    """The format of a model file.

    Raises:
        ModelFileError: it is missing, damaged, or no model that rpnviz reads; says what it looks like.
    """
    check = "Check the path and your rights to read it."
    try:
        status = path.stat()
        head = b""
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                head = file.read(_HEAD)
        elif not stat.S_ISDIR(status.st_mode):
            raise ModelFileError("this is no regular file, expected a model file.", where=str(path), way_out=check)
        rated = [(form.sniff(path, head), form) for form in formats()]
        best = max(rated, key=lambda entry: entry[0])
    except OSError as error:
        raise ModelFileError(
            f"the model file cannot be read: {error.strerror or error}.", where=str(path), way_out=check
        ) from error
    except ValueError as error:  # a NUL character or half a surrogate pair: no system has such a name
        raise ModelFileError("no file can have this name.", where=repr(str(path)), way_out=check) from error
    if best[0]:
        return best[1]
    if _is_safetensors(head):
        raise _foreign(path, *_header_of(path))
    what, way_out = _describe(path, head)
    raise ModelFileError(f"this is {what}, not a model that rpnviz reads.", where=str(path), way_out=way_out)


def inspect_model(path: Path) -> ModelInfo:
    """What a model file is, and what it does not say; torch is loaded for checkpoints.

    Raises:
        ModelFileError: as :func:`open_model`.
    """
    return recognise(path).inspect(path)


def must_ask(info: ModelInfo, path: Path) -> bool:
    """Whether a file leaves something open that changes the network, and nobody has answered it before."""
    open_questions = [question for question in info.questions if question.key not in _RARELY_ASKED]
    return bool(open_questions) and not checkpoint.sidecar(path).is_file()


def assumed(info: ModelInfo, given: Mapping[str, str]) -> dict[str, str]:
    """The defaults that hold because nobody has answered, by the question's key; what is rarely asked is not told.

    Args:
        info: of the file.
        given: the answers there are, of now and of last time.
    """
    left = [question for question in info.questions if question.key not in (*_RARELY_ASKED, *given)]
    return {question.key: question.default for question in left}


def remember(path: Path, options: Mapping[str, str]) -> None:
    """Keep the answers for a file beside it."""
    checkpoint.write_sidecar(path, options)


def open_model(path: Path | None, options: Mapping[str, str] | None = None) -> ProposalModel:
    """Open a model; slow the first time, because torch is loaded then.

    Args:
        path: the file, or a folder of RPN dumps; None: the sample model that comes with rpnviz.
        options: answers to the questions of :func:`inspect_model`; others are those of last time, else the defaults.

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
    form = recognise(path)
    try:
        return form.open(path, options or {})
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


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER


def _members(path: Path) -> list[str]:
    """Names in a zip archive; none where it is damaged. Only the table of contents is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def _header_of(path: Path) -> tuple[dict[str, str], list[str]]:
    """Metadata and names of the tensors of a safetensors file.

    Raises:
        ModelFileError: it is cut off or not readable.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length)
    header = _read_header(path, text, length, path.stat().st_size)
    found = header.pop("__metadata__", None)
    metadata = {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    return metadata, list(header)


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
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return ModelFileError(
        f"this safetensors file holds weights of another network ({len(names)} tensors: {listed or 'none'}), which "
        "rpnviz cannot run.",
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
    if head.startswith(b"PK"):
        return _describe_zip(path)
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
        return "a TorchScript program, which is code and not data", _CHOOSE_OTHER
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", _CHOOSE_OTHER
    if "model.weights.h5" in names:
        return "a Keras model", _CHOOSE_OTHER
    return "a zip archive", "Unpack it and open the weights that are inside."
