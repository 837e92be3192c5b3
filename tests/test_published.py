"""The paper's evolved data sets train our policies as well as they trained its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
