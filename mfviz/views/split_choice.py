"""The card on which test ratings are chosen: drawn, the latest, of each user, or of a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

import panel as pn

from mfviz.data.ways import Way
from mfviz.errors import ParameterError
from mfviz.views.inputs import select, text
from mfviz.views.parts import Html, box, card, heading
from mfviz.views.session import Session

__all__ = ["SplitChoice"]


@dataclass(frozen=True)
class Kind:
    """One of the ways as the card offers it.

    Attributes
    ----------
    title : str
    way : Way
        Where it begins.
    amount : str
        What is written beside it: "share", "count", "path", or "" for nothing.
    needs : str
        Key of the reason for which ratings may not offer it.
    """

    title: str
    way: Way
    amount: str = ""
    needs: str = ""

    def fits(self, way: Way) -> bool:
        """Whether a way is of this kind."""
        return (self.way.by, bool(self.way.leave_out), self.amount == "path") == (
            way.by, bool(way.leave_out), bool(way.test),
        )  # fmt: skip


KINDS = (
    Kind("Drawn by the seed", Way(), "share"),
    Kind("The latest", Way(by="time"), "share", "time"),
    Kind("Some of each user, drawn", Way(leave_out=1), "count"),
    Kind("The latest of each user", Way(by="time", leave_out=1), "count", "time"),
    Kind("Official test set", Way(by="official"), "", "official"),
    Kind("A file of its own", Way(), "path"),
)
NOT_HERE = {"time": "No split by time", "official": "No official test set"}
LABELS = {"share": "Share in %", "count": "Ratings of each user", "path": "File of test ratings"}
HELP = {
    "share": "Part of all ratings that is held out, from 0 to below 100 %.",
    "count": "Users with no more than that keep all of theirs.",
    "path": "On the machine that serves this page: ratings in any of the formats, or Netflix's "
    "probe.txt.",
}


class SplitChoice:
    """What is held out for the test.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view : Panel object
    kinds, amounts : select, dict of text inputs
        The way, and by its name what is written beside it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._quiet = False
        self._wanted: Kind | None = None  # a file, as long as no path was written
        self.kinds = select(
            "Test ratings", [kind.title for kind in KINDS],
            "What a model is judged by; it is never trained on.",
        )  # fmt: skip
        self.amounts = {
            name: text(label, HELP[name], visible=False) for name, label in LABELS.items()
        }
        self.reasons = Html("")
        self.kinds.param.watch(self._chosen, "value")
        for widget in self.amounts.values():
            widget.param.watch(self._written, "value")
        head = Html(heading("What is held out"), "cardhead")
        fields = box(pn.Row, self.kinds, *self.amounts.values(), parts=("gap",))
        self.view = card("flat", head.pane, fields, self.reasons.pane)
        session.desk.watchers.append(self.refresh)
        self.refresh()

    @property
    def kind(self) -> Kind:
        """What is shown as chosen."""
        way = self.session.desk.way
        return self._wanted or next(kind for kind in KINDS if kind.fits(way))

    def refresh(self) -> None:
        """Follow the desk: what is chosen, and what these ratings do not offer."""
        desk, kind = self.session.desk, self.kind
        reasons = desk.loaded.why_not
        missing = [k.title for k in KINDS if k.needs in reasons]
        self._quiet = True
        try:
            # What is chosen may be missing (an address says so), but no list disables its choice.
            disabled = [title for title in missing if title != kind.title]
            if (self.kinds.disabled_options, self.kinds.value) != (disabled, kind.title):
                self.kinds.disabled_options = []
                self.kinds.value = kind.title
                self.kinds.disabled_options = disabled
            for name, widget in self.amounts.items():
                widget.visible = name == kind.amount
                if not widget.error_state:
                    widget.value = _amount(name, desk.way)
        finally:
            self._quiet = False
        lines = [desk.trouble] if desk.trouble else []
        lines += [f"{NOT_HERE[key]}, because {reason}." for key, reason in reasons.items()]
        self.reasons.set("".join(f'<div class="help">{escape(line)}</div>' for line in lines))

    def _chosen(self, event: Any) -> None:
        if self._quiet:
            return
        kind = next(kind for kind in KINDS if kind.title == event.new)
        self._complain("")
        self._wanted = kind if kind.amount == "path" else None
        if self._wanted is not None:
            self.session.host.later(self.refresh)
        else:
            self.session.host.later(lambda: self.session.desk.choose_way(kind.way))

    def _written(self, event: Any) -> None:
        if self._quiet:
            return
        kind = self.kind
        try:
            way = _with_amount(kind, str(event.new).strip())
        except ParameterError as error:
            self._complain(str(error))
            return
        self._complain("")
        self._wanted = None
        self.session.host.later(lambda: self.session.desk.choose_way(way))

    def _complain(self, sentence: str) -> None:
        for name, widget in self.amounts.items():
            here = bool(sentence) and name == self.kind.amount
            widget.error_state, widget.helper_text = here, sentence if here else ""


def _amount(name: str, way: Way) -> str:
    """What is written in a field for a way."""
    if name == "share":
        return f"{100 * way.holdout:.7g}"
    return str(way.leave_out or 1) if name == "count" else way.test


def _with_amount(kind: Kind, written: str) -> Way:
    """The way of a kind with what was written beside it."""
    if kind.amount == "path":
        if not written:
            raise ParameterError("Write the path of a file of test ratings.", "split")
        return replace(kind.way, test=written)
    try:
        value = float(written.removesuffix("%").replace(",", "."))
    except ValueError:
        value = -1.0
    if kind.amount == "share":
        if not 0 <= value < 100:
            raise ParameterError(f"{written!r} is no share from 0 to below 100 %.", "split")
        return replace(kind.way, holdout=round(value / 100, 9))
    if value < 1 or value != int(value) or value > 10**9:
        raise ParameterError(f"{written!r} is no whole number from 1 up.", "split")
    return replace(kind.way, leave_out=int(value))
