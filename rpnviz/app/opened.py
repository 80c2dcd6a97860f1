"""The data set that is open, and which image of it is shown; files are read off the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from rpnviz.app.jobs import Job, JobQueue
from rpnviz.app.messages import Message, Severity, from_error
from rpnviz.app.viewing import Selection, Viewing
from rpnviz.datasets import registry as datasets
from rpnviz.datasets.base import CHOICE, Dataset, LoadedImage, load_image
from rpnviz.drawing.frame import Photo
from rpnviz.errors import ImageFileError, RpnvizError


@dataclass(frozen=True, eq=False)
class Opening:
    """How the data set was opened: what reads it again, the paths, and the annotation file beside them."""

    read: Callable[[Job], Dataset]
    paths: tuple[Path, ...]
    annotations: Path | None


class OpenedData(Viewing):
    """Opens data sets and goes from image to image; what is done with an image that has come is the subclass's.

    ``leaving_asked`` carries what is to be called once boxes that no file has are saved or given up.

    Attributes:
        dataset: None before one is open.
        index: of the image on the screen, -1 before there is one.
        jobs: where files are read.
    """

    dataset_changed = Signal()
    leaving_asked = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.dataset: Dataset | None = None
        self.index = -1
        self.jobs = JobQueue(self)
        self._loading: Job | None = None
        self._reading_whole: Job | None = None
        self.whole_wanted.connect(self.read_whole)
        self._wanted_index = -1
        self._listed = np.zeros(0, np.int64)
        self._loading_opens = False
        self._opening: Opening | None = None

    # ------------------------------------------------------------------ for the subclass

    @property
    def unsaved(self) -> bool:
        """Whether something would be lost with the data set."""
        raise NotImplementedError

    def _take_image(
        self, dataset: Dataset, index: int, loaded: LoadedImage, photo: Photo, opening: Opening | None
    ) -> None:
        """Show an image that was read; ``opening``: how its data set is opened, if it is another one."""
        raise NotImplementedError

    def _goes_elsewhere(self) -> None:
        """The user asks for another image."""
        raise NotImplementedError

    # ------------------------------------------------------------------ data set and image

    def open_samples(self, image: str = "", then: Callable[[], None] = lambda: None) -> None:
        """Open the bundled photos and scenes; the arguments are those of :meth:`open_paths`."""
        self._open("Opening the samples", Opening(lambda job: datasets.sample_dataset(), (), None), image, then)

    def open_paths(
        self,
        paths: Sequence[Path],
        annotations: Path | None = None,
        image: str = "",
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Open images, a folder or an annotation file; a failure leaves what is shown.

        Args:
            paths: what to open.
            annotations: the annotation file of the images.
            image: file name of the image to begin with; the first, if there is none such.
            then: called when an image is shown.
        """
        names = ", ".join(path.name for path in paths[:3])

        def work(job: Job) -> Dataset:
            return datasets.open_dataset(list(paths), annotations, progress=job.progress)

        self._open(f"Opening {names}", Opening(work, tuple(paths), annotations), image, then)

    @property
    def opened(self) -> tuple[tuple[Path, ...], Path | None] | None:
        """The paths that were opened, none for the samples, and the annotation file beside them; None before any."""
        return None if self._opening is None else (self._opening.paths, self._opening.annotations)

    def _open(self, title: str, opening: Opening, image: str, then: Callable[[], None]) -> None:
        def done(dataset: Dataset) -> None:
            if not dataset.images:
                self.tell(Message(Severity.ERROR, "Nothing to show", f"{dataset.source} holds no image."))
                return
            names = dataset.file_names()
            self._load(dataset, names.index(image) if image in names else 0, opening=opening, then=then)

        def go_on() -> None:
            self.jobs.submit(title, opening.read, done, lambda error: self.tell(from_error("Could not open", error)))

        self._leave(go_on)

    def _leave(self, go_on: Callable[[], None]) -> None:
        """Another data set is about to come: boxes that no file has would be lost."""
        if self.unsaved:
            self.leaving_asked.emit(go_on)
        else:
            go_on()

    def reload(self) -> None:
        """Read the data set's files again; image and selection stay where they still exist."""
        dataset, record, selected, opening = self.dataset, self.record, self.selection.gt, self._opening
        here = self.index
        if dataset is None or record is None or opening is None:
            return

        def done(fresh: Dataset) -> None:
            names, name = fresh.file_names(), record.file_name
            index = names.index(name) if name in names else 0
            if here < len(names) and names[here] == name:
                index = here  # images of several folders may have the same name
            if not fresh.images:
                self.tell(Message(Severity.ERROR, "Nothing to reload", f"{fresh.source} holds no image any more."))
            else:
                keep = selected if selected is not None and selected < len(fresh.images[index].gt.boxes) else None
                self._load(fresh, index, select=keep, opening=opening)

        def go_on() -> None:
            self.jobs.submit(
                "Reloading", opening.read, done, lambda error: self.tell(from_error("Could not reload", error))
            )

        self._leave(go_on)

    def show_image(self, index: int) -> None:
        """Show another image of the data set; an unreadable one leaves the present one standing."""
        self._goes_elsewhere()
        if self.dataset is None or self._opens or not 0 <= index < len(self.dataset.images):
            return
        if index != self.index:
            self._load(self.dataset, index)
        elif self._loading is not None:
            # Back to what is shown, before another image has come.
            self._loading.cancel()
            self._loading = None
            self.image_changed.emit()

    def show_box(self, index: int, gt: int | None) -> None:
        """Show an image of the data set with a ground-truth box selected; None: with none."""
        self._goes_elsewhere()
        if self.dataset is None or self._opens or not 0 <= index < len(self.dataset.images):
            return
        if index == self.index:
            self.show_image(index)
            self.select(Selection(gt=gt))
        else:
            self._load(self.dataset, index, select=gt)

    def step_image(self, step: int) -> None:
        """Show the next (1) or previous (-1) image that can be read; broken ones are passed over and named."""
        self._goes_elsewhere()
        if self.dataset is None or self._opens:
            return
        here = self._wanted_index if self._loading is not None else self.index
        following = self._following(here, step)
        if following and following[0] == self.index:
            self.show_image(self.index)
        elif following:
            self._load(self.dataset, following[0], wanted=following)

    def list_images(self, images: NDArray[np.int64]) -> None:
        """Step through these images, in this order: the list shows them so."""
        self._listed = images

    def _following(self, here: int, step: int) -> list[int]:
        """Images behind (1) or before (-1) one in the order of the list, else in that of the file."""
        assert self.dataset is not None
        order = self._listed
        if not len(order) or order.max(initial=0) >= len(self.dataset.images):
            order = np.arange(len(self.dataset.images))
        places = np.flatnonzero(order == here)
        if len(places):
            place = int(places[0])
            return order[place + 1 :].tolist() if step > 0 else order[:place][::-1].tolist()
        # It is filtered out: on from where it would stand in the file.
        order = np.sort(order)
        return order[order > here].tolist() if step > 0 else order[order < here][::-1].tolist()

    @property
    def _opens(self) -> bool:
        """Whether the first image of another data set is being read, which stepping must not disturb."""
        return self._loading is not None and self._loading_opens

    def _load(
        self,
        dataset: Dataset,
        index: int,
        *,
        select: int | None = None,
        wanted: Sequence[int] = (),
        opening: Opening | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Read an image and show it.

        Args:
            dataset, index: the wanted image.
            select: ground-truth box to select then.
            wanted: the first of these that can be read is shown; the others are named.
            opening: how the data set is opened, where it is.
            then: called when it is shown.
        """
        if self._loading is not None:
            self._loading.cancel()
        self._wanted_index = index
        self._loading_opens = opening is not None
        if opening is not None:
            wanted = range(index, len(dataset.images))
        passes_over = bool(wanted)
        wanted = wanted or [index]

        def work(job: Job) -> tuple[int, LoadedImage, Photo, list[str]]:
            problems: list[str] = []
            for number in wanted:
                job.progress(0.0)
                try:
                    loaded = load_image(dataset.images[number], job.progress)
                    photo = Photo(loaded.pixels, loaded.size, loaded.read_whole)
                    photo.prepare()
                    return number, loaded, photo, problems
                except RpnvizError as error:
                    if not passes_over or len(wanted) == 1:
                        raise
                    problems.append(str(error))
            raise ImageFileError(
                f"none of {len(problems):,} images can be read; the first: {problems[0]}", where=dataset.source.name
            )

        def done(answer: tuple[int, LoadedImage, Photo, list[str]]) -> None:
            number, loaded, photo, problems = answer
            self._loading = None
            # Its boxes may have been changed by hand meanwhile.
            present = dataset if opening is not None or self.dataset is None else self.dataset
            self._take_image(present, number, loaded, photo, opening)
            if problems:
                noun = "image" if len(problems) == 1 else "images"
                shown = "\n".join(problems[:200])
                self.tell(Message(Severity.WARNING, f"{len(problems):,} {noun} could not be read", shown))
            if select is not None and number == index:
                self.select(Selection(gt=select))
            then()

        def failed(error: BaseException) -> None:
            self._loading = None
            self.image_changed.emit()  # whoever marked the wanted image returns to the shown one
            name = dataset.source.name if opening is not None else dataset.images[index].file_name
            self.tell(from_error(f"Could not show {name}", error))

        def cancelled() -> None:
            if self._loading is not None and self._loading.cancelled:
                self._loading = None
                self.image_changed.emit()

        title = f"Reading {dataset.images[index].file_name}"
        self._loading = self.jobs.submit(title, work, done, failed, cancelled)

    def read_whole(self) -> None:
        """Read the original of a large image that is shown from a smaller copy; ``photo_changed`` follows."""
        photo, record = self.photo, self.record
        if photo is None or record is None or photo.reduction == 1 or self._reading_whole is not None:
            return

        def done(_answer: None) -> None:
            self._reading_whole = None
            self.photo_changed.emit()

        def failed(error: BaseException) -> None:
            self._reading_whole = None
            self.tell(from_error(f"Could not read {record.file_name} in full", error))

        def cancelled() -> None:
            if self._reading_whole is not None and self._reading_whole.cancelled:
                self._reading_whole = None

        title = f"Reading {record.file_name} in full"
        self._reading_whole = self.jobs.submit(
            title, lambda job: photo.sharpen(job.progress), done, failed, cancelled, lane="pixels"
        )

    def _stop_reading_whole(self) -> None:
        if self._reading_whole is not None:
            self._reading_whole.cancel()
            self._reading_whole = None

    def _tell_findings(self, dataset: Dataset) -> None:
        serious = [finding for finding in dataset.findings if finding.severity != "note"]
        if serious:
            own = f"{dataset.source.name}: "  # the title names the file
            lines = [str(finding).removeprefix(own) for finding in serious[:200]]
            if len(serious) > 200:
                lines.append(f"... and {len(serious) - 200:,} more")
            noun = "finding" if len(serious) == 1 else "findings"
            self.tell(Message(Severity.WARNING, f"{len(serious):,} {noun} in {dataset.source.name}", "\n".join(lines)))
        for finding in dataset.findings:
            if finding.kind == CHOICE:
                self.tell(Message(Severity.INFO, f"{dataset.source.name} was {finding.what}", finding.way_out))
