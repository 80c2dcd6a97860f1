"""Ground-truth boxes that are drawn, moved and deleted by hand; the matching follows, the files stay as they are."""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import QObject, Signal

from rpnviz.app.box_shapes import Edge, resized, shifted, spanned
from rpnviz.app.messages import Message, Severity
from rpnviz.app.state import AppState
from rpnviz.datasets.captures import CaptureDataset
from rpnviz.datasets.edited import Box, EditedTruth, Edits, as_read
from rpnviz.drawing.options import LayerKey

FIRST_CATEGORY = "object"
"""Of a box in a data set that has none."""


class Editing(QObject):
    """What a hand does to the boxes of the image on the screen.

    Attributes:
        on: whether the canvas draws and moves boxes instead of panning.
    """

    changed = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__(state)
        self._state = state
        self.on = False
        self._chosen = ""
        state.dataset_changed.connect(self._on_dataset)
        state.boxes_changed.connect(lambda _images: self.changed.emit())
        state.image_changed.connect(self.changed)
        state.selection_changed.connect(lambda _selection: self.changed.emit())

    def set_on(self, on: bool) -> None:
        """Edit boxes, or look at them only."""
        state = self._state
        if on and state.record is None:
            state.tell(Message(Severity.INFO, "No image to draw boxes on", "Open one first: Ctrl+O."))
        elif on and isinstance(state.dataset, CaptureDataset):
            why = "They are what the trainer saw; open the data set itself to change its boxes."
            state.tell(Message(Severity.INFO, "The boxes of a captured step stay as they are", why))
        elif on != self.on:
            self.on = on
            if on:
                state.set_layer_visible(LayerKey.GT, True)
        self.changed.emit()

    def _on_dataset(self) -> None:
        self._chosen = ""
        self.on = self.on and not isinstance(self._state.dataset, CaptureDataset)
        self.changed.emit()

    # ------------------------------------------------------------------ what there is

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image, px; (0, 0) without one."""
        return self._state.loaded.size if self._state.loaded is not None else (0, 0)

    @property
    def selected(self) -> int | None:
        """The box that is edited; None if none is selected alone."""
        chosen, gt, truth = self._state.selection, self._state.selected_gt, self._truth()
        if gt is None or chosen.anchor is not None or chosen.many is not None or truth is None:
            return None
        return gt if gt < len(truth) else None

    def box(self, gt: int) -> Box | None:
        """A box of the image; None if there is no such, or it has no numbers."""
        truth = self._truth()
        if truth is None or gt >= len(truth):
            return None
        x1, y1, x2, y2 = truth.gt.boxes[gt].tolist()
        return (x1, y1, x2, y2) if x1 == x1 and y1 == y1 and x2 == x2 and y2 == y2 else None

    def ignored(self, gt: int) -> bool:
        """Whether a box is a crowd or ignore region."""
        truth = self._truth()
        return truth is not None and gt < len(truth) and bool(truth.gt.ignore[gt])

    @property
    def categories(self) -> tuple[str, ...]:
        """Names to choose from."""
        return self._state.dataset.categories if self._state.dataset is not None else ()

    @property
    def category(self) -> str:
        """Of the selected box; without one, that of the next box that is drawn."""
        selected, truth = self.selected, self._truth()
        if selected is not None and truth is not None:
            return self.categories[int(truth.gt.labels[selected])]
        return self._next_category()

    def _next_category(self) -> str:
        """What was chosen last, else what the image has most of."""
        truth, names = self._truth(), self.categories
        if self._chosen:
            return self._chosen
        if truth is not None and len(truth):
            return names[Counter(truth.gt.labels.tolist()).most_common(1)[0][0]]
        return names[0] if names else FIRST_CATEGORY

    @property
    def busy(self) -> bool:
        """Whether the screen is not yet at what was changed last."""
        return self._state.computing

    def _truth(self) -> EditedTruth | None:
        """The boxes of the image, which the screen may be about to show."""
        state = self._state
        if state.dataset is None or state.record is None or isinstance(state.dataset, CaptureDataset):
            return None
        truth = state.edits.truths.get(state.index)
        return EditedTruth.of(as_read(state.dataset).images[state.index].gt) if truth is None else truth

    # ------------------------------------------------------------------ what is done

    def draw(self, box: Box, drag: object = None) -> int | None:
        """Add a box of :attr:`category`; its index, None without an image."""
        truth = self._truth()
        if truth is None:
            return None
        name, edits = self._next_category(), self._state.edits
        if name not in self.categories:
            edits = edits.with_category(name)
        label = self.categories.index(name) if name in self.categories else len(self.categories)
        gt = len(truth)
        self._change(truth.with_box(box, label), f"draw GT {gt}", gt, drag, edits)
        return gt

    def add(self, seen: Box) -> None:
        """Add a copy of the selected box, a little aside; without one a box in the middle of what is seen, to be moved.

        Args:
            seen: the part of the image in view, original pixels.
        """
        gt, size = self.selected, self.size
        box = self.box(gt) if gt is not None else None
        if box is None:
            x, y = (seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2
            width, height = ((seen[axis + 2] - seen[axis]) / 8 for axis in (0, 1))
            box = spanned((x - width, y - height), (x + width, y + height), size)
        else:
            aside = [max(1.0, round((box[axis + 2] - box[axis]) / 8)) for axis in (0, 1)]
            box = shifted(box, aside[0], aside[1], size)
        self.draw(box)

    def move(self, gt: int, box: Box, drag: object = None, label: str = "") -> None:
        """Put a box elsewhere."""
        truth = self._truth()
        if truth is not None and gt < len(truth):
            self._change(truth.with_values(gt, box=box), label or f"move GT {gt}", gt, drag)

    def nudge(self, dx: float, dy: float, *, corner: bool = False) -> bool:
        """Move the selected box, or its lower right corner; False if there is none."""
        gt = self.selected
        box = self.box(gt) if gt is not None else None
        if gt is None or box is None:
            return False
        if corner:
            # The side that the key does not move may lie beyond the image, and stays there.
            edges = (Edge.RIGHT if dx else Edge.NONE) | (Edge.BOTTOM if dy else Edge.NONE)
            moved = resized(box, edges, (box[2] + dx, box[3] + dy), self.size, fine=True)
        else:
            moved = shifted(box, dx, dy, self.size)
        self.move(gt, moved)
        return True

    def delete(self) -> None:
        """Delete the selected boxes."""
        state, truth = self._state, self._truth()
        chosen = state.selection
        alone = [] if self.selected is None else [self.selected]
        gts: set[int] = set(alone if chosen.many is None else chosen.many.gts.tolist())
        if state.boxes_wait and chosen.many is not None:
            return  # they have gone already
        if truth is None or not gts:
            title = "No box is selected" if chosen.anchor is None else "An anchor is selected, no box"
            state.tell(Message(Severity.INFO, title, "Click the box that shall go."))
            return
        title = f"delete GT {next(iter(gts))}" if len(gts) == 1 else f"delete {len(gts):,} boxes"
        self._change(truth.without(gts), title, None)
        if not self.on:
            words = "Deleted the box" if len(gts) == 1 else f"Deleted {len(gts):,} boxes"
            state.tell(Message(Severity.INFO, words, "Ctrl+Z brings it back; no file was changed."))

    def set_category(self, name: str) -> None:
        """Give the selected box, and the next ones that are drawn, a category; a new name makes one."""
        name = name.strip()
        if not name:
            return
        self._chosen = name
        gt, truth, edits = self.selected, self._truth(), self._state.edits
        if gt is not None and truth is not None:
            if name not in self.categories:
                edits = edits.with_category(name)
            names = (*self.categories, name)
            self._change(truth.with_values(gt, label=names.index(name)), f"category of GT {gt}", gt, None, edits)
        self.changed.emit()

    def set_ignored(self, ignored: bool) -> None:
        """Let the selected box be a crowd or ignore region, or an object again."""
        gt, truth = self.selected, self._truth()
        if gt is not None and truth is not None:
            self._change(truth.with_values(gt, ignore=ignored), f"ignore GT {gt}", gt)

    def give_up(self, drag: object) -> None:
        """Undo what a drag has done so far."""
        self._state.give_up_drag(drag)

    def _change(
        self, truth: EditedTruth, label: str, gt: int | None, drag: object = None, edits: Edits | None = None
    ) -> None:
        state = self._state
        assert state.dataset is not None
        own = as_read(state.dataset).images[state.index].gt
        present = state.edits if edits is None else edits
        state.change_boxes(present.with_truth(state.index, truth, own), label, gt, drag)
