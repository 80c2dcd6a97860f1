"""What is on the screen at one moment, for pictures of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpnviz.app.state import AppState
from rpnviz.app.viewing import Shown
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import Dataset, ImageRecord
from rpnviz.drawing.frame import DIM, SATURATION, Photo
from rpnviz.drawing.options import LayerOptions, World
from rpnviz.errors import ExportError
from rpnviz.export.look import MAX_SCALE, MIN_SCALE, Look, Stage, Subject
from rpnviz.export.picture import render_picture
from rpnviz.models.base import ProposalModel
from rpnviz.palette import Theme

STAGE_OF_WORLD = {World.TRAINING: Stage.LABELS, World.MODEL: Stage.KEPT}
"""The stage that stands for a world where layers of the user's choice are drawn."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was on the screen at one moment; another image may load meanwhile.

    Attributes:
        shown, photo, record, dataset: the image and what was computed for it.
        preset: the trainer, with the parameters that were used.
        model: None if there is none.
        world, layers: what the canvas shows; no layers before there is anything to show.
        theme, dim, saturation: how.
        region: the part in view, xyxy original px; None: all of it.
        zoom: px of the screen per original pixel.
    """

    shown: Shown
    photo: Photo
    record: ImageRecord
    dataset: Dataset
    preset: Preset
    model: ProposalModel | None
    world: World
    layers: LayerOptions | None
    theme: Theme
    dim: float
    saturation: float
    region: tuple[float, float, float, float] | None
    zoom: float = 1.0

    @classmethod
    def of(
        cls,
        state: AppState,
        theme: Theme,
        dim: float = DIM,
        saturation: float = SATURATION,
        region: tuple[float, float, float, float] | None = None,
        zoom: float = 1.0,
    ) -> Snapshot | None:
        """The state's image and results; None if there are none that belong together."""
        shown, photo, record, dataset = state.shown, state.photo, state.record, state.dataset
        if shown is None or photo is None or record is None or dataset is None or state.computing:
            return None
        # None in the Model world before the model has answered.
        layers = state.layers if state.result is not None else None
        preset = dataclasses.replace(shown.preset, params=shown.training.params)
        return cls(
            shown,
            photo,
            record,
            dataset,
            preset,
            state.model,
            state.world,
            layers,
            theme,
            dim,
            saturation,
            region,
            zoom,
        )

    @property
    def has_proposals(self) -> bool:
        """Whether a model was run on the image."""
        return self.shown.model is not None and self.shown.model.proposals is not None

    def subject(self, look: Look) -> Subject:
        """What a picture of that look is of."""
        in_model = look.stage.world is World.MODEL
        result = self.shown.model if in_model else self.shown.training
        assert result is not None
        note = f"{self.model.name}, {self.model.note}" if in_model and self.model is not None else ""
        names = self.dataset.names_of(self.record)
        return Subject(self.photo, result, self.record.file_name, names, self.preset, note)

    def picture(self) -> NDArray[np.uint8]:
        """The annotated picture as on the screen, with its strip, (h, w, 3) uint8 RGB.

        Raises:
            ExportError: there is nothing to show of the world on the screen.
        """
        if self.layers is None:
            raise ExportError("the model has not answered yet.", way_out="Wait for it, or show the training targets.")
        look = Look(
            stage=STAGE_OF_WORLD[self.world],
            layers=self.layers,
            theme=self.theme,
            crop=self.region,
            scale=min(max(self.zoom, MIN_SCALE), MAX_SCALE),
            ratio=1.0,
            dim=self.dim,
            saturation=self.saturation,
        )
        return render_picture(self.subject(look), look)
