"""A labelled slider with a spin box for one number."""

from __future__ import annotations

import math

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QSlider, QWidget

from rpnviz.ui.widgets.basics import label

_STEPS = 1000


class NumberControl(QWidget):
    """Slider and spin box of one value; ``changed`` follows only the user's hand.

    The slider may be logarithmic and rounds to what a hand can set; the spin box shows the exact value, and neither
    writes a rounded value back to the state.
    """

    changed = Signal(float)

    def __init__(
        self,
        text: str,
        low: float,
        high: float,
        *,
        tip: str,
        decimals: int = 0,
        step: float = 1,
        logarithmic: bool = False,
        spin_high: float | None = None,
    ) -> None:
        super().__init__()
        self._low, self._high, self._logarithmic, self._decimals = low, high, logarithmic, decimals
        self.spin = QDoubleSpinBox()
        self.spin.setDecimals(decimals)
        self.spin.setRange(low, high if spin_high is None else spin_high)
        self.spin.setSingleStep(step)
        self.spin.setKeyboardTracking(False)
        self.spin.setAccessibleName(text)
        self.spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.spin.setFixedWidth(84)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setSingleStep(max(1, round(_STEPS * step / (high - low))) if not logarithmic else 10)
        self.slider.setPageStep(_STEPS // 10)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.slider.setAccessibleName(text)
        self._caption = label(text)
        self._caption.setBuddy(self.spin)
        for widget in (self._caption, self.spin, self.slider):
            widget.setToolTip(tip)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(0)
        layout.addWidget(self._caption, 0, 0)
        layout.addWidget(self.spin, 0, 1)
        layout.addWidget(self.slider, 1, 0, 1, 2)
        self.slider.valueChanged.connect(self._on_slider)
        self.spin.valueChanged.connect(self._on_spin)

    def show_name(self, text: str) -> None:
        """Name the value anew."""
        self._caption.setText(text)
        self.spin.setAccessibleName(text)
        self.slider.setAccessibleName(text)

    def show_value(self, value: float) -> None:
        """Show a value of the state without reporting it back."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.spin):
            self.slider.setValue(self._to_step(value))
            self.spin.setValue(value)

    def _on_slider(self, step: int) -> None:
        value = round(self._from_step(step), self._decimals)
        with QSignalBlocker(self.spin):
            self.spin.setValue(value)
        self.changed.emit(value)

    def _on_spin(self, value: float) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(self._to_step(value))
        self.changed.emit(value)

    def _to_step(self, value: float) -> int:
        value = min(max(value, self._low), self._high)
        if self._logarithmic:
            return round(_STEPS * math.log(value / self._low) / math.log(self._high / self._low))
        return round(_STEPS * (value - self._low) / (self._high - self._low))

    def _from_step(self, step: int) -> float:
        if self._logarithmic:
            return self._low * (self._high / self._low) ** (step / _STEPS)
        return self._low + (self._high - self._low) * step / _STEPS
