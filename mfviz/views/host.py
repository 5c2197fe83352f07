"""Where a page lives: a served document, a notebook cell, or a test without either.

This is the one module that touches ``pn.state`` and documents. Everything else asks its host to
call it back, to read or write the address, and to tell when the page closes, so that one
``build(host)`` serves a browser tab, a notebook output, a desktop window and a test alike.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

__all__ = [
    "THEME_HINT",
    "Host",
    "NotebookHost",
    "ScriptHost",
    "ServerHost",
    "Ticker",
    "here",
    "load_extension",
    "wished_theme",
]

JOIN_S = 60  # how long a browser may take to join the session that was built for it
JOINED_S = 0.25  # between two looks whether it did
THEME_HINT = "Sec-CH-Prefers-Color-Scheme"  # W3C, User Preference Media Features Client Hints
Callback = Callable[[], None]
log = logging.getLogger(__name__)


def guarded(callback: Callback) -> Callback:
    """Keep an exception inside a callback from ending the session; it goes to the log."""

    def call() -> None:
        try:
            callback()
        except Exception:
            log.exception("a callback of the page failed")

    return call


def wished_theme(headers: Mapping[str, str]) -> str:
    """Return the theme that a browser's system asks for, by the headers of its request.

    It is "light" where nothing is told: not all browsers have the hint, and none sends it unless
    asked to.
    """
    told = {name.lower(): text for name, text in headers.items()}  # servers spell names anew
    return "dark" if told.get(THEME_HINT.lower(), "").strip('"') == "dark" else "light"


class Ticker:
    """A periodic callback that can be started, stopped and slowed again and again.

    Parameters
    ----------
    begin : callable
        Takes the seconds between two calls, and returns what ``end`` takes.
    end : callable
    seconds : float

    Attributes
    ----------
    seconds : float
        Between two calls.
    """

    def __init__(
        self, begin: Callable[[float], Any], end: Callable[[Any], None], seconds: float
    ) -> None:
        self._begin, self._end, self.seconds = begin, end, seconds
        self._handle: Any = None

    @property
    def running(self) -> bool:
        """Whether the callback is being called."""
        return self._handle is not None

    def start(self) -> None:
        """Begin to call; does nothing where it runs already."""
        if self._handle is None:
            self._handle = self._begin(self.seconds)

    def stop(self) -> None:
        """Cease to call."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._end(handle)

    def pace(self, seconds: float) -> None:
        """Call each ``seconds`` from now on."""
        if seconds != self.seconds:
            self.seconds = seconds
            if self.running:
                self.stop()
                self.start()


class Host(ABC):
    """What a page needs from the place where it lives.

    Attributes
    ----------
    kind : str
        "server", "notebook" or "headless".
    tick_s : float
        Seconds between two looks at what moves.
    unheard : callable
        Tells whether nobody listens yet: then nothing need move.
    theme : str
        "light" or "dark", as the reader's system has it.
    """

    kind: str = ""
    theme: str = "light"
    tick_s: float = 0.05
    unheard: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, query: Mapping[str, str] | None = None) -> None:
        self._query = dict(query or {})
        self._closing: list[Callback] = []

    @abstractmethod
    def every(self, seconds: float, callback: Callback) -> Ticker:
        """Return a stopped ticker that calls back each ``seconds`` on the page's thread."""

    @abstractmethod
    def later(self, callback: Callback) -> None:
        """Call once, soon, on the page's thread; may be called from any thread."""

    def on_close(self, callback: Callback) -> None:
        """Call when the page is gone for good (a bound method of a module, never of a script)."""
        self._closing.append(guarded(callback))

    def on_load(self, callback: Callback) -> None:
        """Call once the page is on the screen."""
        self.later(callback)

    def guard(self, callback: Callback) -> Callback:
        """Keep an exception inside ``callback`` from reaching who calls it."""
        return guarded(callback)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Send everything that changes inside as one message."""
        yield

    @property
    def query(self) -> dict[str, str]:
        """Settings in the page's address."""
        return dict(self._query)

    def set_query(self, query: Mapping[str, str]) -> None:
        """Write settings into the page's address."""
        self._query = dict(query)

    def close(self) -> None:
        """Tell everybody that the page is gone, once."""
        closing, self._closing = self._closing, []
        for callback in closing:
            callback()

    @property
    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return time.monotonic()


class ServerHost(Host):
    """A tab of a browser, served by ``mfviz explore`` or ``panel serve``."""

    kind = "server"
    tick_s = 0.02  # most looks only find that the browser still paints

    def __init__(self) -> None:
        import panel as pn
        from tornado.ioloop import IOLoop

        self._pn = pn
        self._loop: IOLoop | None = IOLoop.current()  # None once the page is gone
        self.doc = pn.state.curdoc
        self.location = pn.state.location
        self.theme = wished_theme(pn.state.headers)
        arguments = pn.state.session_args or {}
        super().__init__(
            {
                name: values[-1].decode("utf-8", "replace")
                for name, values in arguments.items()
                if values
            }
        )
        pn.state.on_session_destroyed(self._destroyed)
        # A session that no browser has joined yet must survive a slow one: its unused life is
        # short under ``mfviz explore``, so that closed pages end their runs soon.
        self._kept: Any = None
        self.doc.add_next_tick_callback(self._keep)
        self.doc.add_timeout_callback(self._let_go, JOIN_S * 1000)
        self._watch_join = self.every(JOINED_S, self._let_go_once_joined)

    def every(self, seconds: float, callback: Callback) -> Ticker:
        """See :meth:`Host.every`."""
        call = self._with_document(callback)
        return Ticker(
            lambda period: self.doc.add_periodic_callback(call, round(period * 1000)),
            self._remove,
            seconds,
        )

    def later(self, callback: Callback) -> None:
        """See :meth:`Host.later`."""
        # By way of the loop: what another thread adds to a document that is on hold can get lost,
        # as Panel puts the list of held events back after it set a page's style sheets.
        if self._loop is not None:
            self._loop.add_callback(self._next_tick, self._with_document(callback))

    def _next_tick(self, call: Callback) -> None:
        if self._loop is not None:
            self.doc.add_next_tick_callback(call)

    def on_load(self, callback: Callback) -> None:
        """See :meth:`Host.on_load`."""
        # Panel may call this on a thread of its pool (``--num-threads``), which has no event loop.
        self._pn.state.onload(lambda: self.later(callback))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """See :meth:`Host.hold`."""
        if self._pn.state.loaded:
            with self._pn.io.hold(self.doc, policy="collect"):
                yield
            return
        self.doc.hold("collect")  # Panel would keep everything until all of the page is set up
        try:
            yield
        finally:
            self.doc.unhold()

    def set_query(self, query: Mapping[str, str]) -> None:
        """See :meth:`Host.set_query`."""
        super().set_query(query)
        if self.location is not None:
            self.location.search = "?" + urlencode(self._query) if query else ""

    def _with_document(self, callback: Callback) -> Callback:
        from panel.io.state import set_curdoc

        safe = guarded(callback)

        def call() -> None:
            with set_curdoc(self.doc):
                safe()

        return call

    def _remove(self, handle: Any) -> None:
        try:
            self.doc.remove_periodic_callback(handle)
        except (AttributeError, ValueError):
            log.debug("the document dropped its callback before the page did")

    def _keep(self) -> None:
        session = getattr(self.doc.session_context, "session", None)
        if session is not None and session.connection_count == 0:
            self._kept = session
            session.block_expiration()
            self._watch_join.start()

    def _let_go_once_joined(self) -> None:
        # Not once the page is loaded: one that is closed before it would go on for nobody.
        if self._kept is not None and self._kept.connection_count:
            self._let_go()

    def _let_go(self) -> None:
        self._watch_join.stop()
        session, self._kept = self._kept, None
        if session is not None:
            session.unblock_expiration()

    def _destroyed(self, session_context: Any) -> None:
        self._loop = None
        self.close()


class NotebookHost(Host):
    """The output of a notebook cell: the kernel's own event loop, no address."""

    kind = "notebook"

    def __init__(self) -> None:
        from tornado.ioloop import IOLoop

        super().__init__()
        self.loop = IOLoop.current()

    def every(self, seconds: float, callback: Callback) -> Ticker:
        """See :meth:`Host.every`."""
        from tornado.ioloop import PeriodicCallback

        safe = guarded(callback)

        def call() -> None:
            if not self.unheard():
                safe()

        def begin(period: float) -> Any:
            periodic = PeriodicCallback(call, period * 1000)
            self.loop.add_callback(periodic.start)
            return periodic

        return Ticker(begin, lambda periodic: self.loop.add_callback(periodic.stop), seconds)

    def later(self, callback: Callback) -> None:
        """See :meth:`Host.later`."""
        self.loop.add_callback(guarded(callback))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """See :meth:`Host.hold`."""
        import panel as pn
        from panel.io.notebook import push_on_root

        with pn.io.hold():
            yield
        # Panel sends what its own parameters change; columns streamed into a source of ours wait
        # in the document until somebody pushes it.
        for ref in list(pn.state._views):
            push_on_root(ref)


class ScriptHost(Host):
    """A script or a console without a loop: nothing is drawn, and runs are waited for by hand."""

    kind = "script"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def every(self, seconds: float, callback: Callback) -> Ticker:
        """See :meth:`Host.every`; here it never calls."""
        return Ticker(lambda period: object(), lambda handle: None, seconds)

    def later(self, callback: Callback) -> None:
        """See :meth:`Host.later`; here at once, on the thread that asks."""
        with self._lock:
            guarded(callback)()


def load_extension() -> None:
    """Load Panel into a notebook that has not done so; all scripts travel with the cell."""
    import panel as pn

    if not pn.extension._loaded:
        pn.extension(inline=True)


def here() -> Host:
    """Return the host of this place: a served document, a notebook with its loop, or a script."""
    import panel as pn

    document = pn.state.curdoc
    if document is not None and document.session_context is not None:
        return ServerHost()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ScriptHost()
    return NotebookHost()
