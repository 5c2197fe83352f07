from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.telemetry.events import (
    Evaluated,
    Event,
    Noticed,
    RunStarted,
    Span,
    Unknown,
    decode,
    encode,
)

VALUES = {
    "str": st.text(max_size=20),
    "int": st.integers(-(2**62), 2**62),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "dict[str, Any]": st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.text(), st.booleans(), st.none())
    ),
    "dict[str, str]": st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    "dict[str, int]": st.dictionaries(st.text(max_size=5), st.integers()),
}


@st.composite
def any_event(draw: Any) -> Event:
    kind = draw(st.sampled_from(sorted(Event.registry.values(), key=lambda c: c.kind)))
    return kind(**{f.name: draw(VALUES[str(f.type)]) for f in fields(kind)})


@given(any_event())
def test_what_is_written_is_read_back(event: Event) -> None:
    assert decode(encode(event)) == event


@given(any_event())
def test_a_line_is_one_line_of_json_with_the_kind_first(event: Event) -> None:
    line = encode(event)
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line) == {"event": event.kind, **asdict(event)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_becomes_null_and_comes_back_as_nan(value: float) -> None:
    event = Evaluated(
        run="r", seq=0, t_ns=0, epoch=0, train_rmse=value, test_rmse=1.0, objective=value, eval_s=0
    )
    line = encode(event)
    assert '"train_rmse": null' in line
    assert "NaN" not in line
    assert "Infinity" not in line
    assert math.isnan(decode(line).train_rmse)  # type: ignore[attr-defined]


def test_infinite_settings_do_not_break_the_line() -> None:
    event = RunStarted(
        run="r", seq=0, t_ns=0, schema=1, solver="s", params={"cap": math.inf, "lr": 0.1},
        backend="cpu", device="", problem="", fingerprint="", seed=0, versions={},
    )  # fmt: skip
    assert json.loads(encode(event))["params"] == {"cap": None, "lr": 0.1}


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    span = Span(
        run="r", seq=np.int64(1), t_ns=0, lane="W0", op="kernel", name="n",  # type: ignore[arg-type]
        start_ns=0, end_ns=np.int32(7), ratings=np.uint8(3),  # type: ignore[arg-type]
    )  # fmt: skip
    found = json.loads(encode(span))
    assert (found["seq"], found["end_ns"], found["ratings"]) == (1, 7, 3)
    assert json.loads(encode(_evaluated(np.float32(0.5))))["train_rmse"] == 0.5
    assert json.loads(encode(_evaluated(np.float64(0.5))))["train_rmse"] == 0.5


def _evaluated(value: Any) -> Evaluated:
    return Evaluated(
        run="r", seq=0, t_ns=0, epoch=0, train_rmse=value, test_rmse=0, objective=0, eval_s=0
    )


def test_an_unknown_kind_is_kept_whole() -> None:
    line = '{"event": "from-the-future", "run": "r", "seq": 3, "t_ns": 9, "colour": "red"}'
    event = decode(line)
    assert isinstance(event, Unknown)
    assert (event.run, event.seq, event.t_ns) == ("r", 3, 9)
    assert json.loads(encode(event)) == json.loads(line)


def test_fields_that_are_not_known_are_left_out() -> None:
    line = '{"event": "noticed", "run": "r", "seq": 0, "t_ns": 0, "level": "info", ' \
        '"message": "m", "new": 1}'  # fmt: skip
    assert decode(line) == Noticed(run="r", seq=0, t_ns=0, level="info", message="m")


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "[]", "7", '{"event": "noticed"}',
        '{"event": "noticed", "run": "r", "seq": 0, "t_ns": 0}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"event|Expecting|field"):
        decode(line)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('"start_ns": 1', '"start_ns": "1"', "start_ns"),
        ('"start_ns": 1', '"start_ns": null', "start_ns"),
        ('"start_ns": 1', '"start_ns": NaN', "start_ns"),
        ('"lane": "W0"', '"lane": ["W0"]', "lane"),
        ('"seq": 0', '"seq": "0"', "seq"),
        ('"event": "span", "run": "r"', '"event": ["new"], "run": 7', "run"),
    ],
)
def test_fields_of_another_kind_are_refused_by_name(old: str, new: str, name: str) -> None:
    span = Span(run="r", seq=0, t_ns=0, lane="W0", op="kernel", name="x", start_ns=1, end_ns=2)
    line = encode(span)
    assert old in line
    with pytest.raises(ValueError, match=f"^{name} is "):
        decode(line.replace(old, new))


def test_a_line_nested_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="too deep"):
        decode("[" * 100_000)


def test_kinds_are_spelled_as_in_a_file() -> None:
    assert set(Event.registry) == {
        "run-started", "compiled", "epoch-ended", "span", "evaluated", "block-taken", "allocated",
        "freed", "memory-sampled", "measured", "snapshot", "param-changed", "noticed", "run-ended",
    }  # fmt: skip
