"""Ways to choose the test ratings, each as one word that fits into an address.

``random`` (a tenth, drawn by the seed), ``random-0.2``, ``time`` (the latest tenth), ``time-0.2``,
``leave-5`` (five of each user, drawn by the seed), ``leave-5-latest``, ``official`` (the test set
that lies beside the ratings) and ``file:PATH``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.errors import ParameterError

__all__ = ["HOLDOUT", "WORDS", "Way"]

HOLDOUT = 0.1
WORDS = "random, random-SHARE, time, time-SHARE, leave-K, leave-K-latest, official or file:PATH"
SHARE = re.compile(r"(random|time)(?:-(0|0?\.\d{1,9}))?", re.ASCII)
LEAVE = re.compile(r"leave-([1-9]\d{0,8})(-latest)?", re.ASCII)
FILE = "file:"


@dataclass(frozen=True)
class Way:
    """How the test ratings are chosen.

    Attributes
    ----------
    by : str
        "random", "time" or "official".
    holdout : float
        Share of all ratings, in [0, 1).
    leave_out : int
        Ratings of each user, in place of a share; 0 for that share.
    test : str
        Path of a file of test ratings, in place of all that.
    """

    by: str = "random"
    holdout: float = HOLDOUT
    leave_out: int = 0
    test: str = ""

    @classmethod
    def read(cls, word: str) -> Way:
        """Read a way from its word.

        Parameters
        ----------
        word : str
            As ``str`` of a way writes it.

        Raises
        ------
        ParameterError
            If there is no such way.
        """
        word = word.strip()
        if word == "official":
            return cls(by=word)
        if word.startswith(FILE) and word[len(FILE) :].strip():
            return cls(test=word[len(FILE) :].strip())
        if known := SHARE.fullmatch(word):
            return cls(known[1], float(known[2] or HOLDOUT))
        if known := LEAVE.fullmatch(word):
            return cls("time" if known[2] else "random", leave_out=int(known[1]))
        raise ParameterError(f"the split is {word[:100]!r}; it must be {WORDS}.", "split")

    def __str__(self) -> str:
        if self.test:
            return f"{FILE}{self.test}"
        if self.by == "official":
            return self.by
        if self.leave_out:
            return f"leave-{self.leave_out}" + ("-latest" if self.by == "time" else "")
        share = f"{self.holdout:.9f}".rstrip("0").rstrip(".")
        return self.by if self.holdout == HOLDOUT else f"{self.by}-{share}"

    @property
    def beside(self) -> bool:
        """Whether the test ratings lie in a file of their own."""
        return bool(self.test) or self.by == "official"

    def split(self, ratings: Ratings, seed: int) -> Problem:
        """Split ratings; for a way whose test ratings are among them.

        Parameters
        ----------
        ratings : Ratings
        seed : int

        Raises
        ------
        ParameterError
            If the test ratings lie in a file of their own, or a setting does not suit the ratings.
        DataError
            If there are no times to split by.
        """
        if self.beside:
            raise ParameterError(
                f"the split {str(self)!r} is one of files; load the test ratings and give them "
                "as test.",
                "split",
            )
        return split(
            ratings, holdout=self.holdout, seed=seed, by=self.by, leave_out=self.leave_out
        )
