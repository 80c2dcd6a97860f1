"""What was opened lately, where one was in it, and under which parameters; one readable file.

A capture that is opened for the first time brings its trainer along.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from rpnviz.app.messages import Message, Severity
from rpnviz.app.settings import settings_file
from rpnviz.app.state import AppState
from rpnviz.core import presets
from rpnviz.core.params import Params
from rpnviz.core.presets import Preset
from rpnviz.datasets.captures import CaptureDataset
from rpnviz.errors import ParamsError, RpnvizError
from rpnviz.files import write_whole

_MOST = 20
_MOST_PATHS = 100
"""Who opens more images one by one will not look for them in a menu."""
_REST_MS = 2000
"""After this much quiet the file is written: a crash loses no more."""


class Place(msgspec.Struct, frozen=True):
    """A data set, and where one was in it.

    Attributes:
        paths: what was opened, absolute.
        annotations: the annotation file that was named beside them; empty: none was.
        image: file name of the image that was shown last.
        params: the Params document at that time.
    """

    paths: tuple[str, ...]
    annotations: str = ""
    image: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def title(self) -> str:
        """A short name: the annotation file or folder with what it lies in, or the first of several images."""
        first = Path(self.annotations or self.paths[0])
        more = f" and {len(self.paths) - 1:,} more" if len(self.paths) > 1 and not self.annotations else ""
        return f"{Path(*first.parts[-2:])}{more}"


class Recent(QObject):
    """Follows a window's state, and opens what it knows where one was.

    Attributes:
        places: the newest first.
    """

    changed = Signal()

    def __init__(self, state: AppState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.places: list[Place] = _read()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self.save)
        self._present: tuple[tuple[tuple[str, ...], str], str, Preset, Params] | None = None
        state.image_changed.connect(self._follow)
        state.params_changed.connect(lambda _params: self._follow())

    def open(
        self,
        paths: list[Path],
        annotations: Path | None = None,
        *,
        keep_params: bool = False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a data set at the image that was shown last, under the parameters of that time, or of its trainer.

        Args:
            paths, annotations: as for :meth:`~rpnviz.app.state.AppState.open_paths`.
            keep_params: leave the present parameters as they are.
            then: called when an image is shown.
        """
        self._note()
        key = _key(paths, annotations)
        known = next((place for place in self.places if (place.paths, place.annotations) == key), None)

        def taken() -> None:
            if known is not None and not keep_params:
                self._take_params(known)
            elif not keep_params:
                self._take_trainer()
            then()

        self._state.open_paths(paths, annotations, image=known.image if known is not None else "", then=taken)

    def _take_params(self, place: Place) -> None:
        state = self._state
        try:
            preset = presets.from_document(place.params)
        except ParamsError:
            return  # written by another version: the present parameters stay
        before = state.preset, state.params
        state.take_preset(preset, "parameters of last time")
        if (state.preset, state.params) != before:
            state.tell(
                Message(
                    Severity.INFO,
                    f"{preset.name} with the parameters of last time",
                    f"They were kept for {place.title}. Undo takes them back.",
                )
            )

    def _take_trainer(self) -> None:
        """The rules of the trainer that a capture names, where others are set: what follows compares with it."""
        state = self._state
        name = state.dataset.framework if isinstance(state.dataset, CaptureDataset) else ""
        if not name or name == state.preset.name:
            return
        before = state.preset.name
        state.take_preset(presets.load(name), f"{name}, the trainer of the capture")
        state.tell(
            Message(
                Severity.INFO,
                f"{name}, the trainer of the capture",
                f"It is replayed under that trainer's rules and defaults instead of {before}'s. Undo takes them back.",
            )
        )

    def _follow(self) -> None:
        """Remember the present place; what is written of it is made when the hand rests."""
        state = self._state
        if state.opened is None or state.record is None or len(state.opened[0]) > _MOST_PATHS:
            return
        key = _key(*state.opened)
        if self._present is not None and self._present[0] != key:
            self._note()
        self._present = (key, state.record.file_name, state.preset, state.params) if key[0] else None
        self._rest.start()

    def _note(self) -> None:
        """The present place comes first."""
        if self._present is None:
            return
        (paths, annotations), image, preset, params = self._present
        document = presets.to_document(presets.load(preset.name), params, preset.conventions)
        rest = [other for other in self.places if (other.paths, other.annotations) != (paths, annotations)]
        new = len(rest) == len(self.places) or rest != self.places[1:]
        self.places = [Place(paths, annotations, image, document), *rest][:_MOST]
        if new:
            self.changed.emit()

    def forget(self) -> None:
        """Forget every place but the present one."""
        self.places = []
        self.save()
        self.changed.emit()

    def save(self) -> None:
        """Write the file; a folder that cannot be written is no reason to disturb the user."""
        self._rest.stop()
        self._note()
        path = recent_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, msgspec.json.format(msgspec.json.encode(self.places), indent=1))
        except (OSError, RpnvizError):
            return


def recent_file() -> Path:
    """Where the places are kept."""
    return settings_file().with_name("recent.json")


def _read() -> list[Place]:
    """What was kept; nothing where the file is missing or damaged."""
    try:
        places = msgspec.json.decode(recent_file().read_bytes(), type=list[Place])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [place for place in places if place.paths][:_MOST]


def _key(paths: list[Path] | tuple[Path, ...], annotations: Path | None) -> tuple[tuple[str, ...], str]:
    return tuple(str(path.absolute()) for path in paths), "" if annotations is None else str(annotations.absolute())
