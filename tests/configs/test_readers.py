"""Each reader on the structures of real files, and on what they must not pass over."""

from __future__ import annotations

import copy
import dataclasses

import made_configs as made
import pytest

from rpnviz.configs.base import Fate
from rpnviz.configs.exporting import export_config
from rpnviz.configs.registry import read_config
from rpnviz.core import presets
from rpnviz.core.params import TopN, TrainViews, differences
from rpnviz.errors import ConfigFileError


def fates(config) -> dict[str, Fate]:
    return {note.field: note.fate for note in config.notes}


def changed(config) -> dict[str, object]:
    """What differs from the preset."""
    preset = presets.load(config.preset.name)
    return {
        field: now
        for field, _, now in differences(preset.params, config.preset.params)
        if field != "train_views"  # tested by itself
    }


FLIPPED = TrainViews(flip=True)
SIDES = (640, 672, 704, 736, 768, 800)


def without_views(config):
    preset = config.preset
    return dataclasses.replace(preset, params=preset.params.with_views(None))


# ---------------------------------------------------------------------- detectron2


@pytest.fixture
def chain(tmp_path):
    """``COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml`` over ``Base-RCNN-FPN.yaml``."""
    (tmp_path / "Base-RCNN-FPN.yaml").write_text(made.BASE_FPN, encoding="utf-8")
    folder = tmp_path / "COCO-Detection"
    folder.mkdir()
    path = folder / "faster_rcnn_R_50_FPN_3x.yaml"
    path.write_text(made.FPN_3X, encoding="utf-8")
    return path


def test_detectron2_fpn_is_the_preset_but_for_the_sides(chain):
    config = read_config(chain)
    assert config.framework == config.preset.name == "detectron2"
    assert [path.name for path in config.files] == ["faster_rcnn_R_50_FPN_3x.yaml", "Base-RCNN-FPN.yaml"]
    assert changed(config) == {"resize.min_size": 640}
    assert config.preset.conventions == presets.load("detectron2").conventions
    assert [view.min_size for view in config.train_views] == list(SIDES)
    assert config.preset.params.views == TrainViews(min_sizes=SIDES, flip=True)
    assert fates(config)["INPUT.RANDOM_FLIP"] is Fate.ASSUMED
    assert config.count(Fate.NOT_UNDERSTOOD) == 0
    assert fates(config)["SOLVER"] is Fate.NO_EFFECT
    assert next(note for note in config.notes if note.field == "SOLVER").value == "4 fields"
    assert config.summary.startswith(f"{config.count(Fate.READ)} fields read")


def test_detectron2_without_a_pyramid_has_the_bare_defaults(read):
    config = read("faster_rcnn_R_50_C4_1x.yaml", made.C4)
    params = config.preset.params
    assert params.anchors.strides == (16,)
    assert params.anchors.sizes == ((32, 64, 128, 256, 512),)
    assert params.anchors.aspect_ratios == ((0.5, 1, 2),)
    assert params.proposals.pre_nms_top_n == TopN(12000, 6000)
    assert params.proposals.post_nms_top_n == TopN(2000, 1000)
    assert params.resize.pad_multiple == 1
    assert params.resize.min_size == 640


def test_detectron2_without_an_rpn_is_refused(read):
    with pytest.raises(ConfigFileError, match=r"RetinaNet has no region proposal network"):
        read("retinanet_R_50_FPN_1x.yaml", made.RETINANET)


def test_detectron2_every_field_of_the_rpn(read):
    config = read(
        "all.yaml",
        """
        MODEL:
          ANCHOR_GENERATOR: {SIZES: [[16, 32]], ASPECT_RATIOS: [[1.0, 3.0]], OFFSET: 0.5, ANGLES: [[-90, 0, 90]]}
          PROPOSAL_GENERATOR: {NAME: RPN, MIN_SIZE: 4}
          RPN:
            IN_FEATURES: [res3, res5]
            BOUNDARY_THRESH: 0
            IOU_THRESHOLDS: [0.2, 0.6]
            IOU_LABELS: [0, -1, 1]
            BATCH_SIZE_PER_IMAGE: 128
            POSITIVE_FRACTION: 0.25
            BBOX_REG_WEIGHTS: (10.0, 10.0, 5.0, 5.0)
            PRE_NMS_TOPK_TRAIN: 1
            PRE_NMS_TOPK_TEST: 2
            POST_NMS_TOPK_TRAIN: 3
            POST_NMS_TOPK_TEST: 4
            NMS_THRESH: 8e-1
            SMOOTH_L1_BETA: 0.1
            NEW_IDEA: 3
          RESNETS: {RES5_DILATION: 2}
        INPUT: {MIN_SIZE_TRAIN: 500, MAX_SIZE_TRAIN: 900, MIN_SIZE_TEST: 600, CROP: {ENABLED: True, SIZE: [0.9, 0.9]}}
        SEED: 7
        MY_SECTION: {A: 1}
        """,
    )
    params = config.preset.params
    assert params.anchors.strides == (8, 16)  # the last stage is dilated
    assert params.anchors.sizes == ((16, 32), (16, 32))
    assert params.anchors.aspect_ratios == ((1, 3), (1, 3))
    assert params.anchors.offset == 0.5
    assert (params.match.bg_iou_thresh, params.match.fg_iou_thresh, params.match.border_thresh) == (0.2, 0.6, 0)
    assert (params.sample.batch_size_per_image, params.sample.positive_fraction, params.sample.seed) == (128, 0.25, 7)
    assert params.coder.weights == (10, 10, 5, 5)
    assert (params.proposals.pre_nms_top_n, params.proposals.post_nms_top_n) == (TopN(1, 2), TopN(3, 4))
    assert (params.proposals.nms_thresh, params.proposals.min_size) == (0.8, 4)
    assert (params.resize.min_size, params.resize.max_size) == (500, 900)
    assert fates(config)["MODEL.RPN.NEW_IDEA"] is Fate.NOT_UNDERSTOOD
    assert fates(config)["MY_SECTION"] is Fate.NOT_UNDERSTOOD
    assert fates(config)["INPUT.CROP.ENABLED"] is fates(config)["INPUT.CROP.SIZE"] is Fate.READ
    assert fates(config)["INPUT.MIN_SIZE_TEST"] is Fate.NO_EFFECT
    assert fates(config)["MODEL.RPN.SMOOTH_L1_BETA"] is Fate.NO_EFFECT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "MODEL: {RPN: {NMS_THRESH: 7}}",
            r"bad.yaml, MODEL.RPN.NMS_THRESH: 7 is not allowed, expected a number from 0 to",
        ),
        ("MODEL: {RPN: {NMS_THRESH: high}}", r"MODEL.RPN.NMS_THRESH: 'high' is not allowed"),
        ("MODEL: {RPN: {IOU_THRESHOLDS: [0.7, 0.3]}}", r"IOU_THRESHOLDS: \[0.7, 0.3\]: 0.7 is above"),
        ("MODEL: {RPN: {IOU_LABELS: [0, 1, -1]}}", r"IOU_LABELS"),
        ("MODEL: {RPN: {IN_FEATURES: [stage4]}}", r"'stage4' is not allowed, expected names that tell a stride"),
        ("MODEL: {ANCHOR_GENERATOR: {SIZES: [[1], [2]]}}", r"it has 2 levels, expected 1 or 1"),
        ("MODEL: {ANCHOR_GENERATOR: {OFFSET: 1.0}}", r"at least 0 and less than 1"),
        ("MODEL: {PROPOSAL_GENERATOR: {NAME: RRPN}}", r"rotated"),
        ("MODEL: {RPN: 3}", r"MODEL.RPN: 3 is not allowed, expected a mapping"),
        ("MODEL: {ANCHOR_GENERATOR: {NAME: RotatedAnchorGenerator}}", r"expected 'DefaultAnchorGenerator'"),
        ("MODEL: {}\nINPUT: {MIN_SIZE_TRAIN: []}", r"expected at least one size"),
        ("MODEL: {}\nSEED: soon", r"SEED: 'soon' is not allowed"),
    ],
)
def test_detectron2_values_that_are_not_allowed(read, text, says):
    with pytest.raises(ConfigFileError, match=says):
        read("bad.yaml", text)


def test_detectron2_bases_that_are_not_there(tmp_path):
    path = tmp_path / "child.yaml"
    for base, says in (
        ("../Base.yaml", r"the base '../Base.yaml' was not found; it was looked for at"),
        ("detectron2://COCO/x.yaml", r"'detectron2://COCO/x.yaml' was not found: it is no file of this machine"),
        ("[1]", r"_BASE_ is 1, expected the name of a file"),
    ):
        path.write_text(f"_BASE_: {base}\n", encoding="utf-8")
        with pytest.raises(ConfigFileError, match=says):
            read_config(path)


def test_detectron2_a_loop_of_bases_is_told(tmp_path):
    (tmp_path / "a.yaml").write_text("_BASE_: b.yaml\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("_BASE_: a.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigFileError, match=r"the bases form a loop: a.yaml > b.yaml > a.yaml"):
        read_config(tmp_path / "a.yaml")


def test_detectron2_several_bases_later_ones_win(tmp_path):
    (tmp_path / "a.yaml").write_text("MODEL: {RPN: {NMS_THRESH: 0.5, BATCH_SIZE_PER_IMAGE: 8}}\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("MODEL: {RPN: {NMS_THRESH: 0.6}}\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("_BASE_: [a.yaml, b.yaml]\n", encoding="utf-8")
    params = read_config(tmp_path / "c.yaml").preset.params
    assert (params.proposals.nms_thresh, params.sample.batch_size_per_image) == (0.6, 8)


# ---------------------------------------------------------------------- mmdetection


@pytest.mark.parametrize("content", [made.FASTER_RCNN_V3, made.faster_rcnn_v2()], ids=["v3", "v2"])
def test_mmdetection_faster_rcnn_is_the_preset(read, content):
    config = read("faster-rcnn_r50_fpn_1x_coco.json", content)
    assert changed(config) == {}
    assert without_views(config) == presets.load("mmdetection")
    assert config.preset.params.views == FLIPPED
    assert config.count(Fate.NOT_UNDERSTOOD) == 0
    assert len(config.train_views) == 1


def test_mmdetection_cascade_lists_every_side(read):
    config = read("cascade-rcnn.json", made.cascade_rcnn())
    assert changed(config) == {"resize.min_size": 640, "proposals.post_nms_top_n": TopN(2000, 1000)}
    assert [view.min_size for view in config.train_views] == list(SIDES)
    assert config.preset.params.views == TrainViews(min_sizes=SIDES, flip=True)


@pytest.mark.parametrize(
    ("text", "views"),
    [
        ("MIN_SIZE_TRAIN: (640, 800)\n  RANDOM_FLIP: none", TrainViews(min_sizes=(640, 800))),
        ("MIN_SIZE_TRAIN: (640,)\n  RANDOM_FLIP: horizontal", FLIPPED),
        ("MIN_SIZE_TRAIN: (640,)\n  RANDOM_FLIP: none", None),
        ("MIN_SIZE_TRAIN: (640,)", FLIPPED),
    ],
)
def test_detectron2_views_go_out_and_come_in(read, chain, text, views):
    base = "_BASE_: Base-RCNN-FPN.yaml"
    config = read("c.yaml", f"{base}\nINPUT:\n  {text}\n")
    assert config.preset.params.views == views
    export = export_config(config.preset, "detectron2", config)
    assert read("out.yaml", export.text).preset.params.views == views


@pytest.mark.parametrize(
    ("text", "crop", "size"),
    [
        ("ENABLED: True", "relative_range", (0.9, 0.9)),
        ("ENABLED: True\n    TYPE: relative\n    SIZE: (0.5, 0.75)", "relative", (0.5, 0.75)),
        ("ENABLED: True\n    TYPE: absolute\n    SIZE: [400, 600]", "absolute", (400.0, 600.0)),
    ],
)
def test_detectron2_crops_are_training_views(read, chain, text, crop, size):
    config = read("c.yaml", f"_BASE_: Base-RCNN-FPN.yaml\nINPUT:\n  MIN_SIZE_TRAIN: (640, 800)\n  CROP:\n    {text}\n")
    views = config.preset.params.views
    assert (views.crop, views.crop_size, views.crop_stage) == (crop, size, "original")
    assert config.count(Fate.NOT_UNDERSTOOD) == 0
    export = export_config(config.preset, "detectron2", config)
    assert read("out.yaml", export.text).preset.params.views == views
    assert export.remarks == ()


def test_detectron2_crops_that_are_not_shown_are_said(read, chain):
    crop = "INPUT:\n  CROP: {ENABLED: True, TYPE: absolute_range, SIZE: [384, 600]}\n"
    config = read("c.yaml", f"_BASE_: Base-RCNN-FPN.yaml\n{crop}")
    assert fates(config)["INPUT.CROP.SIZE"] is Fate.NOT_UNDERSTOOD
    assert config.preset.params.views == TrainViews(min_sizes=SIDES, flip=True)
    masks = "MODEL: {MASK_ON: True}\nINPUT:\n  CROP: {ENABLED: True}\n"
    assert fates(read("c.yaml", masks))["MODEL.MASK_ON"] is Fate.NOT_UNDERSTOOD
    for size in ("0.9", "[0.9]", "[1.5, 0.9]", "[-1, 0.5]"):
        with pytest.raises(ConfigFileError, match=r"INPUT\.CROP\.SIZE"):
            read("c.yaml", f"INPUT:\n  CROP: {{ENABLED: True, SIZE: {size}}}\n")


def test_crops_leave_room_for_many_sides(read):
    sides = ", ".join(map(str, range(400, 460)))
    views = read("c.yaml", f"INPUT: {{MIN_SIZE_TRAIN: [{sides}], CROP: {{ENABLED: True}}}}\n").preset.params.views
    assert views.crop_count == 2


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("resized", [False, True])
def test_mmdetection_crops_are_training_views(read, old, resized):
    resize = {"type": "Resize", "img_scale" if old else "scale": [600, 400], "keep_ratio": True}
    crop = {"type": "RandomCrop", "crop_size": [300, 200]}
    config = read("c.json", with_resize(*([resize, crop] if resized else [crop, resize]), old=old))
    views = config.preset.params.views
    assert (views.crop, views.crop_size) == ("absolute", (300.0, 200.0))
    assert views.crop_stage == ("resized" if resized else "original")
    assert config.count(Fate.NOT_UNDERSTOOD) == 0


def test_mmdetection_crops_that_are_not_shown_are_said(read):
    resize = {"type": "Resize", "scale": [600, 400], "keep_ratio": True}
    crop = {"type": "RandomCrop", "crop_size": [300, 200], "crop_type": "absolute_range"}
    assert read("c.json", with_resize(crop, resize)).count(Fate.NOT_UNDERSTOOD) == 1
    crop |= {"crop_type": "absolute", "recompute_bbox": True, "bbox_clip_border": False}
    assert read("c.json", with_resize(crop, resize, crop)).count(Fate.NOT_UNDERSTOOD) == 5


def test_the_pipelines_of_other_data_sets_are_not_passed_over(read):
    def resized(side):
        return {"pipeline": [{"type": "Resize", "scale": [1333, side], "keep_ratio": True}]}

    for inner in (
        {"type": "ConcatDataset", "datasets": [resized(800), resized(400), resized(800)]},
        {"type": "RepeatDataset", "dataset": {"datasets": [resized(800), resized(400), resized(800)]}},
    ):
        config = read("c.json", {"model": made.FASTER_RCNN_V3["model"], "train_dataloader": {"dataset": inner}})
        assert config.preset.params.resize.min_size == 800
        notes = {
            note.field: note.fate for note in config.notes if ".pipeline" in note.field and "datasets[" in note.field
        }
        others = [fate for field, fate in notes.items() if not field.endswith("scale") and "pipeline[" not in field]
        assert others == [Fate.NOT_UNDERSTOOD, Fate.NO_EFFECT]
    old = made.faster_rcnn_v2()
    old["data"]["train"] = [resized(800), resized(400)]
    assert fates(read("c.json", old))["data.train[1].pipeline"] is Fate.NOT_UNDERSTOOD


def test_the_flip_that_a_file_does_not_say_is_assumed_with_one_side_too(read, chain):
    config = read("c.yaml", "_BASE_: Base-RCNN-FPN.yaml\nINPUT:\n  MIN_SIZE_TRAIN: (640,)\n")
    assert fates(config)["INPUT.RANDOM_FLIP"] is Fate.ASSUMED


def test_the_side_that_is_shown_names_the_other_views(chain):
    note = next(note for note in read_config(chain).notes if note.field == "INPUT.MIN_SIZE_TRAIN")
    sides = ", ".join(map(str, SIDES))
    assert note.became == f"resize.min_size 640 (the first is shown), train_views.min_sizes {sides}"


def test_no_flip_is_invented_and_no_side_lost(read):
    config = read("tv.json", {"min_size": [640, 800], "max_size": 1333})
    assert config.flip is None
    assert fates(config)["flips"] is Fate.ASSUMED
    export = export_config(config.preset, "detectron2", config)
    assert "RANDOM_FLIP" not in export.text
    assert any("detectron2 flips them unless it is told not to" in remark for remark in export.remarks)
    for framework in ("torchvision", "mmdetection"):
        export = export_config(config.preset, framework, config)
        assert not any("train_views" in remark for remark in export.remarks)
        back = read("out.py", export.text).preset.params
        assert (back.resize.min_size, back.views) == (640, TrainViews(min_sizes=(640, 800)))
    shown = dataclasses.replace(config.preset, params=config.preset.params.with_values("train_views", flip=True))
    assert "RANDOM_FLIP: horizontal" in export_config(shown, "detectron2", config).text


def test_a_pipeline_without_a_flip_says_that_there_is_none(read):
    steps = [{"type": "RandomChoiceResize", "scales": [[1333, 640], [1333, 800]], "keep_ratio": True}]
    config = read("mm.json", with_resize(*steps))
    assert config.flip is False
    assert "RANDOM_FLIP: none" in export_config(config.preset, "detectron2", config).text


def test_sides_of_training_do_not_become_those_of_inference(read, chain):
    config = read("c.yaml", "_BASE_: Base-RCNN-FPN.yaml\nINPUT:\n  MIN_SIZE_TRAIN: (640, 800)\n")
    text = export_config(config.preset, "mmdetection", config).text
    assert "scales=[(1333, 640), (1333, 800)]" in text
    assert "train_pipeline and test_pipeline" not in text


def test_views_that_a_trainer_is_not_told_stand_in_the_text(read):
    preset = presets.load("torchvision")
    export = export_config(dataclasses.replace(preset, params=preset.params.with_views(FLIPPED)), "mmdetection")
    assert not export.refusals
    assert any("train_views is flipped, which is not written" in remark for remark in export.remarks)


def test_mmdetection_rpn_alone(read):
    config = read("rpn_r50_fpn_1x_coco.json", made.rpn_only())
    assert changed(config) == {"proposals.pre_nms_top_n": TopN(2000, 2000)}


def test_mmdetection_flattened_python_is_read_without_running_it(read):
    import pprint

    text = "\n".join(f"{key} = {pprint.pformat(value)}" for key, value in made.FASTER_RCNN_V3.items())
    config = read("work.py", text.replace("{'type': 'FasterRCNN'", "dict(type='FasterRCNN'", 0))
    assert without_views(config) == presets.load("mmdetection")
    assert read("dict.py", "model = dict(type='RPN', rpn_head=dict(type='RPNHead'))").framework == "mmdetection"


def edited(path: str, value) -> dict:
    """The usual configuration with one field set, or deleted with ``...``."""
    config = copy.deepcopy(made.FASTER_RCNN_V3)
    *outer, last = path.split(".")
    place = config["model"]
    for part in outer:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("train_cfg.rpn.assigner.min_pos_iou", ..., {"match.min_pos_iou": 0.0}),
        ("train_cfg.rpn.assigner.match_low_quality", False, {"match.allow_low_quality_matches": False}),
        ("train_cfg.rpn.assigner.neg_iou_thr", 0, {"match.bg_iou_thresh": 0.0}),
        ("train_cfg.rpn.assigner.neg_iou_thr", [0, 0.2], {"match.bg_iou_thresh": 0.2}),
        ("train_cfg.rpn.assigner.ignore_iof_thr", 0.5, {"match.ignore_iof_thresh": 0.5}),
        ("train_cfg.rpn.allowed_border", 0, {"match.border_thresh": 0.0}),
        ("train_cfg.rpn.sampler.num", 64, {"sample.batch_size_per_image": 64}),
        ("rpn_head.bbox_coder.target_stds", [0.1, 0.1, 0.2, 0.2], {"coder.weights": (10.0, 10.0, 5.0, 5.0)}),
        ("rpn_head.anchor_generator.scales", [4, 8], {"anchors.scales": (4.0, 8.0)}),
        ("rpn_head.anchor_generator.base_sizes", [4, 8, 16, 32, 60], {"anchors.base_sizes": (4, 8, 16, 32, 60)}),
        ("rpn_head.anchor_generator.center_offset", 0.5, {"anchors.offset": 0.5}),
        ("data_preprocessor.pad_size_divisor", 64, {"resize.pad_multiple": 64}),
        ("data_preprocessor.pad_size_divisor", ..., {"resize.pad_multiple": 1}),
        ("test_cfg.rpn.nms_pre", -1, {"proposals.pre_nms_top_n": TopN(2000, 10_000_000)}),
    ],
)
def test_mmdetection_fields(read, path, value, expected):
    assert changed(read("c.json", edited(path, value))) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "rpn_head.anchor_generator.type",
            "LegacyAnchorGenerator",
            {"base_rounding": "corners", "anchor_pixels": "inclusive"},
        ),
        ("rpn_head.anchor_generator.scale_major", False, {"cell_order": "size_ratio"}),
        ("train_cfg.rpn.assigner.gt_max_assign_all", False, {"tie_rule": "first"}),
        ("train_cfg.rpn.assigner.ignore_wrt_candidates", False, {"crowd": "ignores_by_iof_of_region"}),
        ("train_cfg.rpn.sampler", {"type": "PseudoSampler"}, {"draw": "none"}),
        ("train_cfg.rpn.sampler", ..., {"draw": "none"}),
    ],
)
def test_mmdetection_fields_that_are_conventions(read, path, value, expected):
    config = read("c.json", edited(path, value))
    assert config.preset.conventions.overrides_from(presets.load("mmdetection").conventions) == expected


def test_mmdetection_octaves_are_scales(read):
    generator = {"type": "AnchorGenerator", "octave_base_scale": 4, "scales_per_octave": 3, "ratios": [1.0]}
    generator["strides"] = [[8, 8], [16, 16]]
    config = read("c.json", edited("rpn_head.anchor_generator", generator))
    anchors = config.preset.params.anchors
    assert anchors.strides == (8, 16)
    assert anchors.scales == (4, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3))
    assert anchors.base_sizes == (8, 16)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("train_cfg.rpn.sampler.neg_pos_ub", 3, "model.train_cfg.rpn.sampler.neg_pos_ub"),
        ("train_cfg.rpn.sampler.add_gt_as_proposals", ..., "model.train_cfg.rpn.sampler.add_gt_as_proposals"),
        ("train_cfg.rpn.assigner.unheard_of", 1, "model.train_cfg.rpn.assigner.unheard_of"),
        (
            "train_cfg.rpn_proposal.nms",
            {"type": "soft_nms", "iou_threshold": 0.7},
            "model.train_cfg.rpn_proposal.nms.type",
        ),
        ("train_cfg.rpn_proposal.nms", {"iou_threshold": 0.8}, "model.train_cfg.rpn_proposal.nms.iou_threshold"),
        ("rpn_head.bbox_coder.type", "TBLRBBoxCoder", "model.rpn_head.bbox_coder.type"),
        ("rpn_head.reg_decoded_bbox", True, "model.rpn_head.reg_decoded_bbox"),
        (
            "data_preprocessor.batch_augments",
            [{"type": "BatchSyncRandomResize"}],
            "model.data_preprocessor.batch_augments",
        ),
    ],
)
def test_mmdetection_what_is_not_reproduced_is_listed(read, path, value, field):
    config = read("c.json", edited(path, value))
    listed = {note.field for note in config.notes if note.fate is Fate.NOT_UNDERSTOOD}
    assert field in listed
    assert "not understood (kept default)" in config.summary


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("rpn_head", ..., r"FasterRCNN has no region proposal network"),
        ("rpn_head.type", "CascadeRPNHead", r"expected 'RPNHead'"),
        ("rpn_head.anchor_strides", [4], r"belongs to mmdetection 1"),
        ("rpn_head.anchor_generator.type", "YOLOAnchorGenerator", r"'YOLOAnchorGenerator' is not allowed"),
        ("rpn_head.anchor_generator.strides", [[4, 8]] * 5, r"same stride in both directions"),
        ("rpn_head.anchor_generator.scales", ..., r"AnchorGenerator needs scales"),
        ("train_cfg.rpn.assigner.type", "ATSSAssigner", r"expected 'MaxIoUAssigner'"),
        ("train_cfg.rpn.assigner.pos_iou_thr", ..., r"pos_iou_thr is missing"),
        ("train_cfg.rpn.assigner.pos_iou_thr", 1.5, r"pos_iou_thr: 1.5 is not allowed, expected a number from 0 to 1"),
        ("rpn_head.bbox_coder.target_stds", [0, 1, 1, 1], r"expected four numbers above 0"),
    ],
)
def test_mmdetection_what_cannot_be_shown_is_an_error(read, path, value, says):
    with pytest.raises(ConfigFileError, match=says):
        read("c.json", edited(path, value))


def test_mmdetection_one_stage_detectors_have_no_rpn(read):
    model = {"type": "RetinaNet", "bbox_head": {"type": "RetinaHead", "anchor_generator": {"strides": [8]}}}
    with pytest.raises(ConfigFileError, match=r"RetinaNet has no region proposal network"):
        read("retinanet.json", {"model": model})


def with_resize(*steps, old=False) -> dict:
    config = made.faster_rcnn_v2() if old else copy.deepcopy(made.FASTER_RCNN_V3)
    (config["data"]["train"] if old else config["train_dataloader"]["dataset"])["pipeline"] = list(steps)
    return config


@pytest.mark.parametrize(
    ("step", "old", "expected", "not_understood"),
    [
        ({"type": "Resize", "scale": [600, 400], "keep_ratio": True}, False, (400, 600), 0),
        ({"type": "Resize", "scale": [600, 400]}, False, (400, 600), 1),  # mmdet 3 does not keep the ratio
        ({"type": "Resize", "img_scale": [600, 400]}, True, (400, 600), 0),  # mmdet 2 does
        ({"type": "Resize", "img_scale": [[600, 400], [600, 300]], "multiscale_mode": "value"}, True, (400, 600), 0),
        ({"type": "Resize", "img_scale": [[600, 400], [600, 300]]}, True, (400, 600), 1),  # every size between
        ({"type": "RandomResize", "scale": [[600, 400], [600, 300]], "keep_ratio": True}, False, (400, 600), 1),
        ({"type": "Resize", "scale": [600, 400], "keep_ratio": True, "ratio_range": [0.5, 2]}, False, (400, 600), 1),
    ],
)
def test_mmdetection_resizing(read, step, old, expected, not_understood):
    config = read("c.json", with_resize(step, old=old))
    resize = config.preset.params.resize
    assert (resize.min_size, resize.max_size) == expected
    assert config.count(Fate.NOT_UNDERSTOOD) == not_understood


def test_mmdetection_other_pipelines(read):
    config = read("c.json", with_resize({"type": "Resize", "scale_factor": 2.0, "keep_ratio": True}))
    assert (config.preset.params.resize.mode, config.preset.params.resize.scale) == ("scale", 2.0)
    config = read("c.json", with_resize({"type": "LoadImageFromFile"}))
    assert config.preset.params.resize.mode == "none"
    config = read(
        "c.json", with_resize({"type": "MinIoURandomCrop"}, {"type": "Resize", "scale": 512, "keep_ratio": True})
    )
    assert config.count(Fate.NOT_UNDERSTOOD) == 1
    step = {"type": "RandomChoiceResize", "scales": [480, 512], "resize_type": "ResizeShortestEdge", "max_size": 900}
    config = read("c.json", with_resize(step))
    assert [(view.min_size, view.max_size) for view in config.train_views] == [(480, 900), (512, 900)]
    config = read("c.json", {"model": made.FASTER_RCNN_V3["model"]})
    assert fates(config)["train_pipeline"] is Fate.ASSUMED


def test_mmdetection_older_names_of_the_proposals(read):
    config = made.faster_rcnn_v2()
    old = {
        "nms_across_levels": False,
        "nms_pre": 900,
        "nms_post": 800,
        "max_num": 700,
        "nms_thr": 0.6,
        "min_bbox_size": 0,
    }
    config["train_cfg"] = {"rpn": config["model"]["train_cfg"]["rpn"], "rpn_proposal": old}
    config["test_cfg"] = {"rpn": {**old, "nms_post": 300}}
    del config["model"]["train_cfg"], config["model"]["test_cfg"]
    read_back = read("old.json", config)
    proposals = read_back.preset.params.proposals
    assert (proposals.pre_nms_top_n, proposals.post_nms_top_n) == (TopN(900, 900), TopN(700, 700))
    assert proposals.nms_thresh == 0.6
    listed = [note.field for note in read_back.notes if note.fate is Fate.NOT_UNDERSTOOD]
    assert listed == ["test_cfg.rpn.nms_post"]  # it would cut each level below what is kept in all


# ---------------------------------------------------------------------- torchvision


def test_torchvision_arguments(read):
    config = read(
        "args.json",
        {
            "min_size": [640, 800],
            "max_size": 1200,
            "rpn_anchor_generator": {"sizes": [[16], [32], [64], [128], [256]], "aspect_ratios": [[1.0]] * 5},
            "rpn_fg_iou_thresh": 0.6,
            "rpn_pre_nms_top_n_test": 500,
            "box_score_thresh": 0.3,
            "num_classes": 3,
            "rpn_dropout": 0.1,
        },
    )
    assert changed(config) == {
        "resize.min_size": 640,
        "resize.max_size": 1200,
        "anchors.sizes": ((16,), (32,), (64,), (128,), (256,)),
        "anchors.aspect_ratios": ((1.0,),) * 5,
        "match.fg_iou_thresh": 0.6,
        "proposals.pre_nms_top_n": TopN(2000, 500),
    }
    assert [view.min_size for view in config.train_views] == [640, 800]
    assert fates(config)["rpn_dropout"] is Fate.NOT_UNDERSTOOD
    assert fates(config)["num_classes"] is Fate.NO_EFFECT
    assert fates(config)["builder"] is Fate.ASSUMED


def test_torchvision_builders_have_defaults_of_their_own(read):
    mobile = read("m.json", {"builder": "fasterrcnn_mobilenet_v3_large_320_fpn"}).preset.params
    assert mobile.anchors.strides == (32, 32, 64)
    assert mobile.anchors.cells == (15, 15, 15)
    assert (mobile.resize.min_size, mobile.resize.max_size) == (320, 640)
    assert mobile.proposals.post_nms_top_n == TopN(2000, 150)
    assert mobile.proposals.score_thresh == 0.05
    keypoints = read("k.json", {"builder": "keypointrcnn_resnet50_fpn"})
    assert [view.min_size for view in keypoints.train_views] == [640, 672, 704, 736, 768, 800]
    plain = read("f.json", {"builder": "fasterrcnn_resnet50_fpn_v2"})
    assert plain.preset == presets.load("torchvision")


def test_torchvision_backbones_of_ones_own_need_strides(read):
    flat = {"sizes": [[32, 64, 128, 256, 512]], "aspect_ratios": [[0.5, 1.0, 2.0]]}
    with pytest.raises(ConfigFileError, match=r'has 1 levels and fasterrcnn_resnet50_fpn has 5: .* add "strides"'):
        read("c.json", flat)
    assert read("c.json", {**flat, "strides": [16]}).preset.params.anchors.strides == (16,)
    with pytest.raises(ConfigFileError, match=r"retinanet_resnet50_fpn has no region proposal network"):
        read("r.json", {"builder": "retinanet_resnet50_fpn"})
    with pytest.raises(ConfigFileError, match=r"expected one of fasterrcnn_resnet50_fpn"):
        read("r.json", {"builder": "mine"})


# ---------------------------------------------------------------------- Matterport


def test_matterport_coco_is_the_preset(read):
    config = read("coco.json", made.matterport())
    assert config.preset == presets.load("matterport")
    assert config.count(Fate.NOT_UNDERSTOOD) == 0
    old = read("coco.json", made.matterport(), "matterport-old")
    assert old.preset == presets.load("matterport-old")
    assert old.count(Fate.ASSUMED) == 0


def test_matterport_balloon_changes_little(read):
    config = read("balloon.json", {"NAME": "balloon", "IMAGES_PER_GPU": 2, "NUM_CLASSES": 2, "RPN_NMS_THRESHOLD": 0.7})
    assert changed(config) == {}


def test_matterport_nucleus(read):
    config = read("nucleus.json", made.NUCLEUS)
    assert changed(config) == {
        "resize.mode": "shortest_edge",
        "resize.min_size": 512,
        "resize.max_size": 100_000,
        "resize.min_scale": 2.0,
        "anchors.sizes": ((8,), (16,), (32,), (64,), (128,)),
        "sample.batch_size_per_image": 64,
        "proposals.post_nms_top_n": TopN(1000, 2000),
        "proposals.nms_thresh": 0.9,
    }
    assert fates(config)["IMAGE_RESIZE_MODE"] is Fate.NOT_UNDERSTOOD
    assert fates(config)["IMAGE_MAX_DIM"] is Fate.NO_EFFECT


def test_matterport_standard_deviations_are_in_y_x_order(read):
    config = read("c.json", made.matterport(RPN_BBOX_STD_DEV=[0.1, 0.2, 0.25, 0.5]))
    assert config.preset.params.coder.weights == (5.0, 10.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"RPN_ANCHOR_SCALES": [32, 64]}, r"RPN_ANCHOR_SCALES: \[32, 64\] is not allowed, expected 5 numbers"),
        ({"IMAGE_RESIZE_MODE": "fit"}, r"expected one of square, pad64, crop, none"),
        ({"RPN_BBOX_STD_DEV": [0.1, 0.1]}, r"RPN_BBOX_STD_DEV: \[0.1, 0.1\] is not allowed"),
        ({"IMAGE_MAX_DIM": 1000}, r"IMAGE_MAX_DIM: 1000 is not allowed, Matterport takes multiples of 64"),
        ({"RPN_ANCHOR_STRIDE": 0}, r"RPN_ANCHOR_STRIDE: 0 is not allowed, expected a whole number"),
    ],
)
def test_matterport_values_that_are_not_allowed(read, changes, says):
    with pytest.raises(ConfigFileError, match=says):
        read("c.json", made.matterport(**changes))


def test_matterport_modes(read):
    none = read("c.json", made.matterport(IMAGE_RESIZE_MODE="none")).preset.params.resize
    assert (none.mode, none.pad_multiple) == ("none", 1)
    pad64 = read("c.json", made.matterport(IMAGE_RESIZE_MODE="pad64", IMAGE_MIN_DIM=0)).preset.params.resize
    assert (pad64.mode, pad64.min_size, pad64.pad_multiple) == ("shortest_edge", 1, 64)
    new = read("c.json", made.matterport(RPN_IDEA=1))
    assert fates(new)["RPN_IDEA"] is Fate.NOT_UNDERSTOOD


# ---------------------------------------------------------------------- keras-retinanet


def test_keras_retinanet_readme(read):
    config = read("config.ini", made.KERAS_README)
    assert changed(config) == {"anchors.aspect_ratios": ((0.5, 1, 2, 3),) * 5, "anchors.scales": (1, 1.2, 1.6)}
    assert config.summary == "4 fields read"


def test_keras_retinanet_default_and_small_objects(read):
    text = made.KERAS_README.replace("0.5 1 2 3", "0.5 1 2").replace("1 1.2 1.6", f"1 {2 ** (1 / 3)} {2 ** (2 / 3)}")
    assert read("config.ini", text).preset == presets.load("keras-retinanet")
    small = "[anchor_parameters]\nsizes = 16 32 64\nstrides = 4 8 16\nratios = 1\nscales = 1\n"
    config = read("small.ini", small)
    assert config.count(Fate.ASSUMED) == 1
    config = read("small.ini", f"{small}[pyramid_levels]\nlevels = 2 3 4\n")
    assert config.preset.params.anchors.strides == (4, 8, 16)
    assert config.count(Fate.ASSUMED) == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scales  = 1 1.2 1.6\n", "", r"\[anchor_parameters\]: scales is missing"),
        ("32 64 128", "32,64,128", r"expected whole numbers separated by one space"),
        ("8 16 32 64 128", "8 16", r"expected 2 numbers: one per entry of strides"),
        ("0.5 1 2 3", "0 1", r"ratios: '0 1' is not allowed, expected a number from 0.001"),
        ("0.5 1 2 3", "nan", r"ratios: 'nan' is not allowed"),
        ("[anchor_parameters]", "[anchor_parameters]\nsizes = 3", r"no valid INI"),
    ],
)
def test_keras_retinanet_values_that_are_not_allowed(read, old, new, says):
    with pytest.raises(ConfigFileError, match=says):
        read("config.ini", made.KERAS_README.replace(old, new))


def test_keras_retinanet_levels_must_fit_strides(read):
    with pytest.raises(ConfigFileError, match=r"its strides are not those given"):
        read("config.ini", made.KERAS_README + "[pyramid_levels]\nlevels = 2 3 4 5 6\n")


# ---------------------------------------------------------------------- whose file it is


def test_a_preset_must_be_the_files(read):
    with pytest.raises(ConfigFileError, match=r"a configuration of matterport, but the preset 'torchvision'"):
        read("c.json", made.matterport(), "torchvision")


def test_other_files_are_told_apart(read):
    with pytest.raises(ConfigFileError, match=r"no trainer's configuration that rpnviz knows; its fields are images"):
        read("coco.json", {"images": [], "annotations": [], "categories": []})
    with pytest.raises(ConfigFileError, match=r"the name ends in '.txt'"):
        read("c.txt", "hello")


def test_no_field_of_a_file_is_passed_over(read):
    """Every leaf of a configuration is in the list, itself or in the section that stands for it."""
    config = read("c.json", made.FASTER_RCNN_V3)
    fields = [note.field for note in config.notes]

    def leaves(value, place):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, f"{place}.{key}" if place else key)
        else:
            yield place

    for leaf in leaves(made.FASTER_RCNN_V3, ""):
        assert any(
            leaf == field or leaf.startswith((f"{field}.", f"{field}[")) or field.startswith(leaf) for field in fields
        ), leaf
    assert len(set(fields)) == len(fields)
    assert dataclasses.asdict(config.notes[0])


def test_other_packages_can_add_a_trainer(read, monkeypatch):
    from rpnviz.configs import registry
    from rpnviz.configs.keras_retinanet import KerasRetinanet

    class Mine(KerasRetinanet):
        name = "mine"

        def sniff(self, document):
            return 100 * ("mine" in document.value)

    class Entry:
        @staticmethod
        def load():
            return Mine

    def entries(group):
        assert group == "rpnviz.configs"
        return [Entry]

    monkeypatch.setattr(registry, "entry_points", entries)
    registry._others.cache_clear()
    try:
        assert registry.names()[-1] == "mine"
        assert read("c.ini", made.KERAS_README + "[mine]\na = 1\n").framework == "mine"
        assert read("c.ini", made.KERAS_README).framework == "keras-retinanet"
    finally:
        registry._others.cache_clear()
