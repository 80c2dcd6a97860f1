"""What of the boxes is drawn, and how: filter, colours and heat map of the world on the screen."""

from __future__ import annotations

import math

from PySide6.QtCore import QSignalBlocker
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.state import AppState
from rpnviz.core.anchors import Anchors, level_name
from rpnviz.core.pipeline import Result
from rpnviz.core.terms import terms
from rpnviz.drawing.heat import HEAT_TEXT
from rpnviz.drawing.options import EVERY_BOX, ColourBy, Heat, World
from rpnviz.ui.widgets.basics import label, tool_button

_OF_MODELS = (ColourBy.SCORE, ColourBy.FATE)
_COLOURS = {
    ColourBy.LABEL: "Label",
    ColourBy.LEVEL: "Level",
    ColourBy.IOU: "Best IoU",
    ColourBy.SCORE: "Objectness",
    ColourBy.GT: "Ground truth",
    ColourBy.FATE: "What became of it",
    ColourBy.LOSS: "Loss (captured)",
}
_LARGEST = 100_000
"""Px; stands for "no limit" in the field."""


class _Pixels(QSpinBox):
    """Whole numbers; the largest stands for no limit and says so."""

    def textFromValue(self, value: int) -> str:
        return "any" if value >= self.maximum() else super().textFromValue(value)

    def valueFromText(self, text: str) -> int:
        return self.maximum() if text.strip() == "any" else super().valueFromText(text)

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        if "any".startswith(text.strip()):
            finished = text.strip() == "any"
            return (QValidator.State.Acceptable if finished else QValidator.State.Intermediate), text, position
        return super().validate(text, position)


class RangeEdit(QWidget):
    """Two numbers, the lower and the upper limit."""

    def __init__(self, name: str, tip: str, decimals: int, most: float) -> None:
        super().__init__()
        self.low, self.high = (self._field(decimals, most, f"{name}, {end}", tip) for end in ("from", "to"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.low, 1)
        layout.addWidget(label("to", "muted"))
        layout.addWidget(self.high, 1)

    @staticmethod
    def _field(decimals: int, most: float, name: str, tip: str) -> QDoubleSpinBox | QSpinBox:
        field: QDoubleSpinBox | QSpinBox
        if decimals:
            field = QDoubleSpinBox()
            field.setDecimals(decimals)
            field.setSingleStep(0.05)
        else:
            field = _Pixels()
            field.setSingleStep(8)
        field.setRange(0, most)  # type: ignore[arg-type]  # whole numbers for whole fields
        field.setKeyboardTracking(False)
        field.setAccessibleName(name)
        field.setToolTip(tip)
        return field

    def show_limits(self, limits: tuple[float, float]) -> None:
        """Show the state's values without reporting them back."""
        with QSignalBlocker(self.low), QSignalBlocker(self.high):
            for field, value in ((self.low, limits[0]), (self.high, min(limits[1], field_most(self.high)))):
                field.setValue(value if isinstance(field, QDoubleSpinBox) else round(value))  # type: ignore[arg-type]

    def limits(self) -> tuple[float, float]:
        """The two numbers, the smaller first; the largest that the field can show stands for no limit."""
        low, high = sorted((float(self.low.value()), float(self.high.value())))
        whole = isinstance(self.high, QSpinBox)
        return low, math.inf if whole and high >= field_most(self.high) else high


def field_most(field: QDoubleSpinBox | QSpinBox) -> float:
    """The largest number of a field."""
    return float(field.maximum())


class ShowControls(QWidget):
    """Which boxes are looked at, what their colours say, and heat maps in their place."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.level = self._combo("Level", "Only anchors of one feature map")
        self.shape = self._combo("Shape", "Only one anchor shape of every position; sizes in input px")
        self.sampled = QCheckBox("Only the mini-batch")
        self.sampled.setToolTip("Only anchors that were drawn for this step")
        self.iou = RangeEdit("Best IoU", "Best IoU of the anchor with any ground-truth box", 2, 1)
        self.score = RangeEdit("Objectness", "Probability that the model gives the box", 2, 1)
        self.sizes = RangeEdit("Size", "Square root of the area, px of the network input", 0, _LARGEST)
        self.colour = self._combo("Colour by", "What the colour of an outline says; dash and mark stay the label's")
        self.heat = self._combo("Draw", "Outlines, or one value for every position of the feature maps")
        self.clear = tool_button("Clear the filter", "link", "Let every box pass again (Shift+Esc)", state.clear_filter)
        self._score_label = label("Objectness")
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        rows = (
            (label("Level"), self.level),
            (label("Shape"), self.shape),
            (label("Best IoU"), self.iou),
            (self._score_label, self.score),
            (label("Size, px"), self.sizes),
            (label("Colour by"), self.colour),
            (label("Draw"), self.heat),
        )
        for row, (caption, field) in enumerate(rows):
            caption.setBuddy(field.low if isinstance(field, RangeEdit) else field)
            grid.addWidget(caption, row, 0)
            grid.addWidget(field, row, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.addLayout(grid)
        line = QHBoxLayout()
        line.addWidget(self.sampled)
        line.addStretch(1)
        line.addWidget(self.clear)
        layout.addLayout(line)
        self.level.activated.connect(lambda _i: state.set_filter(level=self.level.currentData()))
        self.shape.activated.connect(lambda _i: state.set_filter(shape=self.shape.currentData()))
        self.sampled.toggled.connect(lambda on: state.set_filter(sampled=on))
        for name, field in (("iou", self.iou), ("score", self.score), ("size", self.sizes)):
            for part in (field.low, field.high):
                part.valueChanged.connect(lambda _v, name=name, field=field: state.set_filter(**{name: field.limits()}))
        self.colour.activated.connect(lambda _i: state.set_colour_by(ColourBy(self.colour.currentData())))
        self.heat.activated.connect(lambda _i: state.set_heat(Heat(self.heat.currentData())))
        self._built: tuple[Anchors | None, bool, bool] | None = None
        state.layers_changed.connect(self._show)
        state.result_changed.connect(self._show)
        state.world_changed.connect(lambda _world: self._show())
        self._show()

    @staticmethod
    def _combo(name: str, tip: str) -> QComboBox:
        combo = QComboBox()
        combo.setAccessibleName(name)
        combo.setToolTip(tip)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)
        return combo

    def _show(self) -> None:
        state, options = self._state, self._state.layers
        only, model = options.only, state.world is World.MODEL
        self._build()
        for part in (self._score_label, self.score):
            part.setVisible(model)
        self.sampled.setVisible(not model)  # the mini-batch is drawn from the training targets
        result = state.result
        self.sampled.setEnabled(result is None or terms(result.conventions).draws)
        with QSignalBlocker(self.sampled):
            self.sampled.setChecked(only.sampled)
        self.level.setCurrentIndex(max(0, self.level.findData(only.level)))
        self.shape.setCurrentIndex(max(0, self.shape.findData(only.shape)))
        self.colour.setCurrentIndex(max(0, self.colour.findData(options.colour_by)))
        self.heat.setCurrentIndex(max(0, self.heat.findData(options.heat)))
        self.iou.show_limits(only.iou)
        self.score.show_limits(only.score)
        self.sizes.show_limits(only.size)
        self.clear.setEnabled(only != EVERY_BOX)

    def _build(self) -> None:
        """Levels, shapes and heat maps of the result, where they are others than before."""
        result, model = self._state.result, self._state.world is World.MODEL
        captured = result is not None and result.inputs.losses is not None and not model
        asked = (result.anchors if result is not None else None, model, captured)
        if self._built is not None and asked[0] is self._built[0] and asked[1:] == self._built[1:]:
            return
        self._built = asked
        hidden = (() if model else _OF_MODELS) + (() if captured else (ColourBy.LOSS,))
        for combo, entries in (
            (self.level, [("All levels", None), *_levels(result)]),
            (self.shape, [("All shapes", None), *_shapes(result)]),
            (
                self.colour,
                [(text, by) for by, text in _COLOURS.items() if by not in hidden],
            ),
            (self.heat, [(text, heat) for heat, text in HEAT_TEXT.items() if heat in _heats(model)]),
        ):
            combo.clear()
            for text, value in entries:
                combo.addItem(text, value)


def _heats(model: bool) -> tuple[Heat, ...]:
    """Heat maps of a world; the labels of the anchors say nothing about a model."""
    return (Heat.NONE, Heat.OBJECTNESS) if model else tuple(h for h in Heat if h is not Heat.OBJECTNESS)


def _levels(result: Result | None) -> list[tuple[str, int]]:
    if result is None:
        return []
    strides = result.params.anchors.strides
    return [(f"{level_name(stride, number)}, stride {stride}", number) for number, stride in enumerate(strides)]


def _shapes(result: Result | None) -> list[tuple[str, int]]:
    """The shapes of a position, as they are on the first level."""
    if result is None:
        return []
    level = result.anchors.lattice[0]
    several = len(result.anchors.lattice) > 1
    texts = []
    for cell in range(max(part.cells for part in result.anchors.lattice)):
        if cell < level.cells:
            width = float(level.x2[cell, 0]) - float(level.x1[cell, 0])
            height = float(level.y2[cell, 0]) - float(level.y1[cell, 0])
            texts.append((f"{cell + 1}: {width:.0f} x {height:.0f}{' on the first level' if several else ''}", cell))
        else:
            texts.append((f"{cell + 1}", cell))
    return texts
