"""Columns of large annotation files, kept in the user's cache folder: the second time a file opens in a second.

An entry is found by path, size and time of change of the file and by the versions of program and reader. It holds
numbers and texts alone, nothing that could be run; one that cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
from numpy.typing import NDArray

from rpnviz import __version__, paths
from rpnviz.datasets.base import Finding, RecordId
from rpnviz.datasets.collector import Parsed
from rpnviz.datasets.columns import Columns, id_column

WORTH_KEEPING = 10_000_000
"""Files of fewer bytes are read as fast as their columns."""
MAX_BYTES = 1_000_000_000
"""The entries together; those that were not used for longest go first."""

_ARRAYS = ("sizes", "image_ids", "image_places", "starts", "boxes", "labels", "ignore", "ids", "places")


class _Texts(msgspec.Struct):
    """What is no array."""

    file_names: list[str]
    sources: list[str]
    normalised: bool
    place: str
    categories: list[str]
    findings: list[Finding]
    ids: list[RecordId | None]
    image_ids: list[RecordId | None]


def load(path: Path, version: int) -> Parsed | None:
    """What was stored of a file as it is now; None if nothing was, or nothing usable."""
    entry = _entry(path, version)
    if entry is None or not entry.exists():
        return None
    try:
        # Opened here, since np.load leaves a file open that is no archive.
        with entry.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            texts = msgspec.json.decode(file["texts"].tobytes(), type=_Texts)
        with suppress(OSError):
            os.utime(entry)
        return _checked(arrays, texts)
    except Exception:  # zipfile, zlib and NumPy know many ways to be broken; all of them mean: make it again
        with suppress(OSError):
            entry.unlink()
        return None


def store(path: Path, version: int, parsed: Parsed) -> None:
    """Keep what was parsed, if the file is large; a full or forbidden disk only means that nothing is kept."""
    entry = _entry(path, version)
    if entry is None:
        return
    columns = parsed.columns
    ids, image_ids = columns.ids, columns.image_ids
    texts = _Texts(
        list(columns.file_names),
        list(columns.sources),
        columns.normalised,
        columns.place,
        list(parsed.categories),
        list(parsed.findings),
        ids.tolist() if ids.dtype == object else [],
        image_ids.tolist() if image_ids.dtype == object else [],
    )
    arrays: dict[str, NDArray] = {name: getattr(columns, name) for name in _ARRAYS}
    for name in ("ids", "image_ids"):
        if arrays[name].dtype == object:
            arrays[name] = np.zeros(0, np.int64)
    beside = entry.parent / f".{uuid4().hex}.part"
    try:
        encoded = np.frombuffer(msgspec.json.encode(texts), np.uint8)
        entry.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as file:
            np.savez(file, allow_pickle=False, texts=encoded, **arrays)
        os.replace(beside, entry)
        _shrink(entry.parent)
    except (OSError, UnicodeEncodeError, OverflowError):
        with suppress(OSError):
            beside.unlink()


def _entry(path: Path, version: int) -> Path | None:
    """Where a file's columns are kept; None if it is not worth it."""
    try:
        status = path.stat()
        if status.st_size < WORTH_KEEPING:
            return None
        key = [str(path.absolute()), status.st_size, status.st_mtime_ns, version, __version__]
        name = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:32]
        return paths.cache_folder() / "datasets" / f"{name}.npz"
    except (OSError, ValueError):  # ValueError: half a surrogate pair in the name
        return None


def _checked(arrays: dict[str, NDArray], texts: _Texts) -> Parsed:
    """Columns whose parts fit each other.

    Raises:
        ValueError: they do not.
    """
    ids: Sequence[RecordId | None]
    for name, ids in (("ids", texts.ids), ("image_ids", texts.image_ids)):
        if ids:
            arrays[name] = id_column(ids)
    images, boxes = len(texts.file_names), len(arrays["boxes"])
    shapes = {
        "sizes": (images, 2), "image_ids": (images,), "image_places": (images,), "starts": (images + 1,),
        "boxes": (boxes, 4), "labels": (boxes,), "ignore": (boxes,), "ids": (boxes,), "places": (boxes,),
    }  # fmt: skip
    starts, labels = arrays["starts"], arrays["labels"]
    fits = all(arrays[name].shape == shape for name, shape in shapes.items())
    if not fits or starts[0] != 0 or starts[-1] != boxes or (np.diff(starts) < 0).any():
        raise ValueError("the columns do not fit each other")
    if boxes and not 0 <= labels.min() <= labels.max() < len(texts.categories):
        raise ValueError("a label has no category")
    columns = Columns(
        texts.file_names,
        **arrays,
        normalised=texts.normalised,
        place=texts.place,
        sources=texts.sources,
        difficult=False,
    )
    return Parsed(columns, tuple(texts.categories), tuple(texts.findings))


def _shrink(folder: Path) -> None:
    """Remove the entries that were not used for longest until the rest is small enough."""
    entries = sorted(((file.stat().st_mtime, file) for file in folder.glob("*.npz")), reverse=True)
    total = 0
    for _, file in entries:
        total += file.stat().st_size
        if total > MAX_BYTES:
            with suppress(OSError):
                file.unlink()
