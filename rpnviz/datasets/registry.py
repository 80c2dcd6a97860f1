"""Opens whatever the user names: images, folders, annotation files, or images together with an annotation file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from rpnviz import paths as places
from rpnviz.datasets import captures
from rpnviz.datasets import folder as folders
from rpnviz.datasets.base import (
    ABOUT_PLACES,
    CHOICE,
    MISSING_IMAGE,
    Dataset,
    Finding,
    ImageRecord,
    Progress,
    no_progress,
)
from rpnviz.datasets.columns import Records
from rpnviz.datasets.formats import Candidate, candidates_at, is_annotation_file, reader_for
from rpnviz.errors import AnnotationError


def open_dataset(
    paths: Sequence[Path], annotations: Path | None = None, *, progress: Progress = no_progress
) -> Dataset:
    """Open what the user named.

    Args:
        paths: image files, one folder, or one annotation file; or image files or a folder and an annotation file; or a
            captured step or a folder of them.
        annotations: the annotation file or folder, if it is not among ``paths``.
        progress: called now and then with a fraction from 0 to 1; it may raise to end the work.

    Returns:
        Images alone: those, without ground truth. An annotation file: its images. With images: these with their ground
        truth, from where they are. With a folder: the images of the file, looked for in that folder. A folder alone:
        with the annotations in it or beside it, whatever their format. Where several would do, a finding says which
        were taken and what else there is.

    Raises:
        AnnotationError: the annotation file cannot be used, or does not know the image.
        ImageFileError: an image or folder does not exist, or the folder holds no image.
    """
    given = [Path(path) for path in paths]
    if len(given) == 1 and annotations is None and captures.is_capture(given[0]):
        return captures.open_captures(given[0], progress)
    files = [path for path in given if is_annotation_file(path)]
    if annotations is not None:
        files.append(Path(annotations))
    others = [path for path in given if path not in files]
    if len(files) > 1:
        raise AnnotationError(
            f"{len(files)} annotation files were named: {_listed(files)}.",
            way_out="Open one of them, or the folder that holds them.",
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
        if inner:
            return _open_folder(inner[0], progress)
        return _with(folders.read_files(others), _said_beside(others[0]))
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
    """Read annotations of any format."""
    found, findings = candidates_at(path, must_be=True)
    if not found:
        # Its error says what is wrong, a "not recognised" would not.
        return reader_for(path).read(path, images, progress)
    dataset = found[0].reader.read(found[0].claim.source, images, progress)
    return _with(dataset, [*findings, *_said_choice(found, dataset)])


def _open_folder(folder: Path, progress: Progress) -> Dataset:
    found, findings = candidates_at(folder)
    for index, candidate in enumerate(found):
        try:
            # What stands beside the folder is asked for the images in it.
            images = folder if candidate.claim.nearby else None
            dataset = candidate.reader.read(candidate.claim.source, images, progress)
        except AnnotationError as error:
            findings.append(_not_used(candidate, error.what, error.way_out))
            continue
        if candidate.claim.nearby and not _holds_any(folder, dataset):
            findings.append(_not_used(candidate, "none of its images is in the folder.", ""))
            continue
        if index + 1 < len(found) and _all_missing(dataset):
            findings.append(_not_used(candidate, "none of its images can be found.", "Open it itself."))
            continue
        dataset = _with_images_of(folder, dataset)
        return _with(dataset, [*findings, *_said_choice(found[index:], dataset)])
    return _with(folders.read_folder(folder), findings)


def _with(dataset: Dataset, findings: Sequence[Finding]) -> Dataset:
    return replace(dataset, findings=(*dataset.findings, *findings)) if findings else dataset


def _not_used(candidate: Candidate, what: str, way_out: str) -> Finding:
    where = candidate.claim.source.name
    return Finding("warning", f"{what} It was not used.", where, way_out, kind="not used")


def _said_choice(found: Sequence[Candidate], dataset: Dataset) -> list[Finding]:
    """A note on what else could have been opened, empty if there was no choice."""
    if len(found) < 2:
        return []
    taken = found[0].claim
    others = [f"{one.claim.source.name} ({one.name})" for one in found[1:6]] + (["..."] if len(found) > 6 else [])
    what = f"taken for {found[0].name} ({taken.source.name}: {taken.why}); there is also {', '.join(others)}."
    way_out = "To have another one, open it itself, or name it with --annotations."
    return [Finding("note", what, dataset.source.name, way_out, kind=CHOICE)]


def _said_beside(image: Path) -> list[Finding]:
    """A note on annotations that an image alone was opened without; only files of its own name are looked for."""
    stem, place = image.stem, image.absolute().parent
    near = [place / f"{stem}{suffix}" for suffix in (".xml", ".json", ".txt")]
    near += [place.parent / "Annotations" / f"{stem}.xml", place.parent / "labels" / f"{stem}.txt"]
    there = next((path for path in near if path.is_file()), None)
    if there is None:
        return []
    what = f"opened without the annotations that {there.name} seems to hold"
    return [Finding("note", f"{what}.", image.name, "Open the folder to see its boxes.", kind=CHOICE)]


def _all_missing(dataset: Dataset) -> bool:
    """Whether no image was found."""
    missing = sum(finding.count for finding in dataset.findings if finding.kind == MISSING_IMAGE)
    return missing >= len(dataset.images)


def _holds_any(folder: Path, dataset: Dataset) -> bool:
    """Whether an image of the data set lies in the folder."""
    names = {path.name for path in folders.image_files(folder)}
    return any(PureWindowsPath(name).name in names for name in dataset.file_names())


def _with_images_of(folder: Path, dataset: Dataset) -> Dataset:
    """The same data set, with a note on images in the folder that the annotation file does not know."""
    images = dataset.images
    in_place = [images.path(index) for index in range(len(images))] if isinstance(images, Records) else []
    known = {PureWindowsPath(path).name for path in in_place} | {Path(path).name for path in in_place}
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
    for index, file_name in enumerate(dataset.file_names()):
        by_name.setdefault(_parts(file_name)[-1], []).append(index)
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
    records = tuple(dataset.images[old].at(path) for old, path in chosen)
    name = records[0].file_name if len(records) == 1 else f"{len(records):,} images of {dataset.name}"
    return Dataset(name, dataset.source, records, dataset.categories, tuple(findings), dataset.format)


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
