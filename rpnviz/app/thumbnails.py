"""Small pictures of the images in view, made in the background and kept on disk."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job, JobQueue
from rpnviz.app.outputs import identity
from rpnviz.datasets.base import Dataset, ImageRecord
from rpnviz.errors import RpnvizError
from rpnviz.files import write_whole
from rpnviz.imaging import encode_jpeg, read_small, shrink
from rpnviz.paths import cache_folder

SIDE = 48
"""Longest side of a thumbnail, px."""
_HELD = 2000
_PER_FOLDER = 800
"""Files in each of 256 folders, some 300 MB in all; beyond, the older half of a folder goes."""


class Thumbnails(QObject):
    """Those of one data set; what has been scrolled past is not made."""

    ready = Signal(int)
    _made = Signal(object, int, object)

    def __init__(self, jobs: JobQueue, folder: Path | None = None) -> None:
        """``folder``: where they are kept; None: the user's cache."""
        super().__init__(jobs)
        self.folder = folder or cache_folder() / "thumbnails"
        self._jobs = jobs
        self._dataset: Dataset | None = None
        self._held: OrderedDict[int, NDArray[np.uint8] | None] = OrderedDict()
        self._lock = threading.Lock()
        self._wanted: list[int] = []
        self._job: Job | None = None
        self._made.connect(self._on_made)

    def show_dataset(self, dataset: Dataset | None) -> None:
        """Another data set: nothing of it is there yet."""
        self._stop()
        self._dataset = dataset
        self._held.clear()

    def of(self, image: int) -> NDArray[np.uint8] | None:
        """(h, w, 3) uint8 RGB; None where there is none, or none yet."""
        return self._held.get(image)

    def want(self, images: Sequence[int]) -> None:
        """Make those of these images, in this order, and no others; ``ready`` is emitted for each."""
        with self._lock:
            self._wanted = [image for image in images if image not in self._held]
            begin = bool(self._wanted) and self._job is None
        if begin:
            self._start()

    def _stop(self) -> None:
        with self._lock:
            self._wanted = []
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _start(self) -> None:
        dataset = self._dataset
        if dataset is None:
            return

        def work(job: Job) -> None:
            while True:
                job.progress(0.0)
                with self._lock:
                    if not self._wanted:
                        return
                    image = self._wanted.pop(0)
                self._made.emit(dataset, image, thumbnail(dataset.images[image], self.folder))

        def ended(_value: object = None) -> None:
            if self._job is job:
                self._job = None
                if self._wanted:  # asked for while it ended
                    self._start()

        job = self._jobs.submit("Thumbnails", work, ended, ended, lane="thumbnails", hidden=True)
        self._job = job

    def _on_made(self, dataset: Dataset, image: int, pixels: NDArray[np.uint8] | None) -> None:
        if dataset is self._dataset:
            self._held[image] = pixels
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
            self.ready.emit(image)


def thumbnail(record: ImageRecord, folder: Path) -> NDArray[np.uint8] | None:
    """A picture of at most :data:`SIDE` px, from ``folder`` where it was made before; None if it cannot be read."""
    try:
        if record.read is not None:
            return shrink(record.read(), SIDE)
        name = hashlib.sha256(f"{SIDE} {identity(record.path)}".encode(errors="surrogatepass")).hexdigest()[:32]
        place = folder / name[:2] / f"{name[2:]}.jpg"
        if place.is_file():
            return read_small(place, SIDE)
        pixels = read_small(record.path, SIDE)
    except RpnvizError:
        return None
    _keep(place, pixels)
    return pixels


def _keep(place: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a thumbnail; a folder that cannot be written is no reason to stop."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, encode_jpeg(pixels))
        there = list(place.parent.iterdir())
        if len(there) > _PER_FOLDER:
            for old in sorted(there, key=lambda file: file.stat().st_mtime)[: _PER_FOLDER // 2]:
                old.unlink(missing_ok=True)
    except (OSError, RpnvizError):
        return
