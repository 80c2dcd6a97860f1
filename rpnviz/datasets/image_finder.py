"""Finds the image files that an annotation file names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from rpnviz.datasets.folder import is_image_name

_AROUND_THE_SPLIT = re.compile(r"instances_|person_keypoints_|oidv6-|-annotations-bbox$")
"""What COCO and Open Images write around the name of the split."""


def image_folders(annotations: Path, images: Path | None = None) -> tuple[Path, ...]:
    """Where the images of an annotation file are looked for, in this order.

    Beside the file; in ``images/`` beside it (CrowdHuman writes ``Images/``); in a folder named like the file without
    ``instances_`` and the like, also one in ``images/``; then the same one level up (the layout of COCO itself:
    ``annotations/instances_val2017.json`` and ``val2017/``; that of datumaro: ``images/val2017/``). If the folder of
    the images is known, in that folder and those of it alone.
    """
    split = _AROUND_THE_SPLIT.sub("", annotations.stem)
    near = (annotations.parent, annotations.absolute().parent.parent) if images is None else (images,)
    names = ("", "images", "Images", split, os.path.join("images", split))
    return tuple(dict.fromkeys(folder / name for folder in near for name in names))


class ImageFinder:
    """Looks up image files; every folder is listed once: asking for 100,000 files one by one takes minutes on a server.

    Args:
        annotations: the annotation file.
        images: the folder of the images, if it is known; see :func:`image_folders`.
    """

    def __init__(self, annotations: Path, images: Path | None = None) -> None:
        candidates = image_folders(annotations, images)
        self._first = candidates[0]
        self._folders = [str(folder) for folder in candidates if folder.is_dir()]
        self._listings: dict[str, dict[str, str]] = {}
        self._stems: dict[str, dict[str, str]] = {}
        self._inner: dict[str, list[str]] = {}

    @property
    def looked_in(self) -> str:
        """The folders, for a message."""
        return ", ".join(self._folders) or str(self._first)

    def expected(self, file_name: str) -> Path:
        """Where a file that is nowhere should be."""
        return self._first / file_name

    def locate(self, file_names: Sequence[str]) -> list[str | None]:
        """Where each image is, as :meth:`find` says; names without folders take a microsecond each."""
        plain = [(os.path.join(folder, ""), self._names_in(folder)) for folder in self._folders]
        located: list[str | None] = []
        for name in file_names:
            if name.isascii() and "/" not in name and "\\" not in name:
                for folder, names in plain:
                    if name in names:
                        located.append(folder + name)
                        break
                else:
                    located.append(None)
            else:
                path = self.find(name)
                located.append(None if path is None else str(path))
        return located

    def find(self, file_name: str) -> Path | None:
        """Where an image is; the name may lead into sub-folders or be absolute, with ``\\`` for ``/``."""
        found = self._find(file_name)
        return self._find(file_name.replace("\\", "/")) if found is None and "\\" in file_name else found

    def find_last_part(self, file_name: str) -> Path | None:
        """Where an image is by the end of its name, for folders that were moved or are another computer's.

        As many of its last folders as are there count: of ``C:\\data\\train\\a.jpg`` first ``train/a.jpg``, then
        ``a.jpg``.
        """
        *inner, last = re.split(r"[\\/]", file_name)
        if not last:
            return None
        for start in range(1, len(inner) + 1):
            for folder in self._folders_of("/".join(inner[start:])):
                found = self._names_in(folder).get(unicodedata.normalize("NFC", last))
                if found is not None:
                    return Path(folder, found)
        return None

    def find_stem(self, stem: str) -> Path | None:
        """An image of that name, whatever its suffix."""
        for folder in self._folders:
            if folder not in self._stems:
                names = self._names_in(folder)
                self._stems[folder] = {
                    os.path.splitext(name)[0]: own for name, own in names.items() if is_image_name(name)
                }
            found = self._stems[folder].get(unicodedata.normalize("NFC", stem))
            if found is not None:
                return Path(folder, found)
        return None

    def _folders_of(self, inner: str) -> list[str]:
        """Where folders of that name are; asked once for all images in them."""
        if inner not in self._inner:
            above = os.pardir in inner.split("/")
            places = () if above else (os.path.join(folder, inner) if inner else folder for folder in self._folders)
            self._inner[inner] = [place for place in places if os.path.isdir(place)]
        return self._inner[inner]

    def _find(self, name: str) -> Path | None:
        for folder in self._folders:
            inner, last = os.path.split(os.path.join(folder, name))
            found = self._names_in(inner).get(unicodedata.normalize("NFC", last))
            if found is not None:
                return Path(inner, found)
        return None

    def _names_in(self, folder: str) -> dict[str, str]:
        """File names in a folder by their composed form: file systems differ in whether they split ``é``."""
        if folder not in self._listings:
            try:
                names = os.listdir(folder)
            except (OSError, ValueError):  # ValueError: a NUL character in the name
                names = []
            self._listings[folder] = {
                name if name.isascii() else unicodedata.normalize("NFC", name): name for name in names
            }
        return self._listings[folder]
