"""GPU memory of the solvers that keep two sorted copies of the ratings on the device.

Table S1 of the DS-SGD supplement lists what nvidia-smi showed. Its rows for MSGD and DS-SGD-C
are reproduced exactly for ML25M, ML32M and Netflix by: a CUDA context of 404 MiB; two copies of
12-byte triples (u, i, r), one sorted by user and one by item; and f = 40 float32 features with one
4-byte row pointer a node; every array rounded up to the allocator's granule of 2 MiB. An 80/20
split with the test set on the host gives the table; 70/10/20 with the test set on the device gives
2 MiB more.
The row of DS-SGD-D admits several layouts and is not claimed here.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["GRANULE", "MIB", "device_mib", "two_copies"]

MIB = 1 << 20
GRANULE = 2 * MIB
CONTEXT_MIB = 404


def two_copies(
    n_users: int,
    n_items: int,
    nnz: int,
    *,
    rank: int = 40,
    split: tuple[float, float, float] = (0.8, 0.0, 0.2),
    test_resident: bool = False,
) -> dict[str, int]:
    """Bytes of the arrays of MSGD and DS-SGD-C, by name.

    Parameters
    ----------
    n_users, n_items, nnz : int
        Shape of the data set; ``nnz`` counts all ratings.
    rank : int
        Features a node, float32.
    split : (float, float, float)
        Shares of training, validation and test ratings.
    test_resident : bool
        Whether the test ratings are on the device too.

    Returns
    -------
    dict of str to int
        Bytes, not yet rounded to granules.
    """
    train, _, test = split
    n_train = round(train * nnz)
    arrays = {
        "ratings by user": 12 * n_train,
        "ratings by item": 12 * n_train,
        "P and row pointers": 4 * (rank + 1) * n_users,
        "Q and column pointers": 4 * (rank + 1) * n_items,
    }
    if test_resident:
        arrays["test ratings"] = 12 * round(test * nnz)
    return arrays


def device_mib(arrays: Iterable[int], *, context_mib: int = CONTEXT_MIB) -> int:
    """MiB that nvidia-smi shows for arrays of the given sizes.

    Parameters
    ----------
    arrays : iterable of int
        Bytes of each array; each is rounded up to 2 MiB.
    context_mib : int
        What the CUDA context takes before any array.
    """
    granules = sum(-(-size // GRANULE) for size in arrays)
    return context_mib + granules * (GRANULE // MIB)
