"""The data sets that mfviz knows by name, as a table.

Numbers of users and items are of those with a rating. Sizes and checksums are those published
beside the files or in public mirrors' lists; nothing here is a copy of the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from mfviz.data.places import data_dir, locate
from mfviz.data.synthetic import PRESETS, Planted

__all__ = ["ENTRIES", "Entry"]

GROUPLENS = "https://files.grouplens.org/datasets/movielens/"
MOVIELENS = (
    "MovieLens data of GroupLens (University of Minnesota): free for research if acknowledged; no "
    "commercial use and no redistribution without permission. The README in the archive rules."
)
SHARED_ALIKE = (
    "MovieLens data of GroupLens (University of Minnesota): free for research if acknowledged; no "
    "commercial use without permission; redistribution under the same conditions only. The README "
    "in the archive rules."
)
NETFLIX = "Netflix Prize data may not be redistributed; there is no official download."
PLANTED = "Made on this machine from a seed; no licence is needed."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A data set that has a name.

    Attributes
    ----------
    name : str
        As typed on the command line.
    title : str
        As shown on a page.
    description : str
        One sentence.
    kind : str
        "synthetic", "download" or "own copy" (no public download).
    users, items, ratings : int
        Exact numbers; of a set that its owners change, those of the version described.
    scale : (float, float)
        Smallest and largest rating.
    licence : str
        One or two sentences, shown before a download.
    url : str
        Official address; "" where there is none.
    bytes : int
        Size of the download; 0 where unknown.
    checksum : str
        "sha256:..." or "md5:..." of the download; "" where none is published.
    files : str
        What to look for in one's own copy.
    planted : Planted, optional
        Settings of a synthetic set.
    """

    name: str
    title: str
    description: str
    kind: str
    users: int
    items: int
    ratings: int
    scale: tuple[float, float]
    licence: str
    url: str = ""
    bytes: int = 0
    checksum: str = ""
    files: str = ""
    planted: Planted | None = None

    @property
    def available(self) -> bool:
        """Whether it can be loaded now."""
        return not self.missing

    @property
    def missing(self) -> str:
        """Why it cannot be loaded now, and how to get it; "" if it can."""
        if self.kind == "synthetic" or locate(self.name):
            return ""
        if self.kind == "own copy":
            return (
                f"{self.name} has no public download: put {self.files} into the folder "
                f"{self.name} under MFVIZ_DATA_DIR ({data_dir() or 'not set'})."
            )
        return (
            f"{self.name} is not on this machine: get it ({self.bytes / 1e6:,.0f} MB) with "
            f"'mfviz data get {self.name}', or set MFVIZ_DATA_DIR to a folder that holds it."
        )


def _synthetic(name: str, title: str, description: str) -> Entry:
    planted = PRESETS[name]
    return Entry(
        name=name,
        title=title,
        description=description,
        kind="synthetic",
        users=planted.users,
        items=planted.items,
        ratings=planted.ratings,
        scale=planted.scale,
        licence=PLANTED,
        planted=planted,
    )


def _movielens(
    name: str,
    title: str,
    description: str,
    shape: tuple[int, int, int],
    size: int,
    checksum: str,
    *,
    scale: tuple[float, float] = (0.5, 5.0),
    licence: str = MOVIELENS,
) -> Entry:
    return Entry(
        name=name,
        title=title,
        description=description,
        kind="download",
        users=shape[0],
        items=shape[1],
        ratings=shape[2],
        scale=scale,
        licence=licence,
        url=f"{GROUPLENS}{name}.zip",
        bytes=size,
        checksum=checksum,
    )


ENTRIES: tuple[Entry, ...] = (
    _synthetic("toy", "Toy", "60 users, 40 items: small enough to see every cell."),
    _synthetic("small-100k", "Synthetic 100K", "The shape of MovieLens 100K, planted rank 4."),
    _synthetic("1m-like", "Synthetic 1M", "The shape of MovieLens 1M, planted rank 8."),
    _synthetic("10m-like", "Synthetic 10M", "The shape of MovieLens 10M; some seconds to draw."),
    _synthetic("25m-like", "Synthetic 25M", "The shape of MovieLens 25M; half a minute to draw."),
    _movielens(
        "ml-100k",
        "MovieLens 100K",
        "Films rated in 1997-98, whole stars; with official splits (u1.base, u1.test, ...).",
        (943, 1682, 100_000),
        4_924_029,
        "sha256:50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        scale=(1.0, 5.0),
    ),
    _movielens(
        "ml-1m",
        "MovieLens 1M",
        "Films rated in 2000-03, whole stars: the usual benchmark of its size.",
        (6040, 3706, 1_000_209),
        5_917_549,
        "sha256:a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        scale=(1.0, 5.0),
    ),
    _movielens(
        "ml-latest-small",
        "MovieLens latest small",
        "Few users, many films, half stars; its owners change it from time to time (here: 2018).",
        (610, 9724, 100_836),
        978_202,
        "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        licence=SHARED_ALIKE,
    ),
    Entry(
        name="movietweetings-100k",
        title="MovieTweetings 100K",
        description="Film ratings from Twitter, 0 to 10, very sparse; 0 is a real rating.",
        kind="download",
        users=16_554,
        items=10_506,
        ratings=100_000,
        scale=(0.0, 10.0),
        licence="MovieTweetings by Simon Dooms, MIT licence.",
        url="https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K/"
        "ratings.dat",
        bytes=2_945_101,
    ),
    Entry(
        name="netflix-sample",
        title="Netflix Prize sample",
        description="First lines of combined_data_1.txt: 20 films; for the format, no benchmark.",
        kind="own copy",
        users=38_152,
        items=20,
        ratings=42_813,
        scale=(1.0, 5.0),
        licence=NETFLIX,
        files="combined_data_1.txt",
    ),
    Entry(
        name="netflix",
        title="Netflix Prize",
        description="Films rated in 1999-2005, whole stars; probe.txt is the official test set.",
        kind="own copy",
        users=480_189,
        items=17_770,
        ratings=100_480_507,
        scale=(1.0, 5.0),
        licence=NETFLIX,
        files="combined_data_*.txt, or the folder of mv_*.txt, and probe.txt",
    ),
    Entry(
        name="kdd-cup-2011",
        title="KDD Cup 2011, track 1",
        description="Yahoo! Music: tracks, albums, artists and genres rated 0 to 100.",
        kind="own copy",
        users=1_000_990,
        items=624_961,
        ratings=252_800_275,
        scale=(0.0, 100.0),
        licence="Yahoo! gives it to researchers who sign its Webscope agreement; it may not be "
        "redistributed.",
        files="trainIdx1.txt and validationIdx1.txt",
    ),
    _movielens(
        "ml-10m",
        "MovieLens 10M",
        "Films rated until 2009, half stars.",
        (69_878, 10_677, 10_000_054),
        65_566_137,
        "md5:ce571fd55effeba0271552578f2648bd",
    ),
    _movielens(
        "ml-20m",
        "MovieLens 20M",
        "Films rated until 2015, half stars.",
        (138_493, 26_744, 20_000_263),
        198_702_078,
        "sha256:96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        licence=SHARED_ALIKE,
    ),
    _movielens(
        "ml-25m",
        "MovieLens 25M",
        "Films rated until 2019, half stars.",
        (162_541, 59_047, 25_000_095),
        261_978_986,
        "sha256:8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
        licence=SHARED_ALIKE,
    ),
    _movielens(
        "ml-32m",
        "MovieLens 32M",
        "Films rated until 2023, half stars.",
        (200_948, 84_432, 32_000_204),
        238_950_008,
        "md5:d472be332d4daa821edc399621853b57",
        licence=SHARED_ALIKE,
    ),
)
