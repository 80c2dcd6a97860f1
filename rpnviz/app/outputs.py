"""What networks gave for images: the last outputs in memory, slow ones on disk too, so that going back is instant."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpnviz import __version__
from rpnviz.core import presets
from rpnviz.core.inputs import LevelOutput, ModelSettings, RPNOutput
from rpnviz.core.rules import plain
from rpnviz.errors import RpnvizError
from rpnviz.files import write_whole
from rpnviz.models.base import ProposalModel
from rpnviz.paths import cache_folder

_MEMORY = 256 * 2**20
"""Bytes; about 50 images at 800 px."""
_DISK = 2 * 2**30
_SLOW_SECONDS = 0.3
"""What a network needs this long for is worth a file of some MB."""


def identity(paths: Path | Sequence[Path], options: Mapping[str, str] | None = None) -> str:
    """Tells files as they are now, and the answers they were opened with, from every other.

    Args:
        paths: one file or several; of a folder all files in it count: writing one again leaves the folder's time alone.
        options: the answers.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    states = [[str(path.absolute()), *_state(path)] for path in given]
    return json.dumps([states, sorted((options or {}).items())])


def _state(path: Path) -> list[Any]:
    """Time and size of a file, or those of all files in a folder with their names; empty where there is none."""
    try:
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return [status.st_mtime_ns, status.st_size]
        inside = [(entry.name, entry.stat()) for entry in os.scandir(path) if entry.is_file()]
    except OSError:
        return []
    return sorted([name, status.st_mtime_ns, status.st_size] for name, status in inside)


class OutputStore:
    """May be used from several threads.

    Attributes:
        folder: where outputs are kept on disk.
    """

    def __init__(
        self, folder: Path | None = None, memory: int = _MEMORY, disk: int = _DISK, slow: float = _SLOW_SECONDS
    ) -> None:
        """Nothing is read yet.

        Args:
            folder: where files go; None: the user's cache.
            memory, disk: bytes that outputs may take; the longest unused go first.
            slow: what a network needs this many seconds for goes to disk too.
        """
        self.folder = folder or cache_folder() / "outputs"
        self._memory, self._disk, self._slow = memory, disk, slow
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], RPNOutput] = OrderedDict()
        self._bytes = 0

    def at_hand(self, model: str, image: str) -> RPNOutput | None:
        """Outputs in memory, by the identities of the model and of the image."""
        with self._lock:
            if (model, image) in self._held:
                self._held.move_to_end((model, image))
            return self._held.get((model, image))

    def is_kept(self, model: str, image: str) -> bool:
        """Whether outputs are on disk."""
        return self._path((model, image)).is_file()

    def run(
        self,
        key: tuple[str, str],
        model: ProposalModel,
        read_pixels: Callable[[], NDArray[np.uint8]],
        file_name: str,
        cancelled: Callable[[], bool] | None = None,
    ) -> RPNOutput:
        """Outputs from memory, from disk, else from the network itself; slow.

        Args:
            key: identities of the model and of the image.
            model, file_name, cancelled: as for :meth:`~rpnviz.models.base.ProposalModel.propose`.
            read_pixels: gives the image as for it, where the network has to be run.

        Raises:
            RpnvizError: as the model does.
        """
        found = self.at_hand(*key) or self._read(key)
        if found is None:
            pixels = read_pixels()
            begin = time.perf_counter()
            found = model.propose(pixels, cancelled, file_name)
            if time.perf_counter() - begin >= self._slow and not found.stated and found.anchors is None:
                self._write(key, found)
        self._hold(key, found)
        return found

    def _hold(self, key: tuple[str, str], output: RPNOutput) -> None:
        with self._lock:
            if key not in self._held:
                self._bytes += _size(output)
            self._held[key] = output
            self._held.move_to_end(key)
            while self._bytes > self._memory and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._bytes -= _size(gone)

    def _path(self, key: tuple[str, str]) -> Path:
        name = hashlib.sha256(json.dumps([__version__, *key]).encode()).hexdigest()[:32]
        return self.folder / f"{name}.safetensors"

    def _read(self, key: tuple[str, str]) -> RPNOutput | None:
        """From disk, with the settings that lie beside the numbers: those of one step of a training are not its last's.

        A file that cannot be read counts as none.
        """
        from safetensors import SafetensorError, safe_open

        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, "np") as file:
                said = file.metadata()
                resized, padded = ((int(size[0]), int(size[1])) for size in json.loads(said["sizes"]))
                settings = _settings_of(json.loads(said["settings"]))
                levels = tuple(
                    LevelOutput(file.get_tensor(f"{k}.objectness"), file.get_tensor(f"{k}.deltas"))
                    for k in range(int(said["levels"]))
                )
                found = RPNOutput(levels, resized, padded, settings, said["source"])
            path.touch()
        except (OSError, SafetensorError, RpnvizError, ValueError, LookupError, TypeError):
            return None
        return found

    def _write(self, key: tuple[str, str], output: RPNOutput) -> None:
        """To disk; a disk that is full or write-protected is no reason to stop."""
        from safetensors.numpy import save

        arrays = {}
        for number, level in enumerate(output.levels):
            arrays[f"{number}.objectness"] = np.ascontiguousarray(level.objectness)
            arrays[f"{number}.deltas"] = np.ascontiguousarray(level.deltas)
        sizes = json.dumps([output.resized_size, output.input_size])
        settings = json.dumps(_document_of(output.settings))
        said = {"sizes": sizes, "levels": str(len(output.levels)), "settings": settings, "source": output.source}
        data = save(arrays, said)
        with suppress(OSError, RpnvizError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            write_whole(self._path(key), data)

    def _make_room(self, size: int) -> None:
        files = sorted(((path.stat(), path) for path in self.folder.glob("*.safetensors")), key=lambda f: f[0].st_mtime)
        total = size + sum(status.st_size for status, _ in files)
        for status, path in files:
            if total <= self._disk:
                break
            path.unlink()
            total -= status.st_size


def _document_of(settings: ModelSettings) -> dict[str, Any]:
    """Settings as JSON; of the conventions what differs from torchvision's."""
    groups = {"resize": settings.resize, "anchors": settings.anchors, "coder": settings.coder}
    document = {name: plain(group) for name, group in groups.items()}
    if settings.proposals is not None:
        document["proposals"] = plain(settings.proposals)
    return {
        "params": document
        | {"conventions": settings.conventions.overrides_from(presets.load("torchvision").conventions)},
        "preset": settings.preset,
        "shapes_known": settings.shapes_known,
    }


def _settings_of(document: Mapping[str, Any]) -> ModelSettings:
    read = presets.from_document(document["params"])
    params, own = read.params, "proposals" in document["params"]
    return ModelSettings(
        params.resize,
        params.anchors,
        params.coder,
        read.conventions,
        params.proposals if own else None,
        str(document["preset"]),
        bool(document["shapes_known"]),
    )


def _size(output: RPNOutput) -> int:
    own = output.anchors.nbytes if output.anchors is not None else 0
    return own + sum(level.objectness.nbytes + level.deltas.nbytes for level in output.levels)
