"""Train with every solver on the CPU that Numba is told to compile for, and look at the code.

Run as ``python every_kernel.py OUT.npz [factors] [registers]``; it writes the factors of each
training and, for kernels whose inner loops are promised to be vectors, what those are made of.
"""

from __future__ import annotations

import gc
import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mfviz.backends.host import Crew
from mfviz.data.problem import Problem, split
from mfviz.data.ratings import Ratings
from mfviz.experiments.context import make_context
from mfviz.solvers.base import registry

MORE: dict[str, dict[str, Any]] = {  # settings that choose other kernels than a solver's defaults
    "als by cg": {"key": "als", "solve": "cg"},
    "als with biases": {"key": "als", "biases": True},
    "ccd with biases": {"key": "ccd", "biases": True},
    "ccdpp with biases": {"key": "ccdpp", "biases": True, "refresh": 1},
    "sgd by its loss": {"key": "sgd", "schedule": "bold"},
    "strips of wide rows": {"key": "strip_sgd", "rank": 270, "init_scale": 0.01},
    "strips of two": {"key": "strip_sgd", "workers": 2},
}
HOT = {  # kernels by the solver that compiles them: module and function
    "als": ("als", "solve_rows"),
    "asgd": ("asgd", "visit_rows"),
    "ccd": ("ccd", "fit_rows"),
    "ccdpp": ("ccdpp", "run_passes"),
    "dsgd": ("strata", "run_steps"),
    "fpsgd": ("fpsgd", "fpsgd_until"),
    "sgd": ("sgd", "sgd_until"),
    "strip_sgd": ("strips", "run_rounds"),
}
PACKED, SINGLE = re.compile(r"\tvf?n?m(add|sub)\d+ps"), re.compile(r"\tvf?n?m(add|sub)\d+ss")


def problem() -> Problem:
    """Rows of up to a hundred ratings, and one user of a single one."""
    rng = np.random.default_rng(0)
    u, i = (rng.random((2, 3000)) ** 2 * [[70], [60]]).astype(int)
    ratings = Ratings.from_triples([*u, 70], [*i, 3], [*rng.integers(1, 6, 3000), 4])
    return split(ratings, holdout=0.1)


def cases() -> Iterator[tuple[str, Any]]:
    """Name and solver of each training whose result does not depend on luck."""
    for name, chosen in {**{key: {"key": key} for key in sorted(registry())}, **MORE}.items():
        settings = {"rank": 20, "epochs": 2, "workers": 1, **chosen}
        cls = registry()[settings.pop("key")]
        settings["workers"] = max(settings["workers"], cls.param["workers"].bounds[0])
        solver = cls.make(**settings)
        if solver.determinism() != "statistical":
            yield name, solver


def train(solver: Any, data: Problem) -> np.ndarray:
    """All numbers of the trained model."""
    with Crew(solver.threads) as crew:
        context = make_context(solver, crew)
        for _ in solver.iterate(data, context):
            context.spans.fill[:] = 0
        context.refresh()
    final = context.factors
    assert final is not None
    return np.concatenate([a.ravel() for a in (final.P, final.Q, final.bu, final.bi)])


def loops(code: str) -> Iterator[list[str]]:
    """Instructions between a label and each jump back to it, calls excepted: inner loops."""
    lines, place = code.splitlines(), {}
    for at, line in enumerate(lines):
        label = re.match(r"(\.L\w+):", line)
        if label:
            place[label[1]] = at
        jump = re.match(r"\tj\w+\t(\.L\w+)", line)
        if jump and jump[1] in place:
            body = lines[place[jump[1]] : at]
            if not any("\tcall" in inside for inside in body):
                yield body


def widest(code: str) -> str:
    """Register of the packed multiply-adds of a loop that has no single ones: zmm, ymm or none."""
    found = set()
    for body in loops(code):
        fused = [line for line in body if PACKED.search(line)]
        if fused and not any(SINGLE.search(line) for line in body):
            found |= set(re.findall(r"[xyz]mm", " ".join(fused)))
    return max(found, default="none")


def code_of(kernel: Any) -> str:
    """Assembly of a kernel in all its forms.

    Numba keeps the optimised form of a kernel in its cache, but lets nobody look at the code of
    one that comes from there; to compile it once more only to look would take a minute.
    """
    libraries = [made.library for made in kernel.overloads.values()]
    return "\n".join(
        library.codegen._tm.emit_assembly(library._get_module_for_linking())
        for library in libraries
    )


def main(target: str, *wanted: str) -> None:
    """Write factors as arrays, and registers of the hot loops as one array of names."""
    gc.disable()  # the compiler makes little that it would find, and it takes a tenth of the time
    data = problem()
    found: dict[str, Any] = {}
    for name, solver in cases():
        if "factors" in wanted or name in HOT:
            found[name] = train(solver, data)
    if "registers" in wanted:
        registers = []
        for key, (module, function) in HOT.items():
            kernel = getattr(importlib.import_module(f"mfviz.kernels.{module}"), function)
            registers.append(f"{key} {widest(code_of(kernel))}")
        found["registers"] = np.array(registers)
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
