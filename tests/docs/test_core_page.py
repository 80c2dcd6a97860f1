"""The examples of docs/core.md run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "core.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "[1]\n"),
        (1, "0.0\n"),
        (2, "shape ['Add size 77 on P3 and add ratio 0.067']\n"),
        (3, "0 of 12 640 px (<Rank.FORCED: 'forced'>,) [0.458"),
        (4, "[(1, 1.11, 0.7399)"),
        (5, "0 forced, 90 positive | none, 0 positive | [['match.min_pos_iou']]\n"),
    ],
)
def test_an_example_prints_what_it_should(number, printed, capsys):
    exec(compile(EXAMPLES[number], str(PAGE), "exec"), {})
    assert capsys.readouterr().out.startswith(printed)


def test_every_example_is_tested():
    assert len(EXAMPLES) == 6
