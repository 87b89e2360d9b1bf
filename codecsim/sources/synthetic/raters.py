"""Simulated raters, and the gold standard that is made of them as AVEC makes it."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float64]


def rate(truth: Floats, *, fps: float, rng: np.random.Generator, n_raters: int = 6) -> Floats:
    """Traces of raters who watch with a joystick in hand.

    Each is late by 0.4 to 1.4 s, smooths over 0.4 to 1 s, uses the scale more or less widely, has a bias, and
    wanders by a slow noise of his own.

    Parameters
    ----------
    truth : shape=(T,), −1 to 1

    Returns
    -------
    ratings : float64, shape=(T, n_raters), −1 to 1
    """
    seconds = np.arange(len(truth)) / fps
    ratings = []
    for _ in range(n_raters):
        seen = np.interp(seconds - rng.uniform(0.4, 1.4), seconds, truth)
        seen = ndimage.gaussian_filter1d(seen, rng.uniform(0.4, 1.0) * fps, mode="nearest")
        knots = np.arange(0, seconds[-1] + 8, 4)
        wandering = np.interp(seconds, knots, rng.standard_normal(len(knots)))
        wandering = ndimage.gaussian_filter1d(wandering, fps, mode="nearest")
        ratings.append(rng.uniform(0.7, 1.15) * seen + 0.10 * rng.standard_normal() + 0.10 * wandering)
    return np.stack(ratings, 1).clip(-1, 1)


def gold_standard(ratings: Floats) -> Floats:
    """One trace out of several, by how far the raters agree.

    The agreement w_i of a rater is the mean of his concordance correlation coefficients with the others (0 where it is
    negative). Each trace y_i is shifted to the weighted mean of the raters' means,
    y_i − mean(y_i) + Σ w_j mean(y_j) / Σ w_j, and the shifted traces are averaged.

    Parameters
    ----------
    ratings : shape=(T, R)

    Returns
    -------
    gold : float64, shape=(T,)

    Source
    ------
    After Ringeval et al. 2015, *AV+EC 2015*: each rater's mean is normalised by inter-rater agreement, and the raters
    are averaged. The formula above is what is computed here; the challenge's own code was not at hand to compare with.
    """
    means, centred = ratings.mean(0), ratings - ratings.mean(0)
    covariance = centred.T @ centred / len(ratings)
    variance = np.diag(covariance)
    apart = variance[:, None] + variance + np.square(means[:, None] - means)
    agreement = np.divide(2 * covariance, apart, out=np.zeros_like(covariance), where=apart > 0)
    np.fill_diagonal(agreement, 0)
    weights = (agreement.sum(1) / max(1, ratings.shape[1] - 1)).clip(0)
    level = means @ weights / weights.sum() if weights.sum() > 0 else means.mean()
    return np.asarray(centred.mean(1) + level, np.float64)
