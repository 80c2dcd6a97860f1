"""Two trainers side by side on the window's image: what fares differently, and the fields that make the difference."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QComboBox, QFileDialog, QWidget

from rpnviz.app.comparison import Comparison, in_words
from rpnviz.app.params_file import read_preset
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.configs.base import Fate
from rpnviz.configs.registry import is_config, read_config
from rpnviz.core import presets
from rpnviz.core.conventions import Conventions
from rpnviz.core.diff import Diff, GtOutcome
from rpnviz.core.matching import Rank
from rpnviz.core.pipeline import Result
from rpnviz.core.presets import Preset
from rpnviz.core.rules import doc_of, plain
from rpnviz.drawing.scene import RANK_TEXT, World
from rpnviz.errors import RpnvizError
from rpnviz.ui.side_by_side import Rows, SideBySide
from rpnviz.ui.widgets.basics import eliding_label

_LATE_MS = 150
_FROM_FILE = "Parameters from a file…"


class CompareWindow(SideBySide):
    """The window's trainer at the left, another one at the right."""

    def __init__(self, state: AppState, settings: Settings, parent: QWidget) -> None:
        self._offered = {name: presets.load(name) for name in presets.names()}
        other = next(name for name in ("mmdetection", "torchvision") if name != state.preset.name)
        self.comparison = Comparison(state, self._offered[other])
        self.name_a = eliding_label("", "title")
        self.choice = QComboBox()
        self.choice.addItems([*self._offered, _FROM_FILE])
        self.choice.setCurrentText(other)
        self.choice.setAccessibleName("The other trainer")
        self.choice.setToolTip("Whose rules the right side follows; its defaults, a Params document or a configuration")
        self.choice.activated.connect(lambda _index: self._choose(self.choice.currentText()))
        boxes = Rows(("GT", "Category", "", "", "Because of"), frozenset({0}))
        fields = Rows(("Field", "", "", "Boxes", "Anchors"), frozenset({3, 4}))
        super().__init__(
            state,
            settings,
            self.comparison,
            World.TRAINING,
            (self.name_a, self.choice),
            (
                (boxes, "Boxes that fare differently", (44, 100, 180, 180)),
                (fields, "What differs between the trainers", (196, 84, 84, 52)),
            ),
            "compare",
            parent,
        )
        self.setWindowTitle("Compare – rpnviz")
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(_LATE_MS)
        self._late.timeout.connect(self._show_late)

    # ------------------------------------------------------------------ what is asked

    def _choose(self, name: str) -> None:
        self._show_problem("")
        if name == _FROM_FILE:
            self._add_file()
        else:
            self.comparison.set_preset(self._offered[name], name)
        self.choice.setCurrentText(self.comparison.name)

    def _add_file(self) -> None:
        """Compare with a Params document or a trainer's configuration; it becomes a choice of its own."""
        kinds = "Params documents and configurations (*.json *.yaml *.yml *.ini *.cfg *.py);;All files (*)"
        file, _ = QFileDialog.getOpenFileName(self, "Parameters", self._settings.last_folder, kinds)
        if not file:
            return
        try:
            preset, said = _read(Path(file))
        except RpnvizError as error:
            self._show_problem(str(error))
            return
        name = f"{Path(file).name} ({preset.name}{said})"
        self._offered[name] = preset
        if self.choice.findText(name) < 0:
            self.choice.insertItem(self.choice.count() - 1, name)
        self.comparison.set_preset(preset, name)

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        comparison = self.comparison
        present, shown, other = comparison.present, comparison.a.shown, comparison.b.shown
        record = self._state.record
        self.setWindowTitle(f"Compare {record.file_name} – rpnviz" if record is not None else "Compare – rpnviz")
        if present is None or shown is None or other is None:
            self.name_a.setText("")
            self._show_nothing()
            return
        if comparison.failure:
            self._show_problem(comparison.failure)
            self._late.stop()
            self._show_late()
            self.verdict.setText(f"Could not compare with {comparison.name}")
            return
        if comparison.stale:
            self._late.start()  # what is there stays while the answer comes at once
            return
        self._late.stop()
        changed = len(self._state.changed_fields())
        names = present.name + (f", {changed} changed" if changed else ""), comparison.name
        self.name_a.setText(names[0])
        self.name_a.setToolTip("The main window's trainer and parameters; what is changed there is followed here")
        for counts, result in zip(self.counts, (shown.training, other.training), strict=True):
            counts.setText(_counts(result))
        self.verdict.setText(_verdict(comparison))
        self.hint.setText(_hint(comparison))
        self._show_boxes(names)
        self._show_fields(names)
        self._mark_row(comparison.a.selection)

    def _show_late(self) -> None:
        """The answer takes long: what belongs to other parameters goes."""
        self._show_nothing()
        self.verdict.setText("Comparing…")

    def _show_boxes(self, names: tuple[str, str]) -> None:
        rows, keys = [], []
        for gt, before, after in self.comparison.changes:
            causes = self.comparison.causes_of(gt)
            why = "…" if causes is None else in_words(*causes)
            rows.append((str(gt), self.comparison.a.gt_names[gt], _outcome(before), _outcome(after), why))
            keys.append(gt)
        self.boxes.show_rows(rows, keys, ("GT", "Category", *names, "Because of"))

    def _show_fields(self, names: tuple[str, str]) -> None:
        """The fields that change something; how many do not."""
        diff = self.comparison.diff
        rows, tips = [], []
        effects = diff.effects if diff is not None else ()
        idle = [effect for effect in effects if not effect.gts and effect.anchors == 0]
        for effect in effects:
            if effect in idle:
                continue
            anchors = "other anchors" if effect.anchors is None else f"{effect.anchors:,}"
            for number, (field, before, after) in enumerate(effect.switch.values):
                counts = (f"{len(effect.gts):,}", anchors) if number == 0 else ("", "")
                rows.append((field, _value(before), _value(after), *counts))
                tips.append(f"{field}\n{_meaning(field)}\n{names[0]}: {plain(before)}\n{names[1]}: {plain(after)}")
        if idle:
            fields = [name for effect in idle for name, _, _ in effect.switch.values]
            rows.append((f"{len(fields):,} others change nothing", "", "", "", ""))
            tips.append("\n".join(fields))
        headings = ("Field, carried over alone", *names, "Boxes", "Anchors")
        self.fields.show_rows(rows, list(range(len(rows))), headings, tips)


def _outcome(outcome: GtOutcome) -> str:
    noun = "positive" if outcome.positives == 1 else "positives"
    return RANK_TEXT[outcome.rank] + (f", {outcome.positives:,} {noun}" if outcome.positives else "")


def _counts(result: Result) -> str:
    """``42 forced only · 131 positive of 242,991 anchors``."""
    ranks = result.match.ranks
    parts = [f"{ranks.count(rank):,} {RANK_TEXT[rank].lower()}" for rank in Rank if ranks.count(rank)]
    return " · ".join([*parts, f"{len(result.match.positives):,} of {len(result.anchors):,} anchors positive"])


def _verdict(comparison: Comparison) -> str:
    shown = comparison.a.shown
    assert shown is not None
    total, differ = len(shown.training.match.ranks), len(comparison.changes)
    noun = "box" if total == 1 else "boxes"
    if not total:
        return "No boxes in this image"
    if not differ:
        return f"All {total:,} {noun} fare alike" if total > 1 else "The box fares alike"
    if total == 1:
        return "The box fares differently"
    return f"{differ:,} of {total:,} {noun} {'fares' if differ == 1 else 'fare'} differently"


def _hint(comparison: Comparison) -> str:
    """Which fields explain most, and how many anchors differ."""
    diff = comparison.diff
    if diff is None:
        return "Looking for the fields that make the difference…" if comparison.changes else ""
    parts = [_best_field(diff)] if diff.gts else []
    if diff.anchors is None:
        parts.append("The anchors themselves are not the same.")
    else:
        noun, verb = ("anchor", "has") if len(diff.anchors) == 1 else ("anchors", "have")
        parts.append(f"{len(diff.anchors):,} {noun} of {len(diff.a.anchors):,} {verb} another state.")
    return " ".join(part for part in parts if part)


def _best_field(diff: Diff) -> str:
    """The field that explains most boxes; several together only where no single one explains any."""
    counted: dict[tuple[str, ...], int] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for found in diff.gts:
        for chosen in found.fields:
            names = tuple(name for switch in chosen for name, _, _ in switch.values)
            counted[names] = counted.get(names, 0) + 1
            sizes[names] = len(chosen)
    fewest = min(sizes.values())
    names, count = max(
        ((names, count) for names, count in counted.items() if sizes[names] == fewest), key=lambda item: item[1]
    )
    total = len(diff.gts)
    whom = "all of them" if count == total > 1 else "it" if total == 1 else f"{count:,} of them"
    if len(names) == 1:
        return f"{names[0]} alone explains {whom}."
    listed = (" and " if len(names) == 2 else ", ").join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{listed}{more} together explain {whom}."


_MOST_NAMED = 3


def _meaning(field: str) -> str:
    """What a field is, in the words of the parameters' documentation."""
    group, name = field.split(".")
    owner = Conventions if group == "conventions" else type(getattr(presets.load("torchvision").params, group))
    return doc_of(owner, name)


def _value(value: object) -> str:
    text = str(plain(value))
    return text if len(text) <= 40 else text[:37] + "…"


def _read(path: Path) -> tuple[Preset, str]:
    """The parameters of a file, and what is to be said of it."""
    if not is_config(path):
        return read_preset(None, path, ""), ""
    config = read_config(path)
    missed = config.count(Fate.NOT_UNDERSTOOD)
    return config.preset, f", {missed} not understood" if missed else ""
