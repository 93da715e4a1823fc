"""Random textures: cloth, and the blotches of a wall."""

import numpy as np
from numpy.typing import NDArray

TEXTURE_SIZE = 64
"""Edge of a square, periodic piece of cloth in texels."""


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cutoff: float
) -> NDArray[np.float64]:
    """Periodic noise of zero mean and unit variance, low-passed at ``cutoff`` cycles an edge."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    rows = np.fft.fftfreq(shape[0], 1 / shape[0])[:, None]
    columns = np.fft.rfftfreq(shape[1], 1 / shape[1])[None, :]
    spectrum *= np.exp(-(rows**2 + columns**2) / (2 * cutoff**2))
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, shape)
    return np.asarray(noise / noise.std())


def weave(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw cloth, plain, striped or blotched: (64, 64) float32, -1.5 to 1.5."""
    shape = (TEXTURE_SIZE, TEXTURE_SIZE)
    cloth = 0.3 * smooth_noise(rng, shape, 6.0)
    stripes = rng.integers(0, 7, 2)
    u, v = np.meshgrid(*[np.arange(n) * 2 * np.pi / n for n in shape])
    if rng.random() < 0.5:
        cloth += 0.7 * np.sign(np.sin(stripes[0] * u) + np.sin(stripes[1] * v))
    else:
        cloth += 0.5 * smooth_noise(rng, shape, 2.5)
    return np.clip(cloth, -1.5, 1.5).astype(np.float32)
