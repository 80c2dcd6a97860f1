"""What a canvas shows, and how: an image with its results, the world, layers, filters, frame and selection.

The window has one such state, which is its :class:`~rpnviz.app.state.AppState`; a comparison has one for each side.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from rpnviz.app.messages import Message, Severity
from rpnviz.core import pipeline
from rpnviz.core.conventions import DrawRule
from rpnviz.core.presets import Preset
from rpnviz.datasets.base import ImageRecord, LoadedImage
from rpnviz.drawing.frame import Photo
from rpnviz.drawing.options import EVERY_BOX, ColourBy, Heat, LayerKey, LayerOptions, World, default_options


@dataclass(frozen=True, eq=False)
class Many:
    """Several boxes at once.

    Attributes:
        gts: ascending ground-truth indices.
        anchors: ascending anchor indices of the current world's result.
    """

    gts: NDArray[np.int64]
    anchors: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.gts) + len(self.anchors)


@dataclass(frozen=True)
class Selection:
    """What the user picked; all None: nothing.

    Attributes:
        gt: index of a ground-truth box in the image's list.
        anchor: index of an anchor of the current world's result.
        many: boxes picked together; then ``anchor`` is None.
    """

    gt: int | None = None
    anchor: int | None = None
    many: Many | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """An image on the screen and what was computed for it.

    Attributes:
        preset: the trainer it was computed for, with the conventions that were used.
        training: the result under the user's parameters.
        model: the result under the model's anchors and resize, with its outputs; None without a model.
        seconds: how long the computation took.
    """

    preset: Preset
    training: pipeline.Result
    model: pipeline.Result | None
    seconds: float


class Viewing(QObject):
    """Signals say what changed, in the past tense; each carries the new value where that is small.

    Attributes:
        record, loaded, gt_names: the image, its pixels and the category names of its ground truth, in its order.
        photo: the same pixels, to be drawn.
        shown: what was computed for it; None until then.
        world, input_frame, here: training or model; original or network input; anchors at the pointer.
        selection: what the user picked.
    """

    image_changed = Signal()
    result_changed = Signal()
    world_changed = Signal(object)
    layers_changed = Signal()
    frame_changed = Signal()
    here_changed = Signal()
    selection_changed = Signal(object)
    whole_wanted = Signal()
    photo_changed = Signal()
    told = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record: ImageRecord | None = None
        self.loaded: LoadedImage | None = None
        self.photo: Photo | None = None
        self.gt_names: tuple[str, ...] = ()
        self.shown: Shown | None = None
        self.world = World.TRAINING
        self.input_frame = False
        self.here = False
        self.selection = Selection()
        self._layers = {world: default_options(world) for world in World}

    @property
    def result(self) -> pipeline.Result | None:
        """The result of the world on the screen."""
        if self.shown is None:
            return None
        if self.world is World.TRAINING:
            return self.shown.training
        model = self.shown.model
        return model if model is not None and model.proposals is not None else None

    def take_image(self, record: ImageRecord, loaded: LoadedImage, photo: Photo, gt_names: tuple[str, ...]) -> None:
        """Show an image of which nothing is computed yet; nothing is selected on it."""
        self._put_image(record, loaded, photo, gt_names)
        self.image_changed.emit()
        self.selection_changed.emit(self.selection)

    def _put_image(self, record: ImageRecord, loaded: LoadedImage, photo: Photo, gt_names: tuple[str, ...]) -> None:
        self.record, self.loaded, self.photo, self.gt_names = record, loaded, photo, gt_names
        self.shown = None
        self.selection = Selection()
        for world in World:
            only = dataclasses.replace(self._layers[world].only, position=None)  # it was a place on another image
            self._layers[world] = dataclasses.replace(self._layers[world], only=only)

    def take_results(self, shown: Shown) -> None:
        """Show what was computed for the image."""
        before = self.result
        self.shown = shown
        self._fit_filters(shown)
        result = self.result
        if (self.selection.anchor is not None or self.selection.many is not None) and (
            before is None or result is None or before.anchors is not result.anchors
        ):
            self.select(Selection(gt=self.selection.gt))  # the same index would be another anchor
        self.result_changed.emit()

    def take_boxes(self, record: ImageRecord, gt_names: tuple[str, ...], gt: int | None, shown: Shown) -> None:
        """Show the same image with other ground truth, what was computed for it, and a box of it selected."""
        self.record, self.gt_names = record, gt_names
        selection = Selection(gt=gt, anchor=self.selection.anchor)
        changed = selection != self.selection
        self.selection = selection
        self.take_results(shown)
        if changed:
            self.selection_changed.emit(self.selection)
            self.layers_changed.emit()

    def drop_results(self) -> None:
        """Show the image alone."""
        self.shown = None
        self.result_changed.emit()

    def set_world(self, world: World) -> None:
        """Switch between training targets and model proposals."""
        if world is self.world:
            return
        before = self.result
        self.world = world
        picked = self.selection.anchor is not None or self.selection.many is not None
        if picked and not _same_anchors(before, self.result):
            self.selection = Selection(gt=self.selection.gt)
            self.selection_changed.emit(self.selection)
        self.world_changed.emit(world)
        self.layers_changed.emit()
        self.result_changed.emit()

    @property
    def layers(self) -> LayerOptions:
        """Visible layers of the present world."""
        return dataclasses.replace(self._layers[self.world], selected_gt=self.selection.gt)

    def layers_of(self, world: World) -> LayerOptions:
        """What the user wants to see of a world, whichever is on the screen."""
        return self._layers[world]

    def set_layers(self, world: World, options: LayerOptions) -> None:
        """Show exactly that of a world."""
        self._layers[world] = options
        self.layers_changed.emit()

    def set_layer_visible(self, key: LayerKey, visible: bool) -> None:
        """Show or hide a layer of the present world."""
        options = self._layers[self.world]
        self._change_layers(visible=options.visible | {key} if visible else options.visible - {key})

    def set_show_all(self, key: LayerKey, show_all: bool) -> None:
        """Draw all of a layer instead of the best of each ground-truth box."""
        options = self._layers[self.world]
        self._change_layers(show_all=options.show_all | {key} if show_all else options.show_all - {key})

    def show_only(self, keys: frozenset[LayerKey]) -> None:
        """Show exactly these layers, each as a whole."""
        self._change_layers(visible=keys, show_all=keys, everything=False)

    def show_layers(self, options: LayerOptions) -> None:
        """Show layers, filter and colours as given."""
        self._layers[self.world] = options
        self.layers_changed.emit()

    def flip_nms(self) -> None:
        """Show all boxes that enter NMS instead of those that are kept, or the other way round; as a whole each."""
        options = self._layers[self.world]
        before, after = LayerKey.CANDIDATES, LayerKey.KEPT
        wanted = after if before in options.visible and after not in options.visible else before
        others = options.visible - {before, after}
        self._change_layers(visible=others | {wanted}, show_all=options.show_all | {wanted}, everything=False)

    def set_everything(self, everything: bool) -> None:
        """Show all anchors as density."""
        self._change_layers(everything=everything)

    def set_filter(self, **values: Any) -> None:
        """Change some fields of the filter of this world."""
        self._change_layers(only=dataclasses.replace(self._layers[self.world].only, **values))

    def filter_position(self) -> None:
        """Look only at the anchors of the selected anchor's position; again: at all positions."""
        result, anchor, only = self.result, self.selection.anchor, self._layers[self.world].only
        if only.position is not None:
            self.set_filter(position=None)
        elif result is None or anchor is None:
            self.tell(Message(Severity.INFO, "No anchor is selected", "Click one, or press C for the nearest."))
        else:
            place = result.anchors.place(anchor)
            self.set_filter(position=(place.level, place.row, place.column))

    def clear_filter(self) -> None:
        """Let every box pass again."""
        self._change_layers(only=EVERY_BOX)

    def set_colour_by(self, colour_by: ColourBy) -> None:
        """Let colours say something else than the label."""
        self._change_layers(colour_by=colour_by)

    def set_heat(self, heat: Heat) -> None:
        """Show a heat map instead of outlines, or outlines again."""
        self._change_layers(heat=heat)

    def set_centres(self, centres: bool) -> None:
        """Mark the positions of a level."""
        self._change_layers(centres=centres)

    def take_layers(self, other: Viewing) -> None:
        """Show the layers that another canvas shows, in its colours; filters of levels and positions stay apart."""
        theirs, ours = other._layers[other.world], self._layers[self.world]
        self._layers[self.world] = dataclasses.replace(theirs, only=ours.only)
        self.layers_changed.emit()

    def set_input_frame(self, input_frame: bool) -> None:
        """Show the network input instead of the original image."""
        if input_frame != self.input_frame:
            self.input_frame = input_frame
            self.frame_changed.emit()

    def set_here(self, here: bool) -> None:
        """Show all anchors of the positions under the pointer."""
        if here != self.here:
            self.here = here
            self.here_changed.emit()

    def _change_layers(self, **values: Any) -> None:
        self._layers[self.world] = dataclasses.replace(self._layers[self.world], **values)
        self.layers_changed.emit()

    def select(self, selection: Selection) -> None:
        """Pick a ground-truth box, an anchor, or nothing."""
        if selection != self.selection:
            regroup = selection.gt != self.selection.gt
            self.selection = selection
            self.selection_changed.emit(selection)
            if self._follow(selection) or regroup:
                self.layers_changed.emit()

    def _follow(self, selection: Selection) -> bool:
        """Look at the position of the selected anchor, if one position is looked at; whether it is another."""
        result, only = self.result, self._layers[self.world].only
        if only.position is None or selection.anchor is None or result is None:
            return False
        place = result.anchors.place(selection.anchor)
        position = place.level, place.row, place.column
        if position == only.position:
            return False
        self._layers[self.world] = dataclasses.replace(
            self._layers[self.world], only=dataclasses.replace(only, position=position)
        )
        return True

    def tell(self, message: Message) -> None:
        """Tell the user something."""
        self.told.emit(message)

    def _fit_filters(self, shown: Shown) -> None:
        """Forget a filter's level, shape and position where the anchors have none such."""
        for world, result in ((World.TRAINING, shown.training), (World.MODEL, shown.model)):
            if result is None:
                continue
            only, lattice = self._layers[world].only, result.anchors.lattice
            if only.level is not None and only.level >= len(lattice):
                only = dataclasses.replace(only, level=None)
            if only.shape is not None and only.shape >= max(level.cells for level in lattice):
                only = dataclasses.replace(only, shape=None)
            if only.position is not None and not _is_on_grid(result, only.position):
                only = dataclasses.replace(only, position=None)
            if only.sampled and result.conventions.draw is DrawRule.NONE:
                only = dataclasses.replace(only, sampled=False)
            self._layers[world] = dataclasses.replace(self._layers[world], only=only)


def _same_anchors(a: pipeline.Result | None, b: pipeline.Result | None) -> bool:
    """Whether an index means the same anchor in both results."""
    return a is not None and b is not None and np.array_equal(a.anchors.boxes, b.anchors.boxes)


def _is_on_grid(result: pipeline.Result, position: tuple[int, int, int]) -> bool:
    level, row, column = position
    if level >= len(result.anchors.lattice):
        return False
    height, width = result.anchors.lattice[level].grid
    return row < height and column < width
