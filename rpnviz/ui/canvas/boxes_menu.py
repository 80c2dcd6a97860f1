"""The pop-up list that names everything at a point of the canvas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup, QIcon, QImage, QPixmap
from PySide6.QtWidgets import QMenu, QWidget

from rpnviz.drawing.frame import swatch
from rpnviz.palette import Role, Theme
from rpnviz.ui.canvas.picking import LOOKS, Hit, Hits

_LISTED = 30
_SWATCH = (24, 14)


class BoxesMenu(QMenu):
    """One entry per box, in sections by kind; the first 30, then how many more there are."""

    pointed = Signal(object)
    """The :class:`Hit` whose entry is highlighted, None if there is none."""
    chosen = Signal(object)
    """The :class:`Hit` whose entry was chosen."""

    def __init__(
        self, hits: Hits, current: Hit | None, describe: Callable[[Hit], str], theme: Theme, parent: QWidget
    ) -> None:
        """List ``hits``, the one like ``current`` checked; ``describe`` gives the text of an entry."""
        super().__init__(parent)
        self._hits: dict[QAction, Hit] = {}
        group = QActionGroup(self)
        icons: dict[Role, QIcon] = {}
        section = None
        for number in range(min(len(hits), _LISTED)):
            hit = hits[number]
            if hit.kind is not section:
                section = hit.kind
                self.addSection(LOOKS[section][0])
            role = LOOKS[hit.kind][1]
            if role not in icons:
                icons[role] = _icon(role, theme)
            action = self.addAction(icons[role], describe(hit).replace("&", "&&"))
            if current is not None and (hit.kind.is_gt, hit.index) == (current.kind.is_gt, current.index):
                group.addAction(action)
                action.setCheckable(True)
                action.setChecked(True)
            self._hits[action] = hit
        more = hits.total - _LISTED
        if more > 0:
            self.addSeparator()
        if more > 0 or not len(hits):
            self.addAction(f"and {more:,} more…" if more > 0 else "Nothing is drawn here").setEnabled(False)
        self.hovered.connect(lambda action: self.pointed.emit(self._hits.get(action)))
        self.triggered.connect(lambda action: self.chosen.emit(self._hits.get(action)))
        self.aboutToHide.connect(lambda: self.pointed.emit(None))

    @property
    def entries(self) -> list[tuple[QAction, Hit]]:
        """Entries and their boxes, in order."""
        return list(self._hits.items())


def _icon(role: Role, theme: Theme) -> QIcon:
    rgba = np.ascontiguousarray(swatch(role, theme, *_SWATCH, scale=2))
    height, width = rgba.shape[:2]
    image = QImage(rgba.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image.copy()))
