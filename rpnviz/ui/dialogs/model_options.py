"""What a model file does not say, asked once."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from rpnviz.models.base import ModelInfo
from rpnviz.ui.widgets.basics import label

_MOST_STUBS = 6


class ModelOptionsDialog(QDialog):
    """Shows what was recognised, and a field for each open question with the framework's own answer."""

    def __init__(self, name: str, info: ModelInfo, answers: dict[str, str], parent: QWidget) -> None:
        """``answers``: those of last time."""
        super().__init__(parent)
        self.setWindowTitle(f"Open {name}")
        self.setMinimumWidth(460)
        self.fields: dict[str, QComboBox | QLineEdit] = {}
        self._touched = set(answers)
        self._questions = info.questions
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for question in info.questions:
            value = answers.get(question.key, question.default)
            if question.choices:
                box = QComboBox()
                for choice, meaning in question.choices:
                    box.addItem(f"{choice}: {meaning}" if meaning else choice, choice)
                box.setCurrentIndex(max(box.findData(value), 0))
                box.activated.connect(lambda _index, key=question.key: self._on_chosen(key))
                field: QComboBox | QLineEdit = box
            else:
                field = QLineEdit(value)
            field.setAccessibleName(question.text)
            self.fields[question.key] = field
            form.addRow(label(question.text), field)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(label(f"{info.format}: {info.description}", "title", wrap=True))
        layout.addWidget(label("The file does not say the following. Answers are kept beside it.", "muted", wrap=True))
        layout.addLayout(form)
        if info.stubs:
            layout.addWidget(label(stubs_sentence(info), "muted", wrap=True))
        layout.addWidget(buttons)

    def _on_chosen(self, key: str) -> None:
        """Answers that depend on this one follow it, unless they were chosen themselves."""
        self._touched.add(key)
        chosen = self.answers[key]
        for question in self._questions:
            field = self.fields[question.key]
            if question.follows is None or question.follows[0] != key or question.key in self._touched:
                continue
            if isinstance(field, QComboBox) and chosen in question.follows[1]:
                field.setCurrentIndex(max(field.findData(question.follows[1][chosen]), 0))

    @property
    def answers(self) -> dict[str, str]:
        """The value of every field by key."""
        return {
            key: field.currentData() if isinstance(field, QComboBox) else field.text().strip()
            for key, field in self.fields.items()
        }


def stubs_sentence(info: ModelInfo) -> str:
    """Which names in the file were not looked up."""
    more = f" and {len(info.stubs) - _MOST_STUBS:,} more" if len(info.stubs) > _MOST_STUBS else ""
    return (
        f"Names in the file that may be code, and were not run: {', '.join(info.stubs[:_MOST_STUBS])}{more}. "
        "Only numbers and settings were read."
    )
