"""mmdetection itself, imported without what plays no part in an RPN at inference.

mmdet needs compiled operators and packages that are not there: stand-ins take their place while it is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from pathlib import Path


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules whose every name is an empty class."""

    names = ("mmcv.ops", "matplotlib", "pycocotools", "scipy", "shapely", "terminaltables", "tqdm", "yapf")

    def find_spec(self, name, path=None, target=None):
        if any(name == missing or name.startswith(f"{missing}.") for missing in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = self._empty
        return module

    def exec_module(self, module):
        pass

    @staticmethod
    def _empty(name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


_finder = StandIns()
sys.meta_path.insert(0, _finder)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mmcv.transforms  # noqa: F401 # likewise
    import mmdet
    from mmdet.utils import register_all_modules
    from mmengine.logging import MMLogger
    from mmengine.runner import checkpoint  # noqa: F401 # it needs the stand-ins too

    register_all_modules()
    MMLogger.get_instance("mmdet", log_level="ERROR")  # it would list every weight
sys.meta_path.remove(_finder)
for _name in [name for name, module in sys.modules.items() if getattr(module, "__loader__", None) is _finder]:
    del sys.modules[_name]

CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"
