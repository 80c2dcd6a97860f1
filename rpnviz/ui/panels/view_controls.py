"""The views in which the trainer shows an image: short sides, flip, crops, padding; one click takes the usual ones."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget
from superqt import QLargeIntSpinBox

from rpnviz.app.state import AppState
from rpnviz.app.trainer_names import trainer_name
from rpnviz.core import presets
from rpnviz.core.params import CropKind, CropPlaces, CropStage, Params, TrainViews
from rpnviz.core.rules import doc_of
from rpnviz.errors import ParamsError
from rpnviz.ui.widgets.basics import label, tool_button
from rpnviz.ui.widgets.number_list import NumberListEdit

_CROPS = (
    (CropKind.NONE, "None"),
    (CropKind.ABSOLUTE, "In px"),
    (CropKind.RELATIVE, "As shares"),
    (CropKind.RELATIVE_RANGE, "Shares, drawn"),
)
_PLACES = ((CropPlaces.RANDOM, "Drawn by a seed"), (CropPlaces.GRID, "A grid"))
_STAGES = ((CropStage.ORIGINAL, "The original"), (CropStage.RESIZED, "The resized image"))


class TrainViewsControls(QWidget):
    """Fields of ``train_views``; while they are off, those of an image as it is."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.usual = tool_button("", "chip", "", lambda: state.set_views(presets.usual_views(state.preset.name)))
        self.off = tool_button("Off", "chip", "Show the image as it is, in one view", lambda: state.set_views(None))
        self.min_sizes = NumberListEdit("Short sides", doc_of(TrainViews, "min_sizes"), optional=True)
        self.min_sizes.setPlaceholderText("as resized")
        self.flip = QCheckBox("Also flipped left to right")
        self.flip.setToolTip(doc_of(TrainViews, "flip"))
        self.padded = NumberListEdit("Pad to height, width", doc_of(TrainViews, "padded_size"), optional=True)
        self.padded.setPlaceholderText("each view alone")
        self.crop = _choice(_CROPS, "Crops", doc_of(TrainViews, "crop"))
        self.crop_size = NumberListEdit("Height, width of crops", doc_of(TrainViews, "crop_size"))
        self.places = _choice(_PLACES, "Where crops are taken", doc_of(TrainViews, "crop_places"))
        self.stage = _choice(_STAGES, "What is cropped", doc_of(TrainViews, "crop_stage"))
        self.count = _whole(1, 64, "Crops that are drawn", doc_of(TrainViews, "crop_count"))
        self.seed = _whole(0, 2**32 - 1, "Seed of the crops", doc_of(TrainViews, "crop_seed"))
        self._build()
        self.min_sizes.entered.connect(lambda values: self._change(self.min_sizes, min_sizes=values or -1))
        self.padded.entered.connect(lambda values: self._change(self.padded, padded_size=values or -1))
        self.crop_size.entered.connect(lambda values: self._change(self.crop_size, crop_size=values))
        self.flip.toggled.connect(lambda on: self._change(None, flip=on))
        self.crop.activated.connect(lambda _index: self._on_crop(CropKind(self.crop.currentData())))
        self.places.activated.connect(lambda _index: self._change(None, crop_places=self.places.currentData()))
        self.stage.activated.connect(lambda _index: self._change(None, crop_stage=self.stage.currentData()))
        self.count.valueChanged.connect(lambda value: self._change(None, crop_count=value))
        self.seed.valueChanged.connect(lambda value: self._change(None, crop_seed=value))

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.setSpacing(4)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.usual)
        buttons.addWidget(self.off)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        self._of_crops: list[QWidget] = []
        rows: tuple[tuple[str, QWidget, bool], ...] = (
            ("Short sides, px", self.min_sizes, False),
            ("", self.flip, False),
            ("Pad to h, w px", self.padded, False),
            ("Crops", self.crop, False),
            ("Size h, w", self.crop_size, True),
            ("Of", self.stage, True),
            ("Places", self.places, True),
            ("Number", self.count, True),
            ("Seed", self.seed, True),
        )
        self._drawn: list[QWidget] = []
        for row, (text, field, of_crops) in enumerate(rows):
            caption = label(text, "muted")
            caption.setBuddy(field)
            grid.addWidget(caption, row, 0)
            grid.addWidget(field, row, 1)
            if of_crops:
                self._of_crops += [caption, field]
            if field in (self.count, self.seed):
                self._drawn += [caption, field]
        layout.addLayout(grid)

    def show_trainer(self, name: str) -> None:
        """Offer the views of a trainer's own default configuration."""
        trainer = "Matterport" if name.startswith("matterport") else name
        self.usual.setText(f"Use {trainer}'s usual views")
        self.usual.setToolTip(
            f"As in the default configuration of {name}: {presets.usual_views(name)}. Undo takes it back"
        )
        for field, widget in (
            ("min_sizes", self.min_sizes),
            ("flip", self.flip),
            ("crop", self.crop),
            ("crop_size", self.crop_size),
            ("padded_size", self.padded),
        ):
            tip = f"{doc_of(TrainViews, field)}\n{trainer_name(name, f'train_views.{field}')}".rstrip()
            if isinstance(widget, NumberListEdit):
                widget.set_tip(tip)
            else:
                widget.setToolTip(tip)

    def show_params(self, params: Params) -> None:
        """Show the views of the state."""
        views = params.views or TrainViews()
        self.off.setEnabled(params.views is not None)
        self.usual.setEnabled(params.views != presets.usual_views(self._state.preset.name))
        self.min_sizes.show_numbers(views.min_sizes if isinstance(views.min_sizes, tuple) else ())
        self.padded.show_numbers(views.padded_size if isinstance(views.padded_size, tuple) else ())
        self.crop_size.show_numbers(views.crop_size)
        with QSignalBlocker(self.flip):
            self.flip.setChecked(views.flip)
        for box, value in ((self.crop, views.crop), (self.places, views.crop_places), (self.stage, views.crop_stage)):
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(value))
        for spin, number in ((self.count, views.crop_count), (self.seed, views.crop_seed)):
            with QSignalBlocker(spin):
                spin.setValue(number)
        for widget in self._of_crops:
            widget.setVisible(views.crop is not CropKind.NONE)
        for widget in self._drawn:
            widget.setEnabled(views.crop_places is CropPlaces.RANDOM)
        self.places.setEnabled(views.crop is not CropKind.RELATIVE_RANGE)

    def _on_crop(self, kind: CropKind) -> None:
        """Another kind of crop begins with a size that it can have."""
        views = self._state.params.views or TrainViews()
        values: dict[str, object] = {"crop": kind}
        if kind is CropKind.ABSOLUTE and max(views.crop_size) <= 1:
            values["crop_size"] = (384, 600)  # detectron2's CROP.SIZE in its DETR configurations
        elif kind in (CropKind.RELATIVE, CropKind.RELATIVE_RANGE) and max(views.crop_size) > 1:
            values["crop_size"] = (0.9, 0.9)
        if kind is CropKind.RELATIVE_RANGE:
            values["crop_places"] = CropPlaces.RANDOM
        self._change(None, **values)

    def _change(self, edit: NumberListEdit | None, **values: object) -> None:
        try:
            self._state.update("train_views", **values)
        except ParamsError as error:
            if edit is None:
                self.show_params(self._state.params)
                edit = self.min_sizes
            edit.mark(str(error))


def _choice(entries: Sequence[tuple[StrEnum, str]], name: str, tip: str) -> QComboBox:
    box = QComboBox()
    for value, title in entries:
        box.addItem(title, value)
    box.setAccessibleName(name)
    box.setToolTip(tip)
    return box


def _whole(low: int, high: int, name: str, tip: str) -> QLargeIntSpinBox:
    spin = QLargeIntSpinBox()
    spin.setRange(low, high)
    spin.setAccessibleName(name)
    spin.setToolTip(tip)
    spin.setKeyboardTracking(False)
    return spin
