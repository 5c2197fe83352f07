"""The Memory tab: what every solver would take, whether it fits, and what the runs took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import panel as pn

from mfviz.plots.base import Track
from mfviz.plots.scale import mib_text
from mfviz.telemetry.memory import PARTS
from mfviz.theory.memory import S1_RANK, S1_TRAIN, TABLE_S1, table_s1
from mfviz.views.chips import chip
from mfviz.views.fit_table import fit_table
from mfviz.views.inputs import select, text
from mfviz.views.live_steps import StepsFigure
from mfviz.views.parts import Html, box, card, heading
from mfviz.views.session import Session
from mfviz.views.tabs import SETTINGS
from mfviz.views.tracks import LETTERS

__all__ = ["MemoryView"]

OURS, HERE = "chosen data", "this machine, CPU"
DEFAULT_LIMIT = 1200.0  # MiB, of a device of one's own
NAMES = dict(zip(("shape", "rank", "place", "limit"), SETTINGS["memory"], strict=True))


class MemoryView:
    """The page of the Memory tab.

    Parameters
    ----------
    session : Session
    theme : str
        "light" or "dark".
    query : mapping
        Settings of the address: fit.data, fit.rank, fit.on, fit.limit.

    Attributes
    ----------
    view : Panel object
    figures : tuple of StepsFigure
        What a session draws while the tab is shown.
    changed : callable
        Called when the person chooses something.
    """

    def __init__(self, session: Session, theme: str, query: Mapping[str, str]) -> None:
        self.session = session
        self.changed: Callable[[], None] = lambda: None
        self.figures = tuple(StepsFigure(letter, theme) for letter in LETTERS[:2])
        self.shape, self.place, self.rank, self.limit = OURS, "", 0, DEFAULT_LIMIT
        self._places: dict[str, Any] = {}
        self._told: Any = None
        self._quiet = False
        self._read(query)
        self.title, self.table = Html("", "cardhead"), Html("", "fit")
        self.heads = {f.letter: Html("", "cardhead") for f in self.figures}
        self.lists = {f.letter: Html("", "parts", width=232, sizing_mode="fixed")
                      for f in self.figures}  # fmt: skip
        self._controls()
        self.view = self._layout()
        session.watch(self.refresh, 1.0)
        self.refresh()

    def refresh(self) -> None:
        """Bring the table and the numbers up to date with the desk and the runs."""
        self._refresh_table()
        tracks = {track.letter: track for track in self.session.pair}
        for figure, panel in zip(self.figures, self.panels, strict=True):
            track = tracks.get(figure.letter)
            panel.visible = track is not None or figure.letter == "A"
            if track is None:
                self.heads[figure.letter].set(heading("Over time", "press Run: nothing is held"))
                continue
            where = "measured by the ledger; ● " + _samples(figure.steps.place)
            name = f"Over time {chip(figure.letter)} {escape(track.title)}"
            self.heads[figure.letter].set(heading(name, where))
            self.lists[figure.letter].set(_parts((figure.letter, track.history)))

    def set_theme(self, theme: str) -> None:
        """Recolour the figures in place."""
        for figure in self.figures:
            figure.set_theme(theme)

    def query(self) -> dict[str, str]:
        """What is chosen here, as it stands in an address."""
        found = {}
        if self.shape != OURS:
            found[NAMES["shape"]] = self.shape
        if self.rank:
            found[NAMES["rank"]] = str(self.rank)
        if self.place:
            found[NAMES["place"]] = self.place
        if self.place == "limit":
            found[NAMES["limit"]] = f"{self.limit:g}"
        return found

    # --- does it fit ------------------------------------------------------------------------

    def _refresh_table(self) -> None:
        settings, problem = self.session.desk.settings, self.session.desk.problem
        if settings is None or (problem is None and self.shape == OURS):
            self.title.set(heading("Does it fit?", "once the solvers and the ratings are there"))
            return
        rank = self.rank or self._desk_rank
        workers = int(settings.value(("both", "workers")))
        chosen = {settings.solvers[slot]: settings.arguments(slot) for slot in settings.slots}
        measured = self._measured(rank)
        shape = self._shape()
        state = (shape, rank, workers, self._place, self.limit, chosen, measured)
        if state == self._told:
            return
        self._told = state
        self._show_choices()
        from mfviz.experiments.fits import demands, places

        self._places = places(self.limit)
        place = self._places.get(self._place) or self._places["cpu"]
        self._offer_places()
        users, items, ratings, train = shape
        published = TABLE_S1[name].mib if (name := table_s1(users, items, ratings)) else {}
        if place.backend == "cpu":
            published = {}
        found = demands(
            settings.registry, (users, items, train), place, settings=chosen, rank=rank,
            workers=workers,
        )  # fmt: skip
        free = f"{mib_text(place.free_bytes)} MiB {'free' if place.measured else 'in all'}"
        words = f"{users:,} × {items:,}, {train:,} training ratings, rank {rank}; {free}"
        self.title.set(heading("Does it fit?", words) + _key(bool(published)))
        self.table.set(
            fit_table(
                found, place, measured=measured, published=published, chosen=list(chosen)
            ) + (_about_table_s1(rank) if published else "")
        )  # fmt: skip

    @property
    def _place(self) -> str:
        """Where it is asked for: at first, where run A would be."""
        settings = self.session.desk.settings
        on_device = settings is not None and settings.backend("A") == "cuda"
        return self.place or ("cuda0" if on_device else "cpu")

    @property
    def _desk_rank(self) -> int:
        settings = self.session.desk.settings
        return int(settings.value(("both", "rank"))) if settings is not None else 0

    def _shape(self) -> tuple[int, int, int, int]:
        """Users, items, ratings and training ratings of what is asked for."""
        if self.shape != OURS:
            found = TABLE_S1[self.shape]
            return found.users, found.items, found.ratings, round(S1_TRAIN * found.ratings)
        problem = self.session.desk.problem
        assert problem is not None
        total = problem.train.nnz + problem.test.nnz + problem.set_aside
        return problem.n_users, problem.n_items, total, problem.train.nnz

    def _measured(self, rank: int) -> dict[str, tuple[str, int]]:
        """What the runs held, where they are runs of just this: shape, rank and place."""
        if self._place != "cpu" and not self._place.startswith("cuda"):
            return {}
        users, items, _, train = self._shape()
        backend = "cpu" if self._place == "cpu" else "cuda"
        found: dict[str, tuple[str, int]] = {}
        for track in self.session.pair:
            h = track.history
            same = (h.shape.get("users"), h.shape.get("items"), h.shape.get("train"))
            if same != (users, items, train) or h.backend != backend:
                continue
            held = [size for place, size in h.peak_by_place.items()
                    if (place == "host") == (backend == "cpu")]  # fmt: skip
            if h.params.get("rank") == rank and sum(held):
                found.setdefault(h.solver, (track.letter, sum(held)))
        return found

    def _offer_places(self) -> None:
        place = self._places.get(self._place) or self._places["cpu"]
        self._quiet = True
        try:
            titles = [known.title for known in self._places.values()]
            self.where.param.update(options=titles, value=place.title)
        finally:
            self._quiet = False
        self.most.visible = self.place == "limit"

    # --- controls ---------------------------------------------------------------------------

    def _controls(self) -> None:
        fixed: dict[str, Any] = {"sizing_mode": "fixed"}
        self.data = select(
            "Ratings", [OURS, *TABLE_S1], "Shape of the ratings: those that are chosen, or a data "
            "set of Table S1, which needs not be here.", value=self.shape, width=150, **fixed,
        )  # fmt: skip
        self.factors = text(
            "Rank", "Features of each user and item; at first that of the runs.",
            value=str(self.rank or ""), width=90, **fixed,
        )  # fmt: skip
        self.where = select(
            "On", [HERE], "Where the arrays would be held.", value=HERE, width=210, **fixed
        )
        self.most = text(
            "Limit", "Memory of a device of your own.", unit="MiB", value=f"{self.limit:g}",
            width=110, visible=self.place == "limit", **fixed,
        )  # fmt: skip
        self.data.param.watch(lambda e: self._chosen("shape", e.new), "value")
        self.factors.param.watch(lambda e: self._chosen("rank", e.new), "value")
        self.where.param.watch(lambda e: self._chosen("place", e.new), "value")
        self.most.param.watch(lambda e: self._chosen("limit", e.new), "value")

    def _chosen(self, name: str, value: Any) -> None:
        if not self._quiet:
            self.session.host.later(lambda: self.choose(name, value))

    def choose(self, name: str, value: Any) -> None:
        """Take a choice: "shape", "rank", "place" or "limit"; one that makes no sense is undone.

        A data set of Table S1 brings the rank of the table with it.
        """
        if name == "shape" and (value == OURS or value in TABLE_S1):
            self.shape, self.rank = value, 0 if value == OURS else S1_RANK
        elif name == "rank":
            typed = str(value).strip()
            if typed.isdigit() and 1 <= int(typed) <= 4096:
                self.rank = 0 if int(typed) == self._desk_rank else int(typed)
            elif not typed:
                self.rank = 0
        elif name == "place":
            known = (k for k, p in self._places.items() if value in (k, p.title))
            self.place = next(known, self.place)
        elif name == "limit":
            self.limit = _number(value, self.limit)
        with self.session.host.hold():
            self._show_choices()
            self.refresh()
        self.changed()

    def _show_choices(self) -> None:
        self._quiet = True
        try:
            self.data.value = self.shape
            self.factors.value = str(self.rank or self._desk_rank or "")
            self.most.value = f"{self.limit:g}"
            self.most.visible = self.place == "limit"
        finally:
            self._quiet = False

    def _read(self, query: Mapping[str, str]) -> None:
        if query.get(NAMES["shape"]) in TABLE_S1:
            self.shape = query[NAMES["shape"]]
        rank = query.get(NAMES["rank"], "")
        if rank.isdigit() and 1 <= int(rank) <= 4096:
            self.rank = int(rank)
        self.place = query.get(NAMES["place"], "")
        self.limit = _number(query.get(NAMES["limit"]), self.limit)

    def _layout(self) -> Any:
        head = box(
            pn.Row, self.title.pane, self.data, self.factors, self.where, self.most,
            parts=("headrow",), height=50,
        )  # fmt: skip
        table = box(pn.Column, self.table.pane, parts=("roll",), sizing_mode="stretch_both")
        upper = card("tall", head, table, sizing_mode="stretch_both")
        self.panels = [
            card(
                "chart", self.heads[figure.letter].pane,
                box(pn.Row, figure.canvas, self.lists[figure.letter].pane, parts=("beside",),
                    sizing_mode="stretch_both"),
                sizing_mode="stretch_both",
            )
            for figure in self.figures
        ]  # fmt: skip
        lower = box(pn.Row, *self.panels, parts=("over_time",), sizing_mode="stretch_both")
        return box(pn.Column, upper, lower, parts=("scroll",), sizing_mode="stretch_both")


def _parts(track: Track) -> str:
    """Measured peak and prediction by part, with the colours of the stack."""
    _, history = track
    held, model = history.peak_by_part, history.model
    rows = "".join(
        f'<tr><th><i class="{part.replace(" ", "-")}"></i>{part}</th>'
        f"<td>{_size(held, part)}</td><td>{_size(model, part)}</td></tr>"
        for part in PARTS
        if held.get(part) or model.get(part)
    )
    sums = "".join(f"<td><b>{mib_text(sum(d.values()))}</b></td>" for d in (held, model))
    rise = history.rss_rise_bytes
    note = f'<div class="help">The process grew by {mib_text(rise)} MiB.</div>' if rise else ""
    return (
        "<table><thead><tr><th>MiB at the peak</th><th>held</th><th>model</th></tr></thead>"
        f"<tbody>{rows}<tr><th>all</th>{sums}</tr></tbody></table>{note}"
    )


def _key(published: bool) -> str:
    """What the marks in the table mean."""
    words = "bar: modelled, by purpose · ● measured, a run's ledger at its peak"
    return (
        f'<div class="help">{words}{" · ◇ Table S1" if published else ""} · line: the limit</div>'
    )


def _size(sizes: Mapping[str, int], part: str) -> str:
    return mib_text(sizes[part]) if sizes.get(part) else "–"


def _samples(place: str) -> str:
    if place == "rss":
        return "what the process grew by, sampled"
    if place == "device":
        return "what its device memory grew by, sampled"
    return f"{place} in use, sampled" if place else "no samples"


def _about_table_s1(rank: int) -> str:
    """What the paper's values are, and under which assumptions ours are beside them."""
    other = "" if rank == S1_RANK else f" The table has rank {S1_RANK}, this is rank {rank}."
    return (
        '<div class="help">◇ Table S1 of the DS-SGD supplement, MiB as nvidia-smi showed them; '
        f"Δ is modelled less published. Assumed: {100 * S1_TRAIN:.0f} % of the ratings train, "
        f"the test ratings stay on the host, rank {S1_RANK}, a context of 404 MiB. MSGD and "
        "DS-SGD-C are reproduced; the layouts of the other rows could not be identified."
        f"{other}</div>"
    )


def _number(value: Any, default: float) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return default
    return found if 1.0 <= found <= 1e9 else default
