"""What the documentation tells users to write of their own works as it stands there."""

import re
from pathlib import Path

import pytest

import neuroevo

DOCS = Path(__file__).parents[1] / "docs"
SHORT = {"generations": 1, "population": 4, "final_policies": 0, "devices": 1}
EXAMPLES = {
    f"{path.name}-{number}": block
    for path in (DOCS / "extending.md", DOCS / "logging.md")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    )
    if "neuroevo.evolve(" in block
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example, tmp_path, monkeypatch):
    evolve, runs = neuroevo.evolve, []

    def shortly(**options):
        runs.append(evolve(**options | SHORT))
        return runs[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(neuroevo, "evolve", shortly)
    exec(EXAMPLES[example], {})
    assert runs and all(run.summary["generations"] == 1 for run in runs)
