"""The zoo: every genome has a whole card and fits its parts; CartPole's holds."""

import json

import pytest

import neuroevo
from neuroevo import loading
from neuroevo import returns as measures
from neuroevo.cli.main import main
from neuroevo.errors import UserError
from neuroevo.store import genome_file, zoo

CARD = {
    "title",
    "env",
    "pairs",
    "command",
    "search",
    "versions",
    "generations",
    "env_steps",
    "seconds",
    "devices",
    "made",
    "license",
    "confidence",
    "return_mean",
    "return_interval",
    "policies",
    "episodes",
}


def test_the_zoo_has_what_was_promised():
    assert {"cartpole-d2", "hopper-d4", "breakout-d16"} <= set(zoo.names())


@pytest.mark.parametrize("name", zoo.names())
def test_every_card_is_whole_and_true_to_its_file(name):
    card = zoo.card(name)
    assert card.keys() >= CARD
    file = genome_file.load(zoo.locate(f"zoo:{name}"))
    assert card["env"] == file.meta["env"]["name"]
    assert card["pairs"] == len(file.arrays["states"])
    low, high = card["return_interval"]
    assert low <= card["return_mean"] <= high
    command = card["command"]
    distilled = command.startswith("neuroevo distill")
    assert distilled or command.startswith("neuroevo train")
    assert distilled == ("teacher" in card) and "/" not in command


@pytest.mark.parametrize("name", zoo.names())
def test_every_genome_fits_its_parts(name):
    path = zoo.locate(f"zoo:{name}")
    solution = loading.make_solution(*loading.read_solution(path, []))
    assert solution.config.names["encoding"] == "dataset"


def test_cartpole_does_what_its_card_says():
    result = neuroevo.load("zoo:cartpole-d2").evaluate(policies=4, episodes=4, seed=7)
    assert result["return_mean"] >= 0.98 * zoo.card("cartpole-d2")["return_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_every_genome_does_what_its_card_says(name):
    result = neuroevo.load(f"zoo:{name}").evaluate(policies=8, episodes=4, seed=7)
    card = zoo.card(name)
    low, high = card["return_interval"]
    # Two intervals of the same mean overlap, but for one time in many.
    found_low, found_high = result["return_interval"]
    assert found_low <= high and low <= found_high
    assert measures.CONFIDENCE == card["confidence"]


def test_list_shows_the_zoo_and_a_card(capsys):
    for words, expected in (
        (["list", "zoo"], "cartpole-d2"),
        (["list", "zoo:cartpole-d2"], "Apache-2.0"),
    ):
        with pytest.raises(SystemExit) as exit:
            main(words)
        assert exit.value.code == 0
        assert expected in capsys.readouterr().out


def test_evaluate_takes_a_name_of_the_zoo(capsys):
    with pytest.raises(SystemExit):
        main("evaluate zoo:cartpole-d2 --policies 1 --episodes 2 --json".split())
    assert json.loads(capsys.readouterr().out)["env"] == "CartPole-v1"


def test_a_stray_name_is_told_the_nearest():
    with pytest.raises(UserError, match="did you mean 'cartpole-d2'"):
        zoo.locate("zoo:cartpole-d3")
