import numpy as np
import pytest
import torch

from rpnviz.models import native
from rpnviz.models.network import Network, Widths
from rpnviz.models.registry import open_model
from tools.scenes import make_scene
from tools.train_model import Recipe, augment, model_settings, train


def test_thirty_steps_reduce_the_loss():
    scenes = [make_scene(seed) for seed in range(8)]
    losses = []
    train(scenes, Recipe(steps=30, batch=2), lambda step, loss: losses.append(loss))
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_a_saved_network_gives_the_same_outputs(tmp_path):
    torch.manual_seed(0)
    network = Network(6, Widths((4, 4), (4, 4, 4), 4)).half().float().eval()
    path = tmp_path / "folder" / "small.safetensors"
    native.save(network, path, model_settings(), name="small", note="not trained")
    model = open_model(path)
    assert (model.name, model.note, model.settings) == ("small", "not trained", model_settings())
    image = make_scene(1, 64).image
    output = model.propose(image)
    resized = torch.from_numpy(native.resize(image, output.resized_size))
    from rpnviz.models.network import normalise

    with torch.inference_mode():
        expected = network(normalise(resized[None]))
    for got, want in zip(output.levels, expected, strict=True):
        np.testing.assert_array_equal(got.objectness, want.objectness[0].numpy())
        np.testing.assert_array_equal(got.deltas, want.deltas[0].numpy())
    assert [file.name for file in path.parent.iterdir()] == ["small.safetensors"]


@pytest.mark.parametrize("seed", range(8))
def test_augmented_boxes_stay_on_their_objects(seed):
    image = np.zeros((40, 40, 3), np.uint8)
    image[5:12, 20:38] = 255
    turned, boxes = augment(image, np.array([[20.0, 5, 38, 12]]), np.random.default_rng(seed))
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert turned[y1:y2, x1:x2].min() == 255
    assert turned.sum() == image.sum()
