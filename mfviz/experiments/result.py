"""What a finished run leaves: factors in the user's units, tables, predictions, a file."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mfviz.data.numbering import lookup_any
from mfviz.data.problem import Problem
from mfviz.errors import DataError, MfvizError
from mfviz.experiments.picture import as_png, as_svg
from mfviz.experiments.store import copy_log, pack
from mfviz.solvers.base import Factors
from mfviz.telemetry.history import History
from mfviz.telemetry.log import EventLog

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result", "save_arrays"]

ARRAYS = ("P", "Q", "bu", "bi")


def save_arrays(folder: Path, factors: Factors) -> tuple[str, ...]:
    """Write the factors to ``arrays/*.npy`` of a run folder; return their names.

    Parameters
    ----------
    folder : Path
    factors : Factors
        Saved without padding, in the units of the solver (see :class:`Factors`).
    """
    (folder / "arrays").mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        array = getattr(factors, name)
        kept = array[:, : factors.rank] if array.ndim > 1 else array
        np.save(folder / "arrays" / f"{name}.npy", kept)
    return ARRAYS


class Result:
    """A run that has ended.

    Parameters
    ----------
    problem : Problem
    factors : Factors or None
        None if the run ended before its set-up was over.
    log : EventLog

    Attributes
    ----------
    tables : History
        Everything that the events tell.
    """

    def __init__(self, problem: Problem, factors: Factors | None, log: EventLog) -> None:
        self.problem = problem
        self._factors = factors
        self._log = log
        self.tables = History()
        self.tables.follow(log)

    @property
    def factors(self) -> Factors:
        """The model as the solver left it.

        Raises
        ------
        MfvizError
            If the run ended before its set-up was over.
        """
        if self._factors is None:
            raise MfvizError(f"The run has no factors: it {self.status} before its first epoch.")
        return self._factors

    @property
    def P(self) -> npt.NDArray[np.float32]:
        """User factors (m, rank) float32, in the order of the training users.

        In the user's units: a rating is about ``mu + bu[u] + bi[i] + P[u] @ Q[i]``.
        """
        return self.factors.P[:, : self.factors.rank] * np.float32(self.factors.scale**0.5)

    @property
    def Q(self) -> npt.NDArray[np.float32]:
        """Item factors (n, rank) float32, in the order of the training items."""
        return self.factors.Q[:, : self.factors.rank] * np.float32(self.factors.scale**0.5)

    @property
    def bu(self) -> npt.NDArray[np.float32]:
        """User biases (m,) float32 in the user's units; zeros where the solver has none."""
        return self.factors.bu * np.float32(self.factors.scale)

    @property
    def bi(self) -> npt.NDArray[np.float32]:
        """Item biases (n,) float32 in the user's units."""
        return self.factors.bi * np.float32(self.factors.scale)

    @property
    def mu(self) -> float:
        """Constant part in the user's units; 0 where the solver does not centre."""
        return self.factors.mu * self.factors.scale

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Predict ratings for the user's own ids.

        Parameters
        ----------
        users, items : array_like
            Ids as they were in the ratings; one of them may be a single id. The number 7 and the
            text "7" are the same id, as they are in files.

        Returns
        -------
        ndarray of float64
            The training mean where the user or the item was never seen in training.

        Raises
        ------
        DataError
            If there are several users and several items, but not as many of them.
        """
        given_u, given_i = np.asarray(users), np.asarray(items)
        try:
            wanted_u, wanted_i = np.broadcast_arrays(given_u, given_i)
        except ValueError:
            raise DataError(
                f"found users of shape {given_u.shape} and items of shape {given_i.shape}; give "
                "as many of both, or a single one of either."
            ) from None
        u = lookup_any(self.problem.train.user_ids, wanted_u.ravel())
        i = lookup_any(self.problem.train.item_ids, wanted_i.ravel())
        known = (u >= 0) & (i >= 0)
        found = np.full(known.shape, self.problem.train.mean)
        found[known] = self.factors.predict(u[known], i[known])
        return found.reshape(wanted_u.shape)

    @property
    def status(self) -> str:
        """One of done, stopped, diverged and failed."""
        return self.tables.status

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence; empty for done."""
        return self.tables.reason

    @property
    def fix(self) -> str:
        """A setting worth trying, as NAME=VALUE, or empty."""
        return self.tables.fix

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by kind: setup_s, compile_s, solve_s, eval_s and wall_s."""
        names = ("setup_s", "compile_s", "solve_s", "eval_s", "wall_s")
        return {name: getattr(self.tables, name) for name in names}

    @property
    def best_test_rmse(self) -> float:
        """Lowest test RMSE of any epoch; NaN without test ratings."""
        return self.tables.best_test_rmse

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row an epoch from 0; times are cumulative seconds, NaN where nothing was evaluated."""
        return self.tables.frame()

    @cached_property
    def spans(self) -> pd.DataFrame:
        """A row a span: lane, op, name, start_ns, end_ns, bytes, ratings, epoch, block, ..."""
        return _table(
            self.tables.spans,
            ("lane", "op", "name", "start_ns", "end_ns", "bytes", "ratings", "epoch", "block",
             "reason", "clock"),
        )  # fmt: skip

    @cached_property
    def memory(self) -> pd.DataFrame:
        """A row a change of the ledger: t_ns, place, name, part, delta_bytes, held_bytes."""
        import pandas as pd

        frame = pd.DataFrame(
            self.tables.ledger, columns=["t_ns", "place", "name", "part", "delta_bytes"]
        )
        frame["held_bytes"] = frame.groupby("place")["delta_bytes"].cumsum()
        return frame

    def save(self, path: str | Path, *, arrays: bool = True) -> Path:
        """Write the run to one ``.mfviz`` file.

        Parameters
        ----------
        path : str or Path
        arrays : bool
            Whether the factors go into it.

        Returns
        -------
        Path

        Raises
        ------
        RunFileError
            If no file can be put there.
        """
        with tempfile.TemporaryDirectory(prefix="mfviz-save-") as scratch:
            folder = Path(scratch)
            copy_log(self._log, folder)
            if arrays and self._factors is not None:
                save_arrays(folder, self._factors)
            return pack(folder, Path(path), arrays=arrays)

    def __repr__(self) -> str:
        return summary(self.tables)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = {"text/plain": summary(self.tables)}
        if self.tables.evaluated:
            found["image/png"] = as_png(self.tables)
            found["text/html"] = as_svg(self.tables, found["text/plain"])
        return found


def summary(tables: History) -> str:
    """One line on a run, for places that show text only."""
    last = tables.evaluated[-1] if tables.evaluated else None
    words = [f"{tables.solver or 'run'} on {tables.problem or 'ratings'}: {tables.status}"]
    if tables.reason:
        words.append(tables.reason)
    if last is not None:
        words.append(
            f"epoch {last.epoch}, train RMSE {last.train_rmse:.4f}, test RMSE "
            f"{last.test_rmse:.4f}, {last.solve_s:.3g} s solving"
        )
    return "; ".join(words)


def _table(rows: list[Any], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: [getattr(row, name) for row in rows] for name in columns}, columns=list(columns)
    )
