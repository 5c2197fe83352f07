"""The card for one's own ratings: send a file, see how it was read, then use it."""

from __future__ import annotations

import threading
from html import escape
from pathlib import Path

import panel_material_ui as pmui

from mfviz.data.preview import Preview, preview
from mfviz.errors import MfvizError
from mfviz.views.dropzone import LIMIT_BYTES, DropZone
from mfviz.views.parts import Html, card, heading
from mfviz.views.session import Session
from mfviz.views.theme import sheet

__all__ = ["Upload"]

KINDS = (
    "MovieLens, Netflix, Yahoo!, KDD Cup, Jester, CSV, Parquet, MatrixMarket, .npz; zip, gz, zst"
)


class Upload:
    """A place for a file, and what was read from it.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    view, page : Panel object
        The place, and a card below it for what was read.
    path : Path or None
        File that was read and waits to be used.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.path: Path | None = None
        self.zone = DropZone(
            lambda path: session.host.later(lambda: self.read(path)),
            lambda sentence: session.host.later(lambda: self._tell(sentence)),
        )
        session.host.on_close(self.zone.close)
        self.found = Html("", "preview")
        self.use = pmui.Button(
            label="Use these ratings", variant="outlined", size="small", width=160, height=32,
            margin=(8, 0, 0, 0), visible=False, stylesheets=[sheet("small")],
        )  # fmt: skip
        self.use.on_click(lambda event: session.host.later(self.accept))
        head = Html(heading("Your own ratings", f"up to {LIMIT_BYTES / 1e9:.0f} GB"), "cardhead")
        kinds = Html(f'<div class="help">{KINDS}</div>')
        self.view = card("flat", head.pane, self.zone, kinds.pane)
        self.page = card("flat", self.found.pane, self.use, visible=False)

    def read(self, path: Path) -> None:
        """Read a file on another thread, and show what was found."""
        self._tell(f"Reading {path.name} ...")

        def work() -> None:
            try:
                found = preview(path)
            except MfvizError as error:
                sentence = str(error).replace(str(path), path.name)
                self.session.host.later(lambda: self._tell(sentence))
            else:
                self.session.host.later(lambda: self._show(path, found))

        threading.Thread(target=work, name="mfviz-preview", daemon=True).start()

    def accept(self) -> None:
        """Put the ratings on the desk."""
        if self.path is not None:
            self.session.desk.choose_data(str(self.path))
            self._tell("")

    def _tell(self, sentence: str) -> None:
        self.path, self.use.visible, self.page.visible = None, False, bool(sentence)
        self.found.set(f'<div class="told">{escape(sentence)}</div>' if sentence else "")

    def _show(self, path: Path, found: Preview) -> None:
        self.path, self.use.visible = path, True
        self.found.set(_page(path.name, found))


def _page(name: str, found: Preview) -> str:
    """Lines of the file beside the ratings that were read from them, and what to know."""
    ratings = found.ratings
    low, high = ratings.scale
    share = 100 * ratings.nnz / (ratings.n_users * ratings.n_items)
    sentences = [
        f"{name}: {ratings.nnz:,} ratings of {ratings.n_users:,} users for {ratings.n_items:,} "
        f"items, from {low:g} to {high:g}, mean {ratings.mean:.6g}; {share:.3g} % of the cells.",
        *ratings.notices,
    ]
    told = "".join(f'<div class="told">{escape(line)}</div>' for line in sentences)
    lines = escape("\n".join(found.lines)) or "no text"
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(value)}</td>' for value in row)}</tr>" for row in found.rows
    )
    heads = "".join(f"<th>{head}</th>" for head in ("user", "item", "rating", "time"))
    return (
        f'{told}<div class="both"><div><h3>The file</h3><pre>{lines}</pre></div>'
        f"<div><h3>Read as</h3><table><tr>{heads}</tr>{rows}</table></div></div>"
    )
