"""``mfviz solvers``, ``devices``, ``datasets``, ``data`` and ``memory``: what there is."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mfviz.cli_common import as_option, echo_json, size, table
from mfviz.errors import ParameterError

if TYPE_CHECKING:
    import param

    from mfviz.data.catalog import Entry
    from mfviz.solvers.base import Solver

__all__ = ["data", "datasets", "devices", "memory", "solvers"]

BACKENDS = ("cpu", "cuda")
MIB = 1 << 20


@click.command()
@as_option
def solvers(as_json: bool) -> None:
    """List the solvers, what they are like and what can be set."""
    from mfviz.solvers.base import registry

    described = [describe(cls) for cls in registry().values()]
    if as_json:
        echo_json({"solvers": described})
        return
    for item in described:
        backends = ", ".join(name for name, ok in item["available"].items() if ok is True)
        mark = "  (a reconstruction)" if item["reconstruction"] else ""
        click.echo(f"{item['key']}: {item['title']}{mark}")
        click.echo(f"  {item['paper']}")
        click.echo(f"  runs on {backends}; reproducible: {item['determinism']}")
        click.echo(f"  parallel: {item['card']['parallel']}")
        rows = [(p["name"], _value(p["default"]), _range(p), p["doc"]) for p in item["params"]]
        click.echo(table(("setting", "default", "range", "meaning"), rows, indent="  "))
        for name, settings in item["published"].items():
            told = " ".join(f"{key}={_value(value)}" for key, value in settings.items())
            click.echo(f'  --preset "{name}": {told}')
        click.echo()


@click.command()
@as_option
def devices(as_json: bool) -> None:
    """List what can be trained on: this machine's cores, and its CUDA devices by number."""
    from mfviz.backends import cuda
    from mfviz.experiments.identity import device_name
    from mfviz.telemetry.memory import available_bytes

    free, total = available_bytes()
    found: list[dict[str, Any]] = [
        {"backend": "cpu", "name": device_name(), "free_bytes": free, "total_bytes": total}
    ]
    for each in cuda.devices():
        capability = ".".join(map(str, each.capability))
        more = {"device": each.index, "name": each.name, "capability": capability}
        sizes = {"free_bytes": cuda.free_bytes(each.index), "total_bytes": each.total_bytes}
        found.append({"backend": "cuda", **more, **sizes, "uuid": each.uuid})
    reason = cuda.why_not()
    if as_json:
        echo_json({"devices": found, "cuda": reason or True})
        return
    rows = [
        (
            row["backend"], str(row.get("device", "")), row["name"], row.get("capability", ""),
            size(row["free_bytes"]) if row["free_bytes"] is not None else "-",
            size(row["total_bytes"]),
        )
        for row in found
    ]  # fmt: skip
    click.echo(table(("--backend", "--device", "name", "capability", "free", "memory"), rows))
    if reason:
        click.echo(f"no CUDA: {reason}")


def describe(cls: type[Solver]) -> dict[str, Any]:
    """Tell everything that a solver declares, with values that JSON can hold."""
    made = cls()
    return {
        "key": cls.key,
        "title": cls.title,
        "paper": cls.paper,
        "equations": cls.equations,
        "backends": list(cls.backends),
        "determinism": made.determinism("cpu" if "cpu" in cls.backends else cls.backends[0]),
        "reconstruction": cls.reconstruction,
        "card": asdict(cls.card),
        "published": {name: dict(settings) for name, settings in cls.published.items()},
        "params": [_param(name, p) for name, p in cls.hyper_parameters().items()],
        "available": {backend: cls.available(backend) or True for backend in BACKENDS},
    }


def _param(name: str, parameter: param.Parameter) -> dict[str, Any]:
    bounds = getattr(parameter, "bounds", None)
    described = {
        "name": name,
        "default": parameter.default,
        "bounds": list(bounds) if bounds else None,
        "inclusive": list(parameter.inclusive_bounds) if bounds else None,
        "doc": parameter.doc,
    }
    if hasattr(parameter, "objects"):
        described["choices"] = list(parameter.objects)
    return described


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(described: dict[str, Any]) -> str:
    if "choices" in described:
        return " | ".join(_value(choice) for choice in described["choices"])
    if isinstance(described["default"], bool):
        return "true | false"
    low, high = described["bounds"] or (None, None)
    if low is None and high is None:
        return ""
    above = "" if described["inclusive"][0] else ">"
    return f"{above}{'' if low is None else _value(low)}..{'' if high is None else _value(high)}"


@click.command()
@as_option
def datasets(as_json: bool) -> None:
    """List the data sets that have a name, and whether each is on this machine."""
    from mfviz.data.catalog import entries

    if as_json:
        echo_json({"datasets": [_dataset(found) for found in entries()]})
        return
    rows = [
        (e.name, f"{e.users:,}", f"{e.items:,}", f"{e.ratings:,}", _whence(e), e.description)
        for e in entries()
    ]
    click.echo(table(("name", "users", "items", "ratings", "here", "what it is"), rows))
    click.echo("Any path to a file of ratings can stand in place of a name.")


@click.group()
def data() -> None:
    """Get data sets, tell what is in them, and see what is kept of them."""


@data.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Accept the licence without being asked.")
def get(name: str, yes: bool) -> None:
    """Download a data set into the cache, after its licence is accepted."""
    from mfviz.data.catalog import entry
    from mfviz.data.download import get as download
    from mfviz.data.places import locate

    found = entry(name)
    files = locate(name, named=True)
    if files:
        click.echo(f"{name} is here already: {files[0].parent}")
        return
    click.echo(found.licence, err=True)
    accepted = yes or not found.url
    if not accepted:
        if not sys.stdin.isatty():
            raise ParameterError(f"say that you accept this licence: mfviz data get {name} --yes.")
        accepted = click.confirm(f"Download {found.url} ({size(found.bytes)})?", err=True)
    click.echo(download(name, accept_licence=accepted))


@data.command()
@click.argument("source", metavar="NAME|PATH")
@click.option(
    "--columns",
    metavar="USER,ITEM,RATING[,TIME]",
    help="Columns of the file, by name or position from 1 [found].",
)
@as_option
def show(source: str, columns: str | None, as_json: bool) -> None:
    """Read ratings and tell what they are: counts, scale, mean, and what should be known."""
    from mfviz.data.catalog import load
    from mfviz.data.given import why_not

    ratings = load(source, columns=columns.split(",") if columns is not None else ())
    low, high = ratings.scale
    cells = ratings.n_users * ratings.n_items
    found = {
        "name": ratings.name,
        "users": ratings.n_users,
        "items": ratings.n_items,
        "ratings": ratings.nnz,
        "smallest": low,
        "largest": high,
        "mean": ratings.mean,
        "density": ratings.nnz / cells,
        "duplicates": ratings.duplicates,
        "no_split_by": why_not(ratings, source),
        "notices": list(ratings.notices),
    }
    if as_json:
        echo_json(found)
        return
    told = [f"no split by {way}: {reason}." for way, reason in why_not(ratings, source).items()]
    click.echo(
        f"{ratings.name}: {ratings.nnz:,} ratings of {ratings.n_users:,} users for "
        f"{ratings.n_items:,} items, from {low:g} to {high:g}, mean {ratings.mean:.6f}; "
        f"{100 * ratings.nnz / cells:.3g} % of the cells."
    )
    click.echo("".join(f"note: {line}\n" for line in [*ratings.notices, *told]), nl=False)


@data.command()
@click.option("--clear", "wanted", is_flag=True, help="Remove them all.")
@as_option
def cache(wanted: bool, as_json: bool) -> None:
    """List the large sets that were read once and are opened at once since, or remove them."""
    from mfviz.data.column_cache import clear, kept_sets
    from mfviz.data.places import columns_dir

    freed = clear() if wanted else 0
    sets = [
        {"name": k.name, "ratings": k.ratings, "bytes": k.bytes, "files": list(k.files)}
        for k in kept_sets()
    ]
    if as_json:
        echo_json({"folder": str(columns_dir()), "sets": sets, "freed_bytes": freed})
        return
    if wanted:
        click.echo(f"{size(freed)} freed in {columns_dir()}")
        return
    rows = [
        (k.name, f"{k.ratings:,}", size(k.bytes), k.files[0] if k.files else "synthetic")
        for k in kept_sets()
    ]
    if rows:
        click.echo(table(("name", "ratings", "size", "read from"), rows))
    click.echo(f"{len(rows)} large sets are kept in {columns_dir()}")


def _dataset(found: Entry) -> dict[str, Any]:
    names = ("name", "title", "description", "kind", "users", "items", "ratings", "scale")
    more = ("licence", "url", "bytes", "checksum")
    described = {name: getattr(found, name) for name in (*names, *more)}
    return {**described, "available": True if found.available else found.missing}


def _whence(found: Entry) -> str:
    if found.kind == "synthetic":
        return "synthetic"
    return "yes" if found.available else "no"


@click.command()
@click.option("--solver", required=True, metavar="KEY", help="Solver, see: mfviz solvers.")
@click.option("--users", type=int, required=True, help="Number of users m.")
@click.option("--items", type=int, required=True, help="Number of items n.")
@click.option("--ratings", type=int, required=True, help="Number of ratings.")
@click.option("--rank", type=int, help="Features [the solver's default].")
@click.option("--batch", type=int, help="Ratings a batch, for solvers that have batches.")
@click.option("--workers", type=int, help="Threads [one for each core].")
@click.option(
    "--backend",
    metavar="cpu|cuda",
    help="[cuda where --context-mib is given and the solver has it, else cpu].",
)
@click.option(
    "--split",
    metavar="TRAIN,VALIDATION,TEST",
    help="Shares of the ratings, as .7,.1,.2; without it all are training ratings.",
)
@click.option(
    "--context-mib", type=float, default=0.0, help="What a device context takes before any array."
)
@as_option
def memory(
    solver: str,
    users: int,
    items: int,
    ratings: int,
    backend: str | None,
    split: str | None,
    context_mib: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Predict the memory that a solver holds for ratings of a given size."""
    from mfviz.api import make_solver

    for name, value in (("users", users), ("items", items), ("ratings", ratings)):
        if value < 1:
            raise ParameterError(f"--{name} is {value}; it must be at least 1.", name)
    if not 0 <= context_mib < math.inf:
        raise ParameterError(f"--context-mib is {context_mib}; it must be a number from 0 up.")
    chosen = make_solver(solver, **{n: v for n, v in given.items() if v is not None})
    if backend is None:
        backend = "cuda" if context_mib and "cuda" in chosen.backends else "cpu"
    if backend not in chosen.backends:
        raise ParameterError(
            f"{chosen.title} has no {backend} backend; it runs on {', '.join(chosen.backends)}."
        )
    training = round(ratings * _shares(split)[0])
    if training < 1:
        raise ParameterError(f"--split {split} of {ratings} ratings leaves none to train on.")
    model = chosen.memory(users, items, training, backend)
    parts: list[dict[str, Any]] = [
        {"name": p.name, "part": p.part, "place": p.place, "formula": p.formula, "bytes": p.bytes}
        for p in model.parts
    ]
    if context_mib:
        context = {"name": "device context", "part": "context", "place": "device"}
        parts.insert(0, {**context, "formula": "given", "bytes": round(context_mib * MIB)})
    on_device = [part for part in parts if part["place"] != "host"]
    if backend != "cpu":
        parts.append(_rounding(on_device))
        on_device.append(parts[-1])
    counted = on_device if backend != "cpu" else parts
    total = sum(part["bytes"] for part in counted)
    if as_json:
        host = sum(part["bytes"] for part in parts) - sum(part["bytes"] for part in on_device)
        sums = {"total_mib": total / MIB, "host_mib": host / MIB}
        echo_json({"solver": solver, "backend": backend, "parts": parts, **sums})
        return
    rows = [(p["name"], p["place"], p["formula"], size(p["bytes"])) for p in parts]
    where = "" if backend == "cpu" else "device"
    click.echo(
        table(("array", "place", "formula", "size"), [*rows, ("total", where, "", size(total))])
    )
    click.echo("m users, n items, N training ratings, f features (padded), p workers.")


def _rounding(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a device takes beyond the arrays, which it gives out in granules."""
    from mfviz.theory.memory import GRANULE, MIB, rounding_bytes

    sizes = [part["bytes"] for part in parts if part["part"] != "context"]
    return {
        "name": "rounding of the arrays",
        "part": "workspace",
        "place": "device",
        "formula": f"to granules of {GRANULE // MIB} MiB",
        "bytes": rounding_bytes(sizes),
    }


def _shares(text: str | None) -> tuple[float, float, float]:
    if text is None:
        return 1.0, 0.0, 0.0
    try:
        train, validation, test = (float(piece) for piece in text.split(","))
    except ValueError:
        raise ParameterError(
            f"--split is {text!r}; it must be three shares, as in .7,.1,.2.", "split"
        ) from None
    shares = (train, validation, test)
    if not (min(shares) >= 0 and train > 0 and abs(sum(shares) - 1) <= 1e-6):  # NaN too
        raise ParameterError(
            f"--split is {text}; the shares must be positive and add up to 1.", "split"
        )
    return shares
