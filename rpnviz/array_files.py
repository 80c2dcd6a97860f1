"""Arrays and texts of ``.npz`` and ``.safetensors`` files, read without running anything they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ModelFileError

MOST_BYTES = 2**31
"""Bytes that the arrays of a file may unpack to together."""
_KNOWN = frozenset({"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})
"""Types of safetensors that NumPy has."""


def read_arrays(
    path: Path, wanted: Callable[[str], bool] = lambda _name: True, most: int = MOST_BYTES
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """The arrays of a file, all or some, and what it says of itself; bfloat16 comes as float32.

    Args:
        path: the file.
        wanted: of an array's name, whether it is read; asked before each.
        most: bytes that the wanted arrays of an ``.npz`` may unpack to together.

    Returns:
        Arrays by name; texts by name: 0-dimensional strings, or the metadata of ``.safetensors``.

    Raises:
        ModelFileError: the file is damaged, its arrays are larger than ``most``, or one is of a type that NumPy does
            not have, such as float8.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return _read_safetensors(path, wanted)
        # NumPy leaves a file open that it cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            names = [name for name in archive.files if wanted(name)]
            members = {f"{name}.npy" for name in names}
            unpacked = sum(info.file_size for info in archive.zip.infolist() if info.filename in members)
            if unpacked > most:
                raise ModelFileError(
                    f"its arrays unpack to {unpacked / 2**20:,.0f} MB, expected at most {most // 2**20:,}.",
                    where=str(path),
                )
            arrays = {name: archive[name] for name in names if wanted(name)}
    except ModelFileError:
        raise
    except Exception as error:  # zip, npy and safetensors each have errors of their own
        raise ModelFileError(
            f"it cannot be read: {type(error).__name__}: {error}.", where=str(path), way_out="Write the file again."
        ) from error
    texts = {name: str(value) for name, value in arrays.items() if value.ndim == 0 and value.dtype.kind in "US"}
    return {name: value for name, value in arrays.items() if name not in texts}, texts


def _read_safetensors(path: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, NDArray], dict[str, str]]:
    from safetensors import safe_open

    found: dict[str, NDArray] = {}
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118
            if not wanted(name):
                continue
            kind = file.get_slice(name).get_dtype()
            if kind == "BF16":
                found[name] = _bfloat16(path, name)
            elif kind in _KNOWN:
                found[name] = file.get_tensor(name)
            else:
                raise ModelFileError(
                    f"its tensor {name!r} has the type {kind}, expected float16, bfloat16, float32 or float64.",
                    where=str(path),
                    way_out="Save the weights as they were before they were quantised.",
                )
        return found, dict(file.metadata() or {})


def _bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """A bfloat16 is the upper half of a float32; the file was opened, so its header is sound."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(length))[name]
        begin, end = described["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(described["shape"])


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an ``.npz`` file; none if it is no such file."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            return tuple(archive.files)
    except Exception:
        return ()


def read_size(value: NDArray, name: str) -> tuple[int, int]:
    """Height and width, px.

    Raises:
        ValueError: the array is not two positive numbers.
    """
    sides = np.asarray(value).ravel().tolist()
    if len(sides) != 2 or not min(sides) >= 1:
        raise ValueError(f"{name!r} is {sides}, expected height and width in px")
    return int(sides[0]), int(sides[1])
