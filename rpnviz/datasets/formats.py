"""The annotation formats by name, and which of them a file or folder is.

Formats of other packages: an entry point of the group ``rpnviz.datasets`` that names a module (or object) with the
functions of :class:`Reader`; its name is the format's.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from rpnviz.datasets.base import Claim, Finding, Reader
from rpnviz.datasets.folder import IMAGE_SUFFIXES
from rpnviz.errors import AnnotationError

GROUP = "rpnviz.datasets"


@dataclass(frozen=True)
class Format:
    """A row of :data:`FORMATS`.

    Attributes:
        name: shown to the user.
        module: imported when something of the format may be met; see :class:`Reader`.
        suffixes: of its files, in lower case; empty: it is only a folder.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]

    @property
    def reader(self) -> Reader:
        """The module."""
        return cast(Reader, importlib.import_module(self.module))


FORMATS = (
    Format("COCO JSON", "rpnviz.datasets.coco", (".json",)),
    Format("YOLO", "rpnviz.datasets.yolo", (".yaml", ".yml", ".txt")),
    Format("Pascal VOC XML", "rpnviz.datasets.voc", (".xml",)),
    Format("LabelMe JSON", "rpnviz.datasets.labelme", (".json",)),
    Format("CVAT XML", "rpnviz.datasets.cvat", (".xml",)),
    Format("KITTI", "rpnviz.datasets.kitti", ()),
    Format("detectron2 dicts", "rpnviz.datasets.detectron2_dicts", (".json",)),
    Format("CrowdHuman", "rpnviz.datasets.crowdhuman", (".odgt",)),
    Format("CSV", "rpnviz.datasets.csv_table", (".csv", ".tsv")),
)
"""In the order in which they are asked; the first that fits is taken."""
_SUFFIXES = frozenset(suffix for format_ in FORMATS for suffix in format_.suffixes)


@dataclass(frozen=True)
class Candidate:
    """A format that fits."""

    name: str
    reader: Reader
    claim: Claim


def is_annotation_file(path: Path) -> bool:
    """Whether a named path is taken for annotations rather than for an image: by its suffix, and what plug-ins say."""
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        return False
    return suffix in _SUFFIXES or any(_claims_of_plugin(point, path, []) for point in _plugins())


def reader_for(path: Path) -> Reader:
    """The reader whose error suits a file that no format recognises: the first of its suffix, else COCO's."""
    return next((format_ for format_ in FORMATS if path.suffix.lower() in format_.suffixes), FORMATS[0]).reader


def candidates_at(path: Path, must_be: bool = False) -> tuple[list[Candidate], list[Finding]]:
    """Everything a file or folder can be read as, the first choice first, and what stood in the way.

    Args:
        path: a file or folder.
        must_be: it was named as annotations: a file that no format of its suffix knows is shown to all
            others, and a broken file is an error.

    Raises:
        AnnotationError: ``must_be`` and the file is broken.
    """
    suffix = path.suffix.lower()
    likely = [format_ for format_ in FORMATS if path.is_dir() or suffix in format_.suffixes]
    found: list[Candidate] = []
    findings: list[Finding] = []
    for format_ in likely:
        try:
            found += [Candidate(format_.name, format_.reader, claim) for claim in format_.reader.claims(path)]
        except AnnotationError as error:
            if must_be and not path.is_dir():
                raise
            findings.append(_broken(path, error))
    if must_be and not found and not path.is_dir():
        for format_ in FORMATS:
            if format_ not in likely:
                with suppress(AnnotationError):
                    found += [Candidate(format_.name, format_.reader, claim) for claim in format_.reader.claims(path)]
    for point in _plugins():
        found += _claims_of_plugin(point, path, findings)
    # What is in the folder itself comes before what stands beside it; the order of the formats decides the rest.
    found.sort(key=lambda candidate: candidate.claim.nearby)
    return found, _without_repeats(findings)


@cache
def _plugins() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _claims_of_plugin(point: EntryPoint, path: Path, findings: list[Finding]) -> list[Candidate]:
    """What a format of another package claims; a package that fails is named and does not stop the others."""
    try:
        reader = cast(Reader, point.load())
        return [Candidate(point.name, reader, claim) for claim in reader.claims(path)]
    except AnnotationError as error:
        findings.append(_broken(path, error))
    except Exception as error:  # whatever a stranger's code raises
        package = point.dist.name if point.dist is not None else point.value
        what = f"the format {point.name!r} of the package {package!r} failed: {type(error).__name__}: {error}"
        findings.append(Finding("warning", what, path.name, "Update or remove that package.", kind="plug-in"))
    return []


def _broken(path: Path, error: AnnotationError) -> Finding:
    where = Path(error.where).name or path.name
    return Finding("warning", f"{error.what} It was not used.", where, error.way_out, kind="not used")


def _without_repeats(findings: Iterable[Finding]) -> list[Finding]:
    """Several formats say of the same file that it is broken; the first has the best reason."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.where, finding)
    return list(first.values())
