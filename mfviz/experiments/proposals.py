"""Recommended settings of every solver for the data at hand.

Data are recognised by content, never by name: numbers of users, items and ratings, the scale, and
whether ratings are whole numbers. What is not recognised gets a rule on the same numbers.

How they were chosen: with :func:`mfviz.experiments.tuning.tune`, on training ratings only, those
of the official ``u1.base`` for ml-100k and elsewhere of the hold-out with seed 1001. Validation
parts and starts have the seeds 1001 and 1002 (the larger sets: 1001 alone), which are used for
nothing else. The rank was 64 on ml-100k, ml-1m and the sets like ml-1m and ml-10m, else the one
that is proposed; the settings of the 25M set are those of the 10M set, not tuned again. They serve
other ranks too: on ml-1m the best of three lambdas is the same at ranks 16, 64 and 128 for sgd and
als, and for fpsgd the next larger one at 128.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfviz.data.problem import Problem
from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError
from mfviz.solvers.base import solver_class

__all__ = ["FAMILIES", "KNOWN", "Known", "propose", "published", "recognise"]

# Solvers that share settings: the same model, arithmetic and loss, in another order.
FAMILIES = {
    "als": "als",
    "apsgd": "sgd",
    "asgd": "sgd",
    "averaged_sgd": "sgd",
    "ccd": "als",
    "ccdpp": "als",
    "cumf_als": "als",
    "cumf_ccd": "als",
    "cumf_sgd": "fpsgd",
    "ds_sgd_c": "sgd",
    "ds_sgd_d": "sgd",
    "dsgd": "sgd",
    "fampsgd": "sgd",
    "fpsgd": "fpsgd",
    "gpusgd": "sgd",
    "hogwild": "sgd",
    "minibatch_sgd": "sgd",
    "msgd": "sgd",
    "preconditioned_sgd": "sgd",
    "sgd": "sgd",
    "strip_sgd": "sgd",
}
# The bold driver of DSGD's paper ends some 0.01 above a schedule that is tuned for the data.
# A cycle of CCD goes less far than a solve of ALS. The papers of MSGD and DS-SGD have no biases,
# and these settings were tuned with them; FAMPSGD's neither. fpsgd's lambda and rate were found
# good for cuMF_SGD too (on ml-100k and ml-1m), with a schedule of its own.
EXTRA: dict[str, dict[str, Any]] = {
    "ccd": {"epochs": 25},
    "cumf_sgd": {"beta": 0.1, "epochs": 25},
    "ds_sgd_c": {"biases": True},
    "ds_sgd_d": {"biases": True},
    "dsgd": {"schedule": "exponential"},
    "fampsgd": {"biases": True},
    "msgd": {"biases": True},
}
# Workers that race for the rows of small data need a rate that bears it (0.25 diverged on toy).
HIGHEST_LR = {"cumf_sgd": 0.1}

BIASES = {"biases": True, "init": "normal", "init_scale": 0.1}

SAMPLE = 10_000  # ratings that are looked at for whole numbers and spread
MOVIELENS_STD = 1.12  # spread of the ratings that the rule was made on


def _sgd(
    lam: float, *, lr: float = 0.03, decay: float = 0.95, epochs: int = 25, **more: float
) -> dict[str, Any]:
    return {"lam": lam, "lr": lr, "decay": decay, "epochs": epochs, "init_scale": 0.015, **more}


def _strips(lam: float) -> dict[str, Any]:
    """Twice the rate of ``sgd`` and a steeper fall: as good an end after fewer epochs."""
    return _sgd(lam, lr=0.06, decay=0.84, epochs=15)


def _fpsgd(lam: float, *, lr: float = 0.05, epochs: int = 20) -> dict[str, Any]:
    return {"lam": lam, "lr": lr, "epochs": epochs}


def _als(lam: float, *, epochs: int = 15) -> dict[str, Any]:
    return {"lam": lam, "epochs": epochs}


def _biased(lam: float, *, lam_bias: float = 0.05, epochs: int = 15) -> dict[str, Any]:
    """Biases take what features are badly used for; the smaller the data, the more they help."""
    return {**_als(lam, epochs=epochs), **BIASES, "lam_bias": lam_bias}


@dataclass(frozen=True, slots=True)
class Known:
    """A rating set that settings were tuned for.

    Attributes
    ----------
    name : str
        For people who read this file.
    users, items, ratings : int
        Of the whole set.
    whole : bool
        Whether all ratings are whole numbers.
    high : float
        Largest rating.
    rank : int
        What is proposed.
    settings : mapping of str to mapping
        By family of solver, or by solver where that was tuned apart.
    """

    name: str
    users: int
    items: int
    ratings: int
    whole: bool
    high: float
    rank: int
    settings: Mapping[str, Mapping[str, Any]]


KNOWN = (
    Known("ml-100k", 943, 1682, 100_000, True, 5, 32,
          {"sgd": _sgd(0.08), "fpsgd": _fpsgd(0.09, epochs=20), "als": _biased(0.13)}),
    Known("ml-1m", 6040, 3706, 1_000_209, True, 5, 64,
          {"sgd": _sgd(0.045, decay=0.92), "fpsgd": _fpsgd(0.05), "als": _als(0.075, epochs=12),
           "strip_sgd": _strips(0.045)}),
    Known("ml-latest-small", 610, 9724, 100_836, False, 5, 32,
          {"sgd": _sgd(0.05), "fpsgd": _fpsgd(0.06), "als": _biased(0.12, lam_bias=0.15)}),
    Known("movietweetings-100k", 16_554, 10_506, 100_000, True, 10, 16,
          {"sgd": _sgd(0.2, lr=0.02, init_scale=0.02), "fpsgd": _fpsgd(0.2),
           "als": _biased(0.4, lam_bias=0.25, epochs=10)}),
    Known("netflix-sample", 38_152, 20, 42_813, True, 5, 8,
          {"sgd": _sgd(0.1), "fpsgd": _fpsgd(0.1, lr=0.01),
           "als": _biased(0.6, lam_bias=3.0, epochs=10)}),
    Known("toy", 60, 40, 900, False, 5, 8,
          {"sgd": _sgd(0.06, lr=0.12, decay=0.99, epochs=40, init_scale=0.1),
           "fpsgd": _fpsgd(0.06, lr=0.25, epochs=30), "als": _biased(0.06)}),
    Known("small-100k", 943, 1682, 100_000, False, 5, 32,
          {"sgd": _sgd(0.05), "fpsgd": _fpsgd(0.06), "als": _biased(0.14)}),
    Known("1m-like", 6040, 3706, 1_000_209, False, 5, 64,
          {"sgd": _sgd(0.05, decay=0.92), "fpsgd": _fpsgd(0.055), "als": _biased(0.09, epochs=12),
           "strip_sgd": _strips(0.05)}),
    Known("ml-10m and 10m-like", 69_878, 10_677, 10_000_054, False, 5, 64,
          {"sgd": _sgd(0.04, decay=0.9, epochs=20), "fpsgd": _fpsgd(0.04),
           "als": _als(0.075, epochs=10), "strip_sgd": _strips(0.04)}),
    Known("ml-25m and 25m-like", 162_541, 59_047, 25_000_095, False, 5, 64,
          {"sgd": _sgd(0.04, decay=0.9, epochs=20), "fpsgd": _fpsgd(0.04),
           "als": _als(0.075, epochs=10), "strip_sgd": _strips(0.04)}),
)  # fmt: skip


def published(solver: str, name: str) -> dict[str, Any]:
    """Return the settings that a paper or its authors' code gives.

    Parameters
    ----------
    solver : str
        Key of a solver.
    name : str
        As the solver declares it in ``published``, or a part of that which only one has; upper
        and lower case are one.

    Returns
    -------
    dict
        The settings that were published; others are not in it.

    Raises
    ------
    ParameterError
        If there is no such solver or preset, or several have that in their names.
    """
    known = solver_class(solver).published
    if not known:
        raise ParameterError(
            f"{solver} has no presets: nothing was published for it that mfviz knows.", "preset"
        )
    wanted = name.strip().casefold()
    same = [full for full in known if full.casefold() == wanted]
    found = same or [full for full in known if wanted and wanted in full.casefold()]
    if len(found) != 1:
        names = ", ".join(repr(full) for full in found or known)
        what = f"more than one preset with {name!r}" if found else f"no preset {name!r}; there are"
        raise ParameterError(f"{solver} has {what}: {names}.", "preset")
    return dict(known[found[0]])


def propose(solver: str, data: Problem | Ratings) -> dict[str, Any]:
    """Recommend settings.

    Parameters
    ----------
    solver : str
        Key of a solver.
    data : Problem or Ratings
        What it will be trained on; of a problem, test ratings only count for its size.

    Returns
    -------
    dict
        Rank, epochs and hyper-parameters that the solver has; workers and seed are the user's. A
        solver that nothing was tuned for gets the rank alone.

    Raises
    ------
    ParameterError
        If there is no such solver.
    """
    declared = solver_class(solver).hyper_parameters()
    known = recognise(data)
    rank = known.rank if known else _rule_rank(_shape(data)[2])
    chosen: dict[str, Any] = {"rank": rank}
    family = FAMILIES.get(solver)
    if family is not None:
        chosen |= (
            known.settings.get(solver, known.settings[family]) if known else _rule(family, data)
        )
        chosen |= EXTRA.get(solver, {})
        if solver == "fampsgd":
            chosen |= _slowed(chosen["lr"], _train(data))
        if solver in HIGHEST_LR:
            chosen["lr"] = min(chosen["lr"], HIGHEST_LR[solver])
    return {name: value for name, value in chosen.items() if name in declared}


def recognise(data: Problem | Ratings) -> Known | None:
    """Return the known set that the data are (or are the training part of), if any."""
    found = _shape(data)
    train = _train(data)
    whole = bool((train.r[:SAMPLE] % 1 == 0).all())
    for known in KNOWN:
        wanted = (known.users, known.items, known.ratings)
        near = all(
            # A training part has lost up to a third of the ratings, and the rarest rows.
            least * b <= a <= 1.02 * b
            for a, b, least in zip(found, wanted, (0.85, 0.85, 0.67), strict=True)
        )
        if near and whole == known.whole and train.scale[1] == known.high:
            return known
    return None


def _train(data: Problem | Ratings) -> Ratings:
    return data.train if isinstance(data, Problem) else data


def _shape(data: Problem | Ratings) -> tuple[int, int, int]:
    """Users, items and ratings; a problem's test ratings are counted."""
    if isinstance(data, Problem):
        return data.n_users, data.n_items, data.train.nnz + data.test.nnz + data.set_aside
    return data.n_users, data.n_items, data.nnz


def _rule_rank(ratings: int) -> int:
    for limit, rank in ((5_000, 8), (50_000, 16), (500_000, 32)):
        if ratings < limit:
            return rank
    return 64


def _unit(train: Ratings) -> float:
    """Spread of the ratings, in those of the rule's."""
    spread = float(np.std(train.r[:: max(1, train.nnz // SAMPLE)], dtype=np.float64))
    return spread / MOVIELENS_STD if spread > 0 else 1.0


def _slowed(lr: float, train: Ratings) -> dict[str, Any]:
    """Rate and offset of steps that errors slow down: they begin at twice those of ``sgd``.

    Found on the validation parts of ml-100k and small-100k.
    """
    c = _unit(train)
    return _bounded({"lr": 4.0 * c * lr, "offset": 4.0 * c * c})


def _rule(family: str, data: Problem | Ratings) -> dict[str, Any]:
    """Settings for unknown data, from the ratings a row and their spread.

    Multiplying all ratings by c multiplies the best lambda by c, divides the best learning rate of
    the factors by c and scales good initial values by sqrt(c); sparser data need more lambda, and
    small data more epochs' worth of learning rate. FPSGD divides ratings by their spread itself.
    """
    train = _train(data)
    c = _unit(train)
    sparsity = 90.0 * (train.n_users + train.n_items) / train.nnz  # 1 on ml-1m
    lam = 0.045 * c * min(max(sparsity**0.25, 0.8), 2.5)
    if family == "als":
        lam_bias = min(max(0.015 * sparsity, 0.05), 0.15)  # the scale of ratings does not matter
        return _bounded(_biased(2.0 * lam, lam_bias=lam_bias))
    small = train.nnz < 5_000
    if family == "fpsgd":
        return _bounded(_fpsgd(1.25 * lam, lr=0.2 if small else 0.05, epochs=30))
    more: dict[str, Any] = {"epsilon": 0.1 * c}  # of whitening, in squared units of factors
    if small:
        more |= {"decay": 0.99, "epochs": 40, "init_scale": 0.1 * math.sqrt(c)}
        return _bounded(_sgd(lam, lr=0.1 / c, **more))
    more |= {"decay": 0.92 if sparsity < 1.5 else 0.95, "init_scale": 0.015 * math.sqrt(c)}
    return _bounded(_sgd(lam, lr=0.03 / c, **more))


def _bounded(settings: dict[str, Any]) -> dict[str, Any]:
    """Round to three digits, and keep odd scales within what every solver allows."""
    limits = {
        "lam": (0.0, 100.0),
        "lr": (1e-6, 10.0),
        "init_scale": (1e-6, 10.0),
        "epsilon": (1e-6, 1e6),
        "offset": (1e-6, 1e6),
    }
    for name, (low, high) in limits.items():
        if name in settings:
            settings[name] = float(f"{min(max(settings[name], low), high):.3g}")
    return settings
