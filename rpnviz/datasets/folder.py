"""Plain images without annotations: files, several files, or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rpnviz.datasets.base import Dataset, ImageRecord
from rpnviz.errors import ImageFileError

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".hdr",
})
# fmt: on
"""What a folder is searched for, in lower case; a file that is named may have any suffix."""


def is_image_name(name: str) -> bool:
    """Whether a folder shows a file of this name: an image suffix, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def natural_order(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort key that puts ``image 9`` before ``image 10``, whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], name


def image_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in natural order; hidden files and sub-folders are left out.

    Raises:
        ImageFileError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            # The listing tells files from folders; a question per file takes minutes on a server.
            files = [
                folder / entry.name
                for entry in entries
                if is_image_name(entry.name) and (folder / entry.name if entry.is_symlink() else entry).is_file()
            ]
    except OSError as error:
        raise ImageFileError(
            f"the folder cannot be listed: {error.strerror or error}.",
            where=str(folder),
            way_out="Check its name and permissions.",
        ) from error
    return sorted(files, key=lambda path: natural_order(path.name))


def from_files(files: Iterable[Path], source: Path, name: str) -> Dataset:
    """A data set of these images in this order, without ground truth."""
    return Dataset(name, source, tuple(ImageRecord(path.name, path) for path in files))


def read_files(files: Sequence[Path]) -> Dataset:
    """One or several images, in the given order.

    Raises:
        ImageFileError: one of them does not exist; unreadable ones are reported when they are shown.
    """
    for path in files:
        if not path.exists():
            raise ImageFileError("the file does not exist.", where=str(path), way_out="Check its name and folder.")
    if len(files) == 1:
        return from_files(files, files[0], files[0].name)
    return from_files(files, files[0].parent, f"{len(files):,} images")


def read_folder(folder: Path) -> Dataset:
    """All images directly in a folder.

    Raises:
        ImageFileError: the folder cannot be listed or holds no image.
    """
    files = image_files(folder)
    if not files:
        inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        raise ImageFileError(
            "the folder holds no image.",
            where=str(folder),
            way_out=f"Sub-folders are opened by themselves: {', '.join(inner[:5])}."
            if inner
            else f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}.",
        )
    return from_files(files, folder, folder.name)
