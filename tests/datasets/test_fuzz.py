"""Broken copies of every format open or are refused with a reason; ``python -m tools.fuzz_datasets`` tries more."""

from __future__ import annotations

import pytest

from tools import fuzz_datasets


@pytest.mark.parametrize("example", sorted(path.name for path in fuzz_datasets.EXAMPLES.iterdir()))
def test_broken_files(example):
    outcome = fuzz_datasets.run(fuzz_datasets.EXAMPLES / example, count=150, seed=7)
    assert outcome.total() == 150
    assert outcome["opened"] > 20  # what is left of a file is kept
