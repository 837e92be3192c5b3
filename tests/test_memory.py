"""A run's need of memory is told before it compiles; too much of it is refused."""

import jax
import pytest

from neuroevo import devices
from neuroevo.config import resolve
from neuroevo.config.layers import Layer
from neuroevo.errors import UserError
from neuroevo.run import reuse, tuning
from neuroevo.run.run import Run


def run_with(**options):
    layer = Layer("test", {"devices": 1, "policy.hidden": [8], **options})
    return Run(resolve.resolve([layer]))


def needs(**options):
    run = run_with(**options)
    return tuning.estimate_memory(run.config, run.parts)


def test_it_grows_with_what_it_is_for():
    direct = {"encoding": "direct", "chunk": 4, "population": 10}
    few, many = needs(**direct), needs(**direct | {"population": 100})
    assert many["population"] == 10 * few["population"]
    assert needs(**direct | {"chunk": 8})["chunk"] > few["chunk"]
    full = needs(**direct, strategy="CMA_ES")
    numbers = few["population"] // tuning._POPULATION // 10 // 4
    assert full["strategy"] > 2 * 4 * numbers**2 > 10 * few["strategy"]
    large = needs(**direct | {"policy.hidden": [80]})
    assert large["population"] > 9 * few["population"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"population": 10**4}, ["for the population", "smaller --population"]),
        ({"strategy": "CMA_ES"}, ["for the strategy", "such as SNES"]),
        ({"chunk": 10**4}, ["for the chunk", "smaller --chunk"]),
    ],
)
def test_what_cannot_fit_is_refused_with_advice(options, words, monkeypatch):
    monkeypatch.setattr(devices, "memory", lambda _: (1, tuning.PROGRAM))
    with pytest.raises(UserError) as refused:
        run_with(encoding="direct", **options | {"policy.hidden": [64]})
    for word in ["the run needs about", "are free", *words]:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_free_memory_is_known():
    sharing, free = devices.memory(jax.devices())
    assert sharing == len(jax.devices()), "those of a CPU share its memory"
    assert 2**28 < free < 2**50


def test_devices_that_share_memory_need_it_each():
    run = run_with()
    one, two = (tuning.check_memory(run.config, run.parts, n, None) for n in (1, 2))
    assert two - tuning.PROGRAM == 2 * (one - tuning.PROGRAM)
    with pytest.raises(UserError, match="--devices 1"):
        tuning.check_memory(run.config, run.parts, 2, two - 1)
    assert tuning.check_memory(run.config, run.parts, 2, two) == two


@pytest.mark.parametrize("gigabytes", [4, 16, 80])
def test_an_accelerator_trains_as_many_policies_as_its_memory_holds(
    gigabytes, monkeypatch
):
    monkeypatch.setattr(devices, "is_cpu", lambda: False)
    monkeypatch.setattr(devices, "memory", lambda _: (1, gigabytes * 1e9))
    reuse.forget()  # sizes are chosen once for searches that differ in their seed
    run = run_with(**{"policy.hidden": [512, 512], "population": 4096})
    needed = tuning.estimate_memory(run.config, run.parts)["chunk"]
    assert needed / gigabytes < 0.6e9
    many = run.config.settings.chunk > 1900 and run.config.settings.decode_chunk == 4096
    assert many or needed / gigabytes > 0.3e9
