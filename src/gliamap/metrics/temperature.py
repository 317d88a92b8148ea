"""Temperature: one number that makes a network as sure of itself as it is right (Guo et al., "On Calibration of Modern
Neural Networks", 2017).

Logits are divided by it: above 1 probabilities move towards even, below 1 towards 0 and 1; which is the likeliest does
not change. What is likeliest to be true of a set of voxels is found by their negative log likelihood.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPERATURES: NDArray[np.float64] = 2.0 ** (np.arange(-16, 25) / 8)
"""Those that are tried, 1/4 to 8: eight for each doubling."""

_LEAST = 1e-7  # what 0 stands for in a logarithm: the rounding of float32 next to 1


def likelihood_curve(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """The mean negative log likelihood (nats) of voxels at each of ``TEMPERATURES``; curves of cases may be averaged.

    ``probabilities`` ``(K, V)`` of K classes that exclude each other, as said at temperature 1; ``truth`` ``(V,)`` is
    the class of each voxel. At temperature T the probability of a class is proportional to its ``p ** (1 / T)``, which
    is what dividing its logit by T makes of it. ``ValueError`` where there is no voxel.
    """
    if not truth.size:
        raise ValueError("no voxel tells a likelihood")
    logs = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    true = np.take_along_axis(logs, truth[np.newaxis].astype(np.intp), axis=0)[0]
    means = [np.mean(np.log(np.exp(logs / t).sum(axis=0)) - true / t) for t in TEMPERATURES]
    return np.array(means)


def best_temperature(curve: NDArray[np.float64]) -> float:
    """Where a curve over ``TEMPERATURES`` is lowest: the vertex of the parabola through the least and its neighbours.

    At either end, the end itself.
    """
    at = int(np.argmin(curve))
    if at in (0, len(curve) - 1):
        return float(TEMPERATURES[at])
    before, least, after = curve[at - 1 : at + 2]
    bend = before - 2 * least + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float(2.0 ** (np.log2(TEMPERATURES[at]) + shift / 8))
