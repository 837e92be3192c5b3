"""Whatever an environment shows becomes one float32 array, with names by path."""

import collections
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuroevo.environments.observations import flatten, names
from neuroevo.errors import UserError


class Seen(NamedTuple):
    image: object
    kind: object


IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


@pytest.mark.parametrize(
    ("observation", "counts", "expected", "named"),
    [
        (IMAGE, None, IMAGE, None),
        (np.array([True, False]), None, [1, 0], None),
        (np.int8(7), None, [7], None),
        (2, 4, [0, 0, 1, 0], None),
        (np.array([1, 0]), 2, [[0, 1], [1, 0]], None),
        ({"image": IMAGE}, None, IMAGE, ("image[0]", "image[1]", "image[2]")),
        ({"kind": 1}, {"kind": 2}, [0, 1], ("kind=0", "kind=1")),
        (
            Seen(np.eye(2), 1),
            {"kind": 3, "image": 0},  # another order
            [1, 0, 0, 1, 0, 1, 0],
            (
                *("image[0, 0]", "image[0, 1]", "image[1, 0]", "image[1, 1]"),
                *("kind=0", "kind=1", "kind=2"),
            ),
        ),
        (
            {"b": 1.5, "a": {"y": [True, np.array([2])]}},
            None,
            [1, 2, 1.5],
            ("a.y.0", "a.y.1", "b"),
        ),
        (
            collections.OrderedDict(b=1, a=np.array([0, 1])),
            {"a": 2, "b": 0},
            [1, 1, 0, 0, 1],
            ("b", "a[0]=0", "a[0]=1", "a[1]=0", "a[1]=1"),
        ),
    ],
)
def test_one_array_with_names(observation, counts, expected, named):
    found = flatten(observation, counts)
    assert found.dtype == jnp.float32 and not found.weak_type
    np.testing.assert_array_equal(found, expected)
    assert names(observation, counts) == named
    abstract = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, observation))
    assert names(abstract, counts) == named
    if named is not None:
        assert len(named) == found.shape[-1]


@pytest.mark.parametrize(
    ("observation", "counts", "expected"),
    [
        ({}, None, "its observation is empty; expected at least one number"),
        ({"a": "x"}, None, "its observation has a str at a; expected arrays of real"),
        (1j, None, "its observation has a complex; expected arrays of real numbers"),
        ((0, jax.random.key(0)), None, "at 1; expected arrays of real numbers"),
        ({"a": 1}, {"b": 2}, "its observation has a; its declared space has b"),
        (1, {"b": 2}, "its observation has one array; its declared space has b"),
    ],
)
def test_what_is_not_numbers(observation, counts, expected):
    with pytest.raises(UserError, match=expected) as error:
        flatten(observation, counts, name="Mine")
    assert str(error.value).startswith("environment Mine: its observation ")
    with pytest.raises(UserError, match="^the observation"):
        flatten(observation, counts)
