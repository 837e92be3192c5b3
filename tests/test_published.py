"""The paper's evolved data sets train our policies as well as they trained its own."""

import json
from pathlib import Path

import pytest

import neuroevo

PUBLISHED = Path(__file__).parents[2] / "shared" / "published"
FILES = sorted(PUBLISHED.glob("*.npz")) if PUBLISHED.is_dir() else []


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="the published data sets are not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_published_returns_reproduce(file):
    """Lupu et al., ICLR 2024; the settings and an independent check are beside it."""
    settings = json.loads(file.with_suffix(".json").read_text())
    constant = settings["observation_normalization"] == "constant"
    discrete = settings["loss"].startswith("mean over rows and classes")
    solution = neuroevo.load(
        file,
        env=settings["env"],
        encoding={
            "name": "dataset",
            "steps": settings["sgd_steps"],
            "learning_rate": settings["learning_rate"],
            "adam_eps": settings["adam_eps"],
            "max_grad_norm": settings["max_grad_norm"],
            "loss": "cross_entropy_per_class" if discrete else "nll",
        },
        policy={
            "name": "mlp",
            "hidden": settings["hidden"],
            "activation": settings["activation"],
        },
        # The published code did not clip, which matters for rarely lit pixels.
        normalization={"name": "constant" if constant else "episode", "clip": None},
    )
    # Statistics per episode depend on how many run side by side.
    result = solution.evaluate(seeds=4, episodes=settings["episodes_per_policy"])
    if discrete:
        assert result["return_mean"] >= settings["published_population_mean_last10"]
    else:
        check = settings["our_check_return"]
        assert result["return_mean"] == pytest.approx(check, rel=0.07)
