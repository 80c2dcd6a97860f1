"""Opens whatever the user names: images, folders, annotation files, or images together with an annotation file."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Protocol, cast

from rpnviz import paths as places
from rpnviz.datasets import captures
from rpnviz.datasets import folder as folders
from rpnviz.datasets.base import ABOUT_PLACES, Dataset, Finding, ImageRecord, Progress, no_progress
from rpnviz.errors import AnnotationError

_MANY_FILES = 20
"""Among more annotation files than this, those named like an image describe that image alone and no data set."""


class Reader(Protocol):
    """What the module of a format offers."""

    def recognises(self, path: Path) -> bool:
        """Whether a file is of this format; AnnotationError if it is of none."""

    def read(self, path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
        """Read an annotation file; ``images`` is the folder of the images, if it is known."""


@dataclass(frozen=True)
class Format:
    """A row of :data:`FORMATS`.

    Attributes:
        name: shown to the user.
        module: imported when a file of the format is first met; see :class:`Reader`.
        suffixes: of its files, in lower case.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]

    @property
    def reader(self) -> Reader:
        """The module."""
        return cast(Reader, importlib.import_module(self.module))


FORMATS = (Format("COCO JSON", "rpnviz.datasets.coco", (".json",)),)
_SUFFIXES = frozenset(suffix for format_ in FORMATS for suffix in format_.suffixes)


def open_dataset(
    paths: Sequence[Path], annotations: Path | None = None, *, progress: Progress = no_progress
) -> Dataset:
    """Open what the user named.

    Args:
        paths: image files, one folder, or one annotation file; or image files or a folder and an annotation file; or a
            captured step or a folder of them.
        annotations: the annotation file, if it is not among ``paths``.
        progress: called now and then with a fraction from 0 to 1; it may raise to end the work.

    Returns:
        Images alone: those, without ground truth. An annotation file: its images. With images: these with their ground
        truth, from where they are. With a folder: the images of the file, looked for in that folder. A folder alone:
        with the annotation file in it or in its ``annotations/``, if there is exactly one.

    Raises:
        AnnotationError: the annotation file cannot be used, or does not know the image.
        ImageFileError: an image or folder does not exist, or the folder holds no image.
    """
    given = [Path(path) for path in paths]
    if len(given) == 1 and annotations is None and captures.is_capture(given[0]):
        return captures.open_captures(given[0], progress)
    files = [path for path in given if path.suffix.lower() in _SUFFIXES and not path.is_dir()]
    if annotations is not None:
        files.append(Path(annotations))
    others = [path for path in given if path not in files]
    if len(files) > 1:
        raise AnnotationError(
            f"{len(files)} annotation files were named: {_listed(files)}.", way_out="Open one of them at a time."
        )
    inner = [path for path in others if path.is_dir()]
    if inner and len(others) > 1:
        raise AnnotationError(
            f"a folder and {len(others) - 1} more were named: {_listed(others)}.",
            way_out="Open one folder, or image files.",
        )
    if not files and not others:
        raise AnnotationError("nothing was named to open.", way_out="Name an image, a folder or an annotation file.")
    if not files:
        return _open_folder(inner[0], progress) if inner else folders.read_files(others)
    if inner:
        return _with_images_of(inner[0], _read(files[0], inner[0], progress))
    if others:
        folders.read_files(others)  # a name that leads nowhere is reported as such, not as unknown to the file
        return _select(_read(files[0], others[0].parent, progress), others)
    return _read(files[0], None, progress)


def sample_dataset() -> Dataset:
    """The bundled photos and scenes."""
    dataset = _read(places.sample_images() / "instances.json", None, no_progress)
    return replace(dataset, name="Samples")


def _read(path: Path, images: Path | None, progress: Progress) -> Dataset:
    """Read an annotation file of any format."""
    candidates = [format_ for format_ in FORMATS if path.suffix.lower() in format_.suffixes] or list(FORMATS)
    # The last one reads without being asked: its error says what is wrong, a "not recognised" would not.
    for format_ in candidates[:-1]:
        if format_.reader.recognises(path):
            return format_.reader.read(path, images, progress)
    return candidates[-1].reader.read(path, images, progress)


def _open_folder(folder: Path, progress: Progress) -> Dataset:
    found, findings = _annotation_files(folder)
    if len(found) > 1:
        raise AnnotationError(
            f"the folder holds {len(found)} annotation files: {_listed(found)}.",
            where=str(folder),
            way_out="Open one of them, or the folder together with one (--annotations).",
        )
    dataset = _with_images_of(folder, _read(found[0], None, progress)) if found else folders.read_folder(folder)
    return replace(dataset, findings=dataset.findings + tuple(findings))


def _annotation_files(folder: Path) -> tuple[list[Path], list[Finding]]:
    """Annotation files in a folder or in its ``annotations/``, and findings on those that cannot be read."""
    files: list[Path] = []
    for place in (folder, folder / "annotations"):
        if place.is_dir():
            files += sorted(
                path
                for path in place.iterdir()
                if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
            )
    if len(files) > _MANY_FILES:
        images = {path.stem for path in folders.image_files(folder)}
        files = [path for path in files if path.stem not in images]
    found, findings = [], []
    for path in files:
        try:
            if any(format_.reader.recognises(path) for format_ in FORMATS if path.suffix.lower() in format_.suffixes):
                found.append(path)
        except AnnotationError as error:
            findings.append(
                Finding("warning", f"{error.what} It was not used.", path.name, error.way_out, kind="not used")
            )
    return found, findings


def _with_images_of(folder: Path, dataset: Dataset) -> Dataset:
    """The same data set, with a note on images in the folder that the annotation file does not know."""
    known = {record.path.name for record in dataset.images}
    missed = [path.name for path in folders.image_files(folder) if path.name not in known]
    if not missed:
        return dataset
    names = ", ".join(missed[:5]) + (", ..." if len(missed) > 5 else "")
    note = Finding(
        "note",
        f"the folder holds images that are not in the annotation file and not shown ({len(missed):,}): {names}.",
        dataset.name,
        "Open the images themselves to see them without annotations.",
        kind="not in it",
    )
    return replace(dataset, findings=(*dataset.findings, note))


def _select(dataset: Dataset, files: Sequence[Path]) -> Dataset:
    """The records of these image files, in their order, and what was found about them."""
    by_name: dict[str, list[int]] = {}
    for index, record in enumerate(dataset.images):
        by_name.setdefault(_parts(record.file_name)[-1], []).append(index)
    chosen, missing = [], []
    for path in files:
        index_of_record = _best_match(dataset, by_name.get(path.name, []), path)
        if index_of_record is None:
            missing.append(path)
        else:
            chosen.append((index_of_record, path))
    if not chosen:
        close = difflib.get_close_matches(files[0].name, by_name, n=3, cutoff=0.5)
        raise AnnotationError(
            f"no image of the annotation file is named {files[0].name!r}.",
            where=str(dataset.source),
            way_out=f"It has {', '.join(map(repr, close))}." if close else "Is it the right annotation file?",
        )
    new_index: dict[int | None, int | None] = {old: new for new, (old, _) in enumerate(chosen)}
    new_index[None] = None
    findings = [
        replace(finding, image=new_index[finding.image])
        for finding in dataset.findings
        # Where the file would look for the images does not matter: the user said where they are.
        if finding.image in new_index and finding.kind not in ABOUT_PLACES
    ]
    findings += [
        Finding(
            "warning", f"{path.name} is not in the annotation file; it was left out.", dataset.name, kind="not in it"
        )
        for path in missing
    ]
    records = tuple(replace(dataset.images[old], path=path) for old, path in chosen)
    name = records[0].file_name if len(records) == 1 else f"{len(records):,} images of {dataset.name}"
    return Dataset(name, dataset.source, records, dataset.categories, tuple(findings))


def _best_match(dataset: Dataset, candidates: Sequence[int], path: Path) -> int | None:
    """Of the records with the file's name, the one that shares most of its folders.

    Raises:
        AnnotationError: several fit equally well.
    """
    own = _parts(str(path.absolute()))

    def fit(index: int) -> tuple[bool, int]:
        named = _parts(dataset.images[index].file_name)
        common = 0
        while common < min(len(own), len(named)) and own[-1 - common] == named[-1 - common]:
            common += 1
        return common == len(named), common

    ranked = sorted(candidates, key=fit, reverse=True)
    if len(ranked) > 1 and fit(ranked[0]) == fit(ranked[1]):
        names = [_label(dataset.images[index]) for index in ranked if fit(index) == fit(ranked[0])]
        raise AnnotationError(
            f"{len(names)} images of the annotation file fit {path}: {', '.join(names[:5])}.",
            where=str(dataset.source),
            way_out="Open the annotation file itself.",
        )
    return ranked[0] if ranked else None


def _label(record: ImageRecord) -> str:
    return f"{record.file_name} (id {record.image_id})"


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file name; Windows paths split at both kinds of slash, and files come from everywhere."""
    return PureWindowsPath(name).parts or (name,)


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(path.name for path in files[:5]) + (", ..." if len(files) > 5 else "")
