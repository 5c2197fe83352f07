"""Values of declared parameters as a person types them: read, checked, mended, written."""

from __future__ import annotations

from typing import Any

import param

from mfviz.errors import ParameterError
from mfviz.solvers.base import expected

__all__ = ["clamp", "kind_of", "parse", "write"]


def kind_of(parameter: param.Parameter) -> str:
    """Say which kind of field a declared parameter needs."""
    if isinstance(parameter, param.Boolean):
        return "switch"
    if isinstance(parameter, param.Selector):
        return "choice"
    return "int" if isinstance(parameter, param.Integer) else "number"


def parse(parameter: param.Parameter, text: Any, name: str) -> Any:
    """Read a value as a person types it.

    Raises
    ------
    ParameterError
        If it is no value of that kind, or out of its bounds.
    """
    kind = kind_of(parameter)
    try:
        value = _convert(parameter, kind, text)
        parameter._validate(value)
    except (ValueError, TypeError, OverflowError, KeyError):
        shown = repr(text) if isinstance(text, str) and not text.strip() else str(text)
        raise ParameterError(f"{name} is {shown}; {expected(parameter)}.", name) from None
    return value


def clamp(parameter: param.Parameter, text: Any, name: str) -> tuple[Any, ParameterError | None]:
    """Read a value from an address: the nearest allowed one, and what was wrong if it differs."""
    try:
        return parse(parameter, text, name), None
    except ParameterError as error:
        value = parameter.default
        low, high = getattr(parameter, "bounds", None) or (None, None)
        try:
            number = float(text)
        except (TypeError, ValueError):
            number = None
        if number is not None and low is not None and number < low:
            value = low
        elif number is not None and high is not None and number > high:
            value = high
        return value, error


def write(value: Any) -> str:
    """Write a value as it stands in a field, an address and the command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, ".6g") if isinstance(value, float) else str(value)


def _convert(parameter: param.Parameter, kind: str, text: Any) -> Any:
    if kind == "switch":
        known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
        return text if isinstance(text, bool) else known[str(text).lower()]
    if kind == "choice":
        return {str(choice): choice for choice in parameter.objects}[str(text)]
    number = float(text)
    if kind == "int":
        if number != int(number):
            raise ValueError(text)
        return int(number)
    return number
