"""Reads the tensors of a safetensors file as NumPy arrays, bfloat16 too, which NumPy does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ModelFileError
from rpnviz.models.base import stop_if_asked

_KNOWN = frozenset({"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"})


def read_safetensors(
    path: Path, wanted: Callable[[str], bool] = lambda _name: True
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Tensors by name, and the metadata.

    Args:
        path: the file.
        wanted: whether to read the tensor of a name.

    Raises:
        ModelFileError: the file is damaged, or a tensor is of a type with less than 16 bits, such as float8.
        Cancelled: nobody waits for it any more.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, NDArray] = {}
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118
                stop_if_asked()
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
    except (OSError, SafetensorError, ValueError, LookupError) as error:
        raise ModelFileError(
            f"the tensors cannot be read: {error}.", where=str(path), way_out="Copy or download it again."
        ) from error


def _bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """A bfloat16 is the upper half of a float32; the file was opened, so its header is sound."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(length))[name]
        begin, end = described["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(described["shape"])
