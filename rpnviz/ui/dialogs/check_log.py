"""A trainer's log of positives per image beside what the data set lets one expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PySide6.QtCore import QSignalBlocker
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from rpnviz.app.jobs import Job
from rpnviz.app.messages import from_error
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.core.log_band import Band, Counts, Verdict, expected_band, judge
from rpnviz.core.presets import Preset
from rpnviz.errors import RpnvizError
from rpnviz.export.log_check import sampled_positives
from rpnviz.palette import STYLES, Role, Theme
from rpnviz.training_logs import TrainingLog, parse_log, read_log
from rpnviz.ui.theme import COLOURS
from rpnviz.ui.widgets.basics import label, tool_button
from rpnviz.ui.widgets.step_chart import Curve, StepChart

_MOST_IMAGES = 500
_MOST_POINTS = 300
"""Logged numbers that the chart shows, evenly spread."""
_FILTER = "Logs (*.json *.jsonl *.log *.txt *.csv);;All files (*)"


class CheckLogDialog(QDialog):
    """Opens or takes pasted lines of a log; the expectation is computed meanwhile, and can be cancelled."""

    def __init__(self, state: AppState, settings: Settings, parent: QWidget) -> None:
        super().__init__(parent)
        self._state, self._settings = state, settings
        self.log: TrainingLog | None = None
        self.counts: Counts | None = None
        self.verdict: Verdict | None = None
        self.setWindowTitle("Check a training log – rpnviz")
        self.resize(620, 330)
        self.open_button = tool_button("Open a log…", "chip", "detectron2's metrics.json, or a text log", self._open)
        tip = "Lines with num_pos_anchors: NUMBER, or JSON lines, from the clipboard"
        self.paste_button = tool_button("Paste lines", "chip", tip, self._paste)
        self.batch = QSpinBox()
        self.batch.setRange(1, 4096)
        self.batch.setAccessibleName("Images per batch")
        self.batch.setToolTip("Images that a logged number is the mean of: those of one step on one GPU in detectron2")
        self.batch.valueChanged.connect(lambda _value: self._show())
        caption = label("Images per batch")
        caption.setBuddy(self.batch)
        row = QHBoxLayout()
        row.addWidget(self.open_button)
        row.addWidget(self.paste_button)
        row.addStretch(1)
        row.addWidget(caption)
        row.addWidget(self.batch)
        self.chart = StepChart("Sampled positives per image", "")
        self.words = label("", "title", wrap=True, selectable=True)
        self.note = label("", "muted", wrap=True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addLayout(row)
        layout.addWidget(self.chart)
        layout.addWidget(self.words)
        layout.addWidget(self.note)
        layout.addStretch(1)
        layout.addWidget(buttons)
        colours = COLOURS[settings.theme]
        self.chart.set_colours(colours.muted, colours.border)
        self._job: Job | None = self._expect()
        self.finished.connect(lambda _code: self._cancel())
        self._show()

    def _expect(self) -> Job:
        """Run the pipeline over the data set, or a sample of it."""
        state = self._state
        dataset = state.dataset
        assert dataset is not None
        preset = Preset(state.preset.name, state.params, state.preset.conventions)

        def work(job: Job) -> Counts:
            return sampled_positives(dataset, preset, _MOST_IMAGES, job.progress)

        def done(counts: Counts) -> None:
            self._job = None
            self.counts = counts
            self._show()

        def failed(error: BaseException) -> None:
            self._job = None
            self.words.setText(from_error("The data set cannot be run", error).detail)

        return state.jobs.submit("Counting the positives to expect", work, done, failed, lane="log")

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _open(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Open a training log", self._settings.last_folder, _FILTER)
        if file:
            self.open_log(Path(file))

    def open_log(self, path: Path) -> None:
        """Show a log file; what is no log is said, and the former one stays."""
        try:
            log = read_log(path)
        except RpnvizError as error:
            self.words.setText(str(error))
            return
        self._take(log)

    def _paste(self) -> None:
        try:
            log = parse_log(QGuiApplication.clipboard().text())
        except RpnvizError as error:
            self.words.setText(str(error))
            return
        self._take(log)

    def _take(self, log: TrainingLog) -> None:
        self.log = log
        if log.images_per_step is not None:
            with QSignalBlocker(self.batch):
                self.batch.setValue(log.images_per_step)
        self._show()

    def _band(self, counts: Counts) -> Band:
        return expected_band(counts, self.batch.value(), 1 if self.log is None else self.log.window)

    def _show(self) -> None:
        dataset = self._state.dataset
        name = dataset.name if dataset is not None else ""
        if self.counts is None:
            self.words.setText("Counting the positives that this data set gives…")
        else:
            band = self._band(self.counts)
            if self.log is None:
                text = f"{name} gives {band.low:.0f}–{band.high:.0f} positives per image (mean {band.mean:.1f})."
                self.words.setText(f"{text} Open or paste a log to compare.")
            else:
                self.verdict = judge(band, self.log.positives, self.log.steps)
                self.words.setText(self.verdict.text)
        views = "" if self._state.params.views is None else ", in training views drawn at random"
        self.note.setText(
            f"Expected: sampled positives of up to {_MOST_IMAGES:,} images of {name} under {self._state.preset.name} "
            f"and the present parameters{views}. The mean of the log is compared with that of as many drawn numbers "
            "(99 percent and a 20th of the mean); the chart has 5 and 95 percent of single numbers. detectron2 logs "
            "the mean over the images of a step, and of 20 steps the median."
        )
        self._show_chart()

    def _show_chart(self) -> None:
        log = self.log
        self.chart.setVisible(log is not None)
        if log is None:
            return
        chosen = np.unique(np.linspace(0, len(log.steps) - 1, min(_MOST_POINTS, len(log.steps))).round().astype(int))
        dark = self._settings.theme is Theme.DARK
        colour = {role: STYLES[role].dark if dark else STYLES[role].light for role in (Role.PROPOSAL, Role.POSITIVE)}
        curves = [Curve("log", colour[Role.PROPOSAL], [log.positives[place] for place in chosen.tolist()], dots=False)]
        if self.counts is not None:
            band = self._band(self.counts)
            for title, value, dash in (("5 %", band.low, (4, 3)), ("mean", band.mean, ()), ("95 %", band.high, (4, 3))):
                curves.append(Curve(title, colour[Role.POSITIVE], [value] * len(chosen), dash, dots=False))
        labels = tuple(f"step {log.steps[place]:,}" for place in chosen.tolist())
        self.chart.show_curves(labels, tuple(curves), len(labels) - 1)
