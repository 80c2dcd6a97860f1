"""Saving a session, opening it again, and the menu of what was opened lately."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from rpnviz.app.case import case_bytes, save_case, unpack_case
from rpnviz.app.jobs import Job
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.recent import Place, Recent
from rpnviz.app.session import Session, ViewPart, read_session, relocated, restore, save_session, session_of
from rpnviz.app.settings import Settings
from rpnviz.app.snapshot import Snapshot
from rpnviz.app.state import AppState
from rpnviz.errors import RpnvizError
from rpnviz.ui.canvas.view import CanvasView
from rpnviz.ui.dialogs.save_as import ask_where
from rpnviz.ui.dialogs.share import ShareDialog

_FILTER = "Sessions (*.rpnviz.json)"
_ENDING = ".rpnviz.json"
_SHOWN = 10
_NAMED = 10


class Sessions:
    """The commands of the File menu."""

    def __init__(self, window: QWidget, state: AppState, settings: Settings, canvas: CanvasView) -> None:
        """``window`` is what dialogs belong to."""
        self._window, self._state, self._settings, self._canvas = window, state, settings, canvas

    def save(self) -> None:
        """Ask for a place and write the session there."""
        state = self._state
        if state.record is None:
            state.tell(Message(Severity.INFO, "Nothing to save yet", "Open images first."))
            return
        name = f"{state.record.path.stem}{_ENDING}"
        path = ask_where(self._window, state, self._settings, "Save session", name, _FILTER, (_ENDING, ".json"))
        if path is None:
            return
        place = self._canvas.place
        try:
            save_session(session_of(state, None if place is None else ViewPart(*place)), path)
        except RpnvizError as error:
            state.tell(from_error("Could not save the session", error))
            return
        state.mark_saved(state.edits)
        state.tell(Message(Severity.INFO, f"Saved the session as {path.name}", str(path.parent)))

    def ask_and_open(self) -> None:
        """Ask for a session and open it."""
        name, _ = QFileDialog.getOpenFileName(self._window, "Open session", self._settings.last_folder, _FILTER)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Open a session; where files are not there any more, ask where they are now."""
        self._settings.last_folder = str(path.parent)
        try:
            session = read_session(path)
        except RpnvizError as error:
            self._refuse(error)
            return
        if session.missing:
            self._ask_where(path, session)
        else:
            self._show(session)

    def share(self, snapshot: Snapshot) -> None:
        """Ask how much of the image to share and where to, and write the case."""
        dialog = ShareDialog(snapshot, self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._share(snapshot, dialog.region))
        dialog.open()

    def _share(self, snapshot: Snapshot, region: tuple[float, float, float, float] | None) -> None:
        state = self._state
        name = f"{snapshot.record.path.stem}_case.zip"
        path = ask_where(self._window, state, self._settings, "Share case", name, "Cases (*.zip)", (".zip",))
        if path is None:
            return
        place, record, dataset = self._canvas.place, snapshot.record, snapshot.dataset
        try:
            session = session_of(state, None if place is None else ViewPart(*place))
        except RpnvizError as error:
            state.tell(from_error("Could not share the case", error))
            return

        def work(job: Job) -> int:
            index = next(number for number, other in enumerate(dataset.images) if other is record)
            findings = tuple(finding for finding in dataset.findings if finding.image == index)
            data = case_bytes(snapshot, session, region, findings)
            job.progress(0.9)
            save_case(data, path)
            return len(data)

        def done(count: int) -> None:
            state.tell(Message(Severity.INFO, f"Wrote {path.name}, {count / 1e6:.1f} MB", str(path.parent)))

        state.jobs.submit(
            f"Writing {path.name}", work, done, lambda error: state.tell(from_error("Could not share the case", error))
        )

    def open_case(self, path: Path) -> None:
        """Open a shared case, unpacked into the cache."""
        self._settings.last_folder = str(path.parent)
        state = self._state
        state.jobs.submit(
            f"Unpacking {path.name}",
            lambda _job: unpack_case(path),
            self._open_unpacked,
            lambda error: state.tell(from_error("Could not open the case", error)),
        )

    def _open_unpacked(self, path: Path) -> None:
        folder = self._settings.last_folder
        self.open(path)
        self._settings.last_folder = folder  # not the cache

    def _refuse(self, error: RpnvizError) -> None:
        self._state.tell(from_error("Could not open the session", error))

    def _show(self, session: Session) -> None:
        def shown() -> None:
            view = session.view
            if view is None:
                self._canvas.fit()
            else:
                self._canvas.look_at(view.scale, view.x, view.y)

        try:
            restore(self._state, session, shown)
        except RpnvizError as error:
            self._refuse(error)

    def _ask_where(self, path: Path, session: Session) -> None:
        """Say what is missing, and take the folder where it is now."""
        box = QMessageBox(self._window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Files of the session are not there")
        box.setIcon(QMessageBox.Icon.Question)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(f"{path.name} needs files that are not there any more.")
        more = len(session.missing) - _NAMED
        names = [str(missing) for missing in session.missing[:_NAMED]]
        box.setInformativeText("\n".join([*names, f"and {more:,} more"] if more > 0 else names))
        locate = box.addButton("Locate…", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(locate)

        def choose() -> None:
            folder = QFileDialog.getExistingDirectory(self._window, "Where they are now", str(path.parent))
            if folder:
                self._show(relocated(session, Path(folder)))

        box.accepted.connect(choose)
        box.open()


class RecentMenu(QMenu):
    """What was opened lately, the newest first."""

    def __init__(self, recent: Recent, parent: QWidget) -> None:
        super().__init__("Open re&cent", parent)
        self._recent = recent
        self.setToolTipsVisible(True)
        recent.changed.connect(self._fill)
        self._fill()

    def _fill(self) -> None:
        self.clear()
        places = self._recent.places[:_SHOWN]
        for number, place in enumerate(places, 1):
            key = f"&{number} " if number < 10 else ""
            action = self.addAction(key + place.title.replace("&", "&&"))
            action.setToolTip("\n".join((*place.paths[:5], place.annotations, f"at {place.image}")))
            action.triggered.connect(lambda _checked=False, place=place: self._open(place))
        if places:
            self.addSeparator()
            self.addAction("&Forget these").triggered.connect(self._recent.forget)
        self.setEnabled(bool(places))

    def _open(self, place: Place) -> None:
        self._recent.open([Path(path) for path in place.paths], Path(place.annotations) if place.annotations else None)
