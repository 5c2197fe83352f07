"""NumPy archives with the arrays u, i and r. Python objects in them are refused, never made."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfviz.data.columns import Columns
from mfviz.data.content import Content, printable
from mfviz.data.ratings import Ratings
from mfviz.errors import DataError

__all__ = ["read_npz"]


def read_npz(source: Content) -> Columns:
    """Read an ``.npz`` file.

    Parameters
    ----------
    source : Content

    Returns
    -------
    Columns
        With times if there is an array ``t`` of whole numbers.

    Raises
    ------
    DataError
        If an array is missing, damaged, of Python objects or of another shape.
    """
    try:
        with np.load(source.path, allow_pickle=False) as arrays:
            missing = [key for key in "uir" if key not in arrays]
            if missing:
                raise DataError(
                    f"{source.label}: found the arrays "
                    f"{printable(', '.join(arrays))[:200] or '(none)'}; "
                    f"{', '.join(missing)} missing. Save u, i and r with numpy.savez."
                )
            parts: list[Any] = [arrays[key] for key in "uir"]
            times = arrays["t"] if "t" in arrays else None
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways, and all mean the same
        raise DataError(
            f"{source.label}: this .npz cannot be read ({printable(str(error))[:200]}); it may be "
            "truncated, or hold Python objects, which are refused. Save u, i and r as plain "
            "arrays with numpy.savez."
        ) from None
    for key, part in zip("uir", parts, strict=True):
        if part.ndim != 1:
            raise DataError(
                f"{source.label}: array {key} has shape {part.shape}; it must have one axis, with "
                "one entry for each rating."
            )
    if times is not None:
        times = times.astype(np.int64) if times.dtype.kind in "iu" else None
    ratings = Ratings.from_triples(*parts, name=source.label, times=times)
    return Columns(
        ratings.user_ids, ratings.u, ratings.item_ids, ratings.i, ratings.r, (), ratings.times
    )
