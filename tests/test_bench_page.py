"""The benchmark page: every block has its script, whose output becomes the block. Nothing is measured here."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(SCRIPTS))  # they share a module, as they do where Python runs one of them
page = load("page")


def test_every_block_of_the_page_has_a_script_and_every_script_a_block() -> None:
    given = page.Given("UTKFace.tar", ("a.jpg",), "splits.csv", 1000, ("photos", "more"), "before/bin/python")
    planned = page.plan(given)
    assert sorted(page.blocks(PAGE.read_text("utf-8"))) == sorted(planned)
    commands = [c for c in planned.values() if not isinstance(c, str)]
    assert all((SCRIPTS / c[0]).is_file() for c in commands)
    assert planned["accuracy"] == ["accuracy.py", "UTKFace.tar", "--splits", "splits.csv"]
    assert planned["runtime"] == ["runtime.py", "photos", "more", "--before", "before/bin/python"]
    shown = PAGE.read_text("utf-8")
    for name in (
        "accuracy",
        "runtime",
        "speed",
        "peers",
        "search",
        "input_pipeline",
        "memory",
        "frozen",
        "plugins",
        "profiles",
        "accelerator",
    ):
        assert f"python benchmarks/{name}.py" in shown


def test_what_there_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    planned = page.plan(page.Given())
    assert planned["accuracy"] == planned["input"] == "no data set was given"
    assert planned["peers"] == "deepface and tf_keras not installed" and planned["search"] == "lancedb not installed"
    assert planned["runtime"] == "no folders of mixed photos were given"
    assert planned["speed"] == ["speed.py"] and planned["plugins"] == ["plugins.py"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert page.plan(page.Given())["peers"] == "no photos were given"


def test_what_a_script_prints_becomes_tables() -> None:
    printed = "2 cores\nkeras 3\nwhat | value | more\na `b` | 1 ms | 2\nc | 3\n\nanother | MB\nx | 7\n"
    assert page.as_markdown(printed) == (
        "2 cores, keras 3:\n\n| what | value | more |\n| --- | --- | --- |\n| a `b` | 1 ms | 2 |\n| c | 3 | |\n\n"
        "| another | MB |\n| --- | --- |\n| x | 7 |"
    )
    assert page.as_markdown("one\ntwo") == "one, two."


def test_a_row_that_was_not_measured_stays_a_row() -> None:
    printed = "2 cores\nimgaug cannot be imported (no cv2)\nway | images/s\nours | 9\n\nchanged | images/s | times\n"
    made = page.as_markdown(f"{printed}imgaug | not measured: imgaug cannot be imported (no cv2)\nours | 8 | ")
    assert made.startswith("2 cores, imgaug cannot be imported (no cv2):\n\n| way | images/s |\n")
    assert made.endswith("| imgaug | not measured: imgaug cannot be imported (no cv2) | |\n| ours | 8 | |")


def test_where_imgaug_cannot_be_imported_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))  # not what is tested, and slow to start
    pipeline = load("input_pipeline")
    monkeypatch.setitem(sys.modules, "imgaug", None)
    change, said = pipeline.imgaug_changes()
    assert change is None and said.startswith("imgaug cannot be imported (") and "|" not in said


def test_ways_are_measured_in_turn_and_an_epoch_is_left_where_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    pipeline = load("input_pipeline")
    clock, closed = [0.0], []
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: clock[0])

    def way(seconds: float) -> Iterator[int]:
        try:
            for _ in range(4):
                clock[0] += seconds
                yield 10
        finally:
            closed.append(seconds)

    speeds = pipeline.measure({"slow": lambda: way(1.0), "fast": lambda: way(0.25)}, rounds=2, seconds=3.0)
    assert speeds == {"slow": [10.0, 10.0], "fast": [40.0, 40.0]}
    assert closed == [1.0, 0.25, *[1.0, 0.25, 0.25, 0.25] * 2]


def test_changes_that_are_one_layer_are_measured_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    pipeline = load("input_pipeline")
    parts = pipeline.parts(pipeline.AUGMENT)
    assert {key: value for some in parts.values() for key, value in some.items()} == pipeline.AUGMENT
    assert parts["place and size"] == {"rotation": 10.0, "shift": 0.06, "shear": 0.1, "zoom": 0.12}
    assert sorted(parts["jpeg"]) == ["jpeg", "jpeg_high", "jpeg_low"] and list(parts["coarse dropout"])


def test_the_memory_of_a_process_is_counted_with_what_it_started(tmp_path: Path) -> None:
    memory = load("memory")
    inner = "import time; x = bytearray(10**8); time.sleep(2)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    took, looks = memory.watched([sys.executable, "-c", code], tmp_path / "said.txt")
    assert took > 2 and max(looks) > 10**8 and memory.held(2**30) == 0
    with pytest.raises(SystemExit, match="no such thing"):
        memory.watched([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "said.txt")


def test_the_crops_that_memory_is_measured_on_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from facefeat.batch.inputs import list_items, look
    from facefeat.batch.reader import PictureReader

    memory = load("memory")
    monkeypatch.setattr(memory, "DIFFERENT", 3)
    made = memory.crops()
    for name in ("crops.tar", "crops.parquet"):
        memory.write(tmp_path / name, made, 520)
        items, opener = list(list_items(look([str(tmp_path / name)]))), PictureReader()
        assert len(items) == 520 and {opener.open(i).pixels.shape for i in items[510:]} == {(96, 96, 3)}


def test_the_roofline_says_what_bounds_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    verdict = load("accelerator").verdict
    chip = "NVIDIA H100 80GB HBM3"  # 989.4 TFLOP/s of bfloat16, 3.35 TB/s
    assert verdict(chip, 1, 989.4e12, 1e9, 1.25) == ("80.0% of 989 TFLOP/s", "arithmetic")
    assert verdict(chip, 1, 1e12, 3.35e12, 1.5)[1] == "memory"
    told, bound = verdict(chip, 0, 494.7e12, 1e9, 10.0)
    assert told == "10.0% of 495 TFLOP/s" and bound.startswith("launches and small layers: 10.0 times what arithmetic")
    assert verdict("cpu", 0, 8e9, 1e9, 1.0) == ("unknown peak", "8 operations a byte")


def test_where_a_part_is_narrow_the_simulation_agrees_with_the_formula() -> None:
    """The rates behind docs/scale.md, few machines and many."""
    pytest.importorskip("simpy", reason="the simulation needs simpy; the session bench installs it")
    scale = load("scale")
    times = scale.Times(decode=0.03, detect=0.05, classify=0.002, row=1e-6)
    for machines, narrow in ((10, "machines"), (200, "store")):
        world = scale.World(requests=1000, latency=0.05, fetchers=16, lost=0.1, restart=120)
        alone = scale.rates(times, world, machines)
        assert min(alone, key=lambda k: alone[k]) == narrow
        rate, busy = scale.simulate(times, world, machines, chunks=max(400, 8 * machines))
        assert rate == pytest.approx(alone[narrow], rel=0.1) and busy[narrow] > 0.9


def test_a_block_is_replaced_and_nothing_else() -> None:
    text = PAGE.read_text("utf-8")
    for name in page.blocks(text):
        marked = page.put(text, name, "| a | b |\n| --- | --- |\n| \\1 | 2 |")
        assert "| \\1 | 2 |" in marked, "what is put in is no pattern"
        before, after = (re.sub(rf"(<!-- bench:{name} -->).*?(<!-- /bench -->)", r"\1\2", t, flags=re.S)
                         for t in (text, marked))  # fmt: skip
        assert before == after
    with pytest.raises(ValueError, match="0 blocks 'nope'"):
        page.put(text, "nope", "")


def test_the_command_writes_the_page_and_tells_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "benchmarks.md"
    copy.write_text(PAGE.read_text("utf-8"), "utf-8")
    for name, code in (
        ("plugins", "print('1 core\\nwhat | seconds\\nadded | 0.5')"),
        ("frozen", "raise SystemExit(3)"),
    ):
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    monkeypatch.setattr(page, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["page.py", "--only", "frozen,accuracy,plugins", "--page", str(copy)])
    assert page.main() == 1
    said = capsys.readouterr().out
    assert "accuracy: left as it is, no data set was given" in said and "frozen: failed with 3" in said
    written = copy.read_text("utf-8")
    assert "1 core:\n\n| what | seconds |\n| --- | --- |\n| added | 0.5 |\n\n<!-- /bench -->" in written
    assert written == page.put(
        PAGE.read_text("utf-8"), "plugins", page.as_markdown("1 core\nwhat | seconds\nadded | 0.5")
    )
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_the_rows_of_accuracy_are_those_of_the_page() -> None:
    from facefeat.schema import get_schema

    metrics = dict.fromkeys(
        ["age_mae", "age_accuracy", "age_one_off_accuracy", "age_coverage", "gender_accuracy", "race_accuracy"], 0.5
    )
    report = SimpleNamespace(metrics=metrics, intervals={"age_mae": (4.9, 5.37)})
    rows = list(load("accuracy").figures(report, get_schema("utkface")))
    assert (
        rows[0] == "age: mean absolute error | 0.50 years | 4.90 to 5.37" and rows[4] == "gender accuracy | 0.5000 | "
    )
    written = PAGE.read_text("utf-8")
    assert all(f"| {row.partition(' | ')[0]} |" in written for row in rows)


def test_the_session_runs_it() -> None:
    text = (ROOT / "noxfile.py").read_text("utf-8")
    assert 'session.run("python", "benchmarks/page.py", *session.posargs' in text
    done = subprocess.run([sys.executable, SCRIPTS / "page.py", "--only", "nope"], capture_output=True, text=True)
    assert done.returncode == 2 and "no such block: nope. Valid: accuracy, runtime, speed" in done.stderr


def test_a_command_is_measured_as_a_whole_process() -> None:
    measured = load("measured")
    busy = "import time; x = bytearray(10**8)\nwhile time.process_time() < 0.3: pass"
    found = measured.in_turn(
        {"busy": [sys.executable, "-c", busy], "idle": [sys.executable, "-c", "import time; time.sleep(0.3)"]}, 1, False
    )
    assert found["busy"].processor >= 0.3 > found["idle"].processor and found["idle"].wall >= 0.3
    assert found["busy"].peak > 100 > found["idle"].peak
    with pytest.raises(SystemExit, match=r"ended with 3\nwhy"):
        measured.cost([sys.executable, "-c", "print('why'); raise SystemExit(3)"])


def test_photos_of_folders_are_mixed_and_rows_say_the_ratio(tmp_path: Path) -> None:
    runtime = load("runtime")
    for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg", "b/3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = runtime.mixed([tmp_path / "a", tmp_path / "b"])
    assert [Path(p).relative_to(tmp_path.resolve()).as_posix() for p in found] == [
        *("a/1.jpg", "b/1.jpg", "a/1.jpg", "b/2.jpg", "a/1.jpg", "b/3.jpg")
    ]
    assert runtime.row("x", {"now": 2.0, "before": 16.0}, "s") == "x | 2.00 s | 16 s | 0.125"
    assert runtime.row("x", {"now": 1234.5}, "MB") == "x | 1,234 MB |  | "
