"""Puts canvas, panels and menus together; decides nothing about data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QFrame,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QProgressBar,
    QSlider,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rpnviz import __version__
from rpnviz.app import selected
from rpnviz.app.actions import ACTIONS
from rpnviz.app.batch_finder import BatchFinder
from rpnviz.app.case import is_case
from rpnviz.app.config_texts import table_of
from rpnviz.app.editing import Editing
from rpnviz.app.inspector import Inspector
from rpnviz.app.jobs import Job
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.params_file import read_preset
from rpnviz.app.player import Player
from rpnviz.app.recent import Recent
from rpnviz.app.replaying import Replaying
from rpnviz.app.session import is_session
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.app.view_finder import ViewFinder
from rpnviz.app.viewing import Selection
from rpnviz.configs.registry import is_config
from rpnviz.core import presets
from rpnviz.core.terms import terms
from rpnviz.datasets.captures import CaptureDataset, is_capture
from rpnviz.datasets.formats import is_annotation_file
from rpnviz.drawing.scene import LAYERS, World
from rpnviz.errors import RpnvizError
from rpnviz.palette import Theme
from rpnviz.ui.box_files import BoxFiles
from rpnviz.ui.canvas.legend import LegendBar
from rpnviz.ui.canvas.view import CanvasView
from rpnviz.ui.dialogs.commands import CommandDialog
from rpnviz.ui.dialogs.field_list import show_table
from rpnviz.ui.dialogs.open_model import ask_for_folder, ask_for_model, is_model
from rpnviz.ui.panels.controls import ControlsPanel
from rpnviz.ui.panels.edit_bar import EditBar
from rpnviz.ui.panels.funnel import FunnelBar
from rpnviz.ui.panels.gt_table import GtTable
from rpnviz.ui.panels.images import ImagesPanel
from rpnviz.ui.panels.playback import PlaybackBar
from rpnviz.ui.panels.replay import ReplayPanel
from rpnviz.ui.panels.selection import SelectionPanel
from rpnviz.ui.panels.views import ViewsStrip
from rpnviz.ui.sessions import RecentMenu, Sessions
from rpnviz.ui.theme import apply_theme
from rpnviz.ui.widgets.banner import Banner
from rpnviz.ui.widgets.basics import (
    UndoBelongsToTheWindow,
    WheelNeedsFocus,
    eliding_label,
    image_of,
    label,
    separator,
    tool_button,
)

if TYPE_CHECKING:
    from rpnviz.app.snapshot import Snapshot
    from rpnviz.models.base import ModelInfo
    from rpnviz.ui.compare_models_window import CompareModelsWindow
    from rpnviz.ui.compare_window import CompareWindow
    from rpnviz.ui.findings_window import FindingsWindow

_IMAGE_FILTER = (
    "Images, annotations, captures (*.png *.jpg *.jpeg *.bmp *.webp *.tif *.tiff *.json *.xml *.yaml *.yml *.csv "
    "*.odgt *.txt *.npz);;All files (*)"
)
_CONFIG_FILTER = "Trainer configurations (*.yaml *.yml *.json *.ini *.cfg *.py);;All files (*)"
_PARAMS_FILTER = "Params documents (*.json);;All files (*)"
_LAYOUT_VERSION = 1
_PENDING_MS = 120
_JOB_SHOWN_AFTER_MS = 250
_STATUS_HEIGHT = 32
_ROOM_FOR_BUTTONS, _ROOM_FOR_SIZES = 900, 1100
"""Widths of the window from which the toolbar and the line above the picture have room for all of theirs, px."""
_ROOM_FOR_PICTURE = 400
"""Px below which the panes beside the picture give way to it."""


class MainWindow(QMainWindow):
    """The window of the program."""

    def __init__(self, state: AppState, settings: Settings) -> None:
        super().__init__()
        self.state = state
        self.settings = settings
        self.setWindowTitle("rpnviz")
        self.setAcceptDrops(True)
        self.resize(1280, 800)
        self.inspector = Inspector(state)
        self.editing = Editing(state)
        self.canvas = CanvasView(state, settings.theme, self.inspector, self.editing)
        self.legend = LegendBar(state, settings.theme)
        self.images = ImagesPanel(state, settings.theme)
        self.selection = SelectionPanel(state, self.inspector)
        self.player = Player(state)
        self.recent = Recent(state, self)
        self.sessions = Sessions(self, state, settings, self.canvas)
        self.boxes = BoxFiles(self, state, settings)
        self.views, self.batches = ViewFinder(state), BatchFinder(state)
        self.controls = ControlsPanel(state, self.player, settings.theme, self.batches)
        self.views_strip = ViewsStrip(state, self.views, settings.theme)
        self.playback = PlaybackBar(state, self.player)
        self.replaying = Replaying(state)
        self.replay = ReplayPanel(state, self.replaying, settings.theme)
        self.table = GtTable(state, settings.theme, self.views, self.batches)
        self.funnel = FunnelBar(state)
        self.edit_bar = EditBar(state, self.editing)
        self.banner = Banner()
        self.actions_by_id: dict[str, QAction] = {}
        self.comparing: CompareWindow | None = None
        self.comparing_models: CompareModelsWindow | None = None
        self.findings: FindingsWindow | None = None
        self._alone = self._closes = False
        self._build_menus()
        self._build_layout()
        self._build_layer_keys()
        self._pending = QTimer(self)
        self._pending.setSingleShot(True)
        self._pending.setInterval(_PENDING_MS)
        self._pending.timeout.connect(lambda: self._show_stale(True))
        self._job_delay = QTimer(self)
        self._job_delay.setSingleShot(True)
        self._job_delay.setInterval(_JOB_SHOWN_AFTER_MS)
        self._job_delay.timeout.connect(self._show_jobs)
        self._undo_filter = UndoBelongsToTheWindow(self)
        for spin in (*self.controls.findChildren(QAbstractSpinBox), *self.edit_bar.numbers):
            spin.installEventFilter(self._undo_filter)
            spin.lineEdit().installEventFilter(self._undo_filter)
        self._wheel_filter = WheelNeedsFocus(self)
        for kind in (QAbstractSpinBox, QAbstractSlider, QComboBox):
            for control in (*self.controls.findChildren(kind), *self.edit_bar.findChildren(kind)):
                control.installEventFilter(self._wheel_filter)
        self._connect()
        self._show_params()
        self._show_history()
        self._show_world(state.world)
        self._show_image()
        self._restore_layout()

    # ------------------------------------------------------------------ building

    def _build_menus(self) -> None:
        menus: dict[str, QMenu] = {}
        for spec in ACTIONS:
            if spec.menu not in menus:
                menus[spec.menu] = self.menuBar().addMenu(spec.menu)
            menu = menus[spec.menu]
            if spec.separated:
                menu.addSeparator()
            action = QAction(spec.text, self)
            action.setShortcuts([QKeySequence(keys) for keys in spec.shortcuts])
            action.setToolTip(spec.tip)
            action.setStatusTip(spec.tip)
            action.triggered.connect(lambda _checked=False, name=spec.id: getattr(self, f"do_{name}")())
            menu.addAction(action)
            self.actions_by_id[spec.id] = action
        menus["&File"].insertMenu(self.actions_by_id["open_samples"], RecentMenu(self.recent, self))

    def _build_layer_keys(self) -> None:
        for number in range(1, 10):
            key = QShortcut(QKeySequence(str(number)), self)
            key.activated.connect(lambda number=number: self._toggle_layer(number))
        # On the canvas alone: tables and texts have a copy of their own.
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.canvas)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.do_copy_picture)

    def _build_layout(self) -> None:
        self.preset = QComboBox()
        self.preset.addItems(presets.names())
        self.preset.setToolTip("Whose rules apply")
        self.preset.setAccessibleName("Trainer")
        self.preset.activated.connect(lambda _index: self.state.set_preset(self.preset.currentText()))
        self.changed = tool_button("", "chip", "", self._show_changes)
        self.changed.setFixedWidth(92)
        policy = self.changed.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # its coming and going must not move the toolbar
        self.changed.setSizePolicy(policy)
        self.training = tool_button("Training targets", "segment", "What the trainer sees (T)", checkable=True)
        self.model = tool_button("Model proposals", "segment", "What the model proposes (M)", checkable=True)
        worlds = self._either(self.training, self.model)
        self.training.setChecked(True)
        self.training.clicked.connect(self.do_training_world)
        self.model.clicked.connect(self.do_model_world)
        top = QHBoxLayout()
        top.setContentsMargins(8, 5, 8, 5)
        top.setSpacing(6)
        top.addWidget(tool_button("Open", "chip", "Open images or annotations (Ctrl+O)", self.do_open_images))
        top.addWidget(self.preset)
        top.addWidget(self.changed)
        top.addStretch(1)
        top.addLayout(worlds)
        top.addStretch(1)
        self.undo_button = tool_button("Undo", "flat", "", self.do_undo)
        self.redo_button = tool_button("Redo", "flat", "", self.do_redo)
        top.addWidget(self.undo_button)
        top.addWidget(self.redo_button)
        self.find_button = tool_button("Find", "flat", "Find a command (Ctrl+K)", self.do_find_command)
        top.addWidget(self.find_button)
        self.compare_button = tool_button("Compare", "flat", "", self._compare_world)
        top.addWidget(self.compare_button)
        self.export_button = tool_button("Export", "chip", "Export the picture (Ctrl+E)", self.do_export_picture)
        top.addWidget(self.export_button)
        self.toolbar = QFrame()
        self.toolbar.setObjectName("bar")
        self.toolbar.setLayout(top)

        self.file_name = eliding_label("", "title")
        self.sizes = label("", "muted")
        self.model_note = eliding_label("", "muted")
        self.model_note.setElideMode(Qt.TextElideMode.ElideRight)  # the name comes first
        self.zoom_label = tool_button("", "flat", "Fit the window (Ctrl+0); 100 %: Ctrl+1", self.do_zoom_fit)
        self.dim = QSlider(Qt.Orientation.Horizontal)
        self.dim.setRange(0, 90)
        self.dim.setFixedWidth(90)
        self.dim.setValue(round(self.canvas.dim * 100))
        self.dim.setToolTip("Dim the photo, in %, so that the boxes stand out")
        self.dim.setAccessibleName("Dim the photo")
        self.dim.valueChanged.connect(lambda value: self.canvas.set_dim(value / 100))
        self.dim_label = label("Dim", "muted")
        self.dim_label.setBuddy(self.dim)
        self.original = tool_button("Original", "small-segment", "The image as it is (I)", checkable=True)
        self.input = tool_button(
            "Input", "small-segment", "What the network is given, with its padding (I)", checkable=True
        )
        frames = self._either(self.original, self.input)
        self.original.setChecked(True)
        self.original.clicked.connect(lambda: self.state.set_input_frame(False))
        self.input.clicked.connect(lambda: self.state.set_input_frame(True))
        strip = QHBoxLayout()
        strip.setContentsMargins(8, 3, 8, 3)
        strip.addWidget(self.file_name, 2)
        strip.addWidget(self.sizes)
        strip.addSpacing(8)
        strip.addWidget(self.model_note, 3)
        self.edit_button = tool_button("Boxes", "small-segment", "Draw and move boxes (E)", checkable=True)
        self.edit_button.clicked.connect(self.do_edit_boxes)
        self.edit_bar.save.clicked.connect(self.do_save_boxes)
        strip.addWidget(self.edit_button)
        strip.addSpacing(4)
        strip.addWidget(self.dim_label)
        strip.addWidget(self.dim)
        strip.addSpacing(4)
        strip.addLayout(frames)
        strip.addWidget(self.zoom_label)
        self.strip = QFrame()
        self.strip.setObjectName("bar")
        self.strip.setLayout(strip)

        self.empty = QLabel("Drop images or an annotation file here", self.canvas)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setProperty("kind", "muted")
        upper = QWidget()
        upper_layout = QVBoxLayout(upper)
        upper_layout.setContentsMargins(0, 0, 0, 0)
        upper_layout.setSpacing(0)
        upper_layout.addWidget(self.strip)
        upper_layout.addWidget(self.edit_bar)
        self.banner.setParent(self.canvas)
        upper_layout.addWidget(self.canvas, 1)
        upper_layout.addWidget(self.playback)
        upper_layout.addWidget(self.views_strip)
        upper_layout.addWidget(self.legend)
        self.middle = QSplitter(Qt.Orientation.Vertical)
        self.middle.addWidget(upper)
        self.middle.addWidget(self.table)
        self.middle.setStretchFactor(0, 1)
        self.middle.setSizes([590, 108])
        lower = QWidget()
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(0)
        self.lower_heading = label("CONTROLS", "heading")
        self.replay_tab = tool_button("Replay", "small-segment", "The captured step, replayed", checkable=True)
        self.controls_tab = tool_button("Controls", "small-segment", "The trainer's parameters", checkable=True)
        self.replay_tab.clicked.connect(lambda: self._show_lower(self.replay))
        self.controls_tab.clicked.connect(lambda: self._show_lower(self.controls))
        heading = self._either(self.replay_tab, self.controls_tab)
        heading.insertWidget(0, self.lower_heading)
        heading.addStretch(1)
        heading.setContentsMargins(12, 8, 12, 4)
        below.addLayout(heading)
        self.below = QStackedWidget()
        self.below.addWidget(self.controls)
        self.below.addWidget(self.replay)
        below.addWidget(self.below, 1)
        self._show_lower(self.controls)
        self._show_capture()
        self.right = QSplitter(Qt.Orientation.Vertical)
        self.right.addWidget(self.selection)
        self.right.addWidget(lower)
        self.right.setChildrenCollapsible(False)
        self.right.setSizes([400, 310])
        self.panes = QSplitter(Qt.Orientation.Horizontal)
        self.panes.addWidget(self.images)
        self.panes.addWidget(self.middle)
        self.panes.addWidget(self.right)
        self.panes.setStretchFactor(1, 1)
        self.right.setMinimumWidth(300)
        self.images.setMinimumWidth(120)
        self.panes.setSizes([200, 752, 328])
        for splitter in (self.panes, self.middle, self.right):
            splitter.setHandleWidth(1)
        self.time_label = label("", "muted")
        self.job_label = label("", "muted")
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(90, 10)
        self.cancel = tool_button("Cancel", "flat", "Stop this work", self._cancel_jobs)
        status = QHBoxLayout()
        status.setContentsMargins(0, 0, 8, 0)
        status.addWidget(self.funnel, 1)
        for widget in (self.job_label, self.progress, self.cancel, self.time_label):
            status.addWidget(widget)
        for widget in (self.job_label, self.progress, self.cancel):
            widget.hide()
        self.status = QFrame()
        self.status.setObjectName("bar")
        self.status.setLayout(status)
        # What comes and goes in it must not move the picture.
        self.status.setFixedHeight(_STATUS_HEIGHT)
        for bar in (self.toolbar, self.strip, self.status, self.funnel, self.legend, self.table):
            bar.setMinimumWidth(1)  # a narrow window squeezes them; it is not their widest text that decides
        central = QWidget()
        layout = QVBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for part in (self.toolbar, separator(), self.panes, separator(), self.status):
            layout.addWidget(part, 1 if part is self.panes else 0)
        self.setCentralWidget(central)

    def _either(self, *buttons: QAbstractButton) -> QHBoxLayout:
        """Buttons side by side of which one is checked."""
        group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(0)
        for button in buttons:
            group.addButton(button)
            row.addWidget(button)
        return row

    def _connect(self) -> None:
        state = self.state
        # What was said about another data set would be taken for a finding in this one.
        state.dataset_changed.connect(self.banner.dismiss)
        state.dataset_changed.connect(self._show_capture)
        state.image_changed.connect(self._show_image)
        state.image_changed.connect(self._show_result)
        state.result_changed.connect(self._show_result)
        state.photo_changed.connect(self._show_result)
        state.params_changed.connect(lambda _params: self._show_params())
        state.history_changed.connect(self._show_history)
        state.world_changed.connect(self._show_world)
        state.models.changed.connect(self._show_model)
        state.models.asked.connect(self._ask_about_model)
        state.selection_changed.connect(self._show_selection)
        state.frame_changed.connect(self._show_frame)
        state.computing_changed.connect(self._show_computing)
        state.told.connect(self._show_message)
        state.jobs.started.connect(lambda _job: self._job_delay.start())
        state.jobs.ended.connect(lambda _job: self._show_jobs())
        state.jobs.ended.connect(lambda _job: self._show_result())  # an export may have read a large image in full
        state.jobs.progressed.connect(self._show_progress)
        self.editing.changed.connect(self._show_editing)
        self.canvas.resized.connect(self._place_overlays)
        self.canvas.hovered.connect(self.selection.show_hover)
        self.canvas.zoomed.connect(lambda zoom: self.zoom_label.setText(f"{zoom:.0%}"))

    # ------------------------------------------------------------------ showing the state

    def _show_image(self) -> None:
        record, loaded = self.state.record, self.state.loaded
        self.empty.setVisible(record is None)
        self.legend.setVisible(record is not None)
        if record is None or loaded is None:
            return
        self.file_name.setText(record.file_name)
        self.setWindowTitle(f"{record.file_name}[*] – rpnviz")
        self._place_overlays()

    def _show_editing(self) -> None:
        self.edit_button.setChecked(self.editing.on)
        self.setWindowModified(self.state.unsaved)

    def _show_capture(self) -> None:
        """A capture brings its replay in front of the controls; other data sets have none."""
        captured = isinstance(self.state.dataset, CaptureDataset)
        self.lower_heading.setVisible(not captured)
        for tab in (self.replay_tab, self.controls_tab):
            tab.setVisible(captured)
        self._show_lower(self.replay if captured else self.controls)

    def _show_lower(self, part: QWidget) -> None:
        self.below.setCurrentWidget(part)
        (self.replay_tab if part is self.replay else self.controls_tab).setChecked(True)

    def _show_result(self) -> None:
        result = self.state.result
        shown = self.state.shown
        self.sizes.setText("")
        if result is None:
            if self.state.loaded is not None:
                height, width = self.state.loaded.size
                self.sizes.setText(f"{width} x {height} px")
                self.sizes.setToolTip("")
        else:
            frame = result.frame
            (h, w), (rh, rw), (ih, iw) = frame.image_size, frame.resized_size, frame.input_size
            self.sizes.setText(f"{w} x {h} px › input {rw} x {rh}")
            self.sizes.setToolTip(f"Original {w} x {h} px, resized to {rw} x {rh}, padded to {iw} x {ih}")
            photo = self.state.photo
            if photo is not None and photo.reduction > 1:
                self.sizes.setText(f"{w} x {h} px (shown at 1/{photo.reduction}) › input {rw} x {rh}")
                self.sizes.setToolTip(
                    f"{self.sizes.toolTip()}. The picture is a copy at 1/{photo.reduction} until you zoom in; "
                    "boxes and matching are those of the original"
                )
            self.time_label.setText(f"{shown.seconds * 1000:.0f} ms" if shown is not None else "")
            self.time_label.setToolTip("Time of the last computation")
        self._show_model()

    def _show_params(self) -> None:
        self.preset.setCurrentText(self.state.preset.name)
        changes = self.state.changed_fields()
        self.changed.setVisible(bool(changes))
        self.changed.setText(f"{len(changes)} changed")
        lines = [f"{name}: {before} → {now}" for name, before, now in changes]
        self.changed.setToolTip("Differs from the trainer's defaults:\n" + "\n".join(lines))

    def _show_changes(self) -> None:
        menu = QMenu(self)
        for name, before, now in self.state.changed_fields():
            action = menu.addAction(f"{name}: {_short(now)}, reset to {_short(before)}")
            action.triggered.connect(lambda _checked=False, name=name: self.state.reset_field(name))
        menu.addSeparator()
        menu.addAction(self.actions_by_id["reset_params"])
        menu.addAction(self.actions_by_id["copy_params"])
        menu.addAction(self.actions_by_id["copy_for_trainer"])
        if self.state.config is not None:
            menu.addAction(self.actions_by_id["config_details"])
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.changed.mapToGlobal(self.changed.rect().bottomLeft()))

    def _show_history(self) -> None:
        for action_id, button, what in (
            ("undo", self.undo_button, self.state.undo_label),
            ("redo", self.redo_button, self.state.redo_label),
        ):
            action = self.actions_by_id[action_id]
            action.setEnabled(bool(what))
            button.setEnabled(bool(what))
            keys = action.shortcut().toString()
            button.setToolTip(f"{action.text().replace('&', '')} {what} ({keys})" if what else "Nothing to take back")

    def _show_world(self, world: World) -> None:
        training = world is World.TRAINING
        (self.training if training else self.model).setChecked(True)
        what = ("trainer", "Ctrl+T") if training else ("model", "Ctrl+Shift+T")
        self.compare_button.setToolTip(f"Another {what[0]} beside this one ({what[1]})")
        self._show_model()

    def _show_model(self) -> None:
        state = self.state
        text = ""
        if state.world is World.MODEL:
            if state.model is not None:
                text = f"{state.model.name}, {state.model.note}"
            elif state.models.loading:
                text = "Loading the model…"
            else:
                text = "No model"
        self.model_note.setText(text)
        self.model_note.setVisible(bool(text))

    def _show_frame(self) -> None:
        (self.input if self.state.input_frame else self.original).setChecked(True)

    def _show_selection(self, selection: Selection) -> None:
        record = self.state.record
        if selection.gt is not None and record is not None and selection.gt < len(record.gt.boxes):
            x1, y1, x2, y2 = record.gt.boxes[selection.gt].tolist()
            self.canvas.show_box((x1, y1, x2, y2))

    def _show_computing(self, computing: bool) -> None:
        if computing:
            if not self._pending.isActive():
                self._pending.start()
        else:
            self._pending.stop()
            self._show_stale(False)

    def _show_stale(self, stale: bool) -> None:
        """What belongs to the last parameters pales while the new ones take long to compute; the focus stays."""
        for part in (self.funnel, self.table, self.selection, self.legend, self.canvas):
            effect = QGraphicsOpacityEffect(part) if stale else None
            if effect is not None:
                effect.setOpacity(0.35)
            part.setGraphicsEffect(effect)  # type: ignore[arg-type] # None takes the effect away
        if stale:
            self.time_label.setText("computing…")

    def _show_message(self, message: Message) -> None:
        self.banner.show_message(message)
        self._place_overlays()
        if message.severity is Severity.INFO and not message.table:
            QTimer.singleShot(6000, self, lambda: self._drop(message))

    def _drop(self, message: Message) -> None:
        self.banner.forget(message)

    def _show_jobs(self) -> None:
        running = self.state.jobs.running
        if running and self._job_delay.isActive():
            return  # a short job does not flicker
        for widget in (self.job_label, self.progress, self.cancel):
            widget.setVisible(bool(running))
        if running:
            self.job_label.setText(f"{running[0].title}…")
            self.progress.setRange(0, 0)

    def _show_progress(self, job: Job, fraction: float) -> None:
        if fraction > 0 and self.state.jobs.running and job is self.state.jobs.running[0]:
            self.progress.setRange(0, 1000)
            self.progress.setValue(round(fraction * 1000))

    def _cancel_jobs(self) -> None:
        for job in self.state.jobs.running:
            job.cancel()

    def _place_overlays(self) -> None:
        self.empty.setGeometry(self.canvas.rect())
        self.banner.setGeometry(8, 8, max(self.canvas.width() - 16, 40), self.banner.sizeHint().height())
        self.banner.raise_()

    def _toggle_layer(self, number: int) -> None:
        for spec in LAYERS[self.state.world]:
            if spec.digit == number:
                self.state.set_layer_visible(spec.key, spec.key not in self.state.layers.visible)

    # ------------------------------------------------------------------ commands of app.actions

    def do_open_images(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, "Open images or annotations", self._last_folder(), _IMAGE_FILTER)
        if files:
            self.open_paths([Path(file) for file in files])

    def do_open_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a folder of images", self._last_folder())
        if folder:
            self.open_paths([Path(folder)])

    def open_paths(self, paths: list[Path]) -> None:
        """Open what the user chose or dropped: an annotation file beside images applies to them."""
        annotations = [path for path in paths if is_annotation_file(path)]
        images = [path for path in paths if path not in annotations]
        self.settings.last_folder = str(paths[0].parent)
        if len(paths) == 1 and is_session(paths[0]):
            self.sessions.open(paths[0])
        elif len(paths) == 1 and is_case(paths[0]):
            self.sessions.open_case(paths[0])
        elif len(paths) == 1 and is_capture(paths[0]):
            self.recent.open(paths)
        elif len(paths) == 1 and is_model(paths[0]):
            self.state.load_model(paths[0], show=True)
        elif len(paths) == 1 and not paths[0].is_dir() and is_config(paths[0]):
            self.state.open_config(paths[0])
        elif images and len(annotations) == 1:
            self.recent.open(images, annotations[0])
        else:
            self.recent.open(paths)

    def do_open_samples(self) -> None:
        self.state.open_samples()

    def do_open_model(self) -> None:
        path = ask_for_model(self, self.settings)
        if path is not None:
            self.state.load_model(path, show=True)

    def do_open_training(self) -> None:
        path = ask_for_folder(self, self.settings)
        if path is not None:
            self.state.load_model(path, show=True)

    def _ask_about_model(self, path: Path, info: ModelInfo, answers: dict[str, str]) -> None:
        """Ask what a model file does not say, then open it."""
        from rpnviz.ui.dialogs.model_options import ModelOptionsDialog

        dialog = ModelOptionsDialog(path.name, info, answers, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self.state.load_model(path, dialog.answers, show=True))
        dialog.open()

    def do_open_bundled_model(self) -> None:
        self.state.load_model(None, show=True)

    def do_model_options(self) -> None:
        self.state.models.ask_again()

    def do_open_params(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Load parameters", self._last_folder(), _PARAMS_FILTER)
        if not file:
            return
        try:
            self.state.take_preset(read_preset(None, Path(file), ""), f"parameters of {Path(file).name}")
        except RpnvizError as error:
            self.state.tell(from_error("Could not load the parameters", error))

    def do_open_config(self) -> None:
        file, _ = QFileDialog.getOpenFileName(
            self, "Open a trainer's configuration", self._last_folder(), _CONFIG_FILTER
        )
        if file:
            self.settings.last_folder = str(Path(file).parent)
            self.state.open_config(Path(file))

    def do_config_details(self) -> None:
        config = self.state.config
        if config is None:
            way_out = "Open one with Ctrl+Shift+L, or drop it on the window."
            self.state.tell(Message(Severity.INFO, "The parameters come from no configuration", way_out))
        else:
            show_table(config.files[0].name, config.summary, table_of(config), self)

    def do_copy_for_trainer(self) -> None:
        from rpnviz.ui.dialogs.copy_for_trainer import CopyForTrainerDialog  # spares the start-up what few need

        dialog = CopyForTrainerDialog(self.state, self._last_folder(), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def do_compare(self) -> None:
        if self.comparing is None:
            from rpnviz.ui.compare_window import CompareWindow  # spares the start-up what few sessions need

            self.comparing = CompareWindow(self.state, self.settings, self)
        self._bring(self.comparing)

    def do_compare_models(self) -> None:
        if self.comparing_models is None:
            from rpnviz.ui.compare_models_window import CompareModelsWindow  # likewise

            self.comparing_models = CompareModelsWindow(self.state, self.settings, self)
        self._bring(self.comparing_models)
        self.comparing_models.begin()

    def do_check_log(self) -> None:
        from rpnviz.ui.dialogs.check_log import CheckLogDialog  # likewise

        if self.state.dataset is None:
            self.state.tell(Message(Severity.INFO, "Nothing to compare a log with", "Open the data set first."))
            return
        dialog = CheckLogDialog(self.state, self.settings, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def do_findings(self) -> None:
        self._open_findings(loss=False)

    def do_loss_findings(self) -> None:
        self._open_findings(loss=True)

    def _open_findings(self, loss: bool) -> None:
        if self.findings is None:
            from rpnviz.app.linter import Linter  # likewise
            from rpnviz.ui.findings_window import FindingsWindow

            linter = Linter(self.state)
            linter.changed.connect(lambda: self.images.show_report(linter.report if not linter.running else None))
            self.findings = FindingsWindow(self.state, linter, self)
        self._bring(self.findings)
        self.findings.begin(loss)

    def _compare_world(self) -> None:
        """What the button compares: what the window shows."""
        (self.do_compare if self.state.world is World.TRAINING else self.do_compare_models)()

    @staticmethod
    def _bring(other: QWidget) -> None:
        other.show()
        other.raise_()
        other.activateWindow()

    def do_open_session(self) -> None:
        self.sessions.ask_and_open()

    def do_save_session(self) -> None:
        self.sessions.save()

    def do_share_case(self) -> None:
        snapshot = self._snapshot("share")
        if snapshot is not None:
            self.sessions.share(snapshot)

    def do_export_picture(self) -> None:
        from rpnviz.ui.dialogs.export import ExportDialog  # spares the start-up what few sessions need

        snapshot = self._snapshot("export")
        if snapshot is not None:
            dialog = ExportDialog(self.state, snapshot, self._last_folder(), self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def do_copy_picture(self) -> None:
        snapshot = self._snapshot("copy")
        if snapshot is None:
            return
        try:
            picture = snapshot.picture()
        except RpnvizError as error:
            self.state.tell(from_error("Could not copy the picture", error))
            return
        height, width = picture.shape[:2]
        QGuiApplication.clipboard().setImage(image_of(picture))
        self.state.tell(Message(Severity.INFO, "Copied the picture", f"{width:,} x {height:,} px, with its legend."))

    def _snapshot(self, verb: str) -> Snapshot | None:
        """What is on the screen; None, and told, if there is nothing whole."""
        from rpnviz.app.snapshot import Snapshot

        canvas = self.canvas
        region, zoom = canvas.visible_region(), canvas.image_zoom
        snapshot = Snapshot.of(self.state, self.settings.theme, canvas.dim, canvas.saturation, region, zoom)
        if snapshot is None:
            self.state.tell(Message(Severity.INFO, f"Nothing to {verb} yet", "Open an image first."))
        return snapshot

    def do_reload(self) -> None:
        self.state.reload()

    def do_quit(self) -> None:
        self.close()

    def do_undo(self) -> None:
        self.state.undo()

    def do_redo(self) -> None:
        self.state.redo()

    def do_edit_boxes(self) -> None:
        self.editing.set_on(not self.editing.on)

    def do_add_box(self) -> None:
        self.editing.set_on(True)
        seen = self.canvas.visible_region()
        height, width = self.editing.size
        if self.editing.on:
            self.editing.add((0.0, 0.0, float(width), float(height)) if seen is None else seen)

    def do_delete_boxes(self) -> None:
        self.editing.delete()

    def do_save_boxes(self) -> None:
        self.boxes.save()

    def do_reset_params(self) -> None:
        self.state.reset_params()

    def do_draw_again(self) -> None:
        if terms(self.state.preset.conventions).draws:
            self.state.draw_again()
        else:
            name = self.state.preset.name
            self.state.tell(Message(Severity.INFO, f"{name} draws no mini-batch", "All positives and negatives train."))

    def do_usual_views(self) -> None:
        self.state.set_views(presets.usual_views(self.state.preset.name))

    def do_toggle_views(self) -> None:
        if self.state.params.views is None:
            way_out = "Controls, Training views: take the trainer's usual ones, or choose your own."
            self.state.tell(Message(Severity.INFO, "There are no training views", way_out))
        else:
            self.views_strip.set_wanted(not self.views_strip.wanted)

    def do_use_model_settings(self) -> None:
        self.state.use_model_settings()

    def do_copy_params(self) -> None:
        document = presets.to_document(
            presets.load(self.state.preset.name), self.state.params, self.state.preset.conventions
        )
        QGuiApplication.clipboard().setText(json.dumps(document, indent=2))
        self.state.tell(Message(Severity.INFO, "Copied the parameters", "Save them as JSON and give them to --params."))

    def do_copy_selected(self) -> None:
        state = self.state
        table = [[""]]
        if state.result is not None and state.shown is not None:
            table = selected.rows(state.result, state.shown.training, state.world, state.selection)
        if len(table) < 2:
            self.state.tell(Message(Severity.INFO, "Nothing is selected", "Shift+drag on the picture selects many."))
            return
        QGuiApplication.clipboard().setText("\n".join("\t".join(row) for row in table))
        noun = "row" if len(table) == 2 else "rows"
        self.state.tell(Message(Severity.INFO, f"Copied {len(table) - 1:,} {noun}"))

    def do_next_image(self) -> None:
        self.state.step_image(1)

    def do_previous_image(self) -> None:
        self.state.step_image(-1)

    def do_next_problem(self) -> None:
        self.state.next_problem(1)

    def do_previous_problem(self) -> None:
        self.state.next_problem(-1)

    def do_select_anchor(self) -> None:
        self.canvas.pointer.select_anchor()

    def do_list_boxes(self) -> None:
        if self.state.result is not None:
            self.canvas.pointer.open_list(None, anything=False)

    def do_next_stage(self) -> None:
        self._step_stage(1)

    def do_previous_stage(self) -> None:
        self._step_stage(-1)

    def _step_stage(self, by: int) -> None:
        if not self.inspector.way:
            self.state.tell(Message(Severity.INFO, "Nothing to follow", "Select a box first."))
        self.inspector.step(by)

    def do_run_model(self) -> None:
        self.state.set_world(World.MODEL)
        if not self.state.models.busy:
            self.state.models.run()

    def do_play(self) -> None:
        if self._has_playback():
            self.player.toggle()

    def do_next_training_step(self) -> None:
        if self._has_playback():
            self.player.step_by(1)

    def do_previous_training_step(self) -> None:
        if self._has_playback():
            self.player.step_by(-1)

    def _has_playback(self) -> bool:
        there = bool(self.player.labels) and self.state.world is World.MODEL
        if not there:
            way_out = "Press M for the model's proposals; a folder of checkpoints or dumps can be played back."
            self.state.tell(Message(Severity.INFO, "No training to play back here", way_out))
        return there

    def do_clear_selection(self) -> None:
        editor = self.canvas.editor
        if (editor is not None and editor.cancel()) or self.canvas.pointer.cancel():
            return
        if self.editing.on and self.state.selection == Selection():
            self.editing.set_on(False)
        self.state.select(Selection())

    def do_training_world(self) -> None:
        self.state.set_world(World.TRAINING)

    def do_model_world(self) -> None:
        self.state.set_world(World.MODEL)

    def do_zoom_in(self) -> None:
        self.canvas.zoom_to(self.canvas.zoom * 1.25)

    def do_zoom_out(self) -> None:
        self.canvas.zoom_to(self.canvas.zoom / 1.25)

    def do_zoom_fit(self) -> None:
        self.canvas.fit()

    def do_zoom_full(self) -> None:
        self.canvas.zoom_to(1.0)

    def do_toggle_everything(self) -> None:
        self.state.set_everything(not self.state.layers.everything)

    def do_flip_nms(self) -> None:
        if self.state.world is not World.MODEL:
            self.state.tell(Message(Severity.INFO, "NMS belongs to the Model proposals", "Press M to go there."))
        else:
            self.state.flip_nms()

    def do_toggle_centres(self) -> None:
        self.state.set_centres(not self.state.layers.centres)

    def do_toggle_here(self) -> None:
        self.state.set_here(not self.state.here)

    def do_toggle_frame(self) -> None:
        self.state.set_input_frame(not self.state.input_frame)

    def do_filter_position(self) -> None:
        self.state.filter_position()

    def do_clear_filter(self) -> None:
        self.state.clear_filter()

    def do_focus_canvas(self) -> None:
        self._alone = alone = not self._alone
        for part in (self.images, self.right, self.table, self.toolbar, self.strip, self.status):
            part.setVisible(not alone)
        self.views_strip.set_alone(alone)
        self.canvas.set_alone(alone)

    def do_toggle_theme(self) -> None:
        theme = Theme.LIGHT if self.settings.theme is Theme.DARK else Theme.DARK
        self.settings.theme = theme
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        apply_theme(application, theme)
        self.canvas.set_theme(theme)
        self.legend.set_theme(theme)
        self.table.set_theme(theme)
        self.images.set_theme(theme)
        self.controls.show_theme(theme)
        self.replay.set_theme(theme)
        self.views_strip.set_theme(theme)
        for other in (self.comparing, self.comparing_models):
            if other is not None:
                other.set_theme(theme)

    def do_find_command(self) -> None:
        dialog = CommandDialog(list(self.actions_by_id.values()), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def do_about(self) -> None:
        box = QMessageBox(self)
        box.setWindowTitle("About rpnviz")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(f"rpnviz {__version__}")
        box.setInformativeText(
            "Shows what a Region Proposal Network's trainer really does to every ground-truth box, and why, "
            "while you move the thresholds.\n\nMIT licence. Sample photos: see sample_images/LICENSES.md."
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    # ------------------------------------------------------------------ files dropped, closing

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.open_paths(paths)

    def _last_folder(self) -> str:
        return self.settings.last_folder

    def _restore_layout(self) -> None:
        stored = QSettings()
        if stored.value("layout/version", 0, int) == _LAYOUT_VERSION:
            for key, restore in (
                ("window", self.restoreGeometry),
                ("panes", self.panes.restoreState),
                ("middle", self.middle.restoreState),
                ("right", self.right.restoreState),
            ):
                value = stored.value(f"layout/{key}")
                if isinstance(value, QByteArray):
                    restore(value)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = event.size().width()
        # What a narrow window cannot hold is in the menus too, or says what the panels say.
        for least, parts in (
            (_ROOM_FOR_BUTTONS, (self.undo_button, self.redo_button, self.find_button, self.compare_button)),
            (_ROOM_FOR_SIZES, (self.sizes, self.dim_label, self.dim)),
        ):
            for part in parts:
                part.setVisible(width >= least)
        left, middle, right = self.panes.sizes()
        if not self.isVisible() or event.oldSize().width() <= width:
            return
        if 0 < middle < _ROOM_FOR_PICTURE and (left > self.images.minimumWidth() or right > self.right.minimumWidth()):
            narrow = min(left, self.images.minimumWidth()), min(right, self.right.minimumWidth())
            self.panes.setSizes([narrow[0], left + middle + right - sum(narrow), narrow[1]])

    def _close_for_good(self) -> None:
        self._closes = True
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self.state.unsaved and not self._closes:
            event.ignore()
            self.boxes.ask(self._close_for_good)
            return
        if self._alone:
            self.do_focus_canvas()
        stored = QSettings()
        stored.setValue("layout/version", _LAYOUT_VERSION)
        stored.setValue("layout/window", self.saveGeometry())
        stored.setValue("layout/panes", self.panes.saveState())
        stored.setValue("layout/middle", self.middle.saveState())
        stored.setValue("layout/right", self.right.saveState())
        self.settings.save()
        for other in (self.comparing, self.comparing_models):
            if other is not None:
                other.close()
                other.comparison.close()
        self.recent.save()
        self.player.close()
        self.state.close()
        super().closeEvent(event)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
