"""The command line, in process where that shows the same, else as its users start it."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "models"))

from made_states import as_detectron2, as_mmdetection, torchvision_state

from rpnviz import __version__, cli
from rpnviz.core import presets
from rpnviz.datasets.registry import sample_dataset
from rpnviz.export.proposals import run_model
from rpnviz.imaging import read_image, write_png
from rpnviz.models.checkpoint import write_sidecar
from rpnviz.models.dump import dump_bytes
from rpnviz.models.registry import open_model
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


def test_match_writes_every_anchor_as_csv_and_npz(tmp_path, capsys):
    words = ["match", str(COINS), "--annotations", str(ANNOTATIONS)]
    assert cli.main([*words, "--csv", str(tmp_path / "a.csv"), "--npz", str(tmp_path / "a.npz")]) == 0
    assert capsys.readouterr().out == "", "JSON is asked for apart then"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a_anchors.csv", "a_gt.csv"]
    stored = np.load(tmp_path / "a.npz")
    lines = (tmp_path / "a_anchors.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(stored["label"]) + 1
    assert len((tmp_path / "a_gt.csv").read_text(encoding="utf-8").splitlines()) == 25
    assert cli.main([*words, "--csv", str(tmp_path / "b.csv"), "--json", "-"]) == 0
    table = json.loads(capsys.readouterr().out)[0]
    assert table["states"]["positive"] == int((stored["state"] == 0).sum())
    assert "anchor_table" not in table
    assert cli.main([*words, "--anchors"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["anchor_table"]["label"]) == table["anchors"]


def test_match_of_several_images_goes_into_a_folder_or_by_a_pattern(tmp_path, image):
    write_png(tmp_path / "second.png", np.zeros((20, 20, 3), np.uint8))
    words = ["match", str(tmp_path), "--csv", str(tmp_path / "tables"), "--npz", str(tmp_path / "n" / "{index}.npz")]
    assert cli.main(words) == 0
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {f"{stem}_{part}.csv" for stem in (image.stem, "second") for part in ("anchors", "gt")}
    assert {path.name for path in (tmp_path / "n").iterdir()} == {"1.npz", "2.npz"}


def test_render_svg_and_pdf(tmp_path, qapp):
    for kind, start_ in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        words = ["render", str(COINS), "--annotations", str(ANNOTATIONS), "--out", str(tmp_path / f"a.{kind}")]
        assert cli.main(words) == 0
        assert (tmp_path / f"a.{kind}").read_bytes().startswith(start_)


def test_render_pdf_without_a_display(tmp_path):
    done = start("render", COINS, "--out", tmp_path / "a.pdf", QT_QPA_PLATFORM="xcb")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--no-strip"], (303, 384)),
        (["--no-strip", "--scale", "2"], (606, 768)),
        (["--overlay", "--scale", "0.5"], (152, 192)),
        (["--no-strip", "--crop", "10,20,110.5,70"], (50, 101)),
        (["--no-strip", "--crop=-10,-20,110,70", "--scale", "3"], (210, 330)),
        (["--no-strip", "--dim", "0", "--saturation", "1", "--show-all"], (303, 384)),
    ],
)
def test_render_options_decide_the_size(tmp_path, options, size):
    out = tmp_path / "a.png"
    assert cli.main(["render", str(COINS), "--annotations", str(ANNOTATIONS), "--out", str(out), *options]) == 0
    assert read_image(out).shape[:2] == size


def test_render_warns_of_very_many_vectors(tmp_path, image, capsys):
    words = ["render", str(COINS), "--stage", "anchors", "--dense-vectors", "--out", str(tmp_path / "a.svg")]
    assert cli.main(words) == 0
    assert "204,624 boxes" in capsys.readouterr().err
    assert (tmp_path / "a.svg").stat().st_size > 10**6


def test_render_a_folder_in_another_format(tmp_path, image):
    write_png(tmp_path / "second.png", np.zeros((20, 20, 3), np.uint8))
    assert cli.main(["render", str(tmp_path), "--format", "svg", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{image.stem}_labels.svg", "second_labels.svg"}
    pattern = str(tmp_path / "by number" / "{index}_{stage}.png")
    assert cli.main(["render", str(tmp_path), "--stage", "gt", "--out", pattern]) == 0
    assert {path.name for path in (tmp_path / "by number").iterdir()} == {"1_gt.png", "2_gt.png"}


def test_a_crop_that_is_none_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["render", str(COINS), "--out", "a.png", "--crop", "1,2,3"])
    assert ended.value.code == 2
    assert "four numbers" in capsys.readouterr().err


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
        (["match", "{image}", "--csv", "{tmp}/a.txt"], "a.txt"),
        (["match", "{image}", "--npz", "{tmp}/a"], "a.npz"),
        (["match", "{image}", "--csv", "{tmp}/no/such/a.csv"], "a_anchors.csv"),
        (["render", "{image}", "--out", "{tmp}/picture.docx"], "picture.docx"),
        (["render", "{image}", "--out", "{tmp}/a.png", "--format", "svg"], "asks for PNG"),
        (["render", "{image}", "--out", "{tmp}/{name}.png"], "{name}"),
        (["render", "{image}", "--out", "{tmp}/a.png", "--scale", "0"], "scale is 0"),
        (["render", "{image}", "--out", "{tmp}/a.png", "--crop", "500,0,600,9"], "outside the image of 80 x 60"),
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


@pytest.mark.parametrize("option", ["--json", "--csv", "--npz"])
def test_what_was_read_is_never_written_over(tmp_path, capsys, option):
    for name in ("coins.png", "instances.json"):
        shutil.copy(sample_images() / name, tmp_path / name)
    document = json.loads((tmp_path / "instances.json").read_text())
    document["images"] = [image for image in document["images"] if image["file_name"] == "coins.png"]
    ids = {image["id"] for image in document["images"]}
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    source = tmp_path / "instances.json"
    source.write_text(json.dumps(document))
    link = tmp_path / "link.json"
    link.symlink_to(source)
    before = source.read_bytes()
    for place in (source, link):
        assert cli.main(["match", str(source), option, str(place)]) == 2
        assert source.read_bytes() == before
    assert "would overwrite instances.json" in capsys.readouterr().err or option != "--json"


def test_a_private_file_stays_private(tmp_path):
    place = tmp_path / "params.json"
    place.write_text("{}")
    place.chmod(0o600)
    image = str(sample_images() / "empty.png")
    assert cli.main(["match", image, "--json", str(place)]) == 0
    assert place.stat().st_mode & 0o777 == 0o600


def explained(capsys, *words):
    assert cli.main(["explain", *map(str, words), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("preset", ["torchvision", "mmdetection", "py-faster-rcnn"])
def test_every_fix_that_is_printed_does_what_it_says(tmp_path, capsys, preset):
    """As a user would: the patch merged into the printed parameters, given back with --params."""
    given = [sample_images() / "tiny_objects.png", "--annotations", ANNOTATIONS, "--preset", preset]
    (image,) = explained(capsys, *given)
    assert cli.main(["params", "--preset", preset]) == 0
    document = json.loads(capsys.readouterr().out)
    tried = 0
    for gt in image["gts"][::9]:
        for fix in gt["fixes"][:2]:
            merged = {**document, **{group: {**document[group], **values} for group, values in fix["patch"].items()}}
            place = tmp_path / "params.json"
            place.write_text(json.dumps(merged))
            (again,) = explained(capsys, *given[:3], "--params", place, "--no-fixes")
            after = again["gts"][gt["index"]]
            assert after["rank"] == fix["rank_after"]
            assert after["positives"] == fix["positives_after"]
            assert after["best_iou"] == fix["best_iou_after"]
            tried += 1
    assert tried >= 3


def test_explain_has_the_fields_that_are_promised(capsys):
    (image,) = explained(capsys, COINS, "--annotations", ANNOTATIONS)
    assert set(image) == {"file_name", "width", "height", "resized_size", "input_size", "gts"}
    assert len(image["gts"]) == 24
    wanted = "index id category bbox bbox_input rank cause left_out_by notes positives forced positives_at_zero_iou "
    wanted += "best_iou budget threshold needed stolen_by sampling fixes views"
    for gt in image["gts"]:
        assert set(gt) == set(wanted.split())
        assert set(gt["budget"]) == {"shape", "grid", "allowed", "own"}
        for fix in gt["fixes"]:
            names = "patch text rank_after positives_after best_iou_after anchors_added gained lost views_after"
            assert set(fix) == set(names.split())


def test_explain_tells_of_every_training_view(tmp_path, capsys):
    given = [COINS, "--annotations", ANNOTATIONS, "--preset", "detectron2", "--no-fixes"]
    (plain,) = explained(capsys, *given)
    assert all(gt["views"] == [] for gt in plain["gts"])
    assert cli.main(["params", "--preset", "detectron2", "--usual-views"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["train_views"]["min_sizes"] == [640, 672, 704, 736, 768, 800]
    place = tmp_path / "params.json"
    place.write_text(json.dumps(document))
    (by_document,) = explained(capsys, *given[:3], "--params", place, "--no-fixes")
    (image,) = explained(capsys, *given, "--usual-views")
    assert image == by_document
    for gt, alone in zip(image["gts"], plain["gts"], strict=True):
        assert [view["name"] for view in gt["views"]][:3] == ["640 px", "640 px · flipped", "672 px"]
        *_, whole, _ = gt["views"]
        assert (whole["min_size"], whole["flip"], whole["crop"], whole["padded_size"]) == (
            800,
            False,
            None,
            [800, 1024],
        )
        assert {key: whole[key] for key in ("rank", "positives", "best_iou")} == {
            key: alone[key] for key in ("rank", "positives", "best_iou")
        }
        assert 0 <= gt["sampling"]["chance"] <= 1


def test_explain_finds_what_helps_in_every_view(capsys):
    given = [sample_images() / "elongated.png", "--annotations", ANNOTATIONS, "--only-problems"]
    (image,) = explained(capsys, *given, "--usual-views", "--in-views")
    found = [fix["views_after"] for gt in image["gts"] for fix in gt["fixes"]]
    assert found
    assert all(after == {"matched": 2, "views": 2} for after in found)
    assert cli.main(["explain", *map(str, given), "--in-views"]) == 2
    assert "there are no training views" in capsys.readouterr().err


def test_explain_says_how_far_it_is_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    given = [sample_images() / "elongated.png", "--annotations", ANNOTATIONS, "--only-problems", "--json", "-"]
    assert cli.main(["explain", *map(str, given)]) == 0
    told = capsys.readouterr()
    assert "explaining, image 1 of 1, box 2 of " in told.err
    assert told.err.endswith("\r\033[K")
    json.loads(told.out)


def test_explain_narrows_down_and_fails_on_demand(capsys):
    tiny = [sample_images() / "tiny_objects.png", "--annotations", ANNOTATIONS, "--preset", "mmdetection", "--no-fixes"]
    (image,) = explained(capsys, *tiny, "--only-unmatched")
    assert {gt["rank"] for gt in image["gts"]} == {"none"}
    (problems,) = explained(capsys, *tiny, "--only-problems")
    assert len(problems["gts"]) > len(image["gts"])
    assert cli.main(["explain", *map(str, tiny), "--fail-under", "0.5"]) == 1
    assert "have a positive anchor" in capsys.readouterr().err
    assert cli.main(["explain", *map(str, tiny), "--fail-under", "0.05"]) == 0


def test_diff_names_the_field(capsys):
    tiny = [str(sample_images() / "tiny_objects.png"), "--annotations", str(ANNOTATIONS)]
    assert cli.main(["diff", *tiny, "--preset", "torchvision", "--against", "mmdetection", "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["preset"], document["against"]) == ("torchvision", "mmdetection")
    (image,) = document["images"]
    assert len(image["gts"]) == image["boxes"] == 42
    assert 0 < image["anchors_differ"] < image["a"]["anchors"] == sum(image["a"]["states"].values())
    lost = [gt for gt in image["gts"] if gt["b"]["rank"] == "none"]
    assert lost
    assert all(gt["a"]["rank"] == "forced" and gt["fields"] == [["match.min_pos_iou"]] for gt in lost)
    (effect,) = [found for found in image["effects"] if found["fields"][0]["field"] == "match.min_pos_iou"]
    assert (effect["fields"][0]["a"], effect["fields"][0]["b"]) == (0.0, 0.3)
    assert {gt["index"] for gt in lost} <= set(effect["gts"])


def test_diff_for_reading(capsys):
    nested = [str(sample_images() / "nested.png"), "--annotations", str(ANNOTATIONS)]
    assert cli.main(["diff", *nested, "--against", "mmdetection"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "torchvision against mmdetection"
    assert lines[1].startswith("nested.png: 5 of 10 boxes fare differently, 16 of ")
    assert lines[2] == "  #0 frame: none (0 positive) -> matched (1 positive): conventions.forced_target"


def test_diff_of_two_documents(capsys, tmp_path):
    lower = tmp_path / "lower.json"
    lower.write_text(json.dumps({"preset": "detectron2", "match": {"fg_iou_thresh": 0.5}}))
    given = [str(COINS), "--annotations", str(ANNOTATIONS), "--preset", "detectron2", "--against-params", str(lower)]
    assert cli.main(["diff", *given, "--json", str(tmp_path / "diff.json")]) == 0
    assert capsys.readouterr().out == ""
    (image,) = json.loads((tmp_path / "diff.json").read_text())["images"]
    assert image["gts"]
    assert {tuple(fields) for gt in image["gts"] for fields in gt["fields"]} == {("match.fg_iou_thresh",)}
    before = lower.read_bytes()
    assert cli.main(["diff", *given, "--json", str(lower)]) == 2
    assert lower.read_bytes() == before


def test_diff_needs_something_to_compare_with(capsys):
    assert cli.main(["diff", str(COINS)]) == 2
    assert "--against" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--fail-under", "95"), ("--weak-iou", "5"), ("--fail-under", "-0.1")])
def test_shares_are_from_0_to_1(capsys, option, value):
    with pytest.raises(SystemExit) as caught:
        cli.main(["explain", str(sample_images() / "instances.json"), option, value])
    assert caught.value.code == 2
    assert "is not from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["explain"], ["diff", "--against", "mmdetection"]])
def test_without_boxes_it_says_how_to_give_them(capsys, command):
    assert cli.main([command[0], str(sample_images() / "coins.png"), *command[1:]]) == 0
    assert "--annotations FILE" in capsys.readouterr().err


def test_proposals_as_coco_results_funnel_and_dump(tmp_path, capsys):
    words = ["proposals", str(sample_images() / "coins.png"), "--annotations", str(sample_images() / "instances.json")]
    out, funnel, dumps = tmp_path / "results.json", tmp_path / "funnel.json", tmp_path / "dumps"
    assert cli.main([*words, "--json", str(out), "--funnel", str(funnel), "--dump", str(dumps)]) == 0
    results = json.loads(out.read_text())
    (table,) = json.loads(funnel.read_text())
    stages = {stage["name"]: stage for stage in table["stages"]}
    assert stages["top_n"]["count"] == len(results) == table["fates"]["kept"]
    assert set(results[0]) == {"image_id", "category_id", "bbox", "score"}
    scores = [entry["score"] for entry in results]
    assert scores == sorted(scores, reverse=True)
    for before, after in itertools.pairwise(table["stages"]):
        assert before["count"] == after["count"] + after["dropped"]
        assert sum(after["per_level"]) == after["count"]
    # pycocotools reads them.
    x, y, width, height = np.array([entry["bbox"] for entry in results]).T
    assert x.min() >= 0
    assert (x + width).max() <= 384 + 1e-3
    assert (y + height).max() <= 303 + 1e-3
    assert stages["top_n"]["recall"]["0.5"] == 1.0, "the sample model finds all 24 coins"
    assert stages["all"]["recall"]["0.7"] < stages["top_n"]["recall"]["0.7"], "regression is what lifts it"
    # The dump is a model that gives the same.
    again = tmp_path / "again.json"
    assert cli.main([*words, "--model", str(dumps), "--json", str(again)]) == 0
    assert json.loads(again.read_text()) == results


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing is asked for"),
        (["--json", "-", "--preset", "keras-retinanet"], "has no region proposals"),
        (["--json", "-", "--model-option", "colour=red"], "there is no option"),
        (["--json", "-", "--model", "gone.pth"], "cannot be read"),
        (["--json", "-", "--funnel", "-"], "go to the same place"),
        (["--json", "both.json", "--funnel", "./both.json"], "go to the same place"),
    ],
)
def test_proposals_that_cannot_be_made(capsys, words, message):
    assert cli.main(["proposals", str(sample_images() / "coins.png"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_model_option_is_key_and_value(capsys):
    with pytest.raises(SystemExit):
        cli.main(["proposals", "x.png", "--json", "-", "--model-option", "red"])
    assert "is not KEY=VALUE" in capsys.readouterr().err


def recorded(path, **changes):
    """A dump of the sample model on the coins, changed."""
    record = next(record for record in sample_dataset().images if record.file_name == "coins.png")
    result = run_model(record, presets.load("torchvision"), open_model(None))
    path.write_bytes(dump_bytes(result, "coins.png"))
    with np.load(path) as archive:
        arrays = {name: np.array(archive[name]) for name in archive.files}
    for name, change in changes.items():
        arrays[name.replace("__", ".")] = change(arrays[name.replace("__", ".")])
    np.savez_compressed(path, **arrays)
    return path


def unbounded(deltas):
    """Boxes far out of all numbers."""
    deltas[:, 2:] = 1e4
    return deltas


def test_proposals_that_are_no_numbers_are_left_out_and_told(tmp_path, capsys):
    # Matterport's decoder has no clamp, so exp() overflows, and its clip keeps what is undefined.
    path = recorded(
        tmp_path / "odd.npz",
        level0__deltas=unbounded,
        preset=lambda _: np.array("matterport"),
        delta_clip=lambda _: np.array("-1"),
    )
    out = tmp_path / "results.json"
    words = ["proposals", str(sample_images() / "coins.png"), "--model", str(path), "--preset", "matterport"]
    assert cli.main([*words, "--json", str(out), "--funnel", str(tmp_path / "funnel.json")]) == 0
    (table,) = json.loads((tmp_path / "funnel.json").read_text())
    results = json.loads(out.read_text())
    assert 0 < len(results) < table["fates"]["kept"]
    left_out = table["fates"]["kept"] - len(results)
    assert f"coins.png: {left_out:,} of {table['fates']['kept']:,} proposals are infinite" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["proposals", "render"])
def test_odd_outputs_and_assumed_answers_are_told_once(tmp_path, capsys, command):
    state = as_detectron2(torchvision_state())
    state["proposal_generator.rpn_head.objectness_logits.bias"][0] = np.nan
    model = tmp_path / "model_final.pkl"
    model.write_bytes(pickle.dumps({"model": state, "__author__": "somebody"}))
    images = tmp_path / "images"
    images.mkdir()
    for name in ("coins.png", "again.png"):
        shutil.copy(sample_images() / "coins.png", images / name)
    words = [command, str(images), "--preset", "detectron2", "--model", str(model)]
    more = {"proposals": ["--dump", str(tmp_path / "out")], "render": ["--stage", "kept", "--out", f"{tmp_path}/out/"]}
    assert cli.main([*words, *more[command], "--model-option", "pixel_std=57"]) == 0
    told = capsys.readouterr().err
    assert told.count("outputs are infinite or undefined") == 1
    assert told.count("these were assumed: stride_in_1x1=yes, channel_order=bgr. --model-option") == 1


def test_what_is_answered_or_sound_is_not_told(tmp_path, capsys):
    write_sidecar(tmp_path / "model.pth", {"style": "pytorch"})
    state = as_mmdetection(torchvision_state())
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "model.pth")
    words = ["proposals", str(sample_images() / "coins.png"), "--dump", str(tmp_path / "out")]
    assert cli.main([*words, "--model", str(tmp_path / "model.pth")]) == 0
    assert "assumed" not in capsys.readouterr().err
    assert cli.main(words) == 0
    assert capsys.readouterr().err == ""


def test_files_of_a_training_that_are_no_steps_are_told(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for number in (1, 2):
        state = torchvision_state(seed=number)
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, folder / f"epoch_{number}.pth")
    torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pth")
    words = ["proposals", str(sample_images() / "coins.png"), "--dump", str(tmp_path / "out"), "--model", str(folder)]
    assert cli.main(words) == 0
    assert "left out of run: optimizer.pth\noptimizer.pth: it holds 0 tensors" in capsys.readouterr().err


def write_capture(folder, **options):
    sys.path.insert(0, str(Path(__file__).parent / "core"))
    import made_capture

    return made_capture.write_capture(folder, **options), made_capture.small()


@pytest.fixture
def small_document(tmp_path):
    def write(**match):
        _, preset = write_capture(tmp_path / "unused")
        document = presets.to_document(presets.load("torchvision"), preset.params.with_values("match", **match))
        path = tmp_path / "params.json"
        path.write_text(json.dumps(document))
        return path

    return write


def test_replay_says_that_nothing_differs(tmp_path, capsys, small_document):
    write_capture(tmp_path / "captures", steps=2)
    assert cli.main(["replay", str(tmp_path / "captures"), "--params", str(small_document())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step_00000000.npz, step 0, 2 images: trainer ")
    assert lines[0].endswith(", 0 differ")
    assert lines[1].startswith("  losses of the sampled anchors: objectness ")
    assert len(lines) == 4


def test_replay_names_the_field_that_differs(tmp_path, capsys, small_document):
    (path,), _ = write_capture(tmp_path / "captures")
    assert cli.main(["replay", str(path), "--params", str(small_document(fg_iou_thresh=0.5))]) == 1
    out = capsys.readouterr().out
    assert ", 0 differ" not in out
    assert "  explained by match.fg_iou_thresh: 0.5 here, 0.7 at the trainer" in out


def test_replay_does_not_pass_where_nothing_is_compared(tmp_path, capsys, small_document):
    none = dict.fromkeys(("labels", "sampled_positive", "sampled_negative", "target_anchor", "target_deltas"))
    write_capture(tmp_path / "captures", **none)
    assert cli.main(["replay", str(tmp_path / "captures"), "--params", str(small_document())]) == 1
    out = capsys.readouterr().out
    assert "no label is compared" in out


def test_replay_does_not_pass_where_the_mini_batch_contradicts_the_labels(tmp_path, capsys, small_document):
    document = small_document()
    import made_capture

    given = made_capture.made_step()
    write_capture(
        tmp_path / "captures", sampled_positive=given["sampled_negative"], sampled_negative=given["sampled_positive"]
    )
    assert cli.main(["replay", str(tmp_path / "captures"), "--params", str(document)]) == 1
    assert "drawn with another label" in capsys.readouterr().out


def test_replay_names_the_cause_of_a_step_that_is_not_finite_as_json(tmp_path, capsys, small_document):
    import made_capture

    deltas = made_capture.made_step()["deltas"]
    deltas[1][4, 2] = np.nan
    (path,), _ = write_capture(tmp_path / "captures", deltas=deltas, losses={"loss_rpn_box_reg": float("nan")})
    arguments = ["replay", str(path), "--params", str(small_document()), "--json", "-"]
    assert cli.main(arguments) == 1
    (table,) = json.loads(capsys.readouterr().out)
    assert (table["finite"], table["equal"], table["losses"]) == (False, True, {"loss_rpn_box_reg": None})
    assert (table["cause"]["where"], table["cause"]["image"]) == ("deltas", 1)
    assert table["images"][0]["trainer"] == table["images"][0]["rpnviz"]


def test_replay_refuses_what_is_no_capture(tmp_path, capsys):
    np.savez(tmp_path / "weights.npz", a=np.zeros(3))
    assert cli.main(["replay", str(tmp_path / "weights.npz")]) == 2
    assert "docs/capture.md says what it must hold" in capsys.readouterr().err
    assert cli.main(["replay", str(tmp_path)]) == 2
    assert "holds no captured step" in capsys.readouterr().err


def test_a_capture_is_not_overwritten_by_its_report(tmp_path, capsys):
    (path,), _ = write_capture(tmp_path)
    before = path.read_bytes()
    assert cli.main(["replay", str(path), "--json", str(path)]) == 2
    assert path.read_bytes() == before
    assert "would overwrite the capture" in capsys.readouterr().err


def test_a_log_is_compared_with_what_the_data_set_gives(tmp_path, capsys):
    log = tmp_path / "metrics.json"
    log.write_text('{"iteration": 19, "rpn/num_pos_anchors": 1.5, "rpn/num_neg_anchors": 254.5}\n')
    arguments = ["check-log", str(log), str(ANNOTATIONS)]
    assert cli.main(arguments) == 1
    assert "The log's 1.5 positives per image lie below the " in capsys.readouterr().out
    cli.main([*arguments, "--json", "-", "--batch", "4"])
    table = json.loads(capsys.readouterr().out)
    expected = table["expected"]
    assert expected["batch"] == 4
    assert 1.5 < expected["low"] < expected["mean"] < expected["high"]
    log.write_text(f"num_pos_anchors: {expected['mean']}\n")
    assert cli.main(arguments) == 0
    assert " lie within the " in capsys.readouterr().out
    log.write_text("loss: 1\n")
    assert cli.main(arguments) == 2


def test_a_log_is_compared_with_the_training_views(tmp_path, capsys):
    log = tmp_path / "log.txt"
    log.write_text("num_pos_anchors: 12\n")
    document = tmp_path / "params.json"

    def mean_of(sides):
        views = {"min_sizes": sides} if sides else -1
        document.write_text(json.dumps({"preset": "torchvision", "train_views": views}))
        cli.main(["check-log", str(log), str(ANNOTATIONS), "--params", str(document), "--json", "-"])
        return json.loads(capsys.readouterr().out)["expected"]["mean"]

    alone, small, both = mean_of(None), mean_of([300]), mean_of([300, 800])
    assert small != alone
    assert both == pytest.approx((alone + small) / 2)


def test_replay_need_not_look_for_the_reason(tmp_path, capsys, small_document):
    write_capture(tmp_path / "captures")
    document = str(small_document(fg_iou_thresh=0.5))
    assert cli.main(["replay", str(tmp_path / "captures"), "--params", document, "--no-search"]) == 1
    out = capsys.readouterr().out
    assert "explained by" not in out
    assert "explains it" not in out, "that would say that nothing was found"
