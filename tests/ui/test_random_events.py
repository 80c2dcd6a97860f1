"""Ten thousand events at random, over both worlds: no exception, no warning, no stray thread, no leak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QEnterEvent, QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from support import settled

from rpnviz.core import presets
from rpnviz.drawing.scene import LAYERS, World

EVENTS = 10_000
SIZES = ((200, 150), (480, 360), (640, 480), (900, 560))
SEED = 20261124

# Left out: what opens native or modal dialogs, quits, or takes the clipboard away.
KEYS = [
    *(getattr(Qt.Key, f"Key_{name}") for name in ("Left", "Right", "Up", "Down", "Tab", "Backtab", "Return", "Escape")),
    *(getattr(Qt.Key, f"Key_{name}") for name in ("Home", "End", "Menu", "PageDown", "PageUp", "Space")),
    *(getattr(Qt.Key, f"Key_{letter}") for letter in "ACFGHINTM123456"),
]
COMMANDS = [Qt.Key.Key_0, Qt.Key.Key_1, Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_Z, Qt.Key.Key_Y]
NONE, SHIFT, ALT, CTRL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
)
LEFT, RIGHT, MIDDLE, NO_BUTTON = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.RightButton,
    Qt.MouseButton.MiddleButton,
    Qt.MouseButton.NoButton,
)


def resident() -> int:
    """Resident set of this process, bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Monkey:
    """Sends one event after another to a window, from a seeded generator."""

    def __init__(self, window, qtbot) -> None:
        self.window, self.qtbot = window, qtbot
        self.random = random.Random(SEED)
        self.held = NO_BUTTON
        self.names = presets.names()
        self.kinds = {
            self.move: 40,
            self.button: 12,
            self.click: 6,
            self.wheel: 10,
            self.key: 18,
            self.command: 3,
            self.slider: 4,
            self.layer: 3,
            self.context: 1.5,
            self.come_and_go: 1.5,
            self.table: 1.5,
            self.resize: 0.5,
            self.image: 0.4,
            self.preset: 0.15,
            self.theme: 0.1,
        }

    def run(self, count: int) -> None:
        for number in range(count):
            self.random.choices(list(self.kinds), weights=list(self.kinds.values()))[0]()
            if number % 4 == 0:
                QApplication.processEvents()
            if number % 250 == 249:
                self.settle()

    def settle(self) -> None:
        """Let go of everything and wait until nothing runs."""
        while QApplication.activePopupWidget() is not None:
            QApplication.activePopupWidget().close()
        if self.held != NO_BUTTON:
            self.mouse(QEvent.Type.MouseButtonRelease, self.place(), self.held, NO_BUTTON, NONE)
            self.held = NO_BUTTON
        self.window.activateWindow()
        self.window.banner.dismiss()
        state = self.window.state

        def ready() -> bool:
            needs_model = state.world is World.MODEL and state.has_proposals
            return settled(self.window) and not (needs_model and state.shown.model is None)

        self.qtbot.waitUntil(ready, timeout=30000)

    def rest(self) -> int:
        """Resident set in one and the same state, so that no large image or preset is taken for a leak."""
        self.settle()
        state = self.window.state
        state.set_preset("torchvision")
        state.reset_params()
        state.show_image(0)
        self.settle()
        state.set_world(World.MODEL)
        self.settle()
        self.window.canvas.compose()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # what glibc keeps for later is no leak
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        return resident()

    # ------------------------------------------------------------------ events

    def place(self) -> QPointF:
        canvas = self.window.canvas
        return QPointF(self.random.uniform(-5, canvas.width() + 5), self.random.uniform(-5, canvas.height() + 5))

    def modifiers(self):
        return self.random.choices((NONE, SHIFT, ALT, CTRL), weights=(6, 3, 2, 0.5))[0]

    def mouse(self, kind, at, button, buttons, modifiers) -> None:
        canvas = self.window.canvas
        event = QMouseEvent(kind, at, QPointF(canvas.mapToGlobal(at.toPoint())), button, buttons, modifiers)
        QApplication.sendEvent(canvas, event)

    def move(self) -> None:
        self.mouse(QEvent.Type.MouseMove, self.place(), NO_BUTTON, self.held, self.modifiers())
        if self.random.random() < 0.2:
            self.window.canvas.pointer._timer.timeout.emit()  # as if the pointer had rested

    def button(self) -> None:
        if self.held == NO_BUTTON:
            self.held = self.random.choice((LEFT, LEFT, LEFT, MIDDLE))
            self.mouse(QEvent.Type.MouseButtonPress, self.place(), self.held, self.held, self.modifiers())
        else:
            self.mouse(QEvent.Type.MouseButtonRelease, self.place(), self.held, NO_BUTTON, self.modifiers())
            self.held = NO_BUTTON

    def click(self) -> None:
        at = self.place()
        kind = QEvent.Type.MouseButtonDblClick if self.random.random() < 0.1 else QEvent.Type.MouseButtonPress
        button, modifiers = self.random.choice((LEFT, LEFT, RIGHT)), self.modifiers()
        self.mouse(kind, at, button, button | self.held, modifiers)
        self.mouse(QEvent.Type.MouseButtonRelease, at, button, self.held, modifiers)

    def wheel(self) -> None:
        at, step = self.place(), self.random.choice((-240, -120, -30, 30, 120, 240))
        delta = QPoint(step, 0) if self.random.random() < 0.2 else QPoint(0, step)
        canvas = self.window.canvas
        event = QWheelEvent(
            at,
            QPointF(canvas.mapToGlobal(at.toPoint())),
            QPoint(),
            delta,
            NO_BUTTON,
            self.modifiers(),
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(canvas, event)

    def target(self):
        return QApplication.activePopupWidget() or QApplication.focusWidget() or self.window.canvas

    def key(self) -> None:
        if self.random.random() < 0.3:
            self.window.canvas.setFocus()
        key = self.random.choice(KEYS)
        modifier = self.random.choice((NONE, NONE, SHIFT)) if key < Qt.Key.Key_A or key > Qt.Key.Key_Z else NONE
        QTest.keyClick(self.target(), key, modifier)

    def command(self) -> None:
        QTest.keyClick(self.target(), self.random.choice(COMMANDS), CTRL)

    def slider(self) -> None:
        controls = self.window.controls
        which = self.random.randrange(4)
        if which == 0:
            low = self.random.uniform(0, 0.6)
            controls.matching.thresholds.slider.setValue((low, self.random.uniform(low, 1)))
        elif which == 1:
            self.window.dim.setValue(self.random.randrange(91))
        elif which == 2:
            controls.proposals.nms.spin.setValue(self.random.choice((0.3, 0.5, 0.7, 0.9)))
        else:
            controls.sampling.seed.stepBy(self.random.choice((-1, 1)))

    def layer(self) -> None:
        state = self.window.state
        key = self.random.choice(LAYERS[state.world]).key
        choice = self.random.random()
        if choice < 0.6:
            self.window.legend.rows[key].click()
        elif choice < 0.8:
            state.set_show_all(key, key not in state.layers.show_all)
        else:
            self.window.legend.everything.click()

    def context(self) -> None:
        canvas, at = self.window.canvas, self.place().toPoint()
        reason = self.random.choice((QContextMenuEvent.Reason.Mouse, QContextMenuEvent.Reason.Keyboard))
        event = QContextMenuEvent(reason, at, canvas.mapToGlobal(at), self.random.choice((NONE, ALT)))
        QApplication.sendEvent(canvas, event)

    def come_and_go(self) -> None:
        at = self.place()
        QApplication.sendEvent(self.window.canvas, QEvent(QEvent.Type.Leave))
        QApplication.sendEvent(self.window.canvas, QEnterEvent(at, at, at))

    def table(self) -> None:
        proxy = self.window.table.proxy
        if proxy.rowCount():
            row = proxy.index(self.random.randrange(proxy.rowCount()), 0)
            self.window.table.table.setCurrentIndex(row)

    def resize(self) -> None:
        self.window.resize(*self.random.choice(SIZES))

    def image(self) -> None:
        self.window.state.show_image(self.random.randrange(len(self.window.state.dataset.images)))

    def preset(self) -> None:
        self.window.state.set_preset(self.random.choice(self.names))

    def theme(self) -> None:
        self.window.do_toggle_theme()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the resident set is read from Linux's /proc")
def test_ten_thousand_random_events_leave_no_trace(window, qtbot):
    window.resize(640, 480)
    window.do_model_world()
    qtbot.waitUntil(lambda: window.state.result is not None and settled(window), timeout=60000)
    monkey = Monkey(window, qtbot)
    monkey.run(EVENTS // 2)
    before = monkey.rest()
    monkey.run(EVENTS // 2)
    grown = monkey.rest() - before
    assert grown < 0.05 * before, f"{grown / 2**20:.0f} MB more than {before / 2**20:.0f} MB"
