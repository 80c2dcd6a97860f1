"""Lets the runner import its neighbour whatever the import mode."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rpnviz.core import compiled

# What users of large images get where numba is installed; tests/core/test_overlaps.py shows that NumPy's results are
# the same.
compiled.warm_up()
