from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mfviz.errors import RunFileError
from mfviz.experiments import store
from mfviz.experiments.run import Run
from mfviz.experiments.store import new_folder, open_run, pack, prune, runs_dir
from mfviz.telemetry.events import Noticed, RunEnded, Unknown, encode
from mfviz.telemetry.log import EVENTS_FILE
from tests.fakes import ScriptedSolver, make_events, tiny_problem


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MFVIZ_RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = Run(tiny_problem(), ScriptedSolver(), folder=tmp_path / "run")
    run.execute()
    return tmp_path / "run"


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / EVENTS_FILE).write_text(text)
    return folder


def text_of(count: int | None = None) -> str:
    return "".join(encode(event) + "\n" for event in make_events()[:count])


def test_folder_and_file_hold_the_same_run(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.mfviz"
    assert pack(folder, target) == target
    from_folder, from_file = open_run(folder), open_run(str(target))
    assert from_folder.events == from_file.events
    assert from_file.history().status == "done"
    for name in ("P", "Q", "bu", "bi"):
        assert np.array_equal(from_folder.array(name), from_file.array(name))
    assert from_file.array("P").shape == (30, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mfviz", "run"]


def test_shipped_runs_can_leave_their_arrays_out(folder: Path, tmp_path: Path) -> None:
    run = open_run(pack(folder, tmp_path / "a.mfviz", arrays=False))
    assert run.history().status == "done"
    with pytest.raises(RunFileError, match=r"P\.npy"):
        run.array("P")


def test_snapshots_name_the_arrays_that_are_there(folder: Path) -> None:
    run = open_run(folder)
    names = [snapshot.name for snapshot in run.history().snapshots]
    assert names == ["P", "Q", "bu", "bi"]
    assert all(run.array(name).size for name in names)


def test_a_torn_last_line_is_dropped_with_a_notice(tmp_path: Path) -> None:
    whole = make_events()
    for cut in (1, 10, 40):
        run = open_run(written(tmp_path / "torn", text_of()[:-cut]))
        assert run.events[: len(whole) - 1] == whole[:-1]
        notice, end = run.events[-2:]
        assert isinstance(notice, Noticed)
        assert "incomplete" in notice.message
        assert isinstance(end, RunEnded)
        assert [event.seq for event in run.events] == list(range(len(whole) + 1))


def test_a_record_that_breaks_off_gets_an_end_that_says_so(tmp_path: Path) -> None:
    run = open_run(written(tmp_path / "cut", text_of(-4)))
    history = run.history()
    assert (history.status, history.epochs[-1].epoch) == ("stopped", 3)
    assert "process ended" in history.reason
    assert history.solve_s == pytest.approx(0.03)


def test_kinds_of_the_future_are_kept(tmp_path: Path) -> None:
    line = '{"event": "new-kind", "run": "r1", "seq": 1, "t_ns": 0, "x": [1]}\n'
    run = open_run(written(tmp_path / "new", text_of(1) + line))
    assert isinstance(run.events[1], Unknown)
    assert len(run.history().unknown) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no event"),
        ('{"eve', "no event"),
        ("\n", "line 1"),
        ("user,item,rating\n1,2,3\n", "line 1"),
        (text_of(3) + "oops\n" + text_of(1), "line 4"),
        (text_of(2) + "\x00\xff\n" + text_of(1), "line 3"),
    ],
)
def test_a_file_that_is_no_run_is_told_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RunFileError, match=words):
        open_run(written(tmp_path / "bad", text))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"\x00" * 100])
def test_a_file_that_is_no_zip_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mfviz").write_bytes(content)
    with pytest.raises(RunFileError, match="neither a run folder nor"):
        open_run(tmp_path / "x.mfviz")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="does not exist"):
        open_run(tmp_path / "none.mfviz")
    with pytest.raises(RunFileError, match=r"events\.jsonl does not exist"):
        open_run(tmp_path)
    with pytest.raises(RunFileError, match="holds no run"):
        pack(tmp_path, tmp_path / "a.mfviz")
    with zipfile.ZipFile(tmp_path / "b.mfviz", "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(RunFileError, match="neither"):
        open_run(tmp_path / "b.mfviz")


def test_a_hostile_zip_reaches_no_other_folder(folder: Path, tmp_path: Path) -> None:
    target = pack(folder, tmp_path / "a.mfviz")
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../escaped.txt", "x")
        archive.writestr("arrays/../../escaped.npy", "x")
    run = open_run(target)
    assert run.history().status == "done"
    for name in ("../escaped", "../../escaped", "a/b", "", "P.npy"):
        with pytest.raises(RunFileError, match="no name of an array"):
            run.array(name)
    assert not list(tmp_path.rglob("escaped*"))


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LIMIT_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "a.mfviz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(EVENTS_FILE, text_of(1) * 5_000)
    with pytest.raises(RunFileError, match="unpacks to more"):
        open_run(tmp_path / "a.mfviz")


def test_a_damaged_or_pickled_array_is_refused(folder: Path) -> None:
    np.save(folder / "arrays" / "P.npy", np.array([{}], dtype=object), allow_pickle=True)
    (folder / "arrays" / "Q.npy").write_bytes(b"nothing")
    for name in "PQ":
        with pytest.raises(RunFileError, match=f"array {name} is damaged"):
            open_run(folder).array(name)


@pytest.mark.parametrize("at", [0.3, 0.6])
def test_a_file_that_was_damaged_on_the_way_is_told(
    folder: Path, tmp_path: Path, at: float
) -> None:
    (folder / EVENTS_FILE).write_text(text_of() * 50)
    target = pack(folder, tmp_path / "a.mfviz", arrays=False)
    content = bytearray(target.read_bytes())
    for byte in range(int(at * len(content)), int(at * len(content)) + 20):
        content[byte] ^= 0xFF
    target.write_bytes(content)
    with pytest.raises(RunFileError, match="damaged"):
        open_run(target)


def test_a_failed_pack_leaves_the_old_file(folder: Path, tmp_path: Path) -> None:
    target = pack(folder, tmp_path / "a.mfviz")
    before = target.read_bytes()
    (folder / "arrays" / "P.npy").unlink()
    (folder / "arrays" / "P.npy").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        pack(folder, target)
    assert target.read_bytes() == before
    assert not target.with_name("a.mfviz.part").exists()


def test_only_an_ordinary_file_is_replaced(folder: Path, tmp_path: Path) -> None:
    """Packing onto /dev/null as root would replace it for every other process."""
    device = tmp_path / "pipe"
    os.mkfifo(device)
    with pytest.raises(RunFileError, match="is a device or a pipe"):
        pack(folder, device)
    assert device.is_fifo()
    with pytest.raises(RunFileError, match="is a device or a pipe"):
        open_run(device)
    with pytest.raises(RunFileError, match="is a folder"):
        pack(folder, tmp_path)
    with pytest.raises(RunFileError, match="does not exist; make it"):
        pack(folder, tmp_path / "nowhere" / "a.mfviz")


def test_a_home_that_cannot_be_written_is_no_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MFVIZ_RUNS_DIR", str(tmp_path / "file" / "runs"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert new_folder("abc").parent == tmp_path


def test_new_folders_are_of_their_own_and_old_ones_go(home: Path) -> None:
    first = new_folder("abc/../x")
    assert first.parent == home == runs_dir()
    assert first.name.endswith("-abc____x")
    for at in range(6):
        written(home / f"20260101-00000{at}-r{at}", "x")
        os.utime(home / f"20260101-00000{at}-r{at}" / EVENTS_FILE, (at, at))
    written(home / "my own notes", "x")
    assert prune(keep=3) == 4
    assert {path.name for path in home.iterdir()} == {
        first.name, "20260101-000005-r5", "20260101-000004-r4", "my own notes"
    }  # fmt: skip
