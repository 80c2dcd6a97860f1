"""--config and export-config."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rpnviz import cli
from rpnviz.configs import registry
from rpnviz.core import presets
from rpnviz.core.params import TrainViews
from rpnviz.paths import sample_images

COINS = sample_images() / "coins.png"
ANNOTATIONS = sample_images() / "instances.json"


@pytest.fixture
def yaml_file(tmp_path):
    path = tmp_path / "c4.yaml"
    path.write_text(
        "MODEL:\n  RPN: {NMS_THRESH: 0.6, IDEA: 1}\nSOLVER: {BASE_LR: 0.02, STEPS: [1]}\n", encoding="utf-8"
    )
    return path


def test_params_of_a_configuration(yaml_file, capsys):
    assert cli.main(["params", "--config", str(yaml_file)]) == 0
    told = capsys.readouterr()
    preset = presets.from_document(json.loads(told.out))
    assert preset.name == "detectron2"
    assert preset.params.anchors.strides == (16,)
    assert preset.params.proposals.nms_thresh == 0.6
    assert told.err.splitlines() == [
        "rpnviz: c4.yaml: 1 field read, 1 not understood (kept default), 1 not in the file "
        "(assumed), 1 without effect here",
        "rpnviz:   not understood: MODEL.RPN.IDEA = 1 (no field that rpnviz knows)",
        "rpnviz:   assumed: INPUT.RANDOM_FLIP (horizontal, its default: train_views.flip True)",
    ]


def test_params_keeps_conventions_of_the_configuration(tmp_path, capsys):
    path = tmp_path / "legacy.json"
    generator = {"type": "LegacyAnchorGenerator", "scales": [8], "ratios": [1.0], "strides": [4, 8, 16, 32, 64]}
    path.write_text(json.dumps({"model": {"type": "RPN", "rpn_head": {"anchor_generator": generator}}}))
    assert cli.main(["params", "--config", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["conventions"] == {"base_rounding": "corners", "anchor_pixels": "inclusive"}


def test_labels_under_a_configuration(yaml_file, capsys):
    words = ["match", str(COINS), "--annotations", str(ANNOTATIONS)]
    assert cli.main([*words, "--config", str(yaml_file)]) == 0
    table = json.loads(capsys.readouterr().out)[0]
    assert table["resized_size"] == [800, 1014]
    assert table["anchors"] == 50 * 64 * 15
    assert cli.main(["diff", *words[1:], "--config", str(yaml_file), "--against", "detectron2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "detectron2"
    assert cli.main(["diff", *words[1:], "--against-config", str(yaml_file)]) == 0
    assert capsys.readouterr().out.startswith("torchvision against detectron2 (c4.yaml)")


@pytest.mark.parametrize("command", [["params"], ["match", str(COINS)], ["render", str(COINS), "--out", "x.png"], []])
def test_one_file_of_parameters_at_most(yaml_file, capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--config", str(yaml_file), "--params", str(yaml_file)])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_preset_must_agree(yaml_file, capsys):
    assert cli.main(["params", "--config", str(yaml_file), "--preset", "torchvision"]) == 2
    assert "configuration of detectron2, but the preset 'torchvision' was asked for" in capsys.readouterr().err
    assert cli.main(["params", "--config", str(yaml_file), "--preset", "caffe"]) == 2
    assert "there is no preset 'caffe'" in capsys.readouterr().err
    assert cli.main(["params", "--config", str(yaml_file), "--preset", "detectron2"]) == 0


@pytest.mark.parametrize("framework", registry.names())
def test_export_config_can_be_given_back(tmp_path, capsys, framework):
    suffix = {"detectron2": ".yaml", "keras-retinanet": ".ini"}.get(framework, ".py")
    out = tmp_path / f"made{suffix}"
    assert cli.main(["export-config", "--for", framework, "--preset", framework, "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["params", "--config", str(out)]) == 0
    back = presets.from_document(json.loads(capsys.readouterr().out))
    # A preset says nothing of flips, and detectron2 flips unless it is told not to.
    assert back.params.views == (TrainViews(flip=True) if framework == "detectron2" else None)
    assert dataclasses.replace(back, params=back.params.with_views(None)) == presets.load(framework)
    assert cli.main(["export-config", "--for", framework, "--config", str(out)]) == 0
    told = capsys.readouterr().out.replace("  RANDOM_FLIP: horizontal\n", "")
    assert told == out.read_text(encoding="utf-8")


def test_export_config_refuses_what_would_be_lost(tmp_path, capsys):
    params = tmp_path / "params.json"
    params.write_text('{"preset": "mmdetection", "match": {"min_pos_iou": 0.1}}', encoding="utf-8")
    out = tmp_path / "made.yaml"
    words = ["export-config", "--for", "detectron2", "--params", str(params), "--out", str(out)]
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "match.min_pos_iou is 0.1, and detectron2 takes 0.0: best anchors are forced at any IoU" in told.err
    assert not out.exists()


def test_export_config_says_what_the_configuration_had_beside(yaml_file, capsys):
    assert cli.main(["export-config", "--for", "detectron2", "--config", str(yaml_file)]) == 0
    assert "# - MODEL.RPN.IDEA = 1 of c4.yaml is not in here" in capsys.readouterr().out


def test_export_config_does_not_write_over_what_it_reads(yaml_file, capsys):
    before = yaml_file.read_bytes()
    words = ["export-config", "--for", "detectron2", "--config", str(yaml_file), "--out", str(yaml_file)]
    assert cli.main(words) == 2
    assert "c4.yaml" in capsys.readouterr().err
    assert yaml_file.read_bytes() == before


def test_export_config_knows_its_frameworks(capsys):
    with pytest.raises(SystemExit):
        cli.main(["export-config", "--for", "caffe"])
    assert "keras-retinanet" in capsys.readouterr().err
