"""Two models side by side on the window's image: which boxes each finds, and how many remain at each stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QWidget

from rpnviz.app.model_comparison import Cover, ModelComparison, stage_rows
from rpnviz.app.settings import Settings
from rpnviz.app.state import AppState
from rpnviz.drawing.scene import World
from rpnviz.export.proposals import RECALL_AT
from rpnviz.models.base import ModelInfo, ProposalModel
from rpnviz.ui.dialogs.model_options import ModelOptionsDialog
from rpnviz.ui.dialogs.open_model import ask_for_folder, ask_for_model
from rpnviz.ui.side_by_side import Rows, SideBySide
from rpnviz.ui.widgets.basics import eliding_label

_FILE, _FOLDER = "Model from a file…", "Folder of checkpoints or dumps…"


@dataclass(frozen=True)
class _Offer:
    """A model to choose: the file or folder (None: the sample model's), and the step of it."""

    path: Path | None
    step: int | None


class CompareModelsWindow(SideBySide):
    """The window's model at the left, another one, or another step of its training, at the right."""

    def __init__(self, state: AppState, settings: Settings, parent: QWidget) -> None:
        self.comparison = ModelComparison(state)
        self.name_a = eliding_label("", "title")
        self.choice = QComboBox()
        self.choice.setAccessibleName("The other model")
        self.choice.setToolTip("The model at the right; the window's thresholds hold for both")
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.choice.setMaximumWidth(320)
        self.choice.addItems([_FILE, _FOLDER])
        self.choice.activated.connect(self._choose)
        boxes = Rows(("GT", "Category", "", "", "Difference"), frozenset({0, 2, 3, 4}))
        stages = Rows(("Stage", "", "", "", ""), frozenset({1, 2, 3, 4}))
        super().__init__(
            state,
            settings,
            self.comparison,
            World.MODEL,
            (self.name_a, self.choice),
            (
                (boxes, "Boxes that the models cover differently", (44, 120, 150, 150)),
                (stages, "Boxes of each model at each stage", (110, 86, 86, 124)),
            ),
            "compare_models",
            parent,
        )
        self.setWindowTitle("Compare models – rpnviz")
        self._wanted: _Offer | None = None
        self._loaded: Path | None = None
        slot = self.comparison.slot
        slot.taken.connect(self._on_taken)
        slot.asked.connect(self._ask)
        self._add_key("B", self._flip)

    def begin(self) -> None:
        """Offer the sample model's training, and show its first step, if nothing is chosen yet."""
        if self._state.model is None and not self._state.models.busy:
            self._state.load_model()
        if self.comparison.other is None and not self.comparison.slot.busy:
            self._load(_Offer(None, 0))

    # ------------------------------------------------------------------ what is asked

    def _choose(self, index: int) -> None:
        offer = self.choice.itemData(index)
        if isinstance(offer, _Offer):
            if offer.path == self._loaded and offer.step is not None and self.comparison.slot.playback is not None:
                self.comparison.slot.show_step(offer.step)
            else:
                self._load(offer)
            return
        ask = ask_for_model if self.choice.itemText(index) == _FILE else ask_for_folder
        path = ask(self, self._settings)
        if path is not None:
            self._load(_Offer(path, None))
        self._show_choice()

    def _load(self, offer: _Offer, options: dict[str, str] | None = None) -> None:
        self._wanted = offer
        self._show_problem("")
        self.comparison.load(offer.path, options)

    def _ask(self, path: Path, info: ModelInfo, answers: dict[str, str]) -> None:
        dialog = ModelOptionsDialog(path.name, info, answers, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._load(_Offer(path, None), dialog.answers))
        dialog.open()

    def _on_taken(self) -> None:
        """Another model is open: it, or every step of it, becomes a choice."""
        wanted, slot = self._wanted, self.comparison.slot
        assert wanted is not None
        self._loaded = wanted.path
        known = [self.choice.itemData(row) for row in range(self.choice.count())]
        if slot.playback is not None:
            offers = {model.name: _Offer(wanted.path, step) for step, model in enumerate(slot.playback.models)}
        else:
            offers = {_name(slot.model): _Offer(wanted.path, None)}
        for name, offer in offers.items():
            if offer not in known:
                taken = self.choice.findText(name) >= 0 and offer.path is not None
                text = f"{_parent(offer.path)}/{name}" if taken else name
                self.choice.insertItem(self.choice.count() - 2, text, offer)
                place = str(offer.path) if offer.path is not None else name
                self.choice.setItemData(self.choice.count() - 3, place, Qt.ItemDataRole.ToolTipRole)
        if wanted.step is not None and slot.playback is not None:
            slot.show_step(wanted.step)
        self._show_choice()

    def _show_choice(self) -> None:
        """The choice says what is shown; where nothing is, nothing."""
        slot = self.comparison.slot
        shown = _Offer(self._loaded, slot.step if slot.playback is not None else None)
        offers = [self.choice.itemData(row) for row in range(self.choice.count())]
        self.choice.setCurrentIndex(offers.index(shown) if slot.model is not None and shown in offers else -1)

    def _flip(self) -> None:
        self.comparison.a.flip_nms()

    # ------------------------------------------------------------------ what is shown

    def _show(self) -> None:
        comparison, state = self.comparison, self._state
        record = state.record
        title = "Compare models"
        self.setWindowTitle(f"{title}, {record.file_name} – rpnviz" if record is not None else f"{title} – rpnviz")
        names = _told_apart((_name(state.model), state.models.path), (_name(comparison.other), comparison.slot.path))
        self.name_a.setText(names[0])
        self._show_choice()
        self._show_problem(comparison.failure or comparison.warning)
        a, b = comparison.a.result, comparison.b.result
        if a is None or b is None or not comparison.settled:
            if a is None or b is None or comparison.failure:
                self._show_nothing()
                self.verdict.setText(_waiting(comparison, state))
            return
        for counts, result in zip(self.counts, (a, b), strict=True):
            assert result.proposals is not None
            counts.setText(f"{len(result.proposals.scores):,} kept of {len(result.anchors):,} boxes")
        self.verdict.setText(_verdict(comparison.covers))
        self.hint.setText(_hint(comparison.covers, names))
        differing = [cover for cover in comparison.covers if cover.differs]
        rows = [
            (
                str(cover.gt),
                comparison.a.gt_names[cover.gt],
                f"{cover.a:.2f}",
                f"{cover.b:.2f}",
                f"{cover.b - cover.a:+.2f}",
            )
            for cover in differing
        ]
        headings = ("GT", "Category", "Best IoU, left", "Best IoU, right", "Difference")
        tip = f"Best IoU of a kept proposal\nLeft: {names[0]}\nRight: {names[1]}"
        self.boxes.show_rows(rows, [cover.gt for cover in differing], headings, [tip] * len(rows))
        recall = " / ".join(f"{iou:g}" for iou in RECALL_AT)
        headings = ("Stage", "Left", "Right", "Recall, left", "Recall, right")
        stages = stage_rows(a, b)
        tip = f"Boxes that remain, and the share of the objects that they find at IoU {recall}"
        self.fields.show_rows(stages, list(range(len(stages))), headings, [tip] * len(stages))
        self._mark_row(comparison.a.selection)


def _name(model: ProposalModel | None) -> str:
    return "" if model is None else model.name


def _parent(path: Path | None) -> str:
    return "" if path is None else path.parent.name


def _told_apart(left: tuple[str, Path | None], right: tuple[str, Path | None]) -> tuple[str, str]:
    """Names of two models, with the folders of their files where the names are the same."""
    if left[0] != right[0]:
        return left[0], right[0]
    first, second = (f"{_parent(path)}/{name}" if path is not None else name for name, path in (left, right))
    return first, second


def _waiting(comparison: ModelComparison, state: AppState) -> str:
    if comparison.failure:
        return "Could not compare the models"
    if not state.has_proposals:
        return f"{state.preset.name} has no region proposals"
    if state.models.busy or comparison.slot.busy:
        return "Running the models…"
    return "Choose the other model above" if comparison.other is None else ""


def _verdict(covers: tuple[Cover, ...]) -> str:
    """How many objects each model finds."""
    if not covers:
        return "No boxes are trained on in this image"
    iou = RECALL_AT[0]
    left, right = sum(cover.a >= iou for cover in covers), sum(cover.b >= iou for cover in covers)
    noun = "object" if len(covers) == 1 else "objects"
    return f"Left finds {left:,} of {len(covers):,} {noun}, right {right:,} (IoU {iou:g})"


def _hint(covers: tuple[Cover, ...], names: tuple[str, str]) -> str:
    if not covers:
        return ""
    left = sum(cover.a for cover in covers) / len(covers)
    right = sum(cover.b for cover in covers) / len(covers)
    count = sum(cover.differs for cover in covers)
    return (
        f"The best kept proposal of an object reaches IoU {left:.2f} on average under {names[0]}, {right:.2f} under "
        f"{names[1]}; {count:,} of {len(covers):,} differ by 0.05 or more."
    )
