"""Images of a data set as sums of waves: the latents of a fixed decoder.

A latent holds the coefficients of the lowest frequencies of an image, for each channel:
a discrete cosine transform, as JPEG uses it. What is searched for is smooth, and much
smaller than the pixels. A coefficient is in units of the amplitude that waves of its
frequency have in natural images, where it falls with the frequency (Field, "Relations
between the statistics of natural images and the response properties of cortical cells",
1987): then one step size suits all of them.
"""

import jax.numpy as jnp
import numpy as np

from genomes import waves
from neuroevo.errors import UserError
from neuroevo.types import Encoding, Genome, Key, Params, Start


def with_latents(encoding: Encoding, image: tuple[int, ...], most: int) -> Encoding:
    """Return an encoding whose genome has `latents` in the place of `states`.

    Args:
        encoding: the encoding of a data set, with `states` (…, *image).
        image: the shape of an observation.
        most: the number of frequencies along each axis, or all of a shorter one.

    Returns:
        The encoding; its `latents` are (…, rows, columns, channels). Random ones of
        size 1 make pixels of size 1. Results have images.

    Raises:
        UserError: if observations are no images, or smaller than the latent.
    """
    if len(image) != 3:
        raise UserError(
            "encoding.latent: expected images as observations (height, width, "
            f"channels), not those of shape {image}"
        )
    height, width, _ = image
    if most > max(height, width):
        raise UserError(
            f"encoding.latent {most}: expected at most {max(height, width)}, the "
            f"longer side of the images of {height} x {width}"
        )
    rows, columns = (waves.lowest(size, min(most, size)) for size in (height, width))
    units = _amplitudes(rows.shape[1], columns.shape[1])
    area = height * width

    def draw(genome: Genome) -> Genome:
        """Return the data set with the images of the latents."""
        rest = {name: x for name, x in genome.items() if name != "latents"}
        found = units * genome["latents"]
        images = jnp.einsum("hi,wj,...ijc->...hwc", rows, columns, found)
        return {**rest, "states": images}

    def adopt(genome: Genome) -> Genome:
        """Return the latents of the nearest images; the waves are orthogonal."""
        rest = {name: x for name, x in genome.items() if name != "states"}
        sums = jnp.einsum("hi,wj,...hwc->...ijc", rows, columns, genome["states"])
        return {**rest, "latents": sums / (units * area)}

    def init(key: Key) -> Genome:
        return adopt(encoding.init(key))

    def decode(genome: Genome, start: Start) -> Params:
        return encoding.decode(draw(genome), start)

    def export(genome: Genome) -> Genome:
        images = draw(genome)
        return encoding.export(images) if encoding.export else images

    return encoding._replace(
        init=init, decode=decode, bounds=None, export=export, adopt=adopt
    )


def _amplitudes(rows: int, columns: int) -> np.ndarray:
    """Return the units of the coefficients, (rows, columns, 1), of total power 1."""
    frequency = np.hypot(*np.ogrid[:rows, :columns])[..., None]
    found = 1 / (1 + frequency)
    return (found / np.sqrt((found**2).sum())).astype(np.float32)
