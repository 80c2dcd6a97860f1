"""Whatever the user names: images, folders, annotation files, and both together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rpnviz.datasets.folder import image_files, natural_order
from rpnviz.datasets.registry import open_dataset
from rpnviz.errors import AnnotationError, ImageFileError


def box(image_id=1, id_=1):
    return {"id": id_, "image_id": image_id, "category_id": 7, "bbox": [1, 2, 3, 4]}


def names(dataset):
    return [record.file_name for record in dataset.images]


# -------------------------------------------------------------------------------------------------------- plain images


def test_one_image(make_image):
    path = make_image("Größe.png")
    dataset = open_dataset([path])
    assert (dataset.name, dataset.source, dataset.categories, dataset.findings) == ("Größe.png", path, (), ())
    (record,) = dataset.images
    assert (record.path, record.size, record.image_id, len(record.gt)) == (path, None, None, 0)


def test_several_images_keep_their_order(make_image):
    dataset = open_dataset([make_image("b.png"), make_image("a.png")])
    assert names(dataset) == ["b.png", "a.png"]
    assert dataset.name == "2 images"


def test_folder_in_natural_order(make_image, tmp_path):
    for name in ("10.png", "9.PNG", "a2.png", "A10.png", "a1.png", ".hidden.png", "sub/inner.png"):
        make_image(name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.png").mkdir()
    dataset = open_dataset([tmp_path])
    assert names(dataset) == ["9.PNG", "10.png", "a1.png", "a2.png", "A10.png"]
    assert dataset.name == tmp_path.name


def test_natural_order_of_odd_digits():
    odd = ["x²", "x3", "x１", "", "7", "x"]
    assert sorted(odd, key=natural_order)[:2] == ["", "7"]


def test_missing_file(tmp_path):
    with pytest.raises(ImageFileError, match=r"nowhere\.png.*does not exist"):
        open_dataset([tmp_path / "nowhere.png"])
    with pytest.raises(AnnotationError, match=r"nowhere\.json.*does not exist"):
        open_dataset([tmp_path / "nowhere.json"])


def test_folder_without_images(tmp_path):
    with pytest.raises(ImageFileError, match=r"holds no image.*\.png"):
        open_dataset([tmp_path])
    (tmp_path / "inside").mkdir()
    with pytest.raises(ImageFileError, match="inside"):
        open_dataset([tmp_path])


def test_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(ImageFileError, match="cannot be listed"):
        image_files(tmp_path / "nowhere")


def test_nothing_and_too_much(make_image, write_coco, tmp_path):
    with pytest.raises(AnnotationError, match="nothing"):
        open_dataset([])
    with pytest.raises(AnnotationError, match="2 annotation files"):
        open_dataset([write_coco(), write_coco(name="b.json")])
    with pytest.raises(AnnotationError, match="a folder and 1 more"):
        open_dataset([tmp_path, make_image()])


# --------------------------------------------------------------------------------------------------- annotation files


def test_annotation_file(make_image, write_coco):
    make_image()
    path = write_coco([box()])
    for dataset in (open_dataset([path]), open_dataset([], path)):
        assert names(dataset) == ["a.png"]
        assert len(dataset.images[0].gt) == 1


def test_annotation_file_of_any_name(make_image, write_coco):
    make_image()
    assert len(open_dataset([], write_coco(name="labels.txt")).images) == 1


def test_folder_uses_the_one_annotation_file_in_it(make_image, write_coco, tmp_path):
    make_image()
    write_coco([box()])
    (tmp_path / "settings.json").write_text("{}")
    dataset = open_dataset([tmp_path])
    assert len(dataset.images[0].gt) == 1
    assert dataset.findings == ()


def test_folder_uses_the_one_in_annotations(make_image, write_coco, tmp_path):
    make_image("val/a.png")
    write_coco([box()], name="annotations/instances_val.json")
    dataset = open_dataset([tmp_path])
    assert dataset.images[0].path == tmp_path / "val" / "a.png"
    assert dataset.findings == ()


def test_folder_with_several_annotation_files(make_image, write_coco, tmp_path):
    make_image()
    write_coco(name="train.json")
    write_coco(name="val.json")
    dataset = open_dataset([tmp_path])
    assert dataset.name == "train.json"
    (finding,) = dataset.findings
    assert (finding.severity, finding.kind) == ("note", "choice")
    assert "val.json (COCO JSON)" in finding.what
    assert "--annotations" in finding.way_out


@pytest.mark.parametrize("place", ["", "images/"])
def test_folder_beside_its_annotation_files(make_image, write_coco, tmp_path, place):
    """COCO's own layout, and datumaro's: the folder of a split takes the file of that split."""
    for split in ("train2017", "val2017"):
        make_image(f"{place}{split}/{split}.png")
        write_coco(images=[{"id": 1, "file_name": f"{split}.png"}], name=f"annotations/instances_{split}.json")
    for split in ("train2017", "val2017"):
        dataset = open_dataset([tmp_path / place / split])
        assert (dataset.name, dataset.findings) == (f"instances_{split}.json", ())
        assert dataset.images[0].path.exists()


def test_folder_with_a_broken_annotation_file(make_image, tmp_path):
    make_image()
    (tmp_path / "instances.json").write_text('{"images": [')
    dataset = open_dataset([tmp_path])
    assert names(dataset) == ["a.png"]
    (finding,) = dataset.findings
    assert finding.where == "instances.json"
    assert "ends in the middle" in finding.what


def test_folder_with_a_file_per_image(make_image, write_coco, tmp_path):
    """Other tools write one JSON beside each image; they are not opened one by one."""
    for index in range(30):
        make_image(f"{index}.png")
        (tmp_path / f"{index}.json").write_text("broken {")
    write_coco(images=[{"id": 1, "file_name": "0.png"}])
    dataset = open_dataset([tmp_path])
    assert names(dataset) == ["0.png"]
    (note,) = dataset.findings
    assert "(29)" in note.what


def test_folder_with_an_annotation_file_from_elsewhere(make_image, write_coco, tmp_path):
    path = make_image("pictures/a.png")
    make_image("pictures/extra.png")
    file = write_coco([box()], name="elsewhere/labels.json")
    dataset = open_dataset([path.parent], file)
    assert dataset.images[0].path == path
    (note,) = dataset.findings
    assert note.severity == "note"
    assert "extra.png" in note.what


def test_folder_whose_images_are_in_a_folder_of_it(make_image, write_coco, tmp_path):
    path = make_image("set/images/a.png")
    dataset = open_dataset([tmp_path / "set"], write_coco([box()], name="set/annotations.json"))
    assert (dataset.findings, dataset.images[0].path) == ((), path)


# ------------------------------------------------------------------------------------- images with an annotation file


@pytest.fixture
def two_images(make_image, write_coco):
    make_image("a.png")
    make_image("b.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}, {"id": 3, "file_name": "gone.png"}]
    return write_coco([box(1, 1), box(2, 2), box(2, 3) | {"bbox": [1, 2, -3, 4]}, box(404, 4)], images)


def test_image_with_its_ground_truth(two_images, tmp_path):
    path = tmp_path / "b.png"
    for dataset in (open_dataset([path], two_images), open_dataset([two_images, path])):
        (record,) = dataset.images
        assert (record.path, record.gt.ids, dataset.name) == (path, (2, 3), "b.png")
        assert [(finding.kind, finding.image) for finding in dataset.findings] == [
            ("unknown image", None),
            ("flat", 0),
        ]


def test_images_keep_their_order_and_findings_follow(two_images, tmp_path):
    dataset = open_dataset([tmp_path / "b.png", tmp_path / "a.png"], two_images)
    assert names(dataset) == ["b.png", "a.png"]
    assert [finding.image for finding in dataset.findings if finding.kind == "flat"] == [0]


def test_image_elsewhere_is_taken_from_there(two_images, make_image):
    path = make_image("copy/a.png")
    other = make_image("third/b.png")
    dataset = open_dataset([path, other], two_images)
    assert [record.path for record in dataset.images] == [path, other]
    assert not [finding for finding in dataset.findings if "missing" in finding.what]


def test_image_that_the_file_does_not_know(two_images, make_image):
    path = make_image("gome.png")
    with pytest.raises(AnnotationError, match=r"'gome\.png'.*'gone\.png'"):
        open_dataset([path], two_images)
    dataset = open_dataset([path, path.parent / "a.png"], two_images)
    assert names(dataset) == ["a.png"]
    assert any("gome.png is not in" in finding.what for finding in dataset.findings)


def test_missing_image_is_named_before_the_file_is_read(two_images, tmp_path):
    with pytest.raises(ImageFileError, match=r"nowhere\.png.*does not exist"):
        open_dataset([tmp_path / "nowhere.png"], two_images)


def test_same_name_in_several_folders(make_image, write_coco, tmp_path):
    files = ["a.png", "x/a.png", "y/a.png", "z\\a.png"]
    for name in ("a.png", "x/a.png", "y/a.png", "z/a.png", "other/a.png"):
        make_image(name)
    file = write_coco(images=[{"id": k, "file_name": name} for k, name in enumerate(files)])
    for k, name in enumerate(("a.png", "x/a.png", "y/a.png", "z/a.png")):
        assert open_dataset([tmp_path / name], file).images[0].image_id == k
    without_plain = write_coco(images=[{"id": k, "file_name": name} for k, name in enumerate(files[1:])])
    with pytest.raises(AnnotationError, match=r"3 images .* fit"):
        open_dataset([tmp_path / "other" / "a.png"], without_plain)


def test_progress_is_passed_on(two_images, tmp_path):
    seen = []
    open_dataset([tmp_path / "a.png"], two_images, progress=seen.append)
    assert seen[-1] == 1


def test_formats_are_imported_when_needed():
    code = """
import sys
from rpnviz.datasets import registry
assert "rpnviz.datasets.coco" not in sys.modules
assert len(registry.sample_dataset().images) == 12
assert "rpnviz.datasets.coco" in sys.modules
assert not {"PySide6", "torch"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("beside", ["a.xml", "a.txt", "a.json", "../labels/a.txt", "../Annotations/a.xml"])
def test_an_image_alone_says_what_lies_beside_it(make_image, tmp_path, beside):
    image = make_image("images/a.png")
    assert open_dataset([image]).findings == ()
    (tmp_path / "images" / beside).parent.mkdir(exist_ok=True)
    (tmp_path / "images" / beside).write_text("x")
    (finding,) = open_dataset([image]).findings
    assert (finding.severity, finding.kind) == ("note", "choice")
    assert Path(beside).name in finding.what
    assert "Open the folder" in finding.way_out
