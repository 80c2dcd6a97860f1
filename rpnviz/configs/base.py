"""What a trainer's configuration is: its parameters, and what became of each of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from rpnviz.configs.documents import Document, Kind
from rpnviz.core.params import Params, ResizeParams
from rpnviz.core.presets import Preset


class Fate(StrEnum):
    """What became of a field."""

    READ = "read"
    NOT_UNDERSTOOD = "not understood"
    """The trainer does something there that is not reproduced; the default stays."""
    ASSUMED = "assumed"
    """The file does not say it; what was taken instead."""
    NO_EFFECT = "no effect"
    """It changes nothing that rpnviz shows."""


@dataclass(frozen=True)
class FieldNote:
    """One field of a configuration file.

    Attributes:
        field: as the trainer calls it, with its place: ``MODEL.RPN.NMS_THRESH``.
        value: as in the file; of a whole section how many fields it has.
        fate: what became of it.
        became: the parameters it set, or the reason why it set none.
    """

    field: str
    value: str
    fate: Fate
    became: str


@dataclass(frozen=True)
class TrainerConfig:
    """A configuration as rpnviz sees it.

    Attributes:
        framework: name of the :class:`ConfigFormat`.
        files: the file, then the bases it inherits from.
        preset: the trainer with the file's parameters and conventions.
        notes: every field of the file, those that were not understood first.
        train_views: each way in which training resizes an image, the one in ``preset`` first; one if it never varies.
        flip: whether training flips images left to right; None: the file does not say.
    """

    framework: str
    files: tuple[Path, ...]
    preset: Preset
    notes: tuple[FieldNote, ...]
    train_views: tuple[ResizeParams, ...]
    flip: bool | None = None

    def count(self, fate: Fate) -> int:
        """Number of fields that had this fate."""
        return sum(note.fate is fate for note in self.notes)

    @property
    def headline(self) -> str:
        """The result in few words: what was read, and what was not understood."""
        parts = self.summary.split(", ")
        return ", ".join(parts[: 1 + bool(self.count(Fate.NOT_UNDERSTOOD))])

    @property
    def summary(self) -> str:
        """The result in one line."""
        read = self.count(Fate.READ)
        parts = [f"{read} {'field' if read == 1 else 'fields'} read"]
        for fate, words in (
            (Fate.NOT_UNDERSTOOD, "not understood (kept default)"),
            (Fate.ASSUMED, "not in the file (assumed)"),
            (Fate.NO_EFFECT, "without effect here"),
        ):
            if self.count(fate):
                parts.append(f"{self.count(fate)} {words}")
        return ", ".join(parts)


class ConfigFormat(Protocol):
    """One trainer's configuration files.

    Attributes:
        name: of the framework, shown to the user and given to ``--for``.
        presets: presets whose rules such a file can follow; the first unless the user says otherwise.
        kind: of the text that :meth:`write` makes.
        names: what the trainer calls the parameters, by ``group.field``, for texts.
        limits: why parameters (``group.field``, or ``group.`` for the rest of one) cannot be written, as sentences.
    """

    name: str
    presets: Sequence[str]
    kind: Kind
    names: Mapping[str, str]
    limits: Mapping[str, str]

    def sniff(self, document: Document) -> int:
        """How sure the format is that a file is of its trainer, 0 (not) to 100."""
        ...

    def read(self, document: Document, preset: str) -> TrainerConfig:
        """Read a file under the rules of one of ``presets``.

        Raises:
            ConfigFileError: a value is not allowed, or the trainer has no RPN that rpnviz knows.
        """
        ...

    def write(self, params: Params, preset: Preset, flip: bool | None = None) -> str:
        """The parameters as a text that :meth:`read` understands, without comments.

        Args:
            params: in the terms of ``preset``. What the trainer cannot be told is left out; who calls reads the text
                again and compares.
            preset: one of ``presets``, with the wanted conventions.
            flip: whether training flips images; None: nobody said, and the trainer's own way stays.
        """
        ...
