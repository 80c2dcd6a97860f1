"""Arrays and texts of ``.npz`` and ``.safetensors`` files, read without running anything they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.errors import ModelFileError

MOST_BYTES = 2**31
"""Bytes that one array may unpack to."""


def read_arrays(path: Path, wanted: Callable[[str], bool] | None = None) -> tuple[dict[str, NDArray], dict[str, str]]:
    """The arrays of a file, all or some, and what it says of itself.

    Args:
        path: the file.
        wanted: of an array's name, whether it is read; None: all are.

    Returns:
        Arrays by name; texts by name: 0-dimensional strings, or the metadata of ``.safetensors``.

    Raises:
        ModelFileError: the file is damaged, or an array is larger than :data:`MOST_BYTES`.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "np") as file:
                names = [name for name in file.keys() if wanted is None or wanted(name)]  # noqa: SIM118
                return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
        # NumPy leaves a file open that it cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            infos = archive.zip.infolist()
            large = [info.filename for info in infos if info.file_size > MOST_BYTES]
            if large:
                raise ModelFileError(f"its array {large[0]} unpacks to more than 2 GB.", where=str(path))
            arrays = {name: archive[name] for name in archive.files if wanted is None or wanted(name)}
    except ModelFileError:
        raise
    except Exception as error:  # zip, npy and safetensors each have errors of their own
        raise ModelFileError(
            f"it cannot be read: {type(error).__name__}: {error}.", where=str(path), way_out="Write the file again."
        ) from error
    texts = {name: str(value) for name, value in arrays.items() if value.ndim == 0 and value.dtype.kind in "US"}
    return {name: value for name, value in arrays.items() if name not in texts}, texts


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
