"""Whatever is in a file: an answer in one line at worst, and soon."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import fuzz
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroevo.config.schema import PARTS, Settings

FEW = settings(
    max_examples=20,  # the same every time
    derandomize=True,
    database=None,
    deadline=60_000,  # ms; the first one imports half of the package
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=2000, derandomize=False)

KEYS = sorted(
    {"meta", "states", "name", "<<", "format", "version", "tasks", "spec", "neuroevo"}
    | {"preset", "config", "distributed", *PARTS, "encoding.size", "policy.hidden"}
    | {field.name for field in dataclasses.fields(Settings)}
)
NAMES = sorted(
    {"SNES", "dataset", "direct", "mlp", "running", "hopper", "gymnax:CartPole-v1"}
    | {"hades-brax", "auto", "None", "--help", "-h", "--compilation-cache", "nan"}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NAMES),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**40]),
    st.floats(),
    st.text(max_size=8),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4),
    ),
    max_leaves=12,
)
CONFIGS = st.dictionaries(
    st.sampled_from(KEYS) | st.text(max_size=4), TREES, max_size=4
)

STATES = fuzz.as_npy(np.zeros((2, 4)))
WHOLE = fuzz.as_npz(
    [
        ("states.npy", STATES),
        ("meta.npy", fuzz.as_npy(np.array('{"format": "neuroevo-genome"}'))),
    ]
)


@st.composite
def mutations(draw, content):
    """Some bytes of `content` changed, a part of it lost or repeated."""
    content = bytearray(content)
    places = st.integers(0, len(content) - 1)
    for place in draw(st.lists(places, max_size=6)):
        content[place] = draw(st.integers(0, 255))
    start, end = sorted((draw(places), draw(places)))
    kind = draw(st.sampled_from(["as it is", "cut", "repeat", "end"]))
    if kind == "cut":
        del content[start:end]
    elif kind == "repeat":
        content[end:end] = content[start:end]
    elif kind == "end":
        del content[end:]
    return bytes(content)


def with_meta(text):
    members = [("states.npy", STATES), ("meta.npy", fuzz.as_npy(np.array(text)))]
    fuzz.load_genome(fuzz.as_npz(members))


def describe(values):
    return json.dumps({"format": "neuroevo-genome", "version": 1} | values)


def no_surrogates(text):
    return text.encode("utf-8", "replace").decode()


# What is fuzzed: of what kind the inputs are, and what is done with each.
TARGETS = {
    "archives": (mutations(WHOLE), fuzz.load_genome),
    "arrays": (
        mutations(STATES),
        lambda data: fuzz.load_genome(fuzz.as_npz([("states.npy", data)])),
    ),
    "descriptions": (CONFIGS, lambda values: with_meta(describe(values))),
    "texts for a description": (st.text(), lambda text: with_meta(no_surrogates(text))),
    "configurations": (CONFIGS, lambda v: fuzz.load_yaml(yaml.safe_dump(v).encode())),
    "YAML": (
        st.text(st.sampled_from("&*a: -[]{},?!<|>'\"#%@\n\t1.")),
        lambda text: fuzz.load_yaml(text.encode()),
    ),
    "bytes": (st.binary(), lambda data: (fuzz.load_yaml(data), fuzz.load_genome(data))),
}


def attack(target, effort):
    inputs, function = TARGETS[target]
    effort(given(inputs)(lambda value: function(value) and None))()


@pytest.mark.parametrize("target", TARGETS)
def test_files_of_any_content(target):
    attack(target, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_files_of_any_content(target):
    attack(target, MANY)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["genome", "yaml"])
def test_files_that_a_coverage_guided_fuzzer_finds(target, tmp_path):
    pytest.importorskip("atheris", reason="pip install neuroevo[fuzz]")
    seeds = {"genome": [b"\0" + WHOLE, b"\x80" + STATES, b"\xff{}"], "yaml": [b"a: 1"]}
    for number, content in enumerate(seeds[target]):
        (tmp_path / str(number)).write_bytes(content)
    done = subprocess.run(
        [
            *(sys.executable, Path(__file__).with_name("fuzz.py"), target, tmp_path),
            *("-max_total_time=120", "-timeout=10", "-rss_limit_mb=3000"),
            *("-max_len=4096", f"-artifact_prefix={tmp_path}/crash-"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    runs = int(re.search(r"Done (\d+) runs", done.stderr)[1])
    print(f"{target}: {runs} inputs")
    assert runs > 1000
