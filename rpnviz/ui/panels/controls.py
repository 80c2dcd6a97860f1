"""The numbers a user turns, by stage; every move goes to the state at once."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible, QLargeIntSpinBox

from rpnviz.app.batch_finder import BatchFinder
from rpnviz.app.player import Player
from rpnviz.app.state import AppState
from rpnviz.app.trainer_names import trainer_name
from rpnviz.core.params import AnchorParams, Params, ProposalMode, ProposalParams, TopN
from rpnviz.core.presets import Preset
from rpnviz.core.rules import doc_of
from rpnviz.core.terms import terms
from rpnviz.drawing.scene import World
from rpnviz.errors import ParamsError
from rpnviz.palette import Theme
from rpnviz.ui.panels.mini_batch import MiniBatchPanel
from rpnviz.ui.panels.playback import GatheringCurves
from rpnviz.ui.panels.show import ShowControls
from rpnviz.ui.panels.view_controls import TrainViewsControls
from rpnviz.ui.widgets.basics import TrainerTips, label, tool_button
from rpnviz.ui.widgets.number import NumberControl
from rpnviz.ui.widgets.number_list import NumberListEdit
from rpnviz.ui.widgets.thresholds import ThresholdControl


class ControlsPanel(QScrollArea):
    """Matching, anchors, sampling and proposals, each in a section that collapses."""

    def __init__(self, state: AppState, player: Player, theme: Theme, batches: BatchFinder) -> None:
        super().__init__()
        self._state = state
        self._player = player
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.matching = MatchingControls(state)
        self.anchors = AnchorControls(state)
        self.sampling = SamplingControls(state)
        self.mini_batch = MiniBatchPanel(state, batches)
        drawing = QWidget()
        stack = QVBoxLayout(drawing)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(0)
        stack.addWidget(self.sampling)
        stack.addWidget(self.mini_batch)
        self.views = TrainViewsControls(state)
        self.proposals = ProposalControls(state)
        self.show_controls = ShowControls(state)
        self.curves = GatheringCurves(player, theme)
        self._tips = TrainerTips()
        for field, control in (
            ("match.bg_iou_thresh", self.matching.thresholds.negative),
            ("match.fg_iou_thresh", self.matching.thresholds.positive),
            ("match.allow_low_quality_matches", self.matching.force),
            ("sample.batch_size_per_image", self.sampling.batch.spin),
            ("sample.batch_size_per_image", self.sampling.batch.slider),
            ("sample.positive_fraction", self.sampling.fraction.spin),
            ("sample.positive_fraction", self.sampling.fraction.slider),
            ("sample.seed", self.sampling.seed),
            ("proposals.pre_nms_top_n", self.proposals.pre_nms.spin),
            ("proposals.pre_nms_top_n", self.proposals.pre_nms.slider),
            ("proposals.score_thresh", self.proposals.score.spin),
            ("proposals.score_thresh", self.proposals.score.slider),
            ("proposals.nms_thresh", self.proposals.nms.spin),
            ("proposals.nms_thresh", self.proposals.nms.slider),
            ("proposals.post_nms_top_n", self.proposals.post_nms.spin),
            ("proposals.post_nms_top_n", self.proposals.post_nms.slider),
        ):
            self._tips.add(field, control.toolTip(), control)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 0, 8, 8)
        layout.setSpacing(4)
        self._sections: dict[str, QCollapsible] = {}
        for title, content, is_open in (
            ("Training played back", self.curves, False),
            ("Matching", self.matching, True),
            ("Show", self.show_controls, False),
            ("Anchors", self.anchors, False),
            ("Mini-batch", drawing, False),
            ("Training views", self.views, False),
            ("Proposals", self.proposals, False),
        ):
            section = QCollapsible(title)
            section.setDuration(0)
            section.addWidget(content)
            # Hidden content takes no focus.
            section.toggled.connect(content.setVisible)
            section.toggleButton().clicked.connect(partial(self._bring_into_view, section))
            content.setVisible(is_open)
            frame = section.layout()
            assert frame is not None
            frame.setContentsMargins(0, 0, 0, 0)
            frame.setSpacing(0)
            if is_open:
                section.expand(animate=False)
            self._sections[title] = section
            layout.addWidget(section)
        layout.addStretch(1)
        self.setWidget(inner)
        self._shown: Params | None = None
        self._shown_preset: Preset | None = None
        self.show_theme(theme)
        player.changed.connect(self._show_playback)
        state.params_changed.connect(self._show_params)
        state.world_changed.connect(self._show_world)
        state.models.changed.connect(lambda: self.anchors.show_world(state.world))
        self._show_params(state.params)
        self._show_world(state.world)

    def show_theme(self, theme: Theme) -> None:
        """Follow the window's palette: the arrows are drawn once, in the text colour of that moment."""
        self.curves.set_theme(theme)
        for section in self._sections.values():
            section.setExpandedIcon("▾")
            section.setCollapsedIcon("▸")

    def _show_terms(self) -> None:
        """What the numbers mean under the trainer's rules, and what the trainer calls them."""
        preset = self._state.preset
        self._tips.show(lambda field: trainer_name(preset.name, field))
        means = terms(preset.conventions)
        self.matching.thresholds.show_comparison(means.negative.words)
        self.anchors.show_ratio(means.ratio)
        self.sampling.setEnabled(means.draws)
        self.views.show_trainer(preset.name)
        self.proposals.pre_nms.show_name(f"Keep before NMS ({means.pre_nms_scope})")

    def _show_params(self, params: Params) -> None:
        # A slider's move changes one group and must not wait for the others to show what they show.
        shown, self._shown = self._shown, params
        if self._state.preset is not self._shown_preset:
            self._shown_preset, shown = self._state.preset, None
            self._show_terms()
        for group, part in (
            ("match", self.matching),
            ("anchors", self.anchors),
            ("sample", self.sampling),
            ("proposals", self.proposals),
            ("train_views", self.views),
        ):
            if shown is None or getattr(shown, group) != getattr(params, group):
                part.show_params(params)

    def _show_world(self, world: World) -> None:
        model = world is World.MODEL
        self._open("Proposals", model)
        self._open("Matching", not model)
        self.anchors.show_world(world)
        self._show_playback()

    def _show_playback(self) -> None:
        """Curves where there is a training; they are open at first, and stay as the user leaves them."""
        section = self._sections["Training played back"]
        there = bool(self._player.labels) and self._state.world is World.MODEL
        if there and section.isHidden():
            self._open("Training played back", True)
        section.setVisible(there)

    def _bring_into_view(self, section: QCollapsible) -> None:
        """What was just opened is seen, from its title on."""
        if not section.isExpanded():
            return

        def scroll() -> None:
            bar, top = self.verticalScrollBar(), section.y()
            bar.setValue(min(top, max(bar.value(), section.geometry().bottom() - self.viewport().height())))

        QTimer.singleShot(0, self, scroll)  # its height is known then

    def _open(self, title: str, is_open: bool) -> None:
        section = self._sections[title]
        if is_open:
            section.expand(animate=False)
        else:
            section.collapse(animate=False)


class MatchingControls(QWidget):
    """Thresholds and the low-quality rule."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self.thresholds = ThresholdControl()
        self.force = QCheckBox("Best anchor of an object is positive")
        self.force.setToolTip(
            "Low-quality rule (allow_low_quality_matches): the anchors with the best IoU of a ground-truth box are "
            "positive even below the threshold.\nWithout it a box that reaches the threshold nowhere trains nothing."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.addWidget(self.thresholds)
        layout.addWidget(self.force)
        self.thresholds.negative_changed.connect(
            lambda low: state.update("match", bg_iou_thresh=min(low, state.params.match.fg_iou_thresh))
        )
        self.thresholds.positive_changed.connect(
            lambda high: state.update("match", fg_iou_thresh=max(high, state.params.match.bg_iou_thresh))
        )
        self.force.toggled.connect(lambda on: state.update("match", allow_low_quality_matches=on))

    def show_params(self, params: Params) -> None:
        self.thresholds.show_values(params.match.bg_iou_thresh, params.match.fg_iou_thresh)
        with QSignalBlocker(self.force):
            self.force.setChecked(params.match.allow_low_quality_matches)


class AnchorControls(QWidget):
    """Sizes per level, and the aspect ratios of all levels."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(3)
        self.sizes: list[NumberListEdit] = []
        self._strides: list[QLabel] = []
        self.ratios = NumberListEdit("Aspect ratios", doc_of(AnchorParams, "aspect_ratios"))
        self.note = label("", "muted", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.addLayout(self._grid)
        row = QHBoxLayout()
        self._ratio = label("Ratios h/w")
        self._ratio.setBuddy(self.ratios)
        row.addWidget(self._ratio)
        row.addWidget(self.ratios, 1)
        layout.addLayout(row)
        layout.addWidget(self.note)
        self.ratios.entered.connect(self._on_ratios)
        self.note.hide()

    def show_params(self, params: Params) -> None:
        anchors = params.anchors
        if len(self.sizes) != len(anchors.strides):
            self._build(len(anchors.strides))
        for level, stride in enumerate(anchors.strides):
            self._strides[level].setText(f"stride {stride}")
            self.sizes[level].set_tip(self._tip("sizes"))
            self.sizes[level].show_numbers(anchors.level_sizes[level])
        ratios = set(anchors.aspect_ratios)
        self.ratios.set_tip(self._tip("aspect_ratios"))
        self.ratios.show_numbers(anchors.aspect_ratios[0])
        if len(ratios) > 1:
            self.ratios.setToolTip("The levels have different ratios; a new list replaces those of all levels")

    def show_ratio(self, quotient: str) -> None:
        """Say what a ratio divides: ``h/w`` or ``w/h``."""
        self._ratio.setText(f"Ratios {quotient}")

    def _tip(self, field: str) -> str:
        name = trainer_name(self._state.preset.name, f"anchors.{field}")
        return f"{doc_of(AnchorParams, field)}\n{name}".rstrip()

    def show_world(self, world: World) -> None:
        """A model was built with its own anchors: while its proposals are shown, these fields do not act."""
        model = world is World.MODEL
        for edit in (*self.sizes, self.ratios):
            edit.setEnabled(not model)
        settings = self._state.model.settings if self._state.model is not None else None
        if model and settings is not None:
            sizes = " / ".join(",".join(f"{size:g}" for size in level) for level in settings.anchors.level_sizes)
            strides = ", ".join(str(stride) for stride in settings.anchors.strides)
            self.note.setText(
                f"The model was built with anchors of its own: sizes {sizes} on strides {strides}. "
                "The fields above belong to Training targets."
            )
        self.note.setVisible(model and settings is not None)

    def _build(self, count: int) -> None:
        for widget in (*self.sizes, *self._strides):
            self._grid.removeWidget(widget)
            widget.deleteLater()
        self.sizes, self._strides = [], []
        for level in range(count):
            caption = label("", "muted")
            edit = NumberListEdit(f"Sizes of level {level}", doc_of(AnchorParams, "sizes"))
            caption.setBuddy(edit)
            edit.entered.connect(lambda values, level=level: self._on_sizes(level, values))
            self._grid.addWidget(caption, level, 0)
            self._grid.addWidget(edit, level, 1)
            self._strides.append(caption)
            self.sizes.append(edit)
        for before, after in zip(self.sizes, [*self.sizes[1:], self.ratios], strict=True):
            self.setTabOrder(before, after)

    def _on_sizes(self, level: int, values: tuple[float, ...]) -> None:
        sizes = list(self._state.params.anchors.level_sizes)
        sizes[level] = values
        # Sizes level by level take the place of base sizes and scales, where the trainer counts in those.
        self._change(self.sizes[level], sizes=tuple(sizes), base_sizes=-1)

    def _on_ratios(self, values: tuple[float, ...]) -> None:
        self._change(self.ratios, aspect_ratios=(values,) * len(self._state.params.anchors.strides))

    def _change(self, edit: NumberListEdit, **values: object) -> None:
        try:
            self._state.update("anchors", **values)
        except ParamsError as error:
            edit.mark(str(error))


class SamplingControls(QWidget):
    """The mini-batch and its seed."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self.batch = NumberControl(
            "Anchors per image",
            1,
            1024,
            tip="Anchors drawn per image and step (batch_size_per_image)",
            logarithmic=True,
            spin_high=1_000_000,
        )
        self.fraction = NumberControl(
            "Positive share, at most",
            0,
            1,
            tip="Share of positives in the mini-batch (positive_fraction); negatives fill the rest",
            decimals=2,
            step=0.05,
        )
        self.seed = QLargeIntSpinBox()
        self.seed.setRange(0, 2**63 - 1)
        self.seed.setAccessibleName("Seed of the draw")
        self.seed.setToolTip("Seed of the draw, as torch.manual_seed would take it; another seed draws another batch")
        self.seed.setKeyboardTracking(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        layout.addWidget(self.batch)
        layout.addWidget(self.fraction)
        row = QHBoxLayout()
        caption = label("Seed")
        caption.setBuddy(self.seed)
        row.addWidget(caption)
        row.addStretch(1)
        row.addWidget(self.seed)
        row.addWidget(tool_button("Draw again", "chip", "Draw another mini-batch: the next seed (R)", state.draw_again))
        layout.addLayout(row)
        self.batch.changed.connect(lambda value: state.update("sample", batch_size_per_image=int(value)))
        self.fraction.changed.connect(lambda value: state.update("sample", positive_fraction=value))
        self.seed.valueChanged.connect(lambda value: state.update("sample", seed=value))

    def show_params(self, params: Params) -> None:
        self.batch.show_value(params.sample.batch_size_per_image)
        self.fraction.show_value(params.sample.positive_fraction)
        with QSignalBlocker(self.seed):
            self.seed.setValue(params.sample.seed)


class ProposalControls(QWidget):
    """Top-k, score, NMS and the final cut."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.mode = QComboBox()
        self.mode.addItem("At inference", ProposalMode.TEST)
        self.mode.addItem("While training", ProposalMode.TRAIN)
        self.mode.setAccessibleName("Which top-n settings apply")
        self.mode.setToolTip(doc_of(ProposalParams, "mode"))
        self.pre_nms = NumberControl(
            "Keep before NMS (per level)",
            1,
            12000,
            tip="Best-scored boxes that enter NMS (pre_nms_top_n)",
            logarithmic=True,
            spin_high=10_000_000,
        )
        self.score = NumberControl(
            "Score, at least",
            0,
            1,
            tip="Objectness probability that a box needs (score_thresh)",
            decimals=3,
            step=0.01,
        )
        self.nms = NumberControl(
            "NMS IoU",
            0,
            1,
            tip="A box is suppressed if its IoU with a better one exceeds this (nms_thresh)",
            decimals=2,
            step=0.01,
        )
        self.post_nms = NumberControl(
            "Keep after NMS (per image)",
            1,
            2000,
            tip="Best-scored boxes that remain as proposals (post_nms_top_n)",
            logarithmic=True,
            spin_high=10_000_000,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 6)
        for widget in (self.mode, self.pre_nms, self.score, self.nms, self.post_nms):
            layout.addWidget(widget)
        self.mode.activated.connect(lambda _i: state.update("proposals", mode=str(self.mode.currentData())))
        self.pre_nms.changed.connect(lambda value: self._set_top_n("pre_nms_top_n", int(value)))
        self.post_nms.changed.connect(lambda value: self._set_top_n("post_nms_top_n", int(value)))
        self.score.changed.connect(lambda value: state.update("proposals", score_thresh=value))
        self.nms.changed.connect(lambda value: state.update("proposals", nms_thresh=value))

    def _set_top_n(self, field: str, value: int) -> None:
        proposals = self._state.params.proposals
        old: TopN = getattr(proposals, field)
        train = proposals.mode is ProposalMode.TRAIN
        self._state.update("proposals", **{field: TopN(value if train else old.train, old.test if train else value)})

    def show_params(self, params: Params) -> None:
        proposals = params.proposals
        with QSignalBlocker(self.mode):
            self.mode.setCurrentIndex(self.mode.findData(proposals.mode))
        self.pre_nms.show_value(proposals.pre_nms)
        self.score.show_value(proposals.score_thresh)
        self.nms.show_value(proposals.nms_thresh)
        self.post_nms.show_value(proposals.post_nms)
