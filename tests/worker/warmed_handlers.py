"""Handlers whose preload() warms scikit-learn's OpenMP and libvips, which keep threads that a forked child lacks."""

import numpy as np
import pyvips
from sklearn.cluster import KMeans

from gopher import Job, handler


def cluster() -> int:
    points = np.random.default_rng(1).random((20_000, 8))
    return len(set(KMeans(8, n_init=1, random_state=1).fit(points).labels_))


def shrink() -> int:
    image = pyvips.Image.black(2000, 2000, bands=3).gaussblur(5).resize(0.1)
    return len(image.write_to_buffer(".png"))


def preload() -> None:
    cluster()
    shrink()


@handler("cluster")
def run_cluster(job: Job, payload: dict) -> int:
    return cluster()


@handler("shrink")
def run_shrink(job: Job, payload: dict) -> bool:
    return shrink() > 0
