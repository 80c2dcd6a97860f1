"""Export picture…: what to draw, how, of which images, a preview, and where to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from rpnviz.app.jobs import Job
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.snapshot import STAGE_OF_WORLD, Snapshot
from rpnviz.app.state import AppState
from rpnviz.drawing.scene import LayerOptions, World
from rpnviz.errors import ExportError
from rpnviz.export.batch import (
    DEFAULT_PATTERN,
    Outcome,
    Target,
    check_targets,
    files_of,
    make_folders,
    make_subject,
    name_of,
    plan_targets,
    run_batch,
)
from rpnviz.export.look import Look, Stage
from rpnviz.export.picture import full_size, preview
from rpnviz.export.save import Format, save_picture
from rpnviz.export.vector import size_warning
from rpnviz.palette import Theme
from rpnviz.ui.widgets.basics import eliding_label, image_of, label

SCREEN = "screen"
"""What is drawn when it is what the canvas shows; stands for the stage in file names."""
_STAGES = (
    (Stage.LABELS, "Labels: positive and forced anchors"),
    (Stage.GT, "Ground truth alone"),
    (Stage.ANCHORS, "All anchors as density"),
    (Stage.PROPOSALS, "Proposals before NMS"),
    (Stage.KEPT, "Proposals after NMS"),
)
_FORMATS = (
    (Format.PNG, "PNG: pixels"),
    (Format.SVG, "SVG: vectors to edit"),
    (Format.PDF, "PDF: vectors to print"),
)
_PREVIEW = (480, 480)  # as high as all rows of the form
_PREVIEW_PIXELS = 1_000_000
_MOST_LISTED = 200


class ExportDialog(QDialog):
    """The same pictures that ``rpnviz render`` makes, of the state on the screen or of the whole data set."""

    def __init__(self, state: AppState, snapshot: Snapshot, folder: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Export picture of {snapshot.record.file_name}")
        self._state = state
        self._snapshot = snapshot
        self._folder = folder or str(Path.home())
        self._job: Job | None = None
        self._written: list[Path] = []
        self._total = 0
        self._may_replace: tuple[str, str] | None = None
        self._make_choices()
        self._make_batch()
        self._make_buttons()
        self._lay_out()
        self._picture: np.ndarray | None = None
        self._connect()
        self._show()
        self._show_batch()

    # ------------------------------------------------------------------ building

    def _make_choices(self) -> None:
        snapshot = self._snapshot
        self.stage = QComboBox()
        if snapshot.layers is not None:
            self.stage.addItem("As on the screen", SCREEN)
        for stage, text in _STAGES:
            if stage.world is World.TRAINING or snapshot.has_proposals:
                self.stage.addItem(text, stage)
        self.show_all = QCheckBox("Every bo&x, not only the best of each object")
        self.area = QComboBox()
        self.area.addItem("Whole image", None)
        if snapshot.region is not None:
            x1, y1, x2, y2 = snapshot.region
            self.area.addItem(f"Current view, {x2 - x1:,.0f} x {y2 - y1:,.0f} px", snapshot.region)
        self.area.setEnabled(snapshot.region is not None)
        self.area.setToolTip("" if snapshot.region is not None else "The whole image is in view")
        self.background = QComboBox()
        self.background.addItem("Photo", False)
        self.background.addItem("Transparent: boxes and labels alone", True)
        self.dim = QSpinBox()
        self.dim.setRange(0, 100)
        self.dim.setSuffix(" %")
        self.dim.setValue(round(snapshot.dim * 100))
        self.dim.setToolTip("Darken the photo (lighten it for paper), so that the boxes stand out")
        self.theme = QComboBox()
        self.theme.addItem("Dark", Theme.DARK)
        self.theme.addItem("Light, for paper", Theme.LIGHT)
        self.theme.setCurrentIndex(self.theme.findData(snapshot.theme))
        self.format = QComboBox()
        for format_, text in _FORMATS:
            self.format.addItem(text, format_)
        self.scale = QDoubleSpinBox()
        self.scale.setRange(0.05, 16)
        self.scale.setSingleStep(0.5)
        self.scale.setDecimals(2)
        self.scale.setPrefix("x ")
        self.scale.setValue(1)
        self.scale.setKeyboardTracking(False)
        self.size_note = label("", "muted")
        for combo in (self.stage, self.area, self.background, self.theme, self.format):
            combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.strip = QCheckBox("&Legend, counts and parameters below")
        self.strip.setChecked(True)
        self.dense_vectors = QCheckBox("De&nse layers as vectors too")
        self.dense_vectors.setToolTip("Otherwise a layer of very many boxes is an image inside the file")
        self.warning = label("", wrap=True)

    def _make_batch(self) -> None:
        total = len(self._snapshot.dataset.images)
        self.one = QRadioButton("&This image")
        self.all = QRadioButton(f"&All {total:,} images")
        self.one.setChecked(True)
        self.all.setEnabled(total > 1)
        self._which = QButtonGroup(self)
        self._which.addButton(self.one)
        self._which.addButton(self.all)
        self.folder = QLineEdit(self._folder)
        self.folder.setAccessibleName("Folder")
        self.choose = QPushButton("C&hoose…")
        self.choose.setAutoDefault(False)
        self.pattern = QLineEdit(DEFAULT_PATTERN)
        self.pattern.setToolTip("{stem}: name of the image, {stage}: what is drawn, {index}: number of the image")
        self.example = eliding_label("", "muted")
        self.example.setMinimumHeight(self.example.fontMetrics().height())
        for text in (self.warning, self.example):
            text.setSizePolicy(QSizePolicy.Policy.Expanding, text.sizePolicy().verticalPolicy())

    def _make_buttons(self) -> None:
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setAccessibleName("Progress")
        self.progress.hide()
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Save | standard.Cancel)
        self.save_button = self.buttons.button(standard.Save)
        self.cancel_button = self.buttons.button(standard.Cancel)
        self.save_button.setDefault(True)
        self.preview = QLabel()
        self.preview.setFixedSize(*_PREVIEW)
        self.preview.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.preview.setAccessibleName("Preview")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("&Draw", self.stage)
        form.addRow("", self.show_all)
        form.addRow("Ar&ea", self.area)
        form.addRow("&Background", self.background)
        form.addRow("D&im", self.dim)
        form.addRow("&Colours", self.theme)
        form.addRow("&Format", self.format)
        scale = QHBoxLayout()
        scale.addWidget(self.scale)
        scale.addWidget(self.size_note, 1)
        form.addRow("&Scale", scale)
        self._buddy(form, scale, self.scale)
        form.addRow("", self.strip)
        form.addRow("", self.dense_vectors)
        form.addRow("", self.warning)
        which = QHBoxLayout()
        which.addWidget(self.one)
        which.addWidget(self.all)
        which.addStretch(1)
        form.addRow("Images", which)
        self._folder_row = QWidget()
        folder = QHBoxLayout(self._folder_row)
        folder.setContentsMargins(0, 0, 0, 0)
        folder.addWidget(self.folder, 1)
        folder.addWidget(self.choose)
        form.addRow("F&older", self._folder_row)
        self._buddy(form, self._folder_row, self.folder)
        form.addRow("Na&mes", self.pattern)
        form.addRow("", self.example)
        self.form = QWidget()
        self.form.setLayout(form)
        self.form.setFixedWidth(400)
        form.setContentsMargins(0, 0, 0, 0)
        self._rows = form
        upper = QHBoxLayout()
        upper.setSpacing(16)
        upper.addWidget(self.form, 0, Qt.AlignmentFlag.AlignTop)
        upper.addWidget(self.preview, 0, Qt.AlignmentFlag.AlignTop)
        lower = QHBoxLayout()
        lower.addWidget(self.progress, 1)
        lower.addWidget(self.buttons)
        layout = QVBoxLayout(self)
        layout.addLayout(upper)
        layout.addLayout(lower)

    @staticmethod
    def _buddy(form: QFormLayout, row: QHBoxLayout | QWidget, widget: QWidget) -> None:
        """A row of several widgets: its mnemonic goes to the one that is meant."""
        name = form.labelForField(row)
        if isinstance(name, QLabel):
            name.setBuddy(widget)

    def _connect(self) -> None:
        for combo in (self.stage, self.area, self.background, self.theme, self.format):
            combo.currentIndexChanged.connect(lambda _index: self._show())
        for check in (self.show_all, self.strip, self.dense_vectors):
            check.toggled.connect(lambda _checked: self._show())
        self.dim.valueChanged.connect(lambda _value: self._show())
        self.scale.valueChanged.connect(lambda _value: self._show())
        self.all.toggled.connect(lambda _checked: self._show())
        self.folder.textChanged.connect(lambda _text: self._show_batch())
        self.pattern.textChanged.connect(lambda _text: self._show_batch())
        self.choose.clicked.connect(lambda _checked: self._choose_folder())
        self.buttons.accepted.connect(self._on_save)
        self.buttons.rejected.connect(self.reject)
        self._state.jobs.progressed.connect(self._show_progress)

    # ------------------------------------------------------------------ what is chosen

    @property
    def format_(self) -> Format:
        """Kind of the files."""
        return Format(self.format.currentData())  # a combo box gives enumerations back as plain strings

    def look(self) -> Look:
        """What the widgets say."""
        chosen = self.stage.currentData()
        on_screen = chosen == SCREEN
        layers: LayerOptions | None = None
        if on_screen:
            layers = self._snapshot.layers
            if layers is not None and self.all.isChecked():
                layers = dataclasses.replace(layers, selected_gt=None)  # the same number is another box elsewhere
        return Look(
            stage=STAGE_OF_WORLD[self._snapshot.world] if on_screen else Stage(chosen),
            layers=layers,
            show_all=self.show_all.isChecked(),
            theme=Theme(self.theme.currentData()),
            scale=self.scale.value(),
            crop=None if self.all.isChecked() else self.area.currentData(),
            strip=self.strip.isChecked(),
            overlay=bool(self.background.currentData()),
            dim=self._snapshot.dim if self.dim.value() == round(self._snapshot.dim * 100) else self.dim.value() / 100,
            saturation=self._snapshot.saturation,
            dense_vectors=self.dense_vectors.isChecked(),
        )

    @property
    def _stage_name(self) -> str:
        return str(self.stage.currentData())

    # ------------------------------------------------------------------ showing

    def _show(self) -> None:
        """The preview and everything that follows from the choices."""
        look, vector = self.look(), self.format_.is_vector
        several = self.all.isChecked()
        self.show_all.setEnabled(look.layers is None and look.stage not in (Stage.GT, Stage.ANCHORS))
        self.strip.setEnabled(not look.overlay)
        self.dim.setEnabled(not look.overlay)
        self.dense_vectors.setEnabled(vector)
        self.area.setEnabled(self._snapshot.region is not None and not several)
        subject = self._snapshot.subject(look)
        try:
            width, height = full_size(subject, look)
            unit = "pt" if self.format_ is Format.PDF else "px"
            self.size_note.setText(f"{width:,} x {height:,} {unit}")
            self._say(size_warning(subject, look, self.format_) if vector else "")
            self._picture = preview(subject, look, _PREVIEW_PIXELS)
        except ExportError as error:
            self.size_note.setText("")
            self._say(str(error))
            self.save_button.setEnabled(False)
            return
        self.save_button.setEnabled(True)
        self._show_pixmap(self._picture)
        self._show_batch()

    def _say(self, text: str) -> None:
        self.warning.setText(text)
        self._rows.setRowVisible(self.warning, bool(text))

    def _show_pixmap(self, picture: np.ndarray) -> None:
        ratio = self.devicePixelRatioF()
        pixmap = QPixmap.fromImage(image_of(picture)).scaled(
            round(_PREVIEW[0] * ratio),
            round(_PREVIEW[1] * ratio),
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        if picture.shape[2] == 4:
            pixmap = _on_checks(pixmap)
        pixmap.setDevicePixelRatio(ratio)
        self.preview.setPixmap(pixmap)

    def _show_batch(self) -> None:
        """Names of the files, where several are written."""
        several = self.all.isChecked()
        for row in (self._folder_row, self.pattern, self.example):
            self._rows.setRowVisible(row, several)
        total = len(self._snapshot.dataset.images)
        self.save_button.setText(f"Sa&ve {total:,} files" if several else "Sa&ve…")
        self._may_replace = None
        if several:
            try:
                self.example.setText(f"{self._name(1)}, …")
            except ExportError as error:
                self.example.setText(f"{error.what} {error.way_out}")

    def _name(self, number: int) -> str:
        """Of the file of an image, from 1."""
        images = self._snapshot.dataset.images
        name = name_of(self.pattern.text(), images[number - 1], self._stage_name, number, len(images))
        return f"{name}.{self.format_.value}"

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export into a folder", self.folder.text())
        if folder:
            self.folder.setText(folder)

    # ------------------------------------------------------------------ saving

    def _on_save(self) -> None:
        if self._job is not None:
            return
        if self.all.isChecked():
            self.save_all()
            return
        endings = ";;".join(f"{format_.value.upper()} (*.{format_.value})" for format_, _ in _FORMATS)
        chosen = f"{self.format_.value.upper()} (*.{self.format_.value})"
        name = f"{Path(self._snapshot.record.file_name).stem}_{self._stage_name}.{self.format_.value}"
        start = str(Path(self._folder) / name)
        path, _ = QFileDialog.getSaveFileName(self, "Export picture", start, endings, chosen)
        if path and not Path(path).suffix:
            # The question whether to replace was about another name.
            path = f"{path}.{self.format_.value}"
            if Path(path).exists():
                self._say(f"{Path(path).name} is there already. Choose it by its full name to replace it.")
                return
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the picture of this image and close; a failure is told and leaves the dialog open."""
        if not path.suffix:
            path = path.with_suffix(f".{self.format_.value}")
        look = self.look()
        subject = self._snapshot.subject(look)
        target = Target(self._snapshot.record, path)

        def plan() -> list[Target]:
            check_targets([target], files_of(self._snapshot.dataset))
            return [target]

        self._start(plan, lambda _job, target: save_picture(target.path, subject, look), 1)

    def save_all(self) -> None:
        """Write the pictures of all images into the folder; asks once more where files would be replaced."""
        snapshot, look, format_ = self._snapshot, self.look(), self.format_
        folder, pattern, stage = self.folder.text(), self.pattern.text(), self._stage_name
        try:
            replaced = self._count_existing()
        except ExportError as error:
            self._say(str(error))
            return
        if replaced and self._may_replace != (folder, pattern):
            self._may_replace = (folder, pattern)
            noun = "file is" if replaced == 1 else "files are"
            self._say(f"{replaced:,} {noun} there already and will be replaced. Press Save again to go on.")
            return
        model = snapshot.model if look.stage.world is World.MODEL else None

        def plan() -> list[Target]:
            targets = plan_targets(
                snapshot.dataset.images, f"{pattern}.{format_.value}", stage, Path(folder), files_of(snapshot.dataset)
            )
            make_folders(targets)
            return targets

        def write(job: Job, target: Target) -> None:
            subject = make_subject(target.record, snapshot.dataset, snapshot.preset, model, lambda: job.cancelled)
            save_picture(target.path, subject, look)

        self._start(plan, write, len(snapshot.dataset.images))

    def _count_existing(self) -> int:
        """Files in the folder that would be replaced."""
        folder = Path(self.folder.text())
        if not self.folder.text().strip():
            raise ExportError("no folder is given.", way_out="Choose one.")
        total = len(self._snapshot.dataset.images)
        names = {self._name(number) for number in range(1, total + 1)}
        if any("/" in name for name in names):
            return sum((folder / name).exists() for name in names)
        try:
            return len(names & {child.name for child in folder.iterdir()})
        except OSError:
            return 0  # it is made, or its error told, when the files are written

    def _start(self, plan: Callable[[], list[Target]], write: Callable[[Job, Target], None], total: int) -> None:
        self._written, self._total = [], total

        def work(job: Job) -> Outcome:
            def make(target: Target) -> None:
                write(job, target)
                self._written.append(target.path)

            return run_batch(plan(), make, lambda number, _target: job.progress(number / total))

        self._set_running(True)
        self._job = self._state.jobs.submit(
            "Exporting", work, self._on_done, self._on_failed, self._on_cancelled, lane="export"
        )

    def _on_done(self, outcome: Outcome) -> None:
        self._set_running(False)
        if outcome.failures:
            lines = [str(failure.error) for failure in outcome.failures[:_MOST_LISTED]]
            if self._total == 1:
                self._state.tell(Message(Severity.ERROR, "Could not export", lines[0]))
                self._say(lines[0])
                return
            title = f"{len(outcome.failures):,} of {self._total:,} images could not be exported"
            self._state.tell(Message(Severity.WARNING, title, "\n".join(lines)))
        elif self._total == 1:
            self._state.tell(Message(Severity.INFO, f"Saved {outcome.written[0]}"))
        else:
            self._state.tell(Message(Severity.INFO, f"Saved {self._total:,} pictures in {self.folder.text()}"))
        self.accept()

    def _on_failed(self, error: BaseException) -> None:
        self._set_running(False)
        self._state.tell(from_error("Could not export", error))
        self._say(str(error))

    def _on_cancelled(self) -> None:
        self._set_running(False)
        self._say(f"Stopped: {len(self._written):,} of {self._total:,} files are written, and whole.")

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.save_button.setEnabled(not running)
        self.cancel_button.setText("Stop" if running else "Cancel")
        self.progress.setVisible(running)
        self.progress.setRange(0, self._total if self._total > 1 else 0)
        self.progress.setValue(0)
        self.progress.setFormat("%v of %m")
        if running:
            self._say("")
        else:
            self._job = None

    def _show_progress(self, job: Job, fraction: float) -> None:
        if job is self._job and self._total > 1:
            self.progress.setValue(round(fraction * self._total))

    def reject(self) -> None:
        """Stop what runs; close if nothing does."""
        if self._job is not None:
            self._job.cancel()
            self.progress.setFormat("Stopping…")
        else:
            super().reject()


def _on_checks(pixmap: QPixmap) -> QPixmap:
    """What is transparent, on the checks that say so."""
    ground = QPixmap(pixmap.size())
    ground.fill(Qt.GlobalColor.gray)
    painter = QPainter(ground)
    side = 8
    for y in range(0, ground.height(), side):
        for x in range((y // side % 2) * side, ground.width(), 2 * side):
            painter.fillRect(x, y, side, side, Qt.GlobalColor.lightGray)
    painter.drawPixmap(0, 0, pixmap)
    painter.end()
    return ground
