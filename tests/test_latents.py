"""Images as sums of waves, and bounds of genes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import dctn, idctn

import neuroevo
from genomes.dataset import Dataset
from genomes.latents import with_latents
from neuroevo.core.bounds import bounded
from neuroevo.errors import UserError
from neuroevo.policies.networks import MLP
from neuroevo.run import build, checks
from neuroevo.run.parts import shapes
from neuroevo.spaces import Discrete, Spec
from neuroevo.strategies.gradients import Gradients
from neuroevo.types import Encoding, OuterLoss

IMAGES = Spec((6, 5, 2), Discrete(3))
POLICY = MLP(hidden=(), kernel_init="lecun").build(IMAGES)
KEY = jax.random.key(3)


def dataset(**options):
    return Dataset(steps=2, optimizer="sgd", **options).build(POLICY, IMAGES)


def numbers(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_latents_are_the_lowest_frequencies_of_images():
    encoding = dataset(latent=4)
    latents = numbers((3, 4, 4, 2))
    # Those of natural images fall with the frequency; all of them are one in total.
    amplitudes = 1 / (1 + np.sqrt(np.add.outer(np.arange(4) ** 2, np.arange(4) ** 2)))
    units = (amplitudes / np.linalg.norm(amplitudes))[..., None]
    spectrum = np.zeros((3, 6, 5, 2))
    spectrum[:, :4, :4] = latents * units
    expected = idctn(spectrum, axes=(1, 2), norm="ortho") * np.sqrt(30)
    images = encoding.export({"latents": latents})["states"]
    np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)
    # The nearest latents of images leave out all higher frequencies.
    found = encoding.adopt({"states": jnp.asarray(numbers((3, 6, 5, 2)))})["latents"]
    spectrum = dctn(numbers((3, 6, 5, 2)), axes=(1, 2), norm="ortho")
    expected = spectrum[:, :4, :4] / units / np.sqrt(30)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_as_many_waves_as_pixels_lose_nothing():
    encoding = dataset(latent=6)
    images = numbers((3, 6, 5, 2))
    again = encoding.export(encoding.adopt({"states": images}))
    np.testing.assert_allclose(again["states"], images, rtol=1e-4, atol=1e-5)


def test_results_decode_as_in_the_search():
    options = Dataset(steps=2, optimizer="sgd", latent=3, learn=("learning_rate",))
    encoding = options.build(POLICY, IMAGES)
    plain = options.settled().build(POLICY, IMAGES)
    genome = {"latents": numbers((3, 3, 3, 2)), "log_rate": jnp.float32(0.5)}
    assert shapes(encoding.init).keys() == genome.keys()
    start = plain.start(KEY)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        encoding.decode(genome, start),
        plain.decode(encoding.export(genome), start),
    )


def test_sequences_of_images_have_latents_too():
    lead = (3, 2)
    plain = Encoding(
        lambda key: {"states": jnp.zeros((*lead, 6, 5, 2))}, lambda genome, key: genome
    )
    found = with_latents(plain, IMAGES.observation, 3)
    assert shapes(found.init)["latents"].shape == (*lead, 3, 3, 2)


@pytest.mark.parametrize("latent", [None, 3])
def test_states_stay_within_their_bounds(latent):
    encoding = bounded(dataset(latent=latent, bounds=(0.0, 1.0)))
    name = "states" if latent is None else "latents"
    genome = {name: 3 * numbers(shapes(encoding.init)[name].shape)}
    exported = encoding.export(genome)
    assert exported["states"].min() == 0 and exported["states"].max() == 1
    free = dataset(latent=latent)
    start = free.start(KEY)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        encoding.decode(genome, start),
        dataset().decode(exported, start),
    )


def test_bounds_are_of_states_alone():
    encoding = dataset(bounds=(0.0, 1.0), labels="learned")
    low, high = encoding.bounds
    assert (low["states"], high["states"]) == (0, 1)
    assert (low["action_logits"], high["action_logits"]) == (-np.inf, np.inf)


def test_an_encoding_without_bounds_stays_what_it_is():
    encoding = dataset()
    assert bounded(encoding) is encoding


def test_gradients_turn_back_at_a_bound():
    low, high = jnp.float32(0), jnp.float32(1)

    def loss_on(genome, key, observations, targets):
        return jnp.sum((genome - jnp.array([3.0, 0.5])) ** 2)

    def batch(key, size):
        return jnp.zeros((size, 1)), jnp.zeros(size, jnp.int32)

    def end(within):
        loss = OuterLoss(lambda key: jnp.zeros(2), loss_on, None, within)
        strategy = Gradients(steps=50, networks=1, batch=1, learning_rate=0.1).build(
            1, loss
        )
        state = strategy.init(KEY, jnp.array([-1.0, 0.0]))
        return strategy.descent.improve(KEY, state, jnp.int32(0), batch).genome

    found = end(lambda genome: jnp.clip(genome, low, high))
    np.testing.assert_allclose(found, [1, 0.5], atol=0.05)
    assert end(None)[0] > 1.5


def classify(apply, params, key):
    """Tell images with a bright upper half from those with a bright lower half."""
    image = jax.random.uniform(key, (6, 5, 2))
    upper = image[:3].mean() > image[3:].mean()
    return (jnp.argmax(apply(params, image)) == jnp.where(upper, 0, 1)).astype(float)


RUN = {
    "fitness": classify,
    "spec": IMAGES,
    "policy": {"name": "mlp", "hidden": ()},
    "strategy": {"name": "SNES", "std": 2.0},
    "population": 4,
    "generations": 3,
    "policies": 1,
    "episodes": 2,
    "center_policies": 2,
    "final_policies": 2,
    "final_episodes": 2,
}
LATENT = {"name": "dataset", "steps": 2, "latent": 3, "bounds": (0.0, 1.0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("latents") / "run"
    return neuroevo.evolve(encoding=LATENT, run_dir=path, **RUN)


def test_files_have_images(run):
    with np.load(run.path / "best.npz") as file:
        assert file["states"].shape == (3, 6, 5, 2)
        assert file["states"].min() >= 0 and file["states"].max() <= 1
        assert {*file} == {"states", "labels", "meta"}
    solution = neuroevo.load(run.path, fitness=classify, spec=IMAGES)
    assert solution.config.parts["encoding"].latent is None
    found = solution.evaluate(2, 2, seed=run.config.settings.seed)
    assert found["return_mean"] == run.summary["best_return_mean"]
    assert run.center.genome["states"].shape == (3, 6, 5, 2)


def test_a_search_goes_on_from_images(run):
    more = neuroevo.evolve(encoding=LATENT, start=run, **{**RUN, "generations": 1})
    latents = more.parts.encoding.adopt(run.best.genome)
    assert more._first["latents"].shape == (3, 3, 3, 2)
    np.testing.assert_allclose(more._first["latents"], latents["latents"], rtol=1e-5)


MISTAKES = {
    "--encoding.latent 2": (
        "encoding.latent: expected images as observations (height, width, channels), "
        "not those of shape (4,)"
    ),
    "--env digits --encoding.latent 9": (
        "encoding.latent 9: expected at most 8, the longer side of the images of 8 x 8"
    ),
    "--encoding.bounds 1 0": (
        "encoding.bounds: expected a range from low to high, got 1.0 to 0.0"
    ),
}


@pytest.mark.parametrize("options", MISTAKES)
def test_a_mistake_is_told_in_one_line(options, run_cli, tmp_path):
    path = tmp_path / "run"
    line = f"train {options} --run-dir {path}"
    assert run_cli(line) == (2, "", f"neuroevo: {MISTAKES[options]}\n")
    assert not path.exists()


def custom(bounds):
    like = jnp.zeros(2)
    return Encoding(
        lambda key: {"gain": like},
        lambda genome, key: {"output": genome["gain"]},
        bounds=bounds,
    )


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (0.0, "encoding.bounds: expected a tuple of the lowest and the highest"),
        (({"gain": 0.0}, 1.0), "encoding.bounds: expected pytrees like the genome"),
        (({"gain": 0.0}, {"gain": np.ones(3)}), "an array of shape (2,) at"),
        (({"gain": 1.0}, {"gain": 0.0}), "expected the lowest values first at"),
    ],
)
def test_bounds_that_do_not_fit(bounds, message):
    params = {"output": jax.ShapeDtypeStruct((2,), jnp.float32)}
    checks.check_encoding(custom(({"gain": 0.0}, {"gain": np.ones(2)})), params)
    with pytest.raises(UserError) as error:
        checks.check_encoding(custom(bounds), params)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_exported_shapes():
    assert build.exported(dataset(latent=2)) == shapes(dataset().init)
