"""A model whose user is told, without a window, what was assumed about it and that its outputs look odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rpnviz.core.inputs import ModelSettings, RPNOutput
from rpnviz.models import checkpoint
from rpnviz.models.base import ProposalModel
from rpnviz.models.playback import find_steps, inspect_playback, model_in, open_playback
from rpnviz.models.registry import assumed, inspect_model, open_model, sanity


class WatchedModel:
    """See :class:`rpnviz.models.base.ProposalModel`; tells of the first image alone on which the outputs look odd."""

    def __init__(self, model: ProposalModel, tell: Callable[[str], None]) -> None:
        self._model, self._tell, self._told = model, tell, False

    @property
    def name(self) -> str:
        """Of the model."""
        return self._model.name

    @property
    def note(self) -> str:
        """Of the model."""
        return self._model.note

    @property
    def settings(self) -> ModelSettings:
        """Of the model."""
        return self._model.settings

    def propose(
        self, image: NDArray[np.uint8], cancelled: Callable[[], bool] | None = None, file_name: str = ""
    ) -> RPNOutput:
        """See :meth:`rpnviz.models.base.ProposalModel.propose`."""
        found = self._model.propose(image, cancelled, file_name)
        warning = None if self._told else sanity(found)
        if warning:
            self._told = True
            self._tell(f"{self.name} on {file_name or 'the image'}: {warning}")
        return found


def open_watched(path: Path | None, options: Mapping[str, str], tell: Callable[[str], None]) -> WatchedModel:
    """Open a model, or the last step of a training, and tell which defaults hold for what its file does not say.

    Args:
        path: as for :func:`~rpnviz.models.playback.open_last`.
        options: answers; others are those of last time, else the defaults.
        tell: called with a sentence for the user.

    Raises:
        ModelFileError: it cannot be opened.
    """
    model: ProposalModel
    path = path and model_in(path)
    if path is not None and path.is_dir() and len(find_steps(path)) > 1:
        training = open_playback(path, options)
        if training.left_out:
            tell(f"left out of {path.name}: {training.note}")
        model = training.models[-1]
    else:
        model = open_model(path, options)
    if path is not None:
        taken = _assumed(path, options)
        if taken:
            listed = ", ".join(f"{key}={value}" for key, value in taken.items())
            tell(f"{path.name} does not say everything, so these were assumed: {listed}. --model-option changes one.")
    return WatchedModel(model, tell)


def _assumed(path: Path, options: Mapping[str, str]) -> dict[str, str]:
    given = {**checkpoint.read_sidecar(path), **options}
    if not path.is_dir():
        return assumed(inspect_model(path), given)
    steps = find_steps(path)
    if len(steps) < 2:
        return {}  # recordings
    return assumed(inspect_playback(path), {**checkpoint.read_sidecar(steps[-1].paths[0]), **given})
