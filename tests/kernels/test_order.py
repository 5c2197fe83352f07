"""The shuffle: a permutation, the one of its twin, whatever pieces it is done in."""

from __future__ import annotations

import numpy as np
import pytest

from mfviz.kernels import order
from tests import naive


def records(count: int) -> np.ndarray:
    found = np.zeros(count, dtype=order.TRIPLE)
    found["u"] = np.arange(count)
    found["i"], found["r"] = found["u"] + 1, found["u"] / 2
    return found


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (1, 1), (2, 9), (300, 2**63 - 5)])
def test_shuffle_is_that_of_its_twin(count, seed):
    found = records(count)
    order.shuffle(found, 0, np.uint64(seed), count, 0)
    assert found["u"].tolist() == naive.shuffled(range(count), seed)
    assert (found["i"] == found["u"] + 1).all()
    assert (found["r"] == found["u"] / 2).all()


def test_pieces_of_a_shuffle_make_the_same_permutation():
    whole, cut = records(100), records(100)
    order.shuffle(whole, 0, np.uint64(3), 100, 0)
    for high, low in ((100, 61), (61, 60), (60, 0)):
        order.shuffle(cut, 0, np.uint64(3), high, low)
    np.testing.assert_array_equal(whole, cut)


def test_only_the_segment_is_touched():
    found = records(50)
    order.shuffle(found, 10, np.uint64(3), 20, 0)
    assert found["u"][:10].tolist() == list(range(10))
    assert found["u"][30:].tolist() == list(range(30, 50))
    assert found["u"][10:30].tolist() == naive.shuffled(range(10, 30), 3)


def test_every_place_is_equally_likely():
    counts = np.zeros((6, 6))
    for seed in range(1, 3001):
        counts[np.arange(6), naive.shuffled(range(6), seed)] += 1
    assert abs(counts - 500).max() < 5 * np.sqrt(500)


def test_parts_have_seeds_of_their_own():
    seeds = [int(order.part_seed(np.uint64(77), part)) for part in range(50)]
    assert seeds == [naive.part_seed(77, part) for part in range(50)]
    assert seeds[0] == 77
    assert len(set(seeds)) == 50
