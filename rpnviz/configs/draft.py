"""Parameters being read from a configuration: values by field, and a note on where each came from."""

from __future__ import annotations

import ast
import copy
import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rpnviz.configs.base import Fate, FieldNote, TrainerConfig
from rpnviz.core.conventions import Conventions
from rpnviz.core.params import MOST_VIEWS, CropKind, CropStage, Params, ResizeParams, TopN, TrainViews
from rpnviz.core.presets import Preset
from rpnviz.core.rules import plain
from rpnviz.errors import ConfigFileError, ParamsError

_LONGEST = 120
_ORDER = [Fate.NOT_UNDERSTOOD, Fate.ASSUMED, Fate.READ, Fate.NO_EFFECT]
_CHANGE = "Change the value, or give the parameters as a Params document (rpnviz params)."


class Draft:
    """Collects what a file says over the defaults of a preset.

    Args:
        path: of the file, for messages.
        preset: whose parameters and conventions are the start; the file's own defaults are put over them first.

    Attributes:
        flip: whether training shows images flipped too; None: the file does not say.
    """

    def __init__(self, path: Path, preset: Preset) -> None:
        self.path = path
        self._preset = preset
        self._values: dict[str, Any] = plain(preset.params)
        del self._values["train_views"]  # which follow from what varies
        self.flip: bool | None = None
        self._crop: dict[str, Any] | None = None
        self._conventions: dict[str, object] = {}
        self._origin: dict[str, tuple[str, str]] = {}
        self.notes: list[FieldNote] = []

    # ------------------------------------------------------------------ values

    def default(self, **groups: Mapping[str, Any]) -> None:
        """Put the trainer's own defaults over the preset's."""
        for group, values in groups.items():
            self._values[group].update(copy.deepcopy(dict(values)))  # the caller's are constants

    def put(self, fields: Mapping[str, Any], key: str, raw: object) -> None:
        """Take a field of the file.

        Args:
            fields: new values by ``group.field``, or ``group.field.train`` and ``.test``.
            key: as the file calls it.
            raw: as in the file.

        Raises:
            ConfigFileError: a value is not allowed.
        """
        for name, value in fields.items():
            group, field, *inner = name.split(".")
            checked = self.check(name, value, key, raw)
            if inner:
                self._values[group][field][inner[0]] = checked
            else:
                self._values[group][field] = checked
            self._origin[f"{group}.{field}"] = (key, shown(raw))
        text = ", ".join(f"{name} {shown(value)}" for name, value in fields.items())
        self.note(key, raw, Fate.READ, text or "as expected")

    def check(self, name: str, value: object, key: str, raw: object) -> Any:
        """A value for ``group.field`` in its JSON form.

        Raises:
            ConfigFileError: it is not allowed; names the file, the field, the value and what is allowed.
        """
        group, field, *inner = name.split(".")
        kind = _rule(Params, group).kind
        rule = _rule(TopN, inner[0]) if inner else _rule(kind, field)
        try:
            return plain(rule.read(value, ""))
        except ParamsError as error:
            raise self.refuse(key, raw, f"expected {_expected(error)}") from error

    def value(self, name: str) -> Any:
        """The present value of ``group.field`` in its JSON form."""
        group, field = name.split(".")
        return self._values[group][field]

    def convention(self, key: str, raw: object, **values: object) -> None:
        """Take a field that decides conventions."""
        self._conventions.update(values)
        self.note(key, raw, Fate.READ, ", ".join(f"conventions.{name} {value}" for name, value in values.items()))

    def set_conventions(self, **values: object) -> None:
        """Conventions that follow from what the file does not say."""
        self._conventions.update(values)

    def crop(self, kind: str, size: object, stage: CropStage, key: str, raw: object) -> None:
        """Take a random crop of training as training views.

        Args:
            kind: of :class:`~rpnviz.core.params.CropKind`; other words are not understood.
            size: height and width, in px or as shares.
            stage: what is cropped.
            key, raw: the size in the file.

        Raises:
            ConfigFileError: the size is no pair of numbers.
        """
        if self._crop is not None:
            self.not_understood(key, raw, "only the first crop is shown")
            return
        if kind == CropKind.NONE or kind not in list(CropKind):
            kinds = ", ".join(each for each in CropKind if each is not CropKind.NONE)
            self.not_understood(key, f"{kind} {shown(raw)}", f"crops that are shown: {kinds}")
            return
        try:
            sides = _rule(TrainViews, "crop_size").read(size, "")
        except ParamsError as error:
            raise self.refuse(key, raw, f"expected a height and a width: {_expected(error)}") from error
        self._crop = {"crop": CropKind(kind), "crop_size": sides, "crop_stage": stage}
        self._origin["train_views.crop_size"] = (key, shown(raw))
        self.note(key, raw, Fate.READ, f"train_views.crop {kind} {sides[0]:g} x {sides[1]:g} of the {stage} image")

    # ------------------------------------------------------------------ notes

    def note(self, key: str, raw: object, fate: Fate, became: str) -> None:
        """Say what became of a field."""
        self.notes.append(FieldNote(key, shown(raw), fate, became))

    def not_understood(self, key: str, raw: object, reason: str) -> None:
        """A field that bears on the RPN and that rpnviz does not reproduce."""
        self.note(key, raw, Fate.NOT_UNDERSTOOD, reason)

    def no_effect(self, key: str, raw: object, reason: str) -> None:
        """A field that changes nothing that is shown."""
        self.note(key, raw, Fate.NO_EFFECT, reason)

    def assume(self, key: str, became: str) -> None:
        """Something that the file does not say."""
        self.notes.append(FieldNote(key, "", Fate.ASSUMED, became))

    def refuse(self, key: str, raw: object, expected: str) -> ConfigFileError:
        """An error about a field of the file."""
        text = repr(raw)[:_LONGEST] if isinstance(raw, str) else shown(raw)
        return ConfigFileError(f"{text} is not allowed, {expected}.", where=f"{self.path}, {key}", way_out=_CHANGE)

    # ------------------------------------------------------------------ result

    def finish(
        self, framework: str, files: Iterable[Path] = (), views: Sequence[Mapping[str, Any]] = ()
    ) -> TrainerConfig:
        """The configuration.

        Args:
            framework: name of the format.
            files: the bases that were read beside the file.
            views: fields of the resizing that vary while training, one mapping per way; empty: it does not vary.

        Raises:
            ConfigFileError: values do not fit each other.
        """
        try:
            params = Params(**self._values_by_group()).with_views(self._views(views))
        except ParamsError as error:
            key, raw = self._origin.get(error.where, (error.where, ""))
            text = f"{raw}: {error.what}" if raw else error.what
            raise ConfigFileError(text, where=f"{self.path}, {key}", way_out=_CHANGE) from error
        conventions: Conventions = self._preset.conventions.overridden(self._conventions)
        notes = sorted(self.notes, key=lambda note: _ORDER.index(note.fate))
        resize = [dataclasses.replace(params.resize, **view) for view in views] or [params.resize]
        unique: tuple[ResizeParams, ...] = tuple(dict.fromkeys([params.resize, *resize]))
        preset = Preset(self._preset.name, params, conventions)
        return TrainerConfig(framework, (self.path, *files), preset, tuple(notes), unique, self.flip)

    def _views(self, resizes: Sequence[Mapping[str, Any]]) -> TrainViews | None:
        """The training views: every short side, flipped if the file says so."""
        sides = tuple(dict.fromkeys(view["min_size"] for view in resizes if "min_size" in view))
        if len(sides) < 2 and not self.flip and self._crop is None:
            return None
        if self.flip is None:
            self.assume("flips", "train_views.flip False: the file does not say whether training flips images")
        if len(sides) > 1:
            self._tell_of_sides(sides)
        limits = {view.get("max_size") for view in resizes}
        if len(limits) > 1:
            listed = ", ".join(sorted(map(str, limits)))
            self.not_understood("train_views", listed, "the limit of the long side varies too; the first is kept")
        views = TrainViews(min_sizes=sides if len(sides) > 1 else -1, flip=bool(self.flip))
        if self._crop is None:
            return views
        each = max(len(sides), 1) * (2 if self.flip else 1)
        count = max(min(views.crop_count, MOST_VIEWS // each), 1)
        return dataclasses.replace(views, crop_count=count, **self._crop)

    def _tell_of_sides(self, sides: Sequence[int]) -> None:
        """The image is shown at one side; say with it that the others are views."""
        text = f" (the first is shown), train_views.min_sizes {', '.join(map(str, sides))}"
        self.notes = [
            dataclasses.replace(note, became=note.became + text)
            if note.fate is Fate.READ and note.became.startswith(f"resize.min_size {sides[0]}")
            else note
            for note in self.notes
        ]

    def _values_by_group(self) -> dict[str, Any]:
        return {name: _rule(Params, name).kind(**self._read_top_n(values)) for name, values in self._values.items()}

    @staticmethod
    def _read_top_n(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: TopN(**value) if isinstance(value, dict) else value for name, value in values.items()}


def _rule(kind: type, name: str) -> Any:
    return next(field.metadata["rule"] for field in dataclasses.fields(kind) if field.name == name)


def _expected(error: ParamsError) -> str:
    return error.what.partition("expected ")[2].rstrip(".") or error.what


# ---------------------------------------------------------------------- the file's mapping


class Section:
    """A mapping of the file of which it is known what was asked for; what is left over is reported at the end.

    Args:
        draft: takes the notes.
        value: the mapping.
        place: its name in the file with a dot behind it, or empty.
    """

    def __init__(self, draft: Draft, value: Mapping[str, Any], place: str = "") -> None:
        self.draft = draft
        self.value = value
        self.place = place
        self._asked: set[str] = set()
        self._inner: dict[str, Section] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def name(self, key: str) -> str:
        """The whole name of a field."""
        return f"{self.place}{key}"

    def get(self, key: str, default: Any = None) -> Any:
        """A value, which whoever asks reports on; the default where there is none."""
        self._asked.add(str(key))
        return self.value.get(key, default)

    def take(self, key: str, *fields: str) -> None:
        """Put a value under each ``group.field`` as it is, if the file has it; no field: it is as expected."""
        if key in self.value:
            value = self.get(key)
            self.draft.put(dict.fromkeys(fields, decoded(value)), self.name(key), value)

    def section(self, key: str) -> Section:
        """An inner mapping; an empty one where there is none.

        Raises:
            ConfigFileError: it is no mapping.
        """
        if key not in self._inner:
            value = self.get(key)
            if value is not None and not isinstance(value, Mapping):
                raise self.draft.refuse(self.name(key), value, "expected a mapping of fields")
            self._inner[key] = Section(self.draft, value or {}, f"{self.name(key)}.")
        return self._inner[key]

    def ignore(self, reason: str, *keys: str) -> None:
        """Report fields that change nothing that is shown; a mapping is one entry."""
        for key in keys:
            if key in self.value and key not in self._asked:
                value = self.get(key)
                count = leaves(value)
                text = f"{count} fields" if isinstance(value, Mapping) and count != 1 else value
                self.draft.no_effect(self.name(key), text, reason)

    def ignore_rest(self, reason: str) -> None:
        """The same for all that was not asked for."""
        self.ignore(reason, *[str(key) for key in self.value if isinstance(key, str)])

    def close(self, reason: str = "no field that rpnviz knows") -> None:
        """Report what nobody asked for, here and in the inner sections, as not understood."""
        for inner in self._inner.values():
            inner.close(reason)
        for key, value in self.value.items():
            if str(key) not in self._asked:
                self._asked.add(str(key))
                self.draft.not_understood(self.name(str(key)), value, reason)


def leaves(value: object) -> int:
    """Number of fields in a nested mapping; 1 for anything else."""
    if isinstance(value, Mapping):
        return sum(leaves(inner) for inner in value.values())
    return 1


def shown(value: object) -> str:
    """A value of a file on one short line."""
    text = value if isinstance(value, str) else repr(plain_tuple(value))
    # JSON can hold halves of surrogate pairs, which nothing can print.
    text = " ".join(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def plain_tuple(value: object) -> object:
    """Tuples as lists, so that a value looks the same however it came."""
    if isinstance(value, (list, tuple)):
        return [plain_tuple(item) for item in value]
    return value


def decoded(value: Any) -> Any:
    """A text that holds a literal, as yacs reads it: ``(640, 672)`` or ``1e-3`` in YAML; other texts as they are."""
    if not isinstance(value, str):
        return value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts
            return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value
