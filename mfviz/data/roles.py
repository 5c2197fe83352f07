"""Which column of a table is the user, the item, the rating and the time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mfviz.data.content import printable
from mfviz.errors import DataError

__all__ = ["ROLES", "Roles", "choose", "pick", "role"]

ROLES = {
    "user": (
        "user users userid uid u customer customerid reviewer reviewerid member memberid".split()
    ),
    "item": (
        "item items itemid iid i movie movieid mid book bookid isbn product productid asin song "
        "songid track trackid artist artistid anime animeid game gameid joke jokeid".split()
    ),
    "rating": "rating ratings score value stars star overall r".split(),
}
TIMES = (
    "timestamp time times date datetime ts tstamp unixtime unixreviewtime ratedat reviewtime"
).split()


@dataclass(frozen=True)
class Roles:
    """Columns by what they hold.

    Attributes
    ----------
    user, item, rating : int
        From 0.
    time : int, optional
        None where no column is known to hold times.
    guessed : bool
        Whether a name was not known and the order decided.
    double : bool
        Whether two names mean one thing, and the first was taken.
    """

    user: int
    item: int
    rating: int
    time: int | None = None
    guessed: bool = False
    double: bool = False


def role(name: str) -> str:
    """Tell whether a column of this name is "user", "item", "rating" or "time"; "" if none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain in TIMES:
        return "time"
    return next((key for key, names in ROLES.items() if plain in names), "")


def pick(names: Sequence[str]) -> Roles:
    """Find the columns by their names; what is not known is taken in order.

    Parameters
    ----------
    names : sequence of str
        At least three.
    """
    found: dict[str, int] = {}
    meanings = [role(name) for name in names]
    for at, meant in enumerate(meanings):
        if meant:
            found.setdefault(meant, at)
    double = any(meanings.count(key) > 1 for key in ROLES)
    guessed = not set(ROLES) <= set(found)
    taken = set(found.values())
    free = [at for at in range(len(names)) if at not in taken]
    if len(free) < sum(key not in found for key in ROLES):  # then a time stands for something
        found.pop("time", None)
        free = [at for at in range(len(names)) if at not in set(found.values())]
    order = iter(free)
    user, item, rating = (found[key] if key in found else next(order) for key in ROLES)
    return Roles(user, item, rating, found.get("time"), guessed, double)


def choose(columns: Sequence[str | int], names: Sequence[str], width: int, label: str) -> Roles:
    """Find the columns that a caller chose.

    Parameters
    ----------
    columns : sequence of str or int
        Of user, item, rating and, if wanted, time: names, or positions from 1.
    names : sequence of str
        Names in the file; empty where it has none.
    width : int
        Columns of the file.
    label : str
        What messages call the file.

    Raises
    ------
    DataError
        If the choice is not of three or four different columns that there are.
    """
    if len(columns) not in (3, 4):
        raise DataError(
            f"{label}: {len(columns)} column(s) are chosen; choose those of user, item and "
            "rating, and the time as a fourth if there is one."
        )
    at = [_position(column, names, width, label) for column in columns]
    if len(set(at)) < len(at):
        raise DataError(f"{label}: one column is chosen twice; choose different ones.")
    return Roles(at[0], at[1], at[2], at[3] if len(at) == 4 else None)


def _position(column: str | int, names: Sequence[str], width: int, label: str) -> int:
    plain = [name.strip() for name in names]
    if str(column).strip() in plain:
        return plain.index(str(column).strip())
    try:
        at = int(column)
    except ValueError:
        at = 0
    if 1 <= at <= width:
        return at - 1
    there = f"there are {printable(', '.join(plain))}" if plain else "the columns have no names"
    raise DataError(
        f"{label}: there is no column {str(column)[:60]!r}; {there[:200]}. Give a name, or a "
        f"position from 1 to {width}."
    )
