import json

import numpy as np

from rpnviz.models.registry import open_model, sanity
from rpnviz.paths import bundled_model, resources
from tools.evaluate_model import EVALUATION_SEED, NUM_SCENES, missed_requirements, scene_ious
from tools.scenes import make_scene
from tools.train_model import TRAIN_SEED

FOLDER = resources() / "model"
FRESH_SEED = 3_000_000


def test_fresh_scenes_are_recalled():
    ious = scene_ious(open_model(None), range(FRESH_SEED, FRESH_SEED + 50))
    assert len(ious) > 150
    assert (ious >= 0.5).mean() >= 0.95
    assert (ious >= 0.7).mean() >= 0.80


def test_it_is_small_and_says_what_it_is():
    assert bundled_model().stat().st_size <= 1_400_000
    assert open_model(None).note == "trained on synthetic shapes"


def test_it_looks_trained_on_a_scene():
    assert sanity(open_model(None).propose(make_scene(FRESH_SEED).image)) is None


def test_its_card_records_the_required_figures_on_scenes_it_was_not_trained_on():
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    recipe, figures = card["recipe"], card["evaluation"]
    assert missed_requirements(figures) == []
    assert figures["scenes"] == NUM_SCENES
    trained = range(recipe["first_scene_seed"], recipe["first_scene_seed"] + recipe["num_scenes"])
    assert recipe["first_scene_seed"] == TRAIN_SEED
    for seed in (EVALUATION_SEED, FRESH_SEED):
        assert not set(trained) & set(range(seed, seed + NUM_SCENES))


def test_several_threads_get_the_same_answer():
    from concurrent.futures import ThreadPoolExecutor

    model = open_model(None)
    images = [make_scene(seed, 96).image for seed in range(4)]
    alone = [model.propose(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(model.propose, images))
    for a, b in zip(alone, together, strict=True):
        for x, y in zip(a.levels, b.levels, strict=True):
            np.testing.assert_allclose(x.objectness, y.objectness, atol=1e-5)
