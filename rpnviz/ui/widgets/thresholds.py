"""The two IoU thresholds on one track; they cannot cross."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QGridLayout, QWidget
from superqt import QDoubleRangeSlider

from rpnviz.ui.widgets.basics import label

_TIP_NEGATIVE = "Negative IoU: an anchor whose best IoU lies under this is negative (bg_iou_thresh)"
_TIP_POSITIVE = "Positive IoU, at least: an anchor whose best IoU reaches this is positive (fg_iou_thresh, inclusive)"


class ThresholdControl(QWidget):
    """Range slider with two spin boxes; the signals follow only the user's hand, each for the value it moved."""

    negative_changed = Signal(float)
    positive_changed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.negative = self._spin("Negative IoU, below", _TIP_NEGATIVE)
        self.positive = self._spin("Positive IoU, at least", _TIP_POSITIVE)
        self.slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0.0, 1.0)
        self.slider.setSingleStep(0.01)
        self.slider.setPageStep(0.05)
        # It takes no arrow keys (two handles, one focus); the spin boxes are the way in by keyboard.
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.slider.setAccessibleName("Negative and positive IoU")
        self.slider.setToolTip(f"{_TIP_NEGATIVE}\n{_TIP_POSITIVE}\nBetween them: neutral, not trained on")
        self._caption = left = label("Negative IoU, below")
        right = label("Positive IoU, at least")
        left.setBuddy(self.negative)
        right.setBuddy(self.positive)
        left.setToolTip(_TIP_NEGATIVE)
        right.setToolTip(_TIP_POSITIVE)
        right.setAlignment(Qt.AlignmentFlag.AlignRight)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        layout.addWidget(left, 0, 0)
        layout.addWidget(right, 0, 1)
        layout.addWidget(self.negative, 1, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.positive, 1, 1, Qt.AlignmentFlag.AlignRight)
        layout.addWidget(self.slider, 2, 0, 1, 2)
        self.slider.valueChanged.connect(self._on_slider)
        self.negative.valueChanged.connect(self.negative_changed)
        self.positive.valueChanged.connect(self.positive_changed)
        self._shown = (0.0, 1.0)

    @staticmethod
    def _spin(name: str, tip: str) -> QDoubleSpinBox:
        spin = QDoubleSpinBox()
        spin.setRange(0.0, 1.0)
        spin.setDecimals(2)
        spin.setSingleStep(0.01)
        spin.setKeyboardTracking(False)
        # What is typed beyond the other threshold goes as far as that one.
        spin.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToNearestValue)
        spin.setAccessibleName(name)
        spin.setToolTip(tip)
        spin.setFixedWidth(84)
        return spin

    def show_comparison(self, words: str) -> None:
        """Say how the best IoU of a negative stands to the lower threshold: ``below`` or ``at most``."""
        text = f"Negative IoU, {words}"
        self._caption.setText(text)
        self.negative.setAccessibleName(text)

    def show_values(self, negative: float, positive: float) -> None:
        """Show the state's values without reporting them back."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.negative), QSignalBlocker(self.positive):
            self.negative.setMaximum(positive)
            self.positive.setMinimum(negative)
            self.negative.setValue(negative)
            self.positive.setValue(positive)
            self.slider.setValue((negative, positive))
            values: list[float] = list(self.slider.value())
            self._shown = (values[0], values[1])

    def _on_slider(self, values: tuple[float, float]) -> None:
        before, self._shown = self._shown, values
        # Handles that are pushed together stay together: the lower value first, so that the two never cross.
        if values[0] != before[0]:
            self.negative_changed.emit(round(values[0], 2))
        if values[1] != before[1]:
            self.positive_changed.emit(round(values[1], 2))
