"""The four schedules, from their formulas."""

from __future__ import annotations

import math

import pytest

from mfviz.solvers.schedules import Schedule


def test_closed_forms():
    assert [Schedule("constant").factor(e) for e in (1, 2, 9)] == [1.0, 1.0, 1.0]
    assert [Schedule("exponential", decay=0.5).factor(e) for e in (1, 2, 4)] == [1.0, 0.5, 0.125]
    inverse = Schedule("inverse", beta=0.3)
    assert inverse.factor(1) == 1.0
    assert inverse.factor(5) == pytest.approx(1 / (1 + 0.3 * 4**1.5))


def test_bold_driver_counts_equality_as_a_rise():
    bold = Schedule("bold")
    factors = []
    for epoch, loss in enumerate((10.0, 9.0, 9.0, 12.0, 11.0, math.nan), 1):
        bold.judge(loss)
        factors.append(bold.factor(epoch))
    assert factors == pytest.approx([1, 1.05, 0.525, 0.2625, 0.275625, 0.1378125])
    assert bold.needs_loss
    assert not Schedule("constant").needs_loss
