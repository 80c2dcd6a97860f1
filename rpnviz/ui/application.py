"""Starts the window: application, style, and the door for errors nobody caught."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from rpnviz import __version__, paths
from rpnviz.app.case import is_case
from rpnviz.app.messages import Message, Severity
from rpnviz.app.session import is_session
from rpnviz.app.settings import load_settings
from rpnviz.app.state import AppState
from rpnviz.configs.base import TrainerConfig
from rpnviz.core.presets import Preset
from rpnviz.ui.main_window import MainWindow
from rpnviz.ui.theme import apply_theme


def make_application() -> QApplication:
    """The one QApplication, named so that settings find their place."""
    existing = QApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    application.setApplicationName("rpnviz")
    application.setOrganizationName("rpnviz")
    application.setApplicationVersion(__version__)
    application.setWindowIcon(QIcon(str(paths.resources() / "icons" / "rpnviz.svg")))
    return application


def make_window(preset: Preset | None = None) -> MainWindow:
    """A window with a state of its own; nothing is opened yet."""
    application = make_application()
    settings = load_settings()
    apply_theme(application, settings.theme)
    return MainWindow(AppState(preset), settings)


def run(
    files: Sequence[Path],
    annotations: Path | None = None,
    preset: Preset | None = None,
    model: Path | None = None,
    options: Mapping[str, str] | None = None,
    config: TrainerConfig | None = None,
) -> int:
    """Show the window until it is closed.

    Args:
        files: what to open; empty: the samples.
        annotations: the annotation file that belongs to ``files``.
        preset: trainer and parameters to start with; None: those of last time, where the data set was opened before.
        model: weights to load.
        options: what their file does not say; None: asked where it matters.
        config: the trainer's configuration that ``preset`` comes from.

    Returns:
        The exit code.
    """
    application = make_application()
    window = make_window(preset)
    _install_exception_hook(window)
    spare_collections(window)
    window.show()

    if config is not None:
        # Opening a data set takes earlier messages away.
        def tell() -> None:
            if window.state.params == config.preset.params:  # no session has brought others
                window.state.tell_config(config)

        window.state.dataset_changed.connect(tell, Qt.ConnectionType.SingleShotConnection)

    def open_first() -> None:
        if len(files) == 1 and annotations is None and (is_session(files[0]) or is_case(files[0])):
            window.open_paths(list(files))
        elif files or annotations is not None:
            paths = list(files) if files else [Path(str(annotations))]
            window.recent.open(paths, annotations if files else None, keep_params=preset is not None)
        else:
            window.state.open_samples()
        if model is not None:
            window.state.load_model(model, options or None)

    QTimer.singleShot(0, window, open_first)
    # Python runs signal handlers only between its own instructions: a slow timer lets Ctrl+C through.
    signal.signal(signal.SIGINT, lambda _number, _frame: window.close())
    ticker = QTimer()
    ticker.timeout.connect(lambda: None)
    ticker.start(300)
    return application.exec()


def spare_collections(window: MainWindow) -> None:
    """Let Python look for garbage only among what is made after the start.

    Through modules and widgets, some 180,000 objects, it looks twice a second while a box is dragged, 0.1 s each time.
    """
    window.state.warmed.connect(lambda: gc.freeze(), Qt.ConnectionType.SingleShotConnection)


def _install_exception_hook(window: MainWindow) -> None:
    """An error nobody caught is shown with its traceback instead of vanishing in a terminal that nobody sees."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(text)
        detail = f"{kind.__name__}: {error}. The details help to mend it.\n\n{text}"
        window.state.tell(Message(Severity.ERROR, "Something went wrong inside rpnviz", detail))

    sys.excepthook = hook
