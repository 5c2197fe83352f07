"""The drawer: data, solvers, the settings that they declare, the check before a run, Run and Stop.

The fields are made anew only when the chosen solvers change; otherwise they are kept and their
values follow the desk.
"""

from __future__ import annotations

from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui

from mfviz.data import catalog
from mfviz.views.chips import icon
from mfviz.views.desk import OWN_FILE, Desk
from mfviz.views.icons import button_icon
from mfviz.views.inputs import select, text
from mfviz.views.parts import Html, box
from mfviz.views.session import Session
from mfviz.views.settings import NONE, Field, Key
from mfviz.views.theme import sheet
from mfviz.views.values import write

__all__ = ["Drawer"]

NO_SECOND = '<div class="help line">no second run</div>'


class Drawer:
    """The controls of a page.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : list of Panel objects
        For the sidebar, top to bottom.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.desk: Desk = session.desk
        self._quiet = False
        self._fields: dict[Key, Any] = {}
        self._shape: tuple[Any, ...] = ()
        self._opened = False  # fields that nobody has looked at would only slow the opening
        self._make_data()
        self._make_solvers()
        self._make_footer()
        self.main, self.more = box(pn.Column, parts=("fields",)), box(pn.Column, parts=("fields",))
        self.advanced = pmui.Accordion(
            ("Advanced", self.more), active=[], margin=0, sizing_mode="stretch_width",
            stylesheets=[sheet("accordion")], visible=False, disable_gutters=True,
            variant="outlined", title_variant="body2",
        )  # fmt: skip
        self.advanced.param.watch(self._unfold, "active")
        top = box(
            pn.Column, self.data, self.path, self.about.pane, self.solver, self.card_a.pane,
            self.room["A"], self.compare, self.card_b.pane, self.room["B"], self.main,
            self.advanced, parts=("drawer",),
        )  # fmt: skip
        self.view = [top, self.footer]
        self.desk.watchers.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Bring every control up to date with the desk and the session."""
        if not self.session.whole:
            return
        self._quiet = True
        try:
            self._refresh_data()
            if self.desk.settings is not None:
                self._refresh_solvers()
                self._refresh_fields()
            self._refresh_footer()
        finally:
            self._quiet = False

    # --- data and solvers -------------------------------------------------------------------

    def _make_data(self) -> None:
        self._names = {entry.title: entry.name for entry in catalog.entries()}
        self.data = select(
            "Data", [*self._names, OWN_FILE],
            "Ratings to factorize; what is held out as a test is chosen on the Data tab.",
        )  # fmt: skip
        self.path = text(
            "Ratings file",
            "Path of a ratings file on the machine that serves this page: u.data, ratings.dat, "
            ".csv, .tsv or .npz.",
            visible=False,
        )
        self.about = Html("", sizing_mode="stretch_width")
        self.data.param.watch(self._data_chosen, "value")
        self.path.param.watch(self._path_typed, "value")

    def _make_solvers(self) -> None:
        self.solver = select("Solver A", [], "The algorithm of run A.")
        self.compare = select(
            "Solver B", [NONE], "A second algorithm on the same problem, drawn on the same axes."
        )
        self.card_a, self.card_b = Html(), Html()
        self.room = {slot: box(pn.Column, visible=False) for slot in ("A", "B")}
        self.backends: dict[str, Any] = {}  # made when a solver has several
        self.devices: dict[str, Any] = {}  # made when a backend has several
        self.solver.param.watch(lambda event: self._solver_chosen("A", event.new), "value")
        self.compare.param.watch(lambda event: self._solver_chosen("B", event.new), "value")

    def _refresh_data(self) -> None:
        title = next((t for t, name in self._names.items() if name == self.desk.data), OWN_FILE)
        # An address may choose what is not here; a list can disable all but its choice.
        missing = [e.title for e in catalog.entries() if e.title != title and not e.available]
        if (self.data.value, self.data.disabled_options) != (title, missing):
            self.data.disabled_options = []
            self.data.value = title
            self.data.disabled_options = missing
        own = title == OWN_FILE
        self.path.visible = own
        if own and self.desk.data != OWN_FILE:
            self.path.value = self.desk.data
        kind = "help bad" if self.desk.trouble else "help"
        notices = self.desk.problem.notices if self.desk.problem is not None else ()
        lines = [self.desk.about_data(), *notices]
        self.about.set("".join(f'<div class="{kind}">{escape(line)}</div>' for line in lines))

    def _refresh_solvers(self) -> None:
        settings = self.desk.settings
        assert settings is not None
        titles = {cls.title: key for key, cls in settings.registry.items()}
        names = {key: title for title, key in titles.items()}
        if self.solver.options != list(titles):
            self.solver.options = list(titles)
            self.compare.options = [NONE, *titles]
        self.solver.value = names[settings.solvers["A"]]
        self.compare.value = names.get(settings.solvers["B"], NONE)
        for slot, shown in (("A", self.card_a), ("B", self.card_b)):
            key = settings.solvers[slot]
            shown.set(_card_line(settings.registry[key]) if key else NO_SECOND)
            self._refresh_backend(slot)

    def _refresh_backend(self, slot: str) -> None:
        """Offer the backends of a solver that has several; why one cannot be used stands below."""
        settings = self.desk.settings
        assert settings is not None
        places = settings.places(slot) if settings.solvers[slot] else {}
        self.room[slot].visible = len(places) > 1
        if len(places) < 2:
            return
        if slot not in self.backends:
            where = select(f"Backend · {slot}", [], "Where the kernels of this run work.")
            where.param.watch(lambda event: self._backend_chosen(slot, event.new), "value")
            self.backends[slot] = where
            self.room[slot].append(where)
        names = {backend: backend.upper() for backend in places}
        missing = {names[backend]: reason for backend, reason in places.items() if reason}
        self.backends[slot].param.update(
            options=list(names.values()), disabled_options=list(missing),
            helper_text=self._why_not(slot, places),
            value=names[settings.backend(slot)],
        )  # fmt: skip
        self._refresh_device(slot)

    def _refresh_device(self, slot: str) -> None:
        """Offer the devices of the backend where there are several."""
        settings = self.desk.settings
        assert settings is not None
        there = settings.where.devices(slot)
        if slot in self.devices:
            self.devices[slot].visible = bool(there)
        if not there:
            return
        if slot not in self.devices:
            which = select(f"Device · {slot}", [], "Which of the devices this run works on.")
            which.param.watch(lambda event: self._device_chosen(slot, event.new), "value")
            self.devices[slot] = which
            self.room[slot].append(which)
        names = {at: f"{at} · {name}" for at, name in there.items()}
        self.devices[slot].param.update(
            options=list(names.values()), value=names[settings.where.device(slot)]
        )

    def _why_not(self, slot: str, places: dict[str, str]) -> str:
        """Reasons of what cannot be used; told once where both slots have the same."""
        settings = self.desk.settings
        reasons = " ".join(reason for reason in places.values() if reason)
        if reasons and slot == "B" and settings is not None and settings.places("A") == places:
            return "CUDA: as above."
        return reasons

    # --- fields -----------------------------------------------------------------------------

    def _refresh_fields(self) -> None:
        settings = self.desk.settings
        assert settings is not None
        fields = settings.fields()
        made = [field for field in fields if field.main or self._opened]
        shape = tuple((f.key, f.label, f.unit, f.owner, f.kind, f.choices) for f in made)
        if shape != self._shape:
            # In a script a loading thread may come here too: tell the shape once its fields exist.
            self._fields = {field.key: self._field(field) for field in made}
            self._shape = shape
            self.main.objects = [self._fields[f.key] for f in made if f.main]
            self.more.objects = [self._fields[f.key] for f in made if not f.main]
            self.advanced.visible = any(not f.main for f in fields)
        for field in made:
            widget, error = self._fields[field.key], self.desk.errors.get(field.key, "")
            if not error:
                widget.value = field.value if field.kind == "switch" else write(field.value)
            if hasattr(widget, "error_state") and widget.error_state != bool(error):
                widget.error_state = bool(error)
                widget.helper_text = error
        changed, rest = settings.changed(), sum(not f.main for f in fields)
        words = f"{changed} of {rest} changed" if changed else f"{rest} at their defaults"
        title = f"Advanced · {words}"
        if self.advanced._names[:1] != [title]:
            self.advanced[0] = (title, self.more)

    def _field(self, field: Field) -> Any:
        label = f"{field.label} · {field.owner}" if field.owner else field.label
        if field.kind == "switch":
            widget = pmui.Switch(
                label=label, value=field.value, description=field.help, size="small", margin=0,
                stylesheets=[sheet("switch")], sizing_mode="stretch_width", color="primary",
            )  # fmt: skip
        elif field.kind == "choice":
            widget = select(label, [str(c) for c in field.choices], field.help)
        else:
            widget = text(label, field.help, unit=field.unit)
        widget.param.watch(lambda event: self._edited(field.key, event.new), "value")
        return widget

    # --- footer -----------------------------------------------------------------------------

    def _make_footer(self) -> None:
        self.check = Html("", "preflight")
        self.meter = pmui.LinearProgress(
            value=0, variant="determinate", sizing_mode="stretch_width", margin=(6, 0, 6, 0),
            stylesheets=[sheet("meter")],
        )  # fmt: skip
        self.run = pmui.Button(
            label="Run", icon=button_icon("play"), variant="contained",
            sizing_mode="stretch_width", height=44, margin=0, stylesheets=[sheet("run"), ""],
        )  # fmt: skip
        self.stop = pmui.Button(
            label="Stop", icon=button_icon("stop"), variant="outlined", height=44, width=82,
            margin=0, stylesheets=[sheet("run")], disabled=True,
        )  # fmt: skip
        later = self.session.host.later
        self.run.on_click(lambda event: later(self.session.run))
        self.stop.on_click(lambda event: later(self.session.stop))
        buttons = box(pn.Row, self.run, self.stop, parts=("gap",))
        self.footer = box(pn.Column, self.check.pane, self.meter, buttons, parts=("footer",))

    def _refresh_footer(self) -> None:
        check = self.desk.preflight()
        mark = icon("check" if check.ready else "cross")
        kind = "fits" if check.ready else "bad"
        self.check.set(
            f'<div class="preflight {kind}">{mark}<b>{escape(check.sentence)}</b>'
            f'<span class="parts">{escape(check.parts)}</span></div>'
        )
        self.meter.value = max(1, round(100 * check.share)) if check.share else 0
        self.run.disabled = not check.ready
        self.stop.disabled = not self.session.live
        both = self.desk.settings is None or len(self.desk.settings.slots) == 2
        what = f':host {{ --mf-what: "{" A and B" if both else " A"}"; }}'
        if self.run.stylesheets[1] != what:
            self.run.stylesheets = [sheet("run"), what]

    # --- what a person does -----------------------------------------------------------------

    def _unfold(self, event: Any) -> None:
        if event.new and not self._opened:
            self._opened = True
            self.session.host.later(self.refresh)

    def _data_chosen(self, event: Any) -> None:
        if self._quiet:
            return
        if event.new == OWN_FILE:
            self.path.visible = True
            return
        self.session.host.later(lambda: self.desk.choose_data(self._names[event.new]))

    def _path_typed(self, event: Any) -> None:
        if not self._quiet and event.new.strip():
            self.session.host.later(lambda: self.desk.choose_data(event.new.strip()))

    def _solver_chosen(self, slot: str, title: str) -> None:
        settings = self.desk.settings
        if self._quiet or settings is None:
            return
        key = next((k for k, cls in settings.registry.items() if cls.title == title), "")
        self.session.host.later(lambda: self.desk.choose_solver(slot, key))

    def _backend_chosen(self, slot: str, name: str) -> None:
        if not self._quiet and name:
            self.session.host.later(lambda: self.desk.choose_backend(slot, name.lower()))

    def _device_chosen(self, slot: str, name: str) -> None:
        if not self._quiet and name:
            number = int(name.partition(" ")[0])
            self.session.host.later(lambda: self.desk.choose_device(slot, number))

    def _edited(self, key: Key, value: Any) -> None:
        if not self._quiet:
            self.session.host.later(lambda: self.desk.edit(key, value))


def _card_line(cls: Any) -> str:
    """What a solver is like in a few words, and in more of them as a tooltip."""
    card, backends = cls.card, cls.backends
    where = f" · {backends[0].upper()}" if len(backends) == 1 else ""  # of several one is chosen
    more = escape(f"Parallel: {card.parallel} Synchronises: {card.synchronises}")
    return f'<div class="help line" title="{more}">{escape(card.brief)}{where}</div>'
