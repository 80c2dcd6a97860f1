from __future__ import annotations

import pytest

from rpnviz.app import trainer_names
from rpnviz.core import presets
from rpnviz.core.params import Params


@pytest.mark.parametrize("preset", presets.names())
def test_every_preset_names_fields_that_exist(preset):
    params: Params = presets.load(preset).params.with_views(presets.usual_views(preset))
    names = trainer_names._NAMES[preset]
    assert "match.fg_iou_thresh" in names
    for field in names:
        group, name = field.split(".")
        assert hasattr(getattr(params, group), name), field
    assert trainer_names.trainer_name(preset, "match.fg_iou_thresh").startswith(f"In {preset}: ")
    assert trainer_names.trainer_name(preset, "resize.scale") == ""
