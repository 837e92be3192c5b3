"""YAML: which files are configurations, and what others are told."""

import pytest
from test_config import configure, mistake

from neuroevo.config.yaml import read_yaml
from neuroevo.errors import UserError

BOMB = "a0: &a0 [1, 1]\n" + "".join(  # ten to the tenth
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11)
)


def test_yaml_may_merge_mappings(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("policy: &small {hidden: [4]}\nencoding: {<<: *small, size: 2}\n")
    assert read_yaml(file)["encoding"] == {"hidden": [4], "size": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", "expected a mapping of options, got [1, 2]"),
        ("hello", "expected a mapping of options, got 'hello'"),
        ("a: [1,", "not a readable YAML file"),
        ("a: 1\n\tb: 2", "not a readable YAML file"),
        ("a: 2020-13-45", "not a readable YAML file"),
        ("a: &a [*a", "not a readable YAML file"),
        ("? [1]\n: 2", "not a readable YAML file"),
        ("population: 4\nseed: 1\npopulation: 6", "key 'population' is given twice"),
        ("encoding: {size: 4, size: 5}", "the key 'size' is given twice"),
        ("a: !!python/object/apply:os.mkdir [x]", "not a readable YAML file"),
        ("[" * 2000, "not a readable YAML file"),
        (b"\xff\xfe\x00", "not a readable YAML file"),
        ("population: 0x" + "f" * 5000, "expected a number of at most 100 digits"),
        ("seed: " + "1:" * 5000 + "1", "expected a number of at most 100 digits"),
        ("policy: &a {hidden: *a}", "line 1, column 21: *a holds itself"),
        ("a: [" + "1, " * 10_000 + "]", "expected at most 10000 values"),
        (BOMB, "expected at most 10000 values"),
        ("#" * (2**18 + 1), "expected at most 262144 bytes"),
        ("!!int '': 1", "not a readable YAML file"),
        ("a: !!timestamp x", "not a readable YAML file"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_yaml_that_is_no_configuration(text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as error:
        read_yaml(file)
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert [f.name for f in tmp_path.iterdir()] == ["my.yaml"], "nothing was executed"


@pytest.mark.parametrize("word", ["--help", "-h", "--compilation-cache", "-x"])
def test_a_list_in_a_file_passes_no_options_on(word):
    expected = f"file: --policy.hidden: expected values, got {word!r}"
    assert mistake(policy={"hidden": [8, word, "/somewhere"]}) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"population": 3, "population.x": 4}, "expected a value or options, got both"),
        ({"max-seconds": 3, "max_seconds": 4}, "max_seconds: expected one value, got "),
        ({"encoding": {"steps": 2**31}}, "encoding.steps: expected an integer from 0"),
        ({"policy": {"hidden": [8, 10**11]}}, "policy.hidden: expected values that"),
    ],
)
def test_values_that_make_no_sense(values, expected):
    assert expected in mistake(**values)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file_is_an_empty_configuration(text, tmp_path):
    (tmp_path / "my.yaml").write_text(text)
    assert read_yaml(tmp_path / "my.yaml") == {}


def test_yaml_numbers_without_a_dot(tmp_path):
    """YAML 1.1 takes 1e-5 for a text, and 1.0e+6 for a float: people mean numbers."""
    (tmp_path / "my.yaml").write_text(
        "max_env_steps: 1.0e+6\npopulation: 1e1\nencoding: {adam_eps: 1e-5}\n"
    )
    resolved = configure(**read_yaml(tmp_path / "my.yaml"))
    assert resolved.settings.max_env_steps == 10**6
    assert resolved.settings.population == 10
    assert resolved.parts["encoding"].adam_eps == 1e-5
