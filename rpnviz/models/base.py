"""What every model adapter offers, whatever framework stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.inputs import ModelSettings, RPNOutput
from rpnviz.errors import Cancelled, ModelFileError, ShapeError


class ProposalModel(Protocol):
    """A loaded network that rates and moves anchors."""

    @property
    def name(self) -> str:
        """Shown to the user."""

    @property
    def note(self) -> str:
        """What one should know before trusting it, such as "trained on synthetic shapes"; may be empty."""

    @property
    def settings(self) -> ModelSettings:
        """Resize, anchors and coder it was built with."""

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """Run the network on one image; pure and safe to call from several threads at once.

        Args:
            image: (H, W, 3) RGB in original pixels; the model resizes and pads it itself.
            cancelled: asked between the stages of the network; True ends the run.
            file_name: of the image; recordings are found by it.

        Raises:
            ShapeError: ``image`` is not a colour image of bytes.
            Cancelled: ``cancelled`` said so.
        """


@runtime_checkable
class Previewing(Protocol):
    """A model that can run at half the resolution, in about a quarter of the time."""

    @property
    def name(self) -> str:
        """Of the model."""

    def at_half(self) -> ProposalModel:
        """The same network on an input of half the sides, with settings that say so."""


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is no colour image.

    Raises:
        ShapeError: ``image`` is not (H, W, 3) uint8 with at least one pixel.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError(f"the image has shape {image.shape} and type {image.dtype}, expected (H, W, 3) uint8 RGB.")


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """End the work if nobody waits for it any more.

    Raises:
        Cancelled: ``cancelled`` returned True.
    """
    if cancelled is not None and cancelled():
        raise Cancelled


_asked: ContextVar[Callable[[], bool] | None] = ContextVar("cancelled", default=None)


@contextmanager
def cancellable(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Inside, in this thread, reading a model ends where ``cancelled`` returns True.

    A context and no argument, so that formats of other packages need not hand it on.
    """
    token = _asked.set(cancelled)
    try:
        yield
    finally:
        _asked.reset(token)


def stop_if_asked() -> None:
    """End reading if nobody waits for it any more; called between the parts of a file.

    Raises:
        Cancelled: as :func:`cancellable` was told.
    """
    stop_if(_asked.get())


@dataclass(frozen=True)
class Question:
    """Something that a model file does not say.

    Attributes:
        key: name of the option.
        text: what is asked.
        choices: (value, meaning) of each; empty where any text will do.
        default: the framework's own answer.
        follows: key of the question on whose answer the default depends, and the default for each such answer.
    """

    key: str
    text: str
    choices: tuple[tuple[str, str], ...]
    default: str
    follows: tuple[str, Mapping[str, str]] | None = None


def answered(path: Path, questions: Sequence[Question], options: Mapping[str, str]) -> dict[str, str]:
    """An answer to every question: the given ones, else the defaults.

    Raises:
        ModelFileError: an option is none of the questions, or none of the choices.
    """
    asked = {question.key: question for question in questions}
    for key, value in options.items():
        if key not in asked:
            raise ModelFileError(f"there is no option {key!r} for it; known are {', '.join(asked)}.", where=str(path))
        choices = dict(asked[key].choices)
        if choices and value not in choices:
            allowed = ", ".join(choices)
            raise ModelFileError(f"the option {key} is {value!r}, expected one of {allowed}.", where=str(path))
    return {key: options.get(key, question.default) for key, question in asked.items()}


@dataclass(frozen=True)
class ModelInfo:
    """What a model file is, before it is opened.

    Attributes:
        format: name of its format.
        preset: of the trainer whose rules belong to it.
        description: what was recognised, in words.
        stubs: names in the file that were not looked up, because they may be code.
        questions: what it does not say.
    """

    format: str
    preset: str
    description: str
    stubs: tuple[str, ...]
    questions: tuple[Question, ...]


class ModelFormat(Protocol):
    """A kind of model file; other packages register theirs as entry points of the group ``rpnviz.model_formats``."""

    @property
    def name(self) -> str:
        """Of the format."""

    def sniff(self, path: Path, head: bytes) -> int:
        """How sure it is that a file is of this format, 0 (not at all) to 100, without running or importing anything.

        Args:
            path: the file, or a folder.
            head: its first 512 bytes; empty for a folder.
        """

    def inspect(self, path: Path) -> ModelInfo:
        """What the file is, and what it does not say.

        Raises:
            ModelFileError: it is damaged.
        """

    def open(self, path: Path, options: Mapping[str, str]) -> ProposalModel:
        """Make a model of it.

        Args:
            path: the file, or a folder.
            options: answers to the questions of :meth:`inspect`.

        Raises:
            ModelFileError: it is damaged, or an answer is none of the choices.
        """
