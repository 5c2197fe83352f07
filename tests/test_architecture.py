"""The shape of the house, held by tests: floors, sizes, a core without a GUI, no stray prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mfviz"

# Imports point downward. What is not listed here (api, cli, bench, ...) stands on top of all.
FLOORS = {
    "errors": -1,
    "resources": -1,
    "kernels": 0,
    "data": 0,
    "telemetry": 0,
    "theory": 0,
    "backends": 1,
    "solvers": 2,
    "experiments": 3,
    "plots": 3,
    "stories": 3,
    "views": 4,
}
TOP = 5
# Neighbours on one floor that may know each other, and why.
NEIGHBOURS = {
    ("data", "kernels"): "sorting and laying out ratings are loops over them",
}
GUI = {"panel", "bokeh", "holoviews", "panel_material_ui", "ipywidgets", "webview", "tornado"}
# Modules of declared distributions under another name, or of what those always bring.
BROUGHT_ALONG = {
    "PIL": "bokeh",
    "llvmlite": "numba",
    "pyviz_comms": "panel",
    "requests": "pooch",
    "tornado": "bokeh",
    "webview": "pywebview",
}
# Plots make HoloViews elements, but know no page, no solver and no run.
PLOTS_MAY_USE = {"data", "telemetry", "theory", "plots", "errors", "resources"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk without the blocks of ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from runtime_nodes(child)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Imported modules, those inside functions too, with the line."""
    for node in runtime_nodes(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{name(path)}:{node.lineno}: relative import"
            if node.module == "mfviz":
                for alias in node.names:
                    yield f"mfviz.{alias.name}", node.lineno
            else:
                yield node.module, node.lineno


def part(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_point_downward() -> None:
    wrong = []
    for path in modules():
        own = part_of(path)
        floor = FLOORS.get(own, TOP)
        for module, line in imports(path):
            other = part(module)
            if not module.startswith("mfviz.") or other == own:
                continue
            target = FLOORS.get(other, TOP)
            neighbour = target == floor != TOP and (own, other) not in NEIGHBOURS
            if target > floor or neighbour:
                wrong.append(f"{name(path)}:{line} imports {module}")
    assert not wrong, "imports must point down:\n" + "\n".join(wrong)


def test_every_package_has_a_floor() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - set(FLOORS) <= {"bench"}


def test_no_gui_below_the_views() -> None:
    wrong = []
    for path in modules():
        own = part_of(path)
        allowed = {"holoviews"} if own == "plots" else set()
        if FLOORS.get(own, TOP) >= FLOORS["views"]:
            continue
        wrong += [
            f"{name(path)}:{line} imports {module}"
            for module, line in imports(path)
            if module.split(".")[0] in GUI - allowed
        ]
    assert not wrong, "\n".join(wrong)


def test_plots_know_histories_only() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in (PACKAGE / "plots").glob("*.py")
        for module, line in imports(path)
        if module.startswith("mfviz.") and part(module) not in PLOTS_MAY_USE
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_host_touches_panels_state() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in (PACKAGE / "views").glob("*.py")
        if path.name != "host.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("pn.state", "panel.state")
    ]
    assert not wrong, "pn.state belongs to views/host.py alone:\n" + "\n".join(wrong)


IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[2:]:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), package + "."):
        importlib.import_module(found.name)
loaded = {name.split(".")[0] for name in sys.modules}
sys.exit(", ".join(sorted(loaded & set(sys.argv[1].split(",")))) or None)
"""


@pytest.mark.parametrize(
    ("packages", "forbidden"),
    [
        (["mfviz"], ["numba", "numpy", "panel", "bokeh", "holoviews", "pandas", "param"]),
        (["mfviz.cli"], ["numba", "panel", "bokeh", "holoviews", "pandas"]),
        (["mfviz.telemetry"], ["numba", "llvmlite", *GUI]),
        (["mfviz.data.ratings", "mfviz.theory"], list(GUI)),
        (["mfviz.solvers", "mfviz.experiments", "mfviz.api"], list(GUI)),
    ],
    ids=["package", "command", "telemetry", "data", "core"],
)
def test_what_an_import_must_not_load(packages: list[str], forbidden: list[str]) -> None:
    recurse = packages != ["mfviz"]
    code = IMPORT_ALL if recurse else IMPORT_ALL.replace('getattr(module, "__path__", [])', "[]")
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, ",".join(forbidden), *packages],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert outcome.returncode == 0, f"{packages} loaded: {outcome.stderr.strip()}"


def test_every_import_is_declared() -> None:
    """A wheel that is installed alone must bring all that the package imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["desktop"], *extras["dev"]]
    declared = {re.split(r"[<>=\[; ]", item)[0].replace("-", "_").lower() for item in wanted}
    declared |= {"mfviz", *map(str.lower, BROUGHT_ALONG)}
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in modules()
        for module, line in imports(path)
        if (top := module.split(".")[0]) not in sys.stdlib_module_names
        and top.lower() not in declared
    ]
    assert not wrong, "\n".join(wrong)


def test_development_tools_stay_out_of_the_package() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in modules()
        if part_of(path) != "bench"
        for module, line in imports(path)
        if module.split(".")[0] in {"pytest", "hypothesis", "playwright", "scipy", "build"}
    ]
    assert not wrong, "\n".join(wrong)


def source_files() -> list[Path]:
    return [
        path
        for folder in ("mfviz", "apps", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def test_files_and_functions_stay_small() -> None:
    wrong = []
    for path in source_files():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 400:
            wrong.append(f"{name(path)} has {lines} lines, at most 400")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    wrong.append(f"{name(path)}:{node.lineno} {node.name} has {length} lines")
    for path in sorted((ROOT / "apps").rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 60:
            wrong.append(f"{name(path)} has {lines} lines; an app has at most 60")
    assert not wrong, "\n".join(wrong)


def test_no_parallel_layer_of_numba() -> None:
    """Crews of threads run serial kernels (backends/host.py says why)."""
    wrong = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.keyword) and node.arg == "parallel":
                if isinstance(node.value, ast.Constant) and node.value.value is True:
                    wrong.append(f"{name(path)}:{node.value.lineno} parallel=True")
            elif isinstance(node, ast.Name | ast.Attribute):
                found = node.id if isinstance(node, ast.Name) else node.attr
                if found == "prange":
                    wrong.append(f"{name(path)}:{node.lineno} prange")
    assert not wrong, "\n".join(wrong)


def test_nothing_prints() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not wrong, "the command line writes with click, all else says it in events:\n" + str(
        wrong
    )


def test_no_path_of_one_machine() -> None:
    """Tracked text names no home, root or temporary folder of whoever wrote it."""
    pattern = re.compile(r"(?<![\w.])/(?:home|root|work|Users|tmp)/[A-Za-z_]\w*/")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no git checkout: the list of tracked files is not to be had")
    wrong = []
    for line in listed.stdout.splitlines():
        path = ROOT / line
        if path.suffix in {".png", ".mfviz", ".npz"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{line}: {found.group()}" for found in pattern.finditer(text)]
    assert not wrong, "\n".join(wrong)


def test_apps_only_compose() -> None:
    """A page script defines nothing: its globals are cleared before its session's end is told."""
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in (ROOT / "apps").glob("*.py")
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert not wrong, "\n".join(wrong)


def test_tests_with_a_browser_are_where_make_looks_for_them() -> None:
    """The Makefile lets pytest look in few folders, as to read all files takes ten seconds."""
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    folders = re.findall(r'-m ui -o testpaths="([^"]+)"', made)[0].split()
    mark = "mark" + ".ui"
    marked = {
        path.parent.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if mark in path.read_text(encoding="utf-8")
    }
    assert marked == set(folders)
