"""COCO JSON: reads on past every bad record, keeps it where it can, and says what is wrong with it.

Fields that are used, of ``images``: id, file_name, width, height; of ``annotations``: id, image_id, category_id, bbox,
iscrowd, ignore; of ``categories``: id, name. Width and height, the id of an annotation, iscrowd and ignore may be
missing without a word.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets import cache
from rpnviz.datasets.base import Claim, Dataset, Progress, no_progress
from rpnviz.datasets.coco_annotations import AnnotationReader
from rpnviz.datasets.coco_pieces import NoSplit, Pieces, split_annotations
from rpnviz.datasets.coco_records import BATCH, Categories, read_images
from rpnviz.datasets.collector import Parsed, assemble
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import COPY_AGAIN, decode_slowly, is_json_with, json_files, kind_of, read_text
from rpnviz.errors import AnnotationError

FORMAT = "COCO JSON"
VERSION = 2
"""Counts up whenever the same file would be read differently: older cached columns are then not used."""
EXPECTED = "Expected COCO JSON: an object with the lists 'images', 'annotations' and 'categories'."


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a COCO annotation file.

    Args:
        path: the JSON file.
        images: the folder of the images; None: looked for as ``image_finder.image_folders`` says.
        progress: called now and then with a fraction from 0 to 1; it may raise to end the work.

    Raises:
        AnnotationError: the file as a whole cannot be used; what is wrong with single records is in ``findings``.
    """
    found = parsed(path, progress)
    progress(0.9)
    dataset = assemble(found, path, FORMAT, ImageFinder(path, images))
    progress(1.0)
    return dataset


def parsed(path: Path, progress: Progress = no_progress) -> Parsed:
    """What a COCO annotation file says, wherever its images are.

    Raises:
        AnnotationError: see :func:`read`.
    """
    found = cache.load(path, VERSION)
    if found is None:
        with paused_collection():
            found = _parse(path, progress)
        cache.store(path, VERSION, found)
    return found


def _parse(path: Path, progress: Progress) -> Parsed:
    findings = FindingLog(path.name)
    text = read_text(path, EXPECTED, findings)
    progress(0.1)
    pieces = split_annotations(text)
    if pieces is not None:
        try:
            reader = _read_pieces(pieces, path, findings.copy(), progress)
            del text, pieces  # it is large, and so is what the checks need
            return _finish(reader)
        except NoSplit:
            pass
    content = _decode(text, path)
    del text, pieces  # the records hold it as long as they need it
    reader = _start(content, path, findings)
    if content.annotations is None:
        findings.add("no annotations", "note", "the file has no 'annotations': no image has ground truth.")
    annotations = content.annotations or ()
    for start in range(0, len(annotations), BATCH):
        progress(0.2 + 0.7 * start / len(annotations))
        reader.add_batch(annotations[start : start + BATCH], start)
    del content, annotations
    return _finish(reader)


def _read_pieces(pieces: Pieces, path: Path, findings: FindingLog, progress: Progress) -> AnnotationReader:
    """A reader that has taken all of a large file.

    Raises:
        NoSplit: it was not split between two records.
    """
    try:
        rest = msgspec.json.decode(pieces.rest, type=_RawLists)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoSplit from error
    if rest.annotations is None or len(rest.annotations):
        raise NoSplit  # it was split elsewhere than at the list of annotations
    content = _Content(rest.images, rest.annotations, rest.categories or ())
    reader = _start(content, path, findings)
    start = 0
    for piece, fraction in pieces:
        progress(0.1 + 0.8 * fraction)
        start += reader.add_text(piece, start)
    return reader


def _start(content: _Content, path: Path, findings: FindingLog) -> AnnotationReader:
    """Read images and categories.

    Raises:
        AnnotationError: there is no image.
    """
    categories = Categories(content.categories, findings)
    images = read_images(content.images, findings)
    if not images.names:
        raise _without_images(path, findings)
    return AnnotationReader(images, categories, findings)


def _finish(reader: AnnotationReader) -> Parsed:
    columns = reader.finish()
    return Parsed(columns, tuple(reader.categories.names), reader.findings.all())


def claims(path: Path) -> list[Claim]:
    """A JSON file with the lists ``images`` and ``annotations``, or a folder with some in it, or beside it.

    Raises:
        AnnotationError: the file cannot be read, or is no JSON.
    """
    why = "lists 'images' and 'annotations'"
    if not path.is_dir():
        return [Claim(path, why)] if is_json_with(path, _lists_both, (b'"images"', b'"annotations"'), EXPECTED) else []
    found, problem = [], None
    for file, nearby in json_files(path):
        try:
            if is_json_with(file, _lists_both, (b'"images"', b'"annotations"'), EXPECTED):
                found.append(Claim(file, why, nearby))
        except AnnotationError as error:
            problem = problem or (None if nearby else error)
    if problem is not None and not found:
        raise problem
    # Of train and val, the one with the name of the folder or of the images in it.
    split = path.name.lower()
    return sorted(found, key=lambda claim: split not in re.split(r"[^a-z0-9]+", claim.source.stem.lower()))


def _lists_both(text: bytes) -> bool:
    return msgspec.json.decode(text, type=_RawLists).annotations is not None


@contextmanager
def paused_collection() -> Iterator[None]:
    """No search for reference cycles meanwhile: it would look at millions of new objects again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _RawLists(msgspec.Struct):
    """The lists of a file, their records not yet decoded: so one bad record spoils no other."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] | None = None
    categories: list[msgspec.Raw] | None = None


@dataclass
class _Content:
    """The lists of a file; a record is ``Raw`` JSON, or decoded if the file holds literals that are not JSON."""

    images: Sequence[Any]
    annotations: Sequence[Any] | None
    categories: Sequence[Any]


def _decode(text: bytes, path: Path) -> _Content:
    try:
        raw = msgspec.json.decode(text, type=_RawLists)
        return _Content(raw.images, raw.annotations, raw.categories or ())
    except (msgspec.DecodeError, RecursionError):
        pass  # the slow way accepts NaN, or knows line and column of what is wrong
    whole = decode_slowly(text, path, EXPECTED)
    if not isinstance(whole, dict):
        way_out = "Choose another file."
        if isinstance(whole, list) and whole and isinstance(whole[0], dict) and "image_id" in whole[0]:
            way_out = "This looks like a list of results; open the annotation file that they belong to."
        raise AnnotationError(f"the file holds {kind_of(whole)}. {EXPECTED}", where=str(path), way_out=way_out)
    lists = {name: whole.get(name) for name in ("images", "annotations", "categories")}
    if lists["images"] is None:
        found = ", ".join(repr(name) for name in list(whole)[:8]) or "nothing"
        raise AnnotationError(
            f"the file has no 'images', it has {found}. {EXPECTED}", where=str(path), way_out="Choose another file."
        )
    for name, value in lists.items():
        if value is not None and not isinstance(value, list):
            raise AnnotationError(
                f"'{name}' is {kind_of(value)}, expected a list. {EXPECTED}", where=str(path), way_out=COPY_AGAIN
            )
    return _Content(lists["images"], lists["annotations"], lists["categories"] or ())


def _without_images(path: Path, findings: FindingLog) -> AnnotationError:
    reason = next((finding.what for finding in findings.all() if finding.severity == "error"), "")
    return AnnotationError(
        f"'images' lists no image that can be used. {reason}".rstrip(),
        where=str(path),
        way_out="Open the folder of the images to see them without annotations.",
    )
