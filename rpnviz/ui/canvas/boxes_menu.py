"""The pop-up list that names everything at a point of the canvas."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QMenu, QWidget

from rpnviz.drawing.frame import swatch
from rpnviz.palette import Role, Theme
from rpnviz.ui.canvas.picking import LOOKS, Hit, Hits, Kind
from rpnviz.ui.widgets.basics import pixmap_of

_LISTED = 30
_AT_LEAST = 4
"""Of every kind, so that no section pushes out the next."""
_SWATCH = (16, 14)


class BoxesMenu(QMenu):
    """One entry per box, in sections by kind; the first 30 or so, and of each kind how many more there are."""

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
        for kind, number in _shares(hits).items():
            title, role = LOOKS[kind]
            self.addSection(title)
            icon = _icon(role, theme, self.devicePixelRatioF())
            for hit in hits.first(kind, number):
                action = self.addAction(icon, describe(hit).replace("&", "&&"))
                if current is not None and (kind.is_gt, hit.index) == (current.kind.is_gt, current.index):
                    action.setCheckable(True)
                    action.setChecked(True)
                self._hits[action] = hit
            if hits.counts[kind] > number:
                self.addAction(f"and {hits.counts[kind] - number:,} more…").setEnabled(False)
        if not len(hits):
            self.addAction("Nothing is drawn here").setEnabled(False)
        self.hovered.connect(lambda action: self.pointed.emit(self._hits.get(action)))
        self.triggered.connect(lambda action: self.chosen.emit(self._hits.get(action)))
        self.aboutToHide.connect(lambda: self.pointed.emit(None))

    @property
    def entries(self) -> list[tuple[QAction, Hit]]:
        """Entries and their boxes, in order."""
        return list(self._hits.items())


def _shares(hits: Hits) -> dict[Kind, int]:
    """How many of each kind are listed: a few of every kind, then the first kinds fill the rest."""
    shares = {kind: min(number, _AT_LEAST) for kind, number in sorted(hits.counts.items())}
    free = _LISTED - sum(shares.values())
    for kind, number in shares.items():
        more = max(0, min(hits.counts[kind] - number, free))
        shares[kind] += more
        free -= more
    return shares


def _icon(role: Role, theme: Theme, ratio: float) -> QIcon:
    scale = max(1, round(ratio))
    return QIcon(pixmap_of(swatch(role, theme, *_SWATCH, scale=scale), scale))
