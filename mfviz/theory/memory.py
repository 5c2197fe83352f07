"""GPU memory of the solvers that keep two sorted copies of the ratings on the device.

Table S1 of the DS-SGD supplement lists what nvidia-smi showed. Its rows for MSGD and DS-SGD-C
are reproduced exactly for ML25M, ML32M and Netflix by: a CUDA context of 404 MiB; two copies of
12-byte triples (u, i, r), one sorted by user and one by item; and f = 40 float32 features with one
4-byte row pointer a node; every array rounded up to the allocator's granule of 2 MiB. An 80/20
split with the test set on the host gives the table; 70/10/20 with the test set on the device gives
2 MiB more.
The row of DS-SGD-D admits several layouts and is not claimed here, nor is that of CUMF_CCD, which
the arrays of its public code do not give; FAMPSGD's fits 8 more bytes a training rating and some
64 more floats a node, which is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "CONTEXT_MIB", "GRANULE", "MIB", "S1_RANK", "S1_TRAIN", "TABLE_S1", "TableS1", "device_mib",
    "rounding_bytes", "table_s1", "two_copies",
]  # fmt: skip

MIB = 1 << 20
GRANULE = 2 * MIB
CONTEXT_MIB = 404
S1_RANK = 40
S1_TRAIN = 0.8  # share of the ratings


@dataclass(frozen=True, slots=True)
class TableS1:
    """A column of Table S1: a data set and the MiB that it took, by solver.

    Attributes
    ----------
    users, items, ratings : int
        Its shape; the set that the table calls Yahoo!Music could not be identified and is absent.
    mib : dict of str to int
        As published, by key of the solver.
    """

    users: int
    items: int
    ratings: int
    mib: dict[str, int]


# Hu, Qin, Wu, Luo: supplement on DS-SGD, Table S1.
TABLE_S1 = {
    "ML25M": TableS1(
        162_541, 59_047, 25_000_095,
        {"fampsgd": 1092, "msgd": 900, "cumf_ccd": 974, "ds_sgd_c": 900, "ds_sgd_d": 788},
    ),
    "ML32M": TableS1(
        200_948, 84_432, 32_000_204,
        {"fampsgd": 1282, "msgd": 1038, "cumf_ccd": 1140, "ds_sgd_c": 1038, "ds_sgd_d": 888},
    ),
    "Netflix": TableS1(
        480_189, 17_770, 100_480_507,
        {"fampsgd": 2988, "msgd": 2324, "cumf_ccd": 2436, "ds_sgd_c": 2324, "ds_sgd_d": 1870},
    ),
}  # fmt: skip


def table_s1(users: int, items: int, ratings: int) -> str:
    """Name of the data set of Table S1 that has this shape; empty if none has."""
    shape = (users, items, ratings)
    found = (n for n, t in TABLE_S1.items() if (t.users, t.items, t.ratings) == shape)
    return next(found, "")


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


def rounding_bytes(sizes: Sequence[int]) -> int:
    """Bytes that a device takes beyond arrays of these sizes, as it gives memory out in granules.

    Arrays of less than half a granule share granules.
    """
    small = sum(size for size in sizes if size < GRANULE // 2)
    whole = [size for size in sizes if size >= GRANULE // 2]
    return sum(-(-size // GRANULE) * GRANULE for size in [*whole, small]) - sum(sizes)
