"""The command line, in process where that shows the same, else as its users start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rpnviz import __version__, cli
from rpnviz.core import presets
from rpnviz.imaging import read_image, write_png
from rpnviz.paths import sample_images

COINS = sample_images() / "coins.png"
ANNOTATIONS = sample_images() / "instances.json"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "Größe 硬币.png"
    write_png(path, np.full((60, 80, 3), 120, np.uint8))
    return path


def start(*arguments, **environment):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env.update(environment)
    return subprocess.run(
        [sys.executable, "-m", "rpnviz", *map(str, arguments)], capture_output=True, text=True, env=env, timeout=120
    )


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom rpnviz import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', sorted({'PySide6', 'torch', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    assert "rpnviz render" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rpnviz {__version__}\n"


def test_without_a_display_one_line_names_the_way_out():
    done = start(QT_QPA_PLATFORM="xcb")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "rpnviz render" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="X11 is asked on Linux alone")
def test_a_display_that_does_not_answer_is_one_line_too():
    done = start(QT_QPA_PLATFORM="xcb", DISPLAY=":4321")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert ":4321 does not answer" in done.stderr


def test_params_prints_a_document_that_can_be_given_back(capsys):
    assert cli.main(["params", "--preset", "torchvision"]) == 0
    assert presets.from_document(json.loads(capsys.readouterr().out)) == presets.load("torchvision")


def test_match_of_the_samples(capsys):
    assert cli.main(["match", str(ANNOTATIONS), "--json", "-"]) == 0
    tables = json.loads(capsys.readouterr().out)
    coins = next(table for table in tables if table["file_name"] == "coins.png")
    assert (coins["height"], coins["width"]) == (303, 384)
    assert coins["resized_size"] == [800, 1013]
    assert sum(coins["states"].values()) == coins["anchors"]
    assert len(coins["gts"]) == 24
    assert {gt["rank"] for gt in coins["gts"]} <= {"matched", "forced", "none"}
    assert coins["sampled"]["positive"] + coins["sampled"]["negative"] == 256


def test_match_equals_the_pipeline(capsys):
    from rpnviz.core import pipeline
    from rpnviz.datasets.registry import open_dataset

    assert cli.main(["match", str(COINS), "--annotations", str(ANNOTATIONS)]) == 0
    table = json.loads(capsys.readouterr().out)[0]
    record = open_dataset([COINS], ANNOTATIONS).images[0]
    preset = presets.load("torchvision")
    result = pipeline.run(pipeline.Inputs((303, 384), record.gt.boxes), preset.params, preset.conventions)
    assert [gt["best_iou"] for gt in table["gts"]] == [float(value) for value in result.match.gt_best_iou]
    assert [gt["positives"] for gt in table["gts"]] == result.match.gt_positives.tolist()


def test_params_file_changes_the_labels(tmp_path, capsys):
    path = tmp_path / "params.json"
    path.write_text('{"match": {"fg_iou_thresh": 0.5}}', encoding="utf-8")
    assert cli.main(["match", str(COINS), "--annotations", str(ANNOTATIONS)]) == 0
    before = json.loads(capsys.readouterr().out)[0]["states"]["positive"]
    assert cli.main(["match", str(COINS), "--annotations", str(ANNOTATIONS), "--params", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["states"]["positive"] > before


def test_match_writes_a_file(tmp_path, image):
    out = tmp_path / "labels.json"
    assert cli.main(["match", str(image), "--json", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))[0]["file_name"] == image.name
    assert list(tmp_path.glob("*.new")) == []


@pytest.mark.parametrize("stage", ["gt", "anchors", "labels", "proposals", "kept"])
def test_render_every_stage(tmp_path, stage):
    out = tmp_path / "picture.png"
    assert cli.main(["render", str(COINS), "--annotations", str(ANNOTATIONS), "--stage", stage, "--out", str(out)]) == 0
    picture = read_image(out)
    assert picture.shape[0] > 303
    assert picture.shape[1] >= 384


def test_render_an_image_without_annotations(tmp_path, image):
    out = tmp_path / "picture.png"
    assert cli.main(["render", str(image), "--out", str(out), "--theme", "light"]) == 0
    assert out.is_file()


def test_render_a_data_set_into_a_folder_goes_on_after_a_bad_image(tmp_path, image, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert cli.main(["render", str(tmp_path), "--stage", "gt", "--out", str(out)]) == 2
    assert (out / f"{image.stem}_gt.png").is_file()
    assert "broken.png" in capsys.readouterr().err


def test_render_with_a_name_pattern(tmp_path, image):
    assert cli.main(["render", str(image), "--out", str(tmp_path / "{stem} labels.png")]) == 0
    assert (tmp_path / f"{image.stem} labels.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["match", "missing.png"], "missing.png"),
        (["match", "{tmp}/cut.json"], "cut.json"),
        (["match", "{image}", "--params", "{tmp}/none.json"], "none.json"),
        (["match", "{image}", "--params", "{tmp}/cut.json"], "line 1"),
        (["match", "{image}", "--params", "{tmp}/wrong.json"], "match.fg_iou_thresh"),
        (["match", "{image}", "--preset", "caffe"], "torchvision"),
        (["match", "{image}", "--preset", "torchvision", "--params", "{tmp}/other.json"], "caffe"),
        (["match", "{image}", "--json", "{tmp}/no/such/folder.json"], "folder.json"),
        (["render", "{image}", "--out", "{tmp}/no/such/picture.png"], "picture.png"),
        (["render", "{image}", "--out", "{tmp}/picture.docx"], "picture.docx"),
        (["render", "{image}", "--stage", "kept", "--model", "{tmp}/cut.json", "--out", "{tmp}/a.png"], "cut.json"),
    ],
)
def test_unusable_input_is_one_message_and_exit_code_2(tmp_path, image, capsys, arguments, says):
    (tmp_path / "cut.json").write_text('{"images": [', encoding="utf-8")
    (tmp_path / "wrong.json").write_text('{"match": {"fg_iou_thresh": 7}}', encoding="utf-8")
    (tmp_path / "other.json").write_text('{"preset": "caffe"}', encoding="utf-8")
    words = [word.replace("{tmp}", str(tmp_path)).replace("{image}", str(image)) for word in arguments]
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert captured.err.count("rpnviz:") == 1


def test_a_reader_that_closes_the_pipe_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "rpnviz", "match", str(ANNOTATIONS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 0
    assert "Traceback" not in errors


def test_no_picture_overwrites_an_image_or_another_picture(tmp_path, image, capsys):
    before = image.read_bytes()
    assert cli.main(["render", str(image), "--out", str(image)]) == 2
    assert image.read_bytes() == before
    write_png(tmp_path / "twin.png", np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "twin.jpg").write_bytes((tmp_path / "twin.png").read_bytes())
    image.unlink()
    assert cli.main(["render", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "twin" in capsys.readouterr().err


def test_an_out_folder_that_is_a_file_is_said(tmp_path, image, capsys):
    write_png(tmp_path / "second.png", np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    assert cli.main(["render", str(tmp_path), "--out", str(tmp_path / "plain")]) == 2
    assert "plain" in capsys.readouterr().err


def test_a_file_name_that_is_no_text(tmp_path, capsys):
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    write_png(tmp_path / "a.png", np.zeros((20, 20, 3), np.uint8))
    os.rename(tmp_path / "a.png", odd)
    assert cli.main(["match", os.fsdecode(odd)]) == 0
    assert cli.main(["match", os.fsdecode(odd), "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))


def test_a_command_that_does_not_come_first_is_not_taken_for_a_file(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--preset", "torchvision", "render", "x.png"])
    assert ended.value.code == 2
    assert "comes first" in capsys.readouterr().err


def test_a_missing_image_of_a_data_set_is_reported(tmp_path, capsys):
    document = {
        "images": [{"id": 1, "file_name": "gone.png", "width": 9, "height": 9}],
        "annotations": [],
        "categories": [],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert cli.main(["match", str(path)]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "gone.png" in captured.err
