"""The recorder: what it writes, what it keeps within bounds, and that it never ends a training."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import rpnviz

sys.path.insert(0, str(Path(__file__).parent / "core"))

from made_capture import MEAN, PADDED, STD, made_step, recorder, write_capture

from rpnviz.capture import Recorder, as_array, torchvision


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("statement", ["import rpnviz.capture", "from rpnviz import capture"])
def test_it_loads_numpy_alone(statement):
    code = f"{statement}\nimport sys\nprint(sorted({{'PySide6', 'torch', 'cv2', 'rpnviz.core'}} & set(sys.modules)))"
    root = Path(rpnviz.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"


def test_the_file_stands_alone_beside_a_script(tmp_path):
    (tmp_path / "capture.py").write_text((Path(rpnviz.__file__).parent / "capture.py").read_text())
    code = "import capture, sys\nprint([name for name in sys.modules if name.startswith('rpnviz')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"


def test_tensors_and_arrays_of_any_kind_are_taken():
    weights = torch.ones(3, requires_grad=True)
    assert as_array(weights * 2).tolist() == [2, 2, 2]
    assert as_array(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    assert as_array(np.ones(2, np.float16)).dtype == np.float32
    with pytest.raises(TypeError):
        as_array(object())


def test_the_pixels_are_bytes_again_and_the_normalisation_is_stated(tmp_path):
    given = made_step(seed=3)
    recorder(tmp_path).step(**given)
    with np.load(tmp_path / "step_00000000.npz", allow_pickle=False) as file:
        wanted = np.random.default_rng(3).integers(0, 256, (2, *PADDED, 3)).astype(np.uint8)
        assert np.array_equal(file["images"], wanted)
        assert file["mean"].tolist() == list(MEAN)
        assert file["std"].tolist() == list(STD)


def test_the_arrays_that_hardly_shrink_are_stored_as_they_are(tmp_path):
    (path,) = write_capture(tmp_path)
    with zipfile.ZipFile(path) as archive:
        kinds = {entry.filename: entry.compress_type for entry in archive.infolist()}
    stored = {name for name, kind in kinds.items() if kind == zipfile.ZIP_STORED}
    assert stored == {f"image{number}.{name}.npy" for number in (0, 1) for name in ("objectness", "deltas")}


def test_bgr_becomes_rgb_and_unknown_pixels_stay_as_given(tmp_path):
    given = made_step()
    Recorder(tmp_path / "a", every=1, channels="bgr").step(**given)
    with np.load(tmp_path / "a" / "step_00000000.npz") as file:
        assert file["images"].dtype == np.float32
        assert np.array_equal(file["images"][0, :, :, 0], given["images"][0, 2])


def test_pixels_that_are_no_number_are_not_hidden_in_bytes(tmp_path):
    given = made_step()
    given["images"][1, 0, 3, 4] = np.nan
    recorder(tmp_path).step(**given)
    with np.load(tmp_path / "step_00000000.npz") as file:
        assert np.isnan(file["images"]).sum() == 1


def test_every_nth_step_and_each_that_is_not_finite_is_written(tmp_path):
    writer = recorder(tmp_path, every=4)
    for step in range(10):
        losses = {"loss": math.nan if step == 6 else 1.0}
        assert writer.due(losses) == (step in (0, 4, 6, 8))
        writer.step(**{**made_step(), "losses": losses})
    wanted = ["step_00000000.npz", "step_00000004.npz", "step_00000006_nonfinite.npz", "step_00000008.npz"]
    assert names(tmp_path) == wanted


def test_a_training_that_stays_nan_writes_the_first_ten_alone(tmp_path):
    writer = recorder(tmp_path)
    for _ in range(14):
        writer.step(**{**made_step(), "losses": {"loss": math.inf}})
    assert len(names(tmp_path)) == 10
    assert not writer.off


def test_the_oldest_finite_steps_make_room(tmp_path):
    size = write_capture(tmp_path / "one")[0].stat().st_size
    writer = recorder(tmp_path / "many", limit_mb=3.5 * size / 1e6)
    for step in range(8):
        writer.step(**{**made_step(seed=step), "losses": {"loss": math.nan if step == 1 else 1.0}})
        assert sum(path.stat().st_size for path in (tmp_path / "many").iterdir()) <= 3.5 * size
    assert names(tmp_path / "many") == ["step_00000001_nonfinite.npz", "step_00000006.npz", "step_00000007.npz"]


def some_step(writer, number, size=64, loss=1.0):
    """A step of noise, of about 3 * size * size bytes."""
    pixels = np.random.default_rng(number).integers(0, 255, (1, 3, size, size)).astype(np.uint8)
    writer.step(pixels, {"loss": loss}, boxes=[np.array([[1.0, 1, 20, 20]])], step=number)


def test_a_restarted_run_takes_the_room_of_the_older_one(tmp_path):
    first = Recorder(tmp_path, every=1, limit_mb=0.1)
    for number in range(5000, 5010):
        some_step(first, number)
    second = Recorder(tmp_path, every=1, limit_mb=0.1)
    for number in range(10):
        some_step(second, number)
    kept = names(tmp_path)
    assert kept == [f"step_{number:08d}.npz" for number in range(10 - len(kept), 10)]
    assert len(kept) > 3
    assert not second.off


def test_a_step_that_cannot_fit_is_left_out_and_nothing_goes_for_it(tmp_path):
    writer = Recorder(tmp_path, every=1, limit_mb=0.1)
    for number in range(4):
        some_step(writer, number)
    before = names(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"a step needs 0\.[45] MB beside .* larger limit_mb") as told:
        some_step(writer, 4, size=400)
    assert len(told) == 1
    some_step(writer, 5, size=400)  # a second warning would be an error
    assert names(tmp_path) == before
    some_step(writer, 6)
    some_step(writer, 7, loss=math.nan)
    assert {"step_00000006.npz", "step_00000007_nonfinite.npz"} <= set(names(tmp_path))
    assert not writer.off


def test_restarts_that_end_in_nan_do_not_fill_the_disk(tmp_path):
    for run in range(14):
        writer = Recorder(tmp_path, every=1)
        for number in range(12):
            some_step(writer, 1000 * run + number, loss=math.nan)
    kept = names(tmp_path)
    assert len(kept) == 10
    # The first of each of the latest runs: what broke it is there.
    assert kept == [f"step_{1000 * run:08d}_nonfinite.npz" for run in range(4, 14)]


def test_steps_that_are_not_finite_keep_to_the_limit_but_for_the_first_of_a_run(tmp_path):
    for run in range(3):
        writer = Recorder(tmp_path, every=1, limit_mb=0.05)
        for number in range(12):
            some_step(writer, 1000 * run + number, loss=math.nan)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 50_000
        assert f"step_{1000 * run:08d}_nonfinite.npz" in names(tmp_path)
    some_step(Recorder(tmp_path, every=1, limit_mb=0.001), 5000, loss=math.nan)
    assert names(tmp_path) == ["step_00005000_nonfinite.npz"]


def test_a_step_of_an_earlier_run_that_is_not_finite_is_not_written_over(tmp_path):
    for _ in range(2):
        some_step(Recorder(tmp_path, every=1), 7, loss=math.nan)
    assert len(names(tmp_path)) == 2
    assert all(name.startswith("step_00000007") and name.endswith("_nonfinite.npz") for name in names(tmp_path))


def test_what_killed_jobs_left_half_written_is_counted_and_then_removed(tmp_path):
    left = tmp_path / ".step_00000003-1.part"
    left.write_bytes(b"x" * 95_000)
    writer = Recorder(tmp_path, every=1, limit_mb=0.1)
    with pytest.warns(RuntimeWarning, match="larger limit_mb"):
        some_step(writer, 0)
    assert names(tmp_path) == [left.name]
    os.utime(left, (left.stat().st_mtime - 3600,) * 2)
    some_step(writer, 1)
    assert names(tmp_path) == ["step_00000001.npz"]


def test_or_it_stops_when_full(tmp_path):
    size = write_capture(tmp_path / "one")[0].stat().st_size
    writer = recorder(tmp_path / "many", limit_mb=2.5 * size / 1e6, when_full="stop")
    for step in range(5):
        writer.step(**made_step(seed=step))
    assert names(tmp_path / "many") == ["step_00000000.npz", "step_00000001.npz"]
    assert not writer.off


def test_other_files_of_the_folder_are_left_alone(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"x" * 5_000_000)
    size = write_capture(tmp_path)[0].stat().st_size
    writer = recorder(tmp_path, limit_mb=1.5 * size / 1e6)
    writer.step(**made_step())
    assert "weights.npz" in names(tmp_path)


BROKEN = {
    "no folder can be made": lambda folder, given: (folder.write_text("a file"), given)[1],
    "images of a wrong shape": lambda folder, given: given | {"images": np.zeros((2, 5))},
    "boxes that are no boxes": lambda folder, given: given | {"boxes": [object(), object()]},
    "losses that are no numbers": lambda folder, given: given | {"losses": {"loss": "high"}},
    "nothing at all": lambda folder, given: given | {"images": None, "boxes": None},
}


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_goes_wrong_is_one_warning_and_then_silence(tmp_path, name):
    folder = tmp_path / "captures"
    writer = recorder(folder)
    given = BROKEN[name](folder, made_step())
    with pytest.warns(RuntimeWarning, match="rpnviz.capture is off from now on") as told:
        writer.step(**given)
    assert len(told) == 1
    writer.step(**given)  # a second warning would be an error
    assert writer.off
    assert not folder.is_dir() or not names(folder)


def test_where_warnings_are_errors_the_training_goes_on_too(tmp_path):
    recorder(tmp_path).step(**made_step() | {"images": np.zeros(3)})  # this test run has them so


def test_what_is_half_written_is_not_left(tmp_path, monkeypatch):
    def fails(*arguments, **named):
        raise OSError("the disk is full")

    writer = recorder(tmp_path)
    monkeypatch.setattr("os.replace", fails)
    with pytest.warns(RuntimeWarning, match="the disk is full"):
        writer.step(**made_step())
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"limit_mb": 0}, {"when_full": "ask"}, {"channels": "hsv"}, {"std": None}]
)
def test_wrong_options_are_refused_before_the_training(tmp_path, options):
    with pytest.raises(ValueError, match=r"expected|belong together"):
        recorder(tmp_path, **options)


def test_a_model_without_an_rpn_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Linear has no RPN"):
        torchvision(torch.nn.Linear(2, 2), tmp_path)
