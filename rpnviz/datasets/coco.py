"""COCO JSON: reads on past every bad record, keeps it where it can, and says what is wrong with it.

Fields that are used, of ``images``: id, file_name, width, height; of ``annotations``: id, image_id, category_id, bbox,
iscrowd, ignore; of ``categories``: id, name. Width and height, the id of an annotation, iscrowd and ignore may be
missing without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from rpnviz.datasets.base import Dataset, Progress, no_progress
from rpnviz.datasets.coco_annotations import AnnotationReader
from rpnviz.datasets.coco_records import Categories, read_images
from rpnviz.datasets.findings import FindingLog
from rpnviz.datasets.image_finder import ImageFinder
from rpnviz.datasets.json_files import COPY_AGAIN, decode_slowly, kind_of, read_text
from rpnviz.errors import AnnotationError

_PROGRESS_EVERY = 8192
_EXPECTED = "Expected COCO JSON: an object with the lists 'images', 'annotations' and 'categories'."


def read(path: Path, images: Path | None = None, progress: Progress = no_progress) -> Dataset:
    """Read a COCO annotation file.

    Args:
        path: the JSON file.
        images: the folder of the images; None: looked for as ``image_finder.image_folders`` says.
        progress: called now and then with a fraction from 0 to 1; it may raise to end the work.

    Raises:
        AnnotationError: the file as a whole cannot be used; what is wrong with single records is in ``findings``.
    """
    findings = FindingLog(path.name)
    content = _decode(read_text(path, _EXPECTED, findings), path)
    progress(0.1)
    categories = Categories(content.categories, findings)
    records, indices = read_images(content.images, ImageFinder(path, images), findings)
    if not records:
        raise _without_images(path, findings)
    progress(0.3)
    if content.annotations is None:
        findings.add("no annotations", "note", "the file has no 'annotations': no image has ground truth.")
    reader = AnnotationReader(records, indices, categories, findings)
    for position, record in enumerate(content.annotations or ()):
        if position % _PROGRESS_EVERY == 0:
            progress(0.3 + 0.6 * position / len(content.annotations or ()))
        reader.add(record, position)
    ground_truth = reader.finish()
    progress(1.0)
    complete = tuple(replace(record, gt=gt) for record, gt in zip(records, ground_truth, strict=True))
    return Dataset(path.name, path, complete, tuple(categories.names), findings.all())


def recognises(path: Path) -> bool:
    """Whether a JSON file is COCO: an object with the lists ``images`` and ``annotations``.

    Raises:
        AnnotationError: it cannot be read, or is no JSON.
    """
    text = read_text(path, _EXPECTED, FindingLog(path.name))
    try:
        return msgspec.json.decode(text, type=_RawLists).annotations is not None
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, RecursionError):
        whole = decode_slowly(text, path, _EXPECTED)
        return isinstance(whole, dict) and all(isinstance(whole.get(name), list) for name in ("images", "annotations"))


class _RawLists(msgspec.Struct):
    """The lists of a file, their records not yet decoded: so one bad record spoils no other."""

    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] | None = None
    categories: list[msgspec.Raw] | None = None


@dataclass(frozen=True)
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
    whole = decode_slowly(text, path, _EXPECTED)
    if not isinstance(whole, dict):
        way_out = "Choose another file."
        if isinstance(whole, list) and whole and isinstance(whole[0], dict) and "image_id" in whole[0]:
            way_out = "This looks like a list of results; open the annotation file that they belong to."
        raise AnnotationError(f"the file holds {kind_of(whole)}. {_EXPECTED}", where=str(path), way_out=way_out)
    lists = {name: whole.get(name) for name in ("images", "annotations", "categories")}
    if lists["images"] is None:
        found = ", ".join(repr(name) for name in list(whole)[:8]) or "nothing"
        raise AnnotationError(
            f"the file has no 'images', it has {found}. {_EXPECTED}", where=str(path), way_out="Choose another file."
        )
    for name, value in lists.items():
        if value is not None and not isinstance(value, list):
            raise AnnotationError(
                f"'{name}' is {kind_of(value)}, expected a list. {_EXPECTED}", where=str(path), way_out=COPY_AGAIN
            )
    return _Content(lists["images"], lists["annotations"], lists["categories"] or ())


def _without_images(path: Path, findings: FindingLog) -> AnnotationError:
    reason = next((finding.what for finding in findings.all() if finding.severity == "error"), "")
    return AnnotationError(
        f"'images' lists no image that can be used. {reason}".rstrip(),
        where=str(path),
        way_out="Open the folder of the images to see them without annotations.",
    )
