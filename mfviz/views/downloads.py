"""The card for public data sets: terms first, then a download that can be watched and stopped."""

from __future__ import annotations

import logging
import threading
from html import escape

import panel as pn
import panel_material_ui as pmui

from mfviz.data import catalog
from mfviz.data.catalog import Entry
from mfviz.errors import MfvizError
from mfviz.views.inputs import select
from mfviz.views.parts import Html, box, card, heading
from mfviz.views.session import Session
from mfviz.views.theme import sheet

__all__ = ["Download", "Downloads", "running"]

LOOK_S = 0.25  # between two looks at a download
log = logging.getLogger(__name__)
_lock = threading.Lock()
_running: dict[str, Download] = {}


class Download:
    """One download of this process; every page may look at it. It is its own progress bar.

    Parameters
    ----------
    name : str
        Of a data set whose licence was shown and accepted.

    Attributes
    ----------
    total, got : int
        Bytes; 0 as long as the size is not known.
    trouble : str
        Why it failed, or that it was stopped.
    over : bool
    """

    def __init__(self, name: str) -> None:
        self.name, self.total, self.got = name, 0, 0
        self.trouble, self.over = "", False
        self._stopped = False

    def start(self) -> None:
        """Begin on a thread of its own."""
        threading.Thread(target=self._work, name=f"mfviz-get-{self.name}", daemon=True).start()

    def stop(self) -> None:
        """End it soon; what arrived waits for the next time, where the server allows that."""
        self._stopped = True

    def update(self, count: int) -> None:
        """Take note of bytes that arrived."""
        self.got += count
        if self._stopped:
            raise MfvizError("Stopped. The next download goes on from here if the server can.")

    def close(self) -> None:
        """Do nothing: a bar must be closed."""

    def _work(self) -> None:
        from mfviz.data.download import get

        try:
            get(self.name, accept_licence=True, progress=self)
        except MfvizError as error:
            self.trouble = str(error)
        except Exception as error:
            log.exception("downloading %s failed", self.name)
            self.trouble = f"{self.name}: {type(error).__name__}: {error}"
        finally:
            self.over = True


def running(name: str, *, start: bool = False) -> Download | None:
    """Return the latest download of a data set, if there is one; begin one if asked to."""
    with _lock:
        found = _running.get(name)
        if start and (found is None or found.over):
            found = _running[name] = Download(name)
            found.start()
        return found


class Downloads:
    """Data sets that are not made on this machine.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : Panel object
    names, button : select, button
        The data set, and what can be done with it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._entries = {e.title: e for e in catalog.entries() if e.kind != "synthetic"}
        first = next((t for t, e in self._entries.items() if not e.available), None)
        self.names = select(
            "Public data set", list(self._entries),
            "Nothing is fetched before you have read its terms here and agreed.",
            value=first or next(iter(self._entries)),
        )  # fmt: skip
        self.about = Html("")
        self.button = pmui.Button(
            label="", variant="outlined", size="small", width=220, height=32, margin=(20, 0, 0, 0),
            stylesheets=[sheet("small")],
        )  # fmt: skip
        self.meter = pmui.LinearProgress(
            value=0, variant="determinate", sizing_mode="stretch_width", margin=(8, 0, 0, 0),
            stylesheets=[sheet("meter")], visible=False,
        )  # fmt: skip
        self.names.param.watch(lambda event: session.host.later(self.refresh), "value")
        self.button.on_click(lambda event: session.host.later(self._pressed))
        self._looks = session.host.every(LOOK_S, self.refresh)
        session.host.on_close(self._looks.stop)
        head = Html(heading("Public data sets"), "cardhead")
        fields = box(pn.Row, self.names, self.button, parts=("gap",))
        self.view = card("flat", head.pane, fields, self.meter, self.about.pane)
        self.refresh()

    @property
    def entry(self) -> Entry:
        """The chosen data set."""
        return self._entries[self.names.value]

    def refresh(self) -> None:
        """Show the chosen set as it stands: to be had, on its way, or here."""
        entry, found = self.entry, running(self.entry.name)
        on_its_way = found is not None and not found.over
        told = found.trouble if found is not None and found.over else ""
        lines = [entry.description, _size(entry), *_terms(entry), told]
        if on_its_way and found is not None:
            lines.append(_arrived(found))
            self.meter.value = round(100 * found.got / found.total) if found.total else 0
        text = "".join(f'<div class="help">{escape(line)}</div>' for line in lines if line)
        with self.session.host.hold():
            self.about.set(text)
            self.meter.visible = on_its_way
            self.button.label = "Stop" if on_its_way else _offer(entry)
            self.button.visible = bool(self.button.label)
        if on_its_way:
            self._looks.start()
        elif self._looks.running:
            self._looks.stop()
            self.session.desk.tell()  # the list of data may offer one more now

    def _pressed(self) -> None:
        entry, found = self.entry, running(self.entry.name)
        if found is not None and not found.over:
            found.stop()
        elif entry.available:
            self.session.desk.choose_data(entry.name)
        elif entry.url:
            running(entry.name, start=True)
        self.refresh()


def _size(entry: Entry) -> str:
    numbers = f"{entry.users:,} users, {entry.items:,} items, {entry.ratings:,} ratings"
    check = "checksum known" if entry.checksum else "no checksum is published"
    return f"{numbers}; {_megabytes(entry.bytes)} to fetch, {check}." if entry.url else numbers


def _terms(entry: Entry) -> list[str]:
    """Licence, and what must be done by hand."""
    if entry.available:
        return [entry.licence, "It is on this machine."]
    return [entry.licence] if entry.url else [entry.licence, entry.missing]


def _offer(entry: Entry) -> str:
    """What the button does; "" for nothing."""
    if entry.available:
        return "Use these ratings"
    return f"Agree and download {_megabytes(entry.bytes)}" if entry.url else ""


def _arrived(found: Download) -> str:
    if not found.total:
        return "Asking the server ..."
    return f"{_megabytes(found.got)} of {_megabytes(found.total)} arrived."


def _megabytes(held: int) -> str:
    return f"{held / 1e6:,.1f} MB" if held < 1e7 else f"{held / 1e6:,.0f} MB"
