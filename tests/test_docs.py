"""Documentation that must agree with the code: docstrings, settings, README and changelog."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mfviz
from mfviz.solvers.base import registry

ROOT = Path(__file__).resolve().parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
NAMES = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: :.*)?$")


def public_functions() -> Iterator[tuple[str, Function, str]]:
    """Every public function and method with the docstring that documents its parameters.

    The parameters of ``__init__`` are documented at the class.
    """
    for path in sorted((ROOT / "mfviz").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(ROOT).as_posix()
        for node in tree.body:
            if isinstance(node, Function) and not node.name.startswith("_"):
                yield f"{where}:{node.name}", node, ast.get_docstring(node) or ""
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            for item in node.body:
                if not isinstance(item, Function):
                    continue
                if item.name == "__init__":
                    yield f"{where}:{node.name}", item, ast.get_docstring(node) or ""
                elif not item.name.startswith("_"):
                    label = f"{where}:{node.name}.{item.name}"
                    yield label, item, ast.get_docstring(item) or ""


def documented(docstring: str) -> list[str] | None:
    """Names in the section Parameters, or None where there is none."""
    lines = docstring.splitlines()
    starts = [
        at + 2
        for at in range(len(lines) - 1)
        if lines[at] == "Parameters" and set(lines[at + 1]) == {"-"}
    ]
    if not starts:
        return None
    found: list[str] = []
    for at in range(starts[0], len(lines)):
        line = lines[at]
        if at + 1 < len(lines) and line and set(lines[at + 1]) == {"-"}:
            break
        if line and not line.startswith(" "):
            names = NAMES.match(line)
            assert names, f"not a numpydoc entry: {line!r}"
            found += [name.strip("* ") for name in names.group(1).split(",")]
    return found


def declared(function: Function) -> list[str]:
    args = function.args
    names = [arg.arg for arg in [*args.posonlyargs, *args.args]]
    if names[:1] in (["self"], ["cls"], ["typingctx"]):  # numba.intrinsic hides the last one
        names = names[1:]
    rest = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*names, *(arg.arg for arg in args.kwonlyargs), *(arg.arg for arg in rest)]


def test_documented_parameters_are_those_of_the_signature() -> None:
    wrong = []
    for label, function, docstring in public_functions():
        if "property" in [ast.unparse(d) for d in function.decorator_list]:
            continue
        told = documented(docstring)
        if told is not None and sorted(told) != sorted(declared(function)):
            wrong.append(f"{label}: documented {told}, declared {declared(function)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("key", sorted(registry()))
def test_a_solver_explains_itself(key: str) -> None:
    cls = registry()[key]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.key)
    assert cls.title
    assert cls.paper
    assert cls.equations
    assert all(getattr(cls.card, field).strip() for field in cls.card.__slots__)
    for name, parameter in cls.hyper_parameters().items():
        assert parameter.doc, f"{key}.{name} has no doc"
        assert parameter.doc.strip().endswith("."), f"{key}.{name}: {parameter.doc!r}"
    assert f"`{key}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).splitlines()
    return [line.split("  #")[0].split("   #")[0].strip() for line in lines if line.strip()]


def test_readme_names_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bmake ([a-z]+)\b", text))
    assert {"explore", "test"} <= used & targets
    assert readme_commands()[:2] == ["make explore", "make test"]
    in_contributing = set(
        re.findall(r"`make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    )
    assert in_contributing <= targets


def test_readme_commands_have_options_that_exist() -> None:
    from mfviz.cli import HOMES, cli

    lines = [line.split() for line in readme_commands() if line.startswith("mfviz ")]
    assert {words[1] for words in lines} == set(HOMES)
    context = cli.make_context("mfviz", [], resilient_parsing=True)
    for words in lines:
        command = cli.get_command(context, words[1])
        assert command is not None
        if hasattr(command, "commands") and len(words) > 2:
            command = command.commands[words[2]]
        options = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].status == "done"
    assert (tmp_path / "run.mfviz").is_file()


def test_changelog_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{mfviz.__version__}]" in text


def test_extras_named_in_the_readme_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    line = text[text.index("Extras:") :].split("\n\n")[0]
    assert set(re.findall(r"`([a-z0-9]+)`", line)) == set(project["optional-dependencies"])


def test_pictures_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / path).is_file(), f"README shows {path}, which is not there"


def test_constraints_pin_what_the_project_asks_for() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["notebook"]]
    names = {re.split(r"[<>=\[; ]", item)[0].lower().replace("_", "-") for item in wanted}
    assert names <= pinned
