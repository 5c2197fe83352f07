"""The explorer as an object: shows itself in a notebook, and can be driven from code.

It is the same session that the served page shows, without the page's frame.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import panel as pn
import param

from mfviz.data import catalog
from mfviz.data.frames import as_ratings
from mfviz.data.ways import Way
from mfviz.errors import MfvizError
from mfviz.solvers.base import registry
from mfviz.views.cell import Cell
from mfviz.views.host import Host, here, load_extension
from mfviz.views.loading import Loader
from mfviz.views.page import PAGE_NAMES, View
from mfviz.views.settings import NONE, Settings
from mfviz.views.theme import sheet, variables
from mfviz.views.values import write

if TYPE_CHECKING:
    import pandas as pd

    from mfviz.data.ratings import Ratings
    from mfviz.experiments.run import Run

__all__ = ["Explorer"]

HEIGHT = 900  # px in a cell


class Explorer(pn.viewable.Viewer):
    """The page in an object; the last line of a cell shows it.

    Parameters
    ----------
    data : str, path, or what :func:`mfviz.as_ratings` takes
        Name of a data set, a file of ratings, or ratings in memory: arrays, a frame, a matrix.
    solver, compare : str
        Keys of solver A and, if wanted, of solver B.
    seed : int
        Of the hold-out, the initial factors and the order.
    theme : {"light", "dark"}
    host : Host, optional
        Where it lives; found by itself.
    **settings
        Settings of the solvers: rank and workers of both, all others (epochs, lam, lr, ...) of A;
        those of B begin with ``b_``, as in ``b_epochs=20``. What is not given is proposed.

    Raises
    ------
    ParameterError
        If there is no such solver or setting, or a value is out of its bounds.

    Examples
    --------
    >>> from mfviz import Explorer
    >>> explorer = Explorer(data="toy", solver="sgd", compare="als")  # doctest: +SKIP
    >>> a, b = explorer.run()                                          # doctest: +SKIP
    >>> a.wait(); explorer.runs                                        # doctest: +SKIP
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="Light or dark.")

    def __init__(
        self,
        data: Any = "toy",
        solver: str = "sgd",
        compare: str | None = None,
        seed: int = 0,
        *,
        theme: str = "light",
        host: Host | None = None,
        **settings: Any,
    ) -> None:
        load_extension()
        super().__init__(theme=theme)
        given = {name.replace("b_", "b.", 1) if name.startswith("b_") else name: value
                 for name, value in settings.items()}  # fmt: skip
        query = {"solver": solver, "compare": compare or NONE, "seed": seed, **given}
        query = {name: write(value) for name, value in query.items()}
        if query != {"solver": "sgd", "compare": NONE, "seed": "0"}:  # which is known to be right
            _check(query)
        self._host = host or here()
        named = isinstance(data, str | os.PathLike)
        self._ratings = None if named else as_ratings(data)
        name = os.fspath(data) if self._ratings is None else self._ratings.name
        self.view = View(
            self._host,
            {"data": name, "theme": theme, **query},
            load=None if self._ratings is None else Loader(self._load),
        )  # fmt: skip
        self.view.open()
        self._layout = _Outer(
            pn.Row(
                pn.Column(
                    *self.view.drawer.view, width=280, sizing_mode="stretch_height", margin=0,
                    stylesheets=[sheet("aside")],
                ),
                self.view.main, sizing_mode="stretch_both", margin=0,
            ),
            closed=self._host.close, height=HEIGHT, sizing_mode="stretch_width", margin=0,
            css_classes=[f"mf-{theme}"],
            stylesheets=[variables(":host(.mf-light)", ":host(.mf-dark)")],
        )  # fmt: skip

    def __panel__(self) -> Any:
        return self._layout

    def _load(self, name: str) -> Ratings:
        if self._ratings is not None and name == self._ratings.name:
            return self._ratings
        return catalog.load(name)

    @property
    def _in_memory(self) -> bool:
        """Whether the ratings on the desk are those that were handed over."""
        return self._ratings is not None and self.view.desk.data == self._ratings.name

    @param.depends("theme", watch=True)
    def _themed(self) -> None:
        self._layout.css_classes = [f"mf-{self.theme}"]
        self.view.set_theme(self.theme)

    def run(self) -> list[Run]:
        """Start the runs in the background and return them: A, or A and B.

        Raises
        ------
        MfvizError
            If the data cannot be loaded or a setting is refused.
        """
        self.view.desk.complete()
        check = self.view.desk.preflight()
        if not check.ready:
            raise MfvizError(check.sentence)
        self.view.session.start()
        return [track.run for track in self.view.session.pair if track.run is not None]

    def stop(self) -> None:
        """Stop the runs."""
        self.view.session.stop()

    def step(self, unit: str = "epoch") -> None:
        """Go on by one epoch or checkpoint, then hold.

        Parameters
        ----------
        unit : {"epoch", "checkpoint"}
        """
        self.view.session.unit = unit
        self.view.session.step()

    @property
    def runs(self) -> pd.DataFrame:
        """A table with a row a run: letter, solver, data, status, epochs, RMSE, seconds, seed."""
        import pandas as pd

        rows = []
        for track in sorted(self.view.session.tracks, key=lambda t: t.letter):
            if track.demo:
                continue
            track.catch_up()
            h = track.history
            rows.append(
                {
                    "run": track.letter, "id": track.run_id, "solver": h.solver, "data": h.problem,
                    "status": track.status, "epochs": track.epoch,
                    "best_test_rmse": h.best_test_rmse, "solve_s": h.solve_s, "seed": h.seed,
                    "determinism": h.determinism,
                }
            )  # fmt: skip
        columns = ["run", "id", "solver", "data", "status", "epochs", "best_test_rmse", "solve_s",
                   "seed", "determinism"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)

    def code(self) -> str:
        """Return Python code that repeats what is set, without a page."""
        desk = self.view.desk
        desk.complete()
        settings = desk.settings
        assert settings is not None
        seed = settings.value(("both", "seed"))
        way = "".join(
            f", {name}={value!r}"
            for name, value in asdict(desk.way).items()
            if value != getattr(Way(), name)
        )
        if self._in_memory:
            made = f"split(mfviz.as_ratings(ratings), seed={seed}{way})  # ratings: as given"
        else:
            made = f"load_problem({desk.data!r}, seed={seed}{way})"
        lines = ["import mfviz", "", f"problem = mfviz.{made}"]
        for slot in settings.slots:
            name, key = slot.lower(), settings.solvers[slot]
            given = "".join(f", {n}={v!r}" for n, v in settings.arguments(slot).items())
            backend = settings.backend(slot)
            where = f", backend={backend!r}" if backend != "cpu" else ""
            lines += [
                f"{name} = mfviz.Run(problem, mfviz.make_solver({key!r}, problem{given}){where})",
                f"{name}.execute()",
                f"print({name}.result().best_test_rmse)",
            ]
        return "\n".join(lines) + "\n"

    def url(self, base: str = "http://127.0.0.1:5006/explorer") -> str:
        """Return the address of a served page with these settings.

        Parameters
        ----------
        base : str
            Where ``mfviz explore`` serves the page.

        Raises
        ------
        MfvizError
            If the ratings are in memory, where a served page does not find them.
        """
        if self._in_memory:
            raise MfvizError(
                "an address names data sets and files, and these ratings are only in memory: "
                "save them as a file, and give the Explorer its path."
            )
        self.view.desk.complete()
        query: Mapping[str, str] = self.view.query()
        return f"{base}?{urlencode({n: v for n, v in query.items() if n != 'run'})}"

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Save the runs that ended: A under the path, B beside it with ``-b`` in its name.

        Parameters
        ----------
        path : str or path
            Ends in ``.mfviz``.

        Raises
        ------
        MfvizError
            If nothing has ended yet.
        """
        target, written = Path(path), []
        for track in self.view.session.pair:
            if track.run is not None and not track.run.active:
                name = target if track.letter == "A" else target.with_stem(f"{target.stem}-b")
                track.run.result().save(name)
                written.append(name)
        if not written:
            raise MfvizError("No run has ended yet; wait() for it or stop() it, then save.")
        return written


def _check(query: Mapping[str, str]) -> None:
    """Refuse settings that a page would mend: who writes code reads no notices."""
    Settings(registry(), "sgd").check(query, ignore=("split", *PAGE_NAMES))


class _Outer(Cell):
    """Tells when its last output in a notebook is gone."""

    def __init__(self, *objects: Any, closed: Any, **params: Any) -> None:
        super().__init__(*objects, **params)
        self._closed = closed

    def _cleanup(self, root: Any = None) -> None:
        super()._cleanup(root)
        if not self._models:
            self._closed()
