"""Who takes part in ``mfviz bench peers``: mfviz's solvers and other packages, behind one face."""

from __future__ import annotations

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mfviz.bench.libmf import LibMF, nodes
from mfviz.data.problem import Problem
from mfviz.errors import MfvizError
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.solvers.base import solver_class

__all__ = ["Contender", "Job", "Ours", "Speed", "others"]

Predict = Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], npt.NDArray[Any]]
Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class Job:
    """What all train: one problem, one rank, one number of threads."""

    problem: Problem
    rank: int
    threads: int

    def rmse(self, predict: Predict) -> float:
        """Test RMSE of a model, in the user's units."""
        test = self.problem.test
        with np.errstate(all="ignore"):
            error = test.r.astype(np.float64) - predict(test.u, test.i)
            return float(np.sqrt(np.mean(error * error)))


@dataclass(frozen=True)
class Speed:
    """Seconds of one measurement: of the set-up and of one epoch (for ALS, of one sweep)."""

    setup_s: float
    epoch_s: float


class Contender(ABC):
    """Something that can be trained for a number of epochs from scratch.

    Attributes
    ----------
    label : str
    note : str
        What a reader must know beside the numbers.
    choices : sequence of dict
        Settings of which the best for the job is taken.
    explicit : bool
        Whether it predicts ratings; without that only its time counts.
    lengths : (int, int)
        Epochs of the two runs whose difference is an epoch's time.
    """

    label: str
    note: str = ""
    choices: Sequence[dict[str, Any]] = ({},)
    explicit: bool = True
    lengths: tuple[int, int] = (2, 8)

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Get ready for a job; raises MfvizError or ImportError where that is impossible."""

    @abstractmethod
    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        """Train from scratch."""

    def measure(self, settings: dict[str, Any]) -> Speed:
        """Time two lengths of training; their difference is free of the set-up."""
        few, more = self.lengths
        seconds = []
        for epochs in (few, more):
            begin = time.perf_counter()
            self.train(settings, epochs)
            seconds.append(time.perf_counter() - begin)
        epoch_s = (seconds[1] - seconds[0]) / (more - few)
        return Speed(max(0.0, seconds[0] - few * epoch_s), epoch_s)

    def curve(self, job: Job, settings: dict[str, Any], epochs: Sequence[int]) -> Curve:
        """Test RMSE after each of the given numbers of epochs."""
        return [(n, job.rmse(self.train(settings, n))) for n in epochs]


@dataclass
class Ours(Contender):
    """A solver of mfviz with its proposal for the data, or with other settings over it."""

    key: str
    over: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0

    def __post_init__(self) -> None:
        extra = " ".join(f"{name}={value}" for name, value in self.over.items())
        self.label = f"{self.key} {extra}".strip()
        self.note = "its proposal, chosen on validation parts of training ratings"

    def begin(self, job: Job) -> None:
        """See :meth:`Contender.begin`; compiles the kernels."""
        self.job, cls = job, solver_class(self.key)
        settings = {**propose(self.key, job.problem), **self.over, "rank": job.rank}
        low, high = cls.param.workers.bounds
        settings["workers"] = min(max(job.threads, low), high)
        if self.epochs:
            settings["epochs"] = self.epochs
        self.settings = settings
        self._run({**settings, "epochs": 1}, 0)

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        """See :meth:`Contender.train`."""
        run = self._run({**self.settings, **settings, "epochs": epochs}, 0)
        factors = run.factors
        assert factors is not None
        return factors.predict

    def measure(self, settings: dict[str, Any]) -> Speed:
        """Take the run's own times: solve time has no evaluation in it, set-up no update."""
        run = self._run({**self.settings, **settings, "epochs": self.lengths[1]}, 0)
        tables = run.result().tables
        last = tables.epochs[-1]
        return Speed(tables.setup_s, last.solve_s / last.epoch)

    def curve(self, job: Job, settings: dict[str, Any], epochs: Sequence[int]) -> Curve:
        """See :meth:`Contender.curve`; one run with an evaluation after each epoch."""
        run = self._run({**self.settings, **settings}, 1)
        return [(row.epoch, row.test_rmse) for row in run.result().tables.epochs if row.epoch]

    def _run(self, settings: dict[str, Any], evaluate_every: int) -> Run:
        solver = solver_class(self.key).make(**settings)
        run = Run(self.job.problem, solver, evaluate_every=evaluate_every)
        run.execute()
        if run.status == "failed":
            raise MfvizError(f"{self.key} failed: {run.reason}")
        return run


class _LibMF(Contender):
    """LIBMF, the C++ library."""

    label = "LIBMF"
    note = "no biases; RPCS learning rates"
    choices = tuple({"lam": lam, "eta": eta} for lam in (0.04, 0.05, 0.06) for eta in (0.05, 0.1))

    def __init__(self, path: str | None) -> None:
        self._path = path

    def begin(self, job: Job) -> None:
        self._library, self._job = LibMF(self._path), job
        self._nodes = nodes(job.problem.train)

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        job = self._job
        return self._library.train(
            self._nodes,
            (job.problem.n_users, job.problem.n_items),
            rank=job.rank,
            threads=job.threads,
            iterations=epochs,
            **settings,
        ).predict


class _Implicit(Contender):
    """ALS of the package implicit: its loss is for implicit feedback, so only time counts."""

    explicit = False
    lengths = (1, 3)

    def __init__(self, exact: bool) -> None:
        self.label = "implicit exact" if exact else "implicit CG(3)"
        self.note = "implicit objective: time only"
        self._exact = exact

    def begin(self, job: Job) -> None:
        from scipy.sparse import csr_matrix

        import_module("implicit.als")
        train = job.problem.train
        shape = (job.problem.n_users, job.problem.n_items)
        self._matrix = csr_matrix((train.r, (train.u, train.i)), shape=shape)
        self._job = job

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        als = import_module("implicit.als")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the threads of BLAS, which are not ours to set
            model = als.AlternatingLeastSquares(
                factors=self._job.rank,
                iterations=epochs,
                use_cg=not self._exact,
                use_gpu=False,
                num_threads=self._job.threads,
                random_state=0,
            )
            model.fit(self._matrix, show_progress=False)
        P, Q = np.asarray(model.user_factors), np.asarray(model.item_factors)
        return lambda u, i: np.einsum("ij,ij->i", P[u], Q[i])


class _Surprise(Contender):
    """SVD of scikit-surprise: one thread."""

    label = "Surprise SVD"
    note = "with biases; one thread whatever is asked for"
    choices = tuple({"lr_all": lr, "reg_all": reg} for lr in (0.005, 0.01) for reg in (0.02, 0.05))
    lengths = (1, 5)

    def begin(self, job: Job) -> None:
        surprise = import_module("surprise")
        train = job.problem.train
        import pandas as pd

        frame = pd.DataFrame({"u": train.u, "i": train.i, "r": train.r})
        reader = surprise.Reader(rating_scale=train.scale)
        self._train = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
        self._surprise, self._job = surprise, job

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        model = self._surprise.SVD(
            n_factors=self._job.rank, n_epochs=epochs, random_state=0, **settings
        )
        model.fit(self._train)
        inner_u = np.array([self._train.to_inner_uid(x) for x in range(self._job.problem.n_users)])
        inner_i = np.array([self._train.to_inner_iid(x) for x in range(self._job.problem.n_items)])

        def predict(u: npt.NDArray[np.int32], i: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
            a, b = inner_u[u], inner_i[i]
            dots = np.einsum("ij,ij->i", model.pu[a], model.qi[b])
            found: npt.NDArray[Any] = self._train.global_mean + model.bu[a] + model.bi[b] + dots
            return found

        return predict


class _Cornac(Contender):
    """MF of cornac."""

    label = "cornac MF"
    note = "with biases"
    choices = tuple(
        {"learning_rate": lr, "lambda_reg": reg} for lr in (0.01, 0.02) for reg in (0.02, 0.05)
    )
    lengths = (2, 8)

    def begin(self, job: Job) -> None:
        cornac = import_module("cornac")
        train = job.problem.train
        triples = zip(train.u.tolist(), train.i.tolist(), train.r.tolist(), strict=True)
        self._train = cornac.data.Dataset.from_uir(list(triples), seed=0)
        self._cornac, self._job = cornac, job

    def train(self, settings: dict[str, Any], epochs: int) -> Predict:
        model = self._cornac.models.MF(
            k=self._job.rank,
            max_iter=epochs,
            num_threads=self._job.threads,
            use_bias=True,
            early_stop=False,
            verbose=False,
            seed=0,
            **settings,
        )
        model.fit(self._train)
        to_u, to_i = self._train.uid_map, self._train.iid_map
        of_u = np.array([to_u[x] for x in range(self._job.problem.n_users)])
        of_i = np.array([to_i[x] for x in range(self._job.problem.n_items)])

        def predict(u: npt.NDArray[np.int32], i: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
            a, b = of_u[u], of_i[i]
            dots = np.einsum("ij,ij->i", model.u_factors[a], model.i_factors[b])
            found: npt.NDArray[Any] = (
                model.global_mean + model.u_biases[a] + model.i_biases[b] + dots
            )
            return found

        return predict


def others(libmf: str | None) -> list[Contender]:
    """All peers, whether they are installed or not."""
    return [_LibMF(libmf), _Implicit(True), _Implicit(False), _Surprise(), _Cornac()]


def least(curve: Curve) -> float:
    """Lowest RMSE of a curve."""
    return min((error for _, error in curve if math.isfinite(error)), default=math.nan)
