"""torch's library is mapped before torch is imported, which then works as ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import sys
from rpnviz.models.preloading import preload_torch
preload_torch()
assert "torch" not in sys.modules
mapped = "libtorch_cpu" in open("/proc/self/maps").read()
import torch
assert float(torch.ones(3).sum()) == 3
preload_torch()
print(mapped)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped is read from /proc")
def test_the_library_is_there_before_the_import():
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
