"""Opens a trainer's configuration, whichever trainer's it is."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from rpnviz.configs import documents
from rpnviz.configs.base import ConfigFormat, TrainerConfig
from rpnviz.errors import ConfigFileError

_READS = (
    "rpnviz reads detectron2's YAML, mmdetection's configuration as JSON or as dumped, torchvision's arguments as "
    "JSON, Matterport's Config as JSON, and keras-retinanet's INI."
)


@dataclass(frozen=True)
class FormatRow:
    """A row of :data:`FORMATS`: a framework, and the class that is imported when its files are first met."""

    name: str
    module: str
    class_name: str


FORMATS = (
    FormatRow("torchvision", "rpnviz.configs.torchvision", "Torchvision"),
    FormatRow("detectron2", "rpnviz.configs.detectron2", "Detectron2"),
    FormatRow("mmdetection", "rpnviz.configs.mmdetection", "MMDetection"),
    FormatRow("matterport", "rpnviz.configs.matterport", "Matterport"),
    FormatRow("keras-retinanet", "rpnviz.configs.keras_retinanet", "KerasRetinanet"),
)


def names() -> list[str]:
    """Frameworks that configurations can be written for, in menu order."""
    return [row.name for row in FORMATS] + [name for name, _ in _others()]


def format_named(name: str) -> ConfigFormat:
    """The format of a framework.

    Raises:
        ConfigFileError: there is none; names the known ones.
    """
    for row in FORMATS:
        if row.name == name:
            return cast(ConfigFormat, getattr(importlib.import_module(row.module), row.class_name)())
    for other, made in _others():
        if other == name:
            return made
    raise ConfigFileError(f"there are no configurations of {name!r}; known are {', '.join(names())}.")


@lru_cache(maxsize=1)
def _others() -> tuple[tuple[str, ConfigFormat], ...]:
    """Formats that other packages register under ``rpnviz.configs``."""
    made = [entry.load()() for entry in entry_points(group="rpnviz.configs")]
    return tuple((form.name, form) for form in made)


def recognise(document: documents.Document) -> ConfigFormat | None:
    """Whose configuration it is; None if nobody's."""
    rated = [(form.sniff(document), form) for form in map(format_named, names())]
    best = max(rated, key=lambda entry: entry[0])
    return best[1] if best[0] else None


def is_config(path: Path) -> bool:
    """Whether a file is to be opened as a trainer's configuration: JSON and YAML may also be something else."""
    kind = documents.kind_of_name(path)
    if kind in (None, documents.Kind.INI, documents.Kind.PYTHON):
        return kind is not None
    try:
        return recognise(documents.load(path)) is not None
    except ConfigFileError:
        # Broken JSON is told best by the readers of annotations, which are far more often JSON.
        return kind is documents.Kind.YAML


def read_config(path: Path, preset: str | None = None) -> TrainerConfig:
    """Read a configuration file.

    Args:
        path: the file.
        preset: whose rules apply, which must be the file's; None: the file's own.

    Raises:
        ConfigFileError: it cannot be read, is nobody's, holds a value that is not allowed, or is not of ``preset``.
    """
    document = documents.load(path)
    form = recognise(document)
    if form is None:
        raise ConfigFileError(
            f"this {document.kind} is no trainer's configuration that rpnviz knows; its fields are "
            f"{_first(list(map(str, document.value)))}.",
            where=str(path),
            way_out=_READS,
        )
    if preset is not None and preset not in form.presets:
        raise ConfigFileError(
            f"this is a configuration of {form.name}, but the preset {preset!r} was asked for.",
            where=str(path),
            way_out=f"Leave the preset out, or name {' or '.join(form.presets)}.",
        )
    return form.read(document, preset or form.presets[0])


def _first(keys: Sequence[str]) -> str:
    listed = ", ".join(" ".join(key.split())[:40] for key in keys[:8])
    return f"{listed}, ..." if len(keys) > 8 else listed or "none"
