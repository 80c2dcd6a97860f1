"""Files that are broken, hostile or something else: one clear error each, and nothing of them is run."""

from __future__ import annotations

import os

import pytest

from rpnviz.configs import documents
from rpnviz.configs.registry import is_config, read_config
from rpnviz.errors import ConfigFileError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a\n" + "".join(f"  k{n}: 1\n" for n in range(10_001)) + "b:\n  <<: *a\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.yaml", b"", r"empty.yaml: the file is empty"),
        ("spaces.json", b" \n ", r"the file is empty"),
        ("cut.json", b'{"model": {', r"cut.json, line 1, column 12: no valid JSON"),
        ("list.json", b"[1, 2]", r"holds a list, expected a mapping"),
        ("number.yaml", b"3", r"holds a number, expected a mapping"),
        ("latin.yaml", "MODEL: {NAME: Gr\xf6\xdfe}".encode("latin-1"), r"line 1: byte 16: 0xf6 is not UTF-8"),
        ("utf16.yaml", "MODEL: {}".encode("utf-16"), r"is not UTF-8.*UTF-16"),
        ("huge.yaml", b"# " + b"x" * 1_000_000, r"the file has 1,000,002 bytes, expected at most 1,000,000"),
        ("deep.json", b'{"a":' * 5000 + b"1" + b"}" * 5000, r"nested too deeply"),
        ("deep.yaml", b"a: " + b"[" * 5000 + b"]" * 5000, r"nested too deeply"),
        ("deep.py", b"a = " + b"[" * 5000 + b"]" * 5000, r"deep.py.*(nested too deeply|too many nested)"),
        ("less_deep.json", b'{"a":' * 80 + b"1" + b"}" * 80, r"nested too deeply"),
        ("bomb.yaml", BOMB.encode(), r"written out it holds .* values, expected at most 200,000"),
        ("merge.yaml", MERGE_BOMB.encode(), r"more than 10,000 fields are merged"),
        ("aliases.yaml", b"a: &a 1\nb: [" + b"*a, " * 1001 + b"]", r"more than 1,000 aliases"),
        ("loop.yaml", b"MODEL: &a\n  B: *a\n", r"a value contains itself"),
        ("tag.yaml", b"MODEL: !!python/object/apply:os.getcwd []", r"python/object/apply:os.getcwd'.*runs code"),
        ("tuple.yaml", b"MODEL:\n  A: !!python/tuple [1]", r"tuple.yaml, line 2: .*python/tuple"),
        ("tab.yaml", b"MODEL:\n\tA: 1", r"tab.yaml, line 2: no valid YAML"),
        ("two.yaml", b"a: 1\n---\nb: 2", r"no valid YAML: but found another document"),
        ("control.yaml", b"a: \x01", r"no valid YAML"),
        ("date.yaml", b"a: 2020-99-99", r"no valid YAML"),
        ("keys.yaml", b"? [a]\n: 1", r"found unhashable key"),
        ("digits.json", b'{"a": ' + b"9" * 5000 + b"}", r"no usable JSON"),
        ("bad.ini", b"sizes = 3", r"no valid INI"),
        ("bad.py", b"a = (", r"bad.py, line 1: no valid Python"),
        ("null.py", b"a = 1\x00", r"no valid Python|null bytes"),
        ("other.json", b'{"a": 1}', r"no trainer's configuration"),
        ("odd.yaml", b"1: 2\nMODEL: 3", r"no trainer's configuration|expected a mapping"),
    ],
)
def test_one_clear_error(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigFileError, match=f"(?s){says}") as found:
        read_config(path)
    assert str(path) in str(found.value)
    assert found.value.way_out
    # Only JSON and readable YAML may be something else; the rest is told as a configuration that cannot be read.
    assert is_config(path) == (path.suffix != ".json" and name != "odd.yaml" and "no trainer" not in says)


def test_what_is_no_file(tmp_path):
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "a\0.yaml"):
        with pytest.raises(ConfigFileError) as found:
            read_config(path if path.suffix else path / "x.ini")
        assert found.value.way_out
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(ConfigFileError, match="no regular file"):
        read_config(folder)
    if os.geteuid():
        locked = tmp_path / "locked.yaml"
        locked.write_text("MODEL: {}")
        locked.chmod(0)
        with pytest.raises(ConfigFileError, match="Permission denied"):
            read_config(locked)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(b'\xef\xbb\xbf{"max_size": 1000}')
    assert read_config(path).preset.params.resize.max_size == 1000


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        (
            "_base_ = ['../_base_/models/faster-rcnn_r50_fpn.py']\nmodel = dict()\n",
            "python -c \"from mmengine import Config; Config.fromfile('c.py').dump('c.json')\"",
        ),
        ("model = build()", "Config.fromfile('c.py').dump('c.json')"),
        ("from detectron2.config import LazyCall as L\nmodel = L(RPN)()", "lazy configuration of detectron2"),
        (
            "from mrcnn.config import Config\nclass A(Config):\n    RPN_ANCHOR_SCALES = (8, 16)",
            "from c import NAME as C",
        ),
        ("import os\nos.remove('important')", "Config.fromfile('c.py')"),
    ],
)
def test_python_that_must_be_run_gets_the_command_that_dumps_it(tmp_path, text, way_out):
    path = tmp_path / "c.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigFileError, match=r"c.py, line \d+: this Python has to be run") as found:
        read_config(path)
    assert way_out in found.value.way_out


def test_literals_of_python_are_data(tmp_path):
    path = tmp_path / "c.py"
    path.write_text('"""Doc."""\na = dict(b=[1, -2.5], c=(None, True))\nd = {"e": "f"}\n', encoding="utf-8")
    assert documents.load(path).value == {"a": {"b": [1, -2.5], "c": [None, True]}, "d": {"e": "f"}}


def test_matterports_dump_command_gives_what_is_read(tmp_path):
    """The command in the message, run on a class as Matterport's."""
    import subprocess
    import sys

    source = "class Config:\n    pass\nclass NucleusConfig(Config):\n    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)\n"
    source += "    IMAGE_MIN_DIM = 512\n    import numpy as np\n    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])\n"
    (tmp_path / "nucleus.py").write_text(source, encoding="utf-8")
    with pytest.raises(ConfigFileError) as found:
        read_config(tmp_path / "nucleus.py")
    command = found.value.way_out.partition('python -c "')[2].removesuffix('"').replace("NAME", "NucleusConfig")
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    config = read_config(tmp_path / "nucleus.json")
    assert config.framework == "matterport"
    assert config.preset.params.anchors.level_sizes[0] == (8,)
    assert config.preset.params.coder.weights == (10, 10, 5, 5)
