"""What became of a configuration's fields, as a table."""

from __future__ import annotations

from rpnviz.configs.base import Fate, TrainerConfig

_WORDS = {
    Fate.READ: "Read",
    Fate.NOT_UNDERSTOOD: "Not understood",
    Fate.ASSUMED: "Not in the file",
    Fate.NO_EFFECT: "No effect here",
}


def table_of(config: TrainerConfig) -> tuple[tuple[str, ...], ...]:
    """Headings, then a row per field: its status, name and value in the file, and what it became or why nothing."""
    rows = [(_WORDS[note.fate], note.field, note.value, note.became) for note in config.notes]
    return (("Status", "Field", "In the file", "Became"), *rows)
