"""Share case…: how much of the image goes into the zip."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QRadioButton, QVBoxLayout, QWidget

from rpnviz.app.snapshot import Snapshot
from rpnviz.ui.widgets.basics import label


class ShareDialog(QDialog):
    """Says what goes into the zip, and asks whether the whole image may."""

    def __init__(self, snapshot: Snapshot, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Share {snapshot.record.file_name}")
        self.setMinimumWidth(440)
        height, width = snapshot.photo.size
        outputs = ", the model's outputs" if snapshot.has_proposals else ""
        self.whole = QRadioButton(f"The &whole image, {width:,} x {height:,} px{outputs}")
        self.whole.setChecked(True)
        self.part = QRadioButton()
        self._region = snapshot.region
        if self._region is None:
            self.part.setText("Only the &part in view: all of it is in view now")
            self.part.setEnabled(False)
        else:
            x1, y1, x2, y2 = self._region
            self.part.setText(f"Only the &part in view, {x2 - x1:,.0f} x {y2 - y1:,.0f} px, with the boxes cut to it")
        self.part.setToolTip("A trainer resizes a part differently, so its labels differ; without the model's outputs")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(label("One zip that opens on another machine", "title"))
        layout.addWidget(self.whole)
        layout.addWidget(self.part)
        layout.addWidget(
            label(
                "With it go the boxes as COCO JSON, the parameters, what is selected, the annotated picture, and what "
                "rpnviz says of every box as text. Paths and names of folders stay out.",
                "muted",
                wrap=True,
            )
        )
        layout.addWidget(buttons)

    @property
    def region(self) -> tuple[float, float, float, float] | None:
        """The part to share, xyxy original px; None: the whole image."""
        return self._region if self.part.isChecked() else None
