"""A session as one JSON document: what was opened, under which parameters, and what was looked at.

Paths are relative to the document, so that a folder with both can be moved or sent.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from rpnviz import __version__
from rpnviz.app.kept_boxes import KeptImage, edits_of, kept_boxes
from rpnviz.app.messages import Message, Severity
from rpnviz.app.state import AppState
from rpnviz.app.viewing import Selection
from rpnviz.core import presets
from rpnviz.drawing.options import LayerOptions, World
from rpnviz.errors import ParamsError, SessionError
from rpnviz.files import write_whole

_KIND = "rpnviz session"
_MAX_BYTES = 10_000_000
_HEAD = 200


class ModelPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The loaded model.

    Attributes:
        path: its file or folder; empty: the sample model.
        step: of a training that is played back; -1: the last.
    """

    path: str = ""
    step: int = -1


class ViewPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the canvas looks: px of the screen per pixel, and the original pixels in the middle."""

    scale: float
    x: float
    y: float


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=_KIND, kw_only=True):
    """What a session holds.

    Attributes:
        version: of the program that wrote it.
        paths: what was opened; none: the samples.
        annotations: the annotation file that was named beside ``paths``; empty: none was.
        image: file name of the image that was shown, as in the data set.
        params: the Params document.
        world, layers, input_frame: what was looked at.
        gt, anchor: what was selected; -1: none.
        view: None: the whole image.
        model: None: none was loaded.
        boxes: those of the images in which boxes were changed by hand.
    """

    version: str = __version__
    paths: tuple[str, ...] = ()
    annotations: str = ""
    image: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    world: World = World.TRAINING
    layers: dict[World, LayerOptions] = msgspec.field(default_factory=dict)
    input_frame: bool = False
    gt: int = -1
    anchor: int = -1
    view: ViewPart | None = None
    model: ModelPart | None = None
    boxes: tuple[KeptImage, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that has to be there."""
        model = (self.model.path,) if self.model is not None and self.model.path else ()
        return tuple(Path(name) for name in (*self.paths, *((self.annotations,) if self.annotations else ()), *model))

    @property
    def missing(self) -> tuple[Path, ...]:
        """What of :attr:`files` is not there."""
        return tuple(path for path in self.files if not path.exists())

    def with_paths(self, change: Callable[[str], str]) -> Session:
        """The same session with every path changed."""
        model = self.model
        if model is not None and model.path:
            model = msgspec.structs.replace(model, path=change(model.path))
        annotations = change(self.annotations) if self.annotations else ""
        return msgspec.structs.replace(self, paths=tuple(map(change, self.paths)), annotations=annotations, model=model)


def session_of(state: AppState, view: ViewPart | None = None) -> Session:
    """What is on the screen.

    Args:
        state: has a data set.
        view: where the canvas looks; None: at the whole image.

    Raises:
        SessionError: nothing that could be opened again is open.
    """
    if state.opened is None or state.record is None:
        raise SessionError("there is nothing to save yet.", way_out="Open images first.")
    paths, annotations = state.opened
    model = None
    if state.models.model is not None:
        place = state.models.path
        step = state.models.step if state.models.playback is not None else -1
        model = ModelPart("" if place is None else str(place.absolute()), step)
    document = presets.to_document(presets.load(state.preset.name), state.params, state.preset.conventions)
    return Session(
        paths=tuple(str(path.absolute()) for path in paths),
        annotations=str(annotations.absolute()) if annotations is not None else "",
        image=state.record.file_name,
        params=document,
        world=state.world,
        layers={world: state.layers_of(world) for world in World},
        input_frame=state.input_frame,
        gt=-1 if state.selection.gt is None else state.selection.gt,
        anchor=-1 if state.selection.anchor is None else state.selection.anchor,
        view=view,
        model=model,
        boxes=() if state.dataset is None else kept_boxes(state.dataset, state.edits),
    )


def session_bytes(session: Session, folder: Path | None) -> bytes:
    """The document, with paths relative to the folder it will lie in; None: they are already."""

    def relative(path: str) -> str:
        if folder is None:
            return path
        try:
            return Path(os.path.relpath(path, folder)).as_posix()
        except ValueError:  # on another drive
            return path

    return msgspec.json.format(msgspec.json.encode(session.with_paths(relative)), indent=2) + b"\n"


def save_session(session: Session, path: Path) -> None:
    """Write a session.

    Raises:
        SessionError: the place cannot be written.
    """
    write_whole(path, session_bytes(session, path.absolute().parent), SessionError)


def is_session(path: Path) -> bool:
    """Whether a file says that it is a session."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return b'"kind"' in head and _KIND.encode() in head


def read_session(path: Path) -> Session:
    """Read a session; its paths become absolute.

    Raises:
        SessionError: the file cannot be read, or a field is wrong.
    """
    where = str(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SessionError(f"the file has more than {_MAX_BYTES:,} bytes, no session has.", where=where)
        document = msgspec.json.decode(path.read_bytes())
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise SessionError(f"this is no session: it has no field kind: {_KIND!r}.", where=where)
        session = msgspec.convert(_with_infinity(document), Session)
        presets.from_document(session.params)
    except ParamsError as error:
        raise SessionError(f"its parameters: {error}", where=where) from error
    except OSError as error:
        raise SessionError(f"the session cannot be read: {error.strerror or error}.", where=where) from error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise SessionError(f"this is no session that can be read: {error}.", where=where) from error
    folder = path.absolute().parent
    return session.with_paths(lambda name: os.path.normpath(folder / PurePosixPath(name)))


def _with_infinity(document: Any) -> Any:
    """JSON has no infinity: an open end of the filter by size was written as null."""
    layers = document.get("layers") if isinstance(document, dict) else None
    for options in layers.values() if isinstance(layers, dict) else ():
        only = options.get("only") if isinstance(options, dict) else None
        if isinstance(only, dict) and isinstance(only.get("size"), list):
            only["size"] = [math.inf if value is None else value for value in only["size"]]
    return document


def relocated(session: Session, folder: Path) -> Session:
    """The session with what is missing looked for below another folder, under as much of its old path as fits.

    If nothing but one folder is missing, and not below that folder either, it is that folder under another name.
    """
    missing = session.missing
    renamed = missing[0] if len(missing) == 1 and not missing[0].suffix else None

    def found(name: str) -> str:
        path = Path(name)
        if path.exists():
            return name
        parts = path.parts[1:] if path.is_absolute() else path.parts
        for start in range(len(parts)):
            candidate = folder.joinpath(*parts[start:])
            if candidate.exists():
                return str(candidate)
        return str(folder) if folder.name == path.name or path == renamed else name

    return session.with_paths(found)


def restore(state: AppState, session: Session, then: Callable[[], None] = lambda: None) -> None:
    """Bring a session back; what is shown stays until its image has been read.

    Args:
        state: of the window.
        session: with absolute paths.
        then: called when its image is shown.

    Raises:
        SessionError: a file is not there.
        ParamsError: its parameters are wrong.
    """
    if session.missing:
        names = ", ".join(str(path) for path in session.missing)
        raise SessionError(f"not there any more: {names}.", way_out="Say where it is now, or put it back.")
    preset = presets.from_document(session.params)

    def model_taken(step: int) -> None:
        state.models.show_step(step)
        state.take_preset(preset, "the session")  # the model may have brought thresholds of its own

    def taken() -> None:
        state.take_preset(preset, "the session")
        for world, options in session.layers.items():
            state.set_layers(world, options)
        state.set_input_frame(session.input_frame)
        if session.model is not None:
            place, step = session.model.path, session.model.step
            state.load_model(Path(place) if place else None, then=lambda: model_taken(step))
        state.set_world(session.world)
        _take_boxes(state, session)
        _select(state, session)
        then()

    paths, annotations = [Path(name) for name in session.paths], session.annotations
    if paths:
        state.open_paths(paths, Path(annotations) if annotations else None, image=session.image, then=taken)
    else:
        state.open_samples(image=session.image, then=taken)


def _take_boxes(state: AppState, session: Session) -> None:
    """Bring the boxes back that were changed by hand."""
    assert state.dataset is not None
    edits, lost = edits_of(state.dataset, session.boxes)
    if edits:
        state.change_boxes(edits, "the session's boxes", session.gt if session.gt >= 0 else None)
        state.mark_saved(edits)
    if lost:
        title = "Boxes that were changed by hand are left out"
        names = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
        why = "Their images are not in the data set any more, or have other boxes by now"
        state.tell(Message(Severity.WARNING, title, f"{why}: {names}."))


def _select(state: AppState, session: Session) -> None:
    """Select what was selected; an anchor once its world is computed."""
    assert state.dataset is not None
    record = state.dataset.images[state.index]
    gt = session.gt if 0 <= session.gt < len(record.gt) else None
    if not state.boxes_wait:  # else it is selected when they are shown
        state.select(Selection(gt=gt))
    if session.anchor < 0:
        return

    def once() -> None:
        result = state.result
        if result is not None and not state.computing:
            state.result_changed.disconnect(once)
            if state.record is record and session.anchor < len(result.anchors):
                state.select(Selection(gt=gt, anchor=session.anchor))

    state.result_changed.connect(once)
