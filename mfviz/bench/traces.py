"""The recorded runs that the page plays on opening, recorded anew on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mfviz.api import load
from mfviz.data.problem import split
from mfviz.errors import MfvizError
from mfviz.experiments.proposals import propose
from mfviz.experiments.run import Run
from mfviz.experiments.store import pack
from mfviz.solvers.base import solver_class

__all__ = ["RECORDED", "record"]

# File name, data, solver, settings over what is proposed. A and B share problem, rank and start.
RECORDED = (
    ("toy-sgd.mfviz", "toy", "sgd", {"workers": 1}),
    ("toy-als.mfviz", "toy", "als", {"workers": 2}),
)


def record(folder: Path) -> list[tuple[str, int]]:
    """Run and write each of :data:`RECORDED`.

    Parameters
    ----------
    folder : Path
        Usually ``assets/traces`` of the checkout.

    Returns
    -------
    list of (str, int)
        File names and their bytes.

    Raises
    ------
    MfvizError
        If a run does not end as done; its file is then not replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data, key, settings in RECORDED:
        problem = split(load(data), holdout=0.1, seed=0)
        solver = solver_class(key).make(**{**propose(key, problem), "seed": 0, **settings})
        with tempfile.TemporaryDirectory(prefix="mfviz-record-") as scratch:
            run = Run(problem, solver, folder=Path(scratch), run_id=name.partition(".")[0])
            run.execute()
            if run.status != "done":
                raise MfvizError(f"{name}: the run ended as {run.status}: {run.reason}")
            pack(Path(scratch), folder / name, arrays=False)
        written.append((name, (folder / name).stat().st_size))
    return written
