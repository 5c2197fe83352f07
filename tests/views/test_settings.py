"""Settings made from declared parameters: what is offered, read, clamped and proposed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfviz.errors import ParameterError
from mfviz.solvers.base import registry
from mfviz.views.settings import MAIN, Settings
from mfviz.views.values import write
from tests.views.stage import make_desk


def make(solver="fpsgd", compare="als"):
    return Settings(dict(registry()), solver, compare)


def names(settings, slot):
    return {field.key[1] for field in settings.fields() if field.key[0] == slot}


@pytest.mark.parametrize("solver", sorted(registry()))
def test_only_what_concerns_the_solver_is_offered(solver):
    settings = make(solver, "")
    offered = {field.key[1] for field in settings.fields()}
    declared = registry()[solver].hyper_parameters()
    assert offered <= set(declared)
    for name in set(declared) - offered:
        low, high = declared[name].bounds
        assert name == "lr" or low == high, f"{name} is a choice and must be offered"
    for field in settings.fields():
        assert field.help, f"{field.key} has no help"


def test_shared_settings_come_once_and_own_ones_side_by_side():
    settings = make()
    assert names(settings, "both") == {"rank", "workers", "seed"}
    keys = [field.key for field in settings.fields() if field.main]
    at = keys.index(("A", "lam"))
    assert keys[at + 1] == ("B", "lam")
    assert all(field.main == (field.key[1] in MAIN) for field in settings.fields())


def test_workers_of_a_serial_solver_belong_to_the_other():
    settings = make("sgd", "als")
    field = next(f for f in settings.fields() if f.key == ("both", "workers"))
    assert field.owner == "B"
    settings.set(("both", "workers"), "3")
    assert settings.arguments("A")["workers"] == 1
    assert settings.arguments("B")["workers"] == 3
    assert ("both", "workers") not in [f.key for f in make("sgd", "").fields()]


@pytest.mark.parametrize("text", ["0", "5000", "1.5", "many", "", "nan", "inf", None])
def test_a_value_that_is_refused_keeps_the_old_one_and_says_what_is_wanted(text):
    settings = make()
    settings.set(("both", "rank"), "32")
    with pytest.raises(ParameterError, match=r"rank is .*whole number from 1 to 4096"):
        settings.set(("both", "rank"), text)
    assert settings.value(("both", "rank")) == 32


def test_numbers_are_read_as_people_write_them():
    settings = make("sgd", "")
    assert settings.set(("A", "lr"), "1e-3") == 0.001
    assert settings.set(("both", "rank"), "1e2") == 100
    assert settings.set(("A", "biases"), "false") is False
    assert settings.set(("A", "schedule"), "constant") == "constant"


def test_proposals_fill_what_was_not_edited():
    settings = make()
    settings.propose("A", {"rank": 40, "lr": 0.07})
    assert settings.value(("both", "rank")) == 40
    settings.set(("A", "lr"), "0.5")
    settings.propose("A", {"rank": 64, "lr": 0.09})
    assert settings.value(("both", "rank")) == 64
    assert settings.value(("A", "lr")) == 0.5
    settings.reset()
    assert settings.value(("A", "lr")) == 0.09


def test_another_solver_drops_values_that_it_does_not_know():
    settings = make("als", "")
    settings.propose("A", {})
    settings.set(("A", "init"), "uniform")
    settings.choose("A", "sgd")
    settings.propose("A", {})
    assert settings.make("A").init in registry()["sgd"].param.init.objects


def test_changed_counts_advanced_settings_only():
    settings = make("sgd", "")
    settings.propose("A", {"decay": 0.9})
    assert settings.changed() == 0
    settings.set(("A", "lr"), "0.5")
    assert settings.changed() == 0
    settings.set(("A", "decay"), "0.8")
    assert settings.changed() == 1


@given(data=st.data())
def test_the_address_round_trips(data):
    keys = sorted(registry())
    solver = data.draw(st.sampled_from(keys))
    compare = data.draw(st.sampled_from(["", *keys]))
    settings = make(solver, compare)
    for field in settings.fields():
        if field.kind == "switch":
            value = data.draw(st.booleans())
        elif field.kind == "choice":
            value = data.draw(st.sampled_from(field.choices))
        elif field.kind == "int":
            low, high = settings._parameter(field.key).bounds
            value = data.draw(st.integers(low, min(high, 10_000)))
        else:
            value = data.draw(st.sampled_from([0.001, 0.05, 0.5, 1.0]))
        settings.set(field.key, write(value))
    other = make("sgd", "")
    assert other.read(settings.query()) == []
    assert other.query() == settings.query()
    assert other.solvers == settings.solvers
    for slot in settings.slots:
        assert other.arguments(slot) == settings.arguments(slot)


def test_an_address_is_clamped_with_a_notice():
    settings = make()
    notices = settings.read(
        {"rank": "999999", "lr": "-3", "workers": "x", "colour": "red", "solver": "magic"}
    )
    assert settings.value(("both", "rank")) == 4096
    assert settings.value(("A", "lr")) == 0.0
    assert settings.solvers["A"] == "fpsgd"
    said = " ".join(notices)
    for words in ("rank is 999999", "4096 is used", "'colour'", "No solver is called 'magic'"):
        assert words in said
    assert len(notices) == 5


@pytest.mark.parametrize("solver", sorted(registry()))
def test_nonsense_in_an_address_is_a_notice_whatever_the_setting(solver):
    settings = make(solver, "")
    names = {key[1] for key in (field.key for field in settings.fields())}
    notices = settings.read({"solver": solver, **dict.fromkeys(names, "nonsense")})
    assert len(notices) == len(names)
    assert all(f"{name} is nonsense" in " ".join(notices) for name in names)
    assert settings.arguments("A") == make(solver, "").arguments("A")


def test_the_desk_keeps_clear_of_names_that_are_the_page_s_own():
    desk = make_desk("pace=2&x=solve_s&solver=als&rank=12")
    assert desk.notices == []
    assert desk.settings.solvers == {"A": "als", "B": ""}
    assert desk.settings.value(("both", "rank")) == 12
    assert desk.query()["compare"] == "none"


def test_the_desk_says_what_fits_and_what_does_not():
    desk = make_desk(solver="als", compare="sgd")
    check = desk.preflight()
    assert check.ready
    assert check.sentence.startswith("fits: ")
    assert set(check.sizes) == {"A", "B"}
    desk.edit(("both", "rank"), "oops")
    assert not desk.preflight().ready
    assert "rank is oops" in desk.preflight().sentence
    desk.edit(("both", "rank"), "8")
    assert desk.preflight().ready


def test_what_does_not_fit_disables_run(monkeypatch):
    monkeypatch.setattr("mfviz.views.desk.available_bytes", lambda: (1000, 10**9))
    check = make_desk(solver="als", compare="").preflight()
    assert not check.ready
    assert check.sentence.startswith("does not fit: ")


def test_a_solver_that_cannot_serve_says_why():
    desk = make_desk(solver="fpsgd", compare="")
    desk.edit(("both", "workers"), "8")
    desk.edit(("A", "grid"), "2")
    check = desk.preflight()
    assert not check.ready
    assert "grid" in check.sentence


def test_trouble_with_the_data_is_a_sentence_and_other_data_mend_it():
    desk = make_desk(missing=("gone",), data="gone")
    assert not desk.preflight().ready
    assert desk.preflight().sentence == "gone is not there; choose another."
    desk.choose_data("toy")
    assert desk.preflight().ready


def test_another_seed_draws_another_hold_out():
    desk = make_desk()
    before = desk.problem.fingerprint
    desk.edit(("both", "seed"), "3")
    assert desk.problem.seed == 3
    assert desk.problem.fingerprint != before


def test_a_suggestion_goes_into_its_field():
    desk = make_desk(solver="als", compare="sgd")
    desk.apply("B", "lr=0.0125")
    assert desk.settings.value(("B", "lr")) == 0.0125


def test_the_backend_is_chosen_where_a_solver_has_several(monkeypatch):
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: None)
    settings = Settings(dict(registry()), "msgd", "ccd")
    assert settings.places("A") == {"cpu": "", "cuda": ""}
    assert settings.places("B") == {"cpu": ""}
    assert (settings.backend("A"), settings.backend("B")) == ("cpu", "cpu")
    assert "backend" not in settings.query()
    settings.choose_backend("A", "cuda")
    assert (settings.backend("A"), settings.query()["backend"]) == ("cuda", "cuda")
    with pytest.raises(ParameterError, match="has cpu"):
        settings.choose_backend("B", "cuda")
    settings.choose("A", "ccd")
    assert settings.backend("A") == "cpu", "it has no other"
    settings.choose("A", "ds_sgd_d")
    assert settings.backend("A") == "cuda", "the wish stays"
    again = Settings(dict(registry()), "sgd")
    assert again.read(settings.query()) == []
    assert again.backend("A") == "cuda"


def test_a_backend_that_cannot_be_used_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setattr("mfviz.backends.cuda.why_not", lambda: "There is no driver.")
    settings = Settings(dict(registry()), "msgd")
    assert settings.places("A")["cuda"] == "There is no driver."
    with pytest.raises(ParameterError, match="There is no driver"):
        settings.choose_backend("A", "cuda")
    (notice,) = settings.read({"solver": "msgd", "backend": "cuda"})
    assert notice == "There is no driver. cpu is used."
    assert settings.backend("A") == "cpu"
