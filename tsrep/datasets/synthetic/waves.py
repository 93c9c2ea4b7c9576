"""Series that no Gaussian process draws: regimes, bursts, steps, spikes, heartbeats, sawteeth.

The families and most ranges are those of TempoPFN's mixture (Moroshan et al. 2025, sec. 4). Each
function draws one series (T,) and takes any number of steps; ranges in steps are for 512.
"""

import numpy as np
from scipy.signal import lfilter


def sines(rng: np.random.Generator, steps: int) -> np.ndarray:
    """One to three sines, each with a slow change of frequency and of amplitude."""
    x = np.arange(steps) / steps
    total = np.zeros(steps)
    for _ in range(rng.integers(1, 4)):
        cycles = 512 / np.exp(rng.uniform(np.log(6), np.log(300)))
        phase = cycles * (x + rng.uniform(-0.4, 0.4) * x**2) + rng.random()
        swell = 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * (rng.uniform(0.5, 4) * x + rng.random()))
        total += rng.uniform(0.5, 3) * swell * np.sin(2 * np.pi * phase)
    return total


def sawtooth(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Two to twenty teeth, rising and falling in parts of random length, on a line."""
    x = np.arange(steps) / steps
    turn = np.mod(x * np.exp(rng.uniform(np.log(2), np.log(20))) + rng.random(), 1)
    rise = rng.uniform(0.02, 0.98)
    teeth = np.where(turn < rise, turn / rise, (1 - turn) / (1 - rise))
    if rng.random() < 0.3:  # a square wave
        teeth = (turn < rise).astype(float)
    return teeth * rng.uniform(0.5, 2) + rng.normal() * x


def steps_and_ramps(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Segments that are flat, ramps or short oscillations, each at a level of its own."""
    cuts = np.empty(0, np.int64)
    if steps > 1:
        cuts = np.sort(rng.integers(1, steps, rng.integers(1, 9)))
    level, parts = 0.0, []
    for part in np.split(np.arange(steps), cuts):
        n, kind = len(part), rng.integers(4)
        x = np.arange(n) / max(n, 1)
        if rng.random() < 0.7:
            level = rng.normal()
        if kind == 2:
            rise = rng.normal()
            parts.append(level + rise * x)
            level += rise
        elif kind == 3:
            parts.append(level + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 8) * x))
        else:
            parts.append(np.full(n, level))
    return np.concatenate(parts)


def spikes(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Bumps of one shape, periodic or at random places, on a quiet line."""
    count = int(rng.integers(2, 25))
    if rng.random() < 0.5:
        places = (np.arange(count) + rng.random()) / count + rng.normal(0, 0.01, count)
    else:
        places = rng.random(count)
    width = np.exp(rng.uniform(np.log(0.003), np.log(0.06)))
    heights = rng.choice([1, rng.uniform(-1, 1)], count) * rng.uniform(0.7, 1.3, count)
    x = (np.arange(steps) / steps - places[:, None]) / width  # (count, T)
    shape = rng.integers(3)
    if shape == 0:
        bumps = np.exp(-0.5 * x**2)
    elif shape == 1:
        bumps = np.clip(1 - np.abs(x), 0, None)
    else:  # a jump and a decay
        bumps = np.where(x > 0, np.exp(-np.clip(x, 0, 50)), 0)
    return heights @ bumps


def heartbeats(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Beats of five bumps, P Q R S T, as in an electrocardiogram (after McSharry et al. 2003).

    Places, widths and heights of the bumps are drawn for the series, the length of each beat anew.
    """
    beats = rng.uniform(1, 14)
    rate = beats / steps * np.exp(0.1 * np.interp(np.arange(steps), *_knots(rng, steps)))
    turn = np.mod(np.cumsum(rate) + rng.random(), 1)
    centres = np.array([0.2, 0.36, 0.4, 0.44, 0.65]) + rng.normal(0, 0.02, 5)
    widths = np.array([0.03, 0.012, 0.015, 0.012, 0.05]) * np.exp(rng.normal(0, 0.4, 5))
    heights = np.array([0.15, -0.15, 1.0, -0.25, 0.3]) * (1 + rng.normal(0, 0.6, 5))
    total = heights @ np.exp(-0.5 * ((turn - centres[:, None]) / widths[:, None]) ** 2)
    return total + 0.1 * np.interp(np.arange(steps), *_knots(rng, steps))


def regimes(rng: np.random.Generator, steps: int) -> np.ndarray:
    """An Ornstein-Uhlenbeck process that switches between a calm and a wild regime."""
    stay = rng.uniform(0.85, 0.999)
    wild = np.cumsum(rng.random(steps) > stay) % 2 == 1
    level = np.where(wild, rng.normal(), rng.normal())
    noise = np.where(wild, rng.uniform(0.5, 2), rng.uniform(0.05, 0.5)) * rng.standard_normal(steps)
    theta = np.exp(rng.uniform(np.log(0.01), np.log(0.5)))  # the pull to the level, per step
    return lfilter([1.0], [1.0, theta - 1.0], theta * level + np.sqrt(theta) * noise)


def bursts(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Packets of a fast oscillation or of noise between silences."""
    x = np.arange(steps) / steps
    count = int(rng.integers(1, 7))
    width = np.exp(rng.uniform(np.log(0.02), np.log(0.15), count))
    place = rng.random(count)
    envelope = np.exp(-0.5 * ((x - place[:, None]) / width[:, None]) ** 2).max(0)
    if rng.random() < 0.5:
        carrier = np.sin(2 * np.pi * (rng.uniform(8, 100) * x + rng.random()))
    else:
        carrier = rng.standard_normal(steps)
    return envelope * carrier + rng.uniform(0, 0.1) * rng.standard_normal(steps)


def coloured_noise(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Noise with the spectrum ``f**-a``, from white to smoother than a random walk."""
    spectrum = np.fft.rfft(rng.standard_normal(steps))
    frequency = np.maximum(np.arange(len(spectrum)), 1)
    return np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1.5), steps)


def _knots(rng: np.random.Generator, steps: int, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A slow random curve, for ``np.interp``."""
    return np.linspace(0, steps - 1, count), rng.standard_normal(count)


FAMILIES = (
    sines,
    sawtooth,
    steps_and_ramps,
    spikes,
    heartbeats,
    regimes,
    bursts,
    coloured_noise,
)
