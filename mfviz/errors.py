"""The errors that mfviz raises on purpose.

Every message says what was found, what is needed and what to do about it; the command line prints
it as one line and the page shows it beside the control that caused it.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "DeviceError",
    "MfvizError",
    "ParameterError",
    "RunFileError",
    "UnsupportedError",
]


class MfvizError(Exception):
    """Base of every error that mfviz raises on purpose."""


class DataError(MfvizError):
    """Ratings that cannot be read or used: names the file, the line and the remedy."""


class ParameterError(MfvizError):
    """A setting that is unknown or out of its bounds.

    Parameters
    ----------
    message : str
        What was found, what is needed, what to do.
    name : str, optional
        The setting concerned, so that a page can mark its field.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class UnsupportedError(MfvizError):
    """A solver that cannot serve this problem, backend or machine, with the reason."""


class RunFileError(MfvizError):
    """A run file that cannot be opened or is not a run file."""


class DeviceError(MfvizError):
    """A device that has no room, cannot compile a kernel or failed in the middle of a run."""
