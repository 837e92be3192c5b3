"""The paper's evolved data sets train our policies as well as they trained its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroevo
from neuroevo.config.command import DECODING
from neuroevo.config.layers import read_preset
from neuroevo.environments.supervised.suite import FashionMNIST

PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
# Beside the data sets of environments lie some for other tasks.
FILES = [
    file
    for file in sorted(PUBLISHED.glob("*.npz"))
    if "env" in json.loads(file.with_suffix(".json").read_text())
]


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="the published data sets are not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_published_returns_reproduce(file):
    """Lupu et al., ICLR 2024; the settings and an independent check are beside it."""
    settings = json.loads(file.with_suffix(".json").read_text())
    minatar = settings["env"].endswith("MinAtar")
    options = {
        "--preset": "hades-minatar" if minatar else "hades-brax",
        "--env": settings["env"],
        "--encoding.steps": settings["sgd_steps"],
        "--encoding.learning-rate": settings["learning_rate"],
        "--policies": 32 if minatar else 4,  # some of its policies fail
        # Statistics per episode depend on how many run side by side.
        "--episodes": settings["episodes_per_policy"],
    }
    if settings["observation_normalization"] == "constant":
        # The published code did not clip, which matters for rarely lit pixels.
        options |= {"--normalization": "constant", "--normalization.clip": None}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "neuroevo", "evaluate", str(file), *words]
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout)
    low, high = result["return_interval"]
    print(f"{file.stem}: {result['return_mean']:.4g} ({low:.4g} to {high:.4g})")
    if minatar:
        assert result["return_mean"] >= settings["published_population_mean_last10"]
    else:
        check = settings["our_check_return"]
        assert result["return_mean"] == pytest.approx(check, rel=0.07)


IMAGES = sorted(PUBLISHED.glob("fashion-d10-*.npz"))


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES, reason="the published data sets are not here")
@pytest.mark.skipif(not FashionMNIST().folder.exists(), reason="no Fashion-MNIST here")
def test_published_images_reproduce():
    """Ten images for Fashion-MNIST, and the independent check in the file beside."""
    preset = read_preset("hades-fashion")[-1].values
    parts = {part: preset[part] for part in DECODING}
    found = [neuroevo.load(file, **parts).evaluate(3, 1, seed=0) for file in IMAGES]
    every = np.concatenate([each["return_per_policy"] for each in found])
    print(f"{every.mean():.2f} ± {every.std():.2f} % of the test set")
    assert every.mean() == pytest.approx(80.24, abs=0.71)
    assert every.min() > 80.24 - 3 * 0.71
