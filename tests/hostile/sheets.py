"""Tables of strangers for `audit`, `census`, `data merge`, `data doctor` and `data explore`: the second half."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile.case import Case, rng
from hostile.pictures import encoded

SOUND = "file,age,gender,race,age_predicted,gender_predicted,race_predicted\n" + "".join(
    f"{i}.png,{i + 1},{('Male', 'Female')[i % 2]},White,{i + 2},{('Male', 'Female')[i % 3 == 0]},White\n"
    for i in range(40)
)
MARKUP = "<script>alert(1)</script>"


def cases() -> list[Case]:
    """See the module."""
    out: list[Case] = []

    def add(name: str, content: bytes | str | Callable[[Path], object], *command: str, **options: Any) -> None:
        def make(folder: Path) -> None:
            if callable(content):
                content(folder)
            else:
                data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
                (folder / "t.csv").write_bytes(data)

        words = command or ("audit", "t.csv", "--bootstrap", "0")
        out.append(Case("tables", f"sheet-{name}", make, words, **{"exit": (0, 1, 2), **options}))

    lines = SOUND.splitlines(keepends=True)
    texts: dict[str, bytes | str] = {
        "sound": SOUND,
        "empty": "",
        "zip": b"PK\x03\x04" + bytes(3000),
        "nul": SOUND.encode()[:200] + b"\0" + SOUND.encode()[200:],
        "nul-late": SOUND.encode() * 60 + b"\0\n",
        "utf16": SOUND.encode("utf-16"),
        "utf16-cut": SOUND.encode("utf-16")[:-1],
        "utf32": SOUND.encode("utf-32"),
        "header-long": "gender,gender_predicted," + "x" * 3_000_000 + "\nMale,Male,1\n",
        "cell-long": SOUND + "x" * 3_000_000 + "\n",
        "columns-20000": ",".join(["gender", "gender_predicted", *(f"c{i}" for i in range(20_000))])
        + "\n"
        + "Male,Male"
        + ",1" * 20_000
        + "\n",
        "columns-200000": ",".join(f"c{i}" for i in range(200_000)) + "\n" + ",1" * 199_999 + "\n",
        "commas": "gender,gender_predicted" + "," * 1_000_000 + "\nMale,Male\n",
        "quote-open": lines[0] + '"' + "".join(lines[1:]) * 2000,
        "quote-open-header": '"' + SOUND,
        "quotes": lines[0] + '"' * 2_000_001,
        "ragged": lines[0] + "".join("a" + ",1" * (i % 12) + "\n" for i in range(3000)),
        "names-alike": lines[0].replace("gender,", "age,") + "".join(lines[1:]),
        "names-none": "," * 6 + "\n" + "".join(lines[1:]),
        "names-numbers": "1,2,3,4,5,6,7\n" + "".join(lines[1:]),
        "header-only": lines[0],
        "one-row": lines[0] + lines[1],
        "ages-1e308": SOUND.replace(",3,", ",1e308,").replace(",5,", ",-1e308,"),
        "ages-huge": SOUND.replace(",3,", f",{'9' * 4000},"),
        "ages-negative": SOUND.replace(",3,", ",-3,").replace(",4,", ",-400,"),
        "ages-nan": SOUND.replace(",3,", ",nan,").replace(",5,", ",inf,").replace(",6,", ",-Infinity,"),
        "ages-text": SOUND.replace(",3,", ",three,"),
        "ages-all-none": "age,age_predicted\n" + ",\n" * 40 + "nan,nan\n" * 40,
        "ages-1e308-all": "age,age_predicted\n" + "1e308,-1e308\n-1e308,1e308\n" * 40,
        "ages-equal": "age,age_predicted\n" + "30,30\n" * 40,
        "probability-odd": "gender,gender_predicted,gender_probability\n"
        + "".join(f"Male,Female,{p}\n" for p in ("-1", "2", "nan", "inf", "1e308", "x", "", "0.5") * 5),
        "probabilities-odd": "gender,gender_Male,gender_Female\n"
        + "".join(f"Male,{p},{q}\n" for p, q in ((-1, 2), ("nan", "nan"), ("inf", 0), (0, 0), (1e308, 1e308)) * 8),
        "classes-20000": "gender,gender_predicted\n" + "".join(f"a{i},a{i + 1}\n" for i in range(20_000)),
        "groups-many": "gender,gender_predicted,country\n" + "".join(f"Male,Male,c{i}\n" for i in range(20_000)),
        "groups-wide": ",".join(["gender", "gender_predicted", *(f"g{i}" for i in range(300))])
        + "\n"
        + (
            "Male,Male,"
            + ",".join("ab"[i % 2] for i in range(300))
            + "\nFemale,Male,"
            + ",".join("ba"[i % 2] for i in range(300))
            + "\n"
        )
        * 20,
        "escapes": SOUND.replace("White", "\x1b[2J\x9b31m\u202e"),
        "escapes-header": lines[0].replace("race", "\x1b]0;x\x07race") + "".join(lines[1:]),
        "formula": SOUND.replace("White", "=cmd|' /C calc'!A0"),
        "latin": SOUND.replace("White", "Weiß").encode("latin-1"),
        "surrogate": SOUND.encode().replace(b"White", b"\xed\xb0\x80"),
        "separator-odd": "sep=\x00\n" + SOUND,
        "separator-quote": 'sep="\n' + SOUND,
        "separator-letter": "sep=a\n" + SOUND,
        "separator-alone": "sep=;\n",
        "returns": SOUND.replace("\n", "\r"),
        "lines-odd": SOUND.replace("\n", "\u2028"),
        "rows-300000": lines[0] + lines[1] * 300_000,
    }
    for name, text in texts.items():
        add(name, text, seconds=120.0)
    for name in (
        "sound",
        "nul",
        "header-long",
        "names-alike",
        "columns-20000",
        "ages-1e308",
        "quote-open",
        "empty",
        "utf16",
        "probabilities-odd",
        "escapes",
    ):
        add(f"census-{name}", texts[name], "census", "t.csv", "--bootstrap", "10")
        add(f"confusion-{name}", texts[name], "census", "t.csv", "--confusion", "t.csv", "--bootstrap", "10")
        add(f"reference-{name}", texts[name], "census", "t.csv", "--reference", "t.csv", "--bootstrap", "10")
        add(f"compare-{name}", texts[name], "audit", "t.csv", "t.csv", "--compare", "--bootstrap", "10")
        add(
            f"map-{name}",
            lambda f, t=texts[name]: (
                (f / "t.csv").write_text(SOUND),
                (f / "m.csv").write_bytes(t.encode() if isinstance(t, str) else t),
            ),
            "audit",
            "t.csv",
            "--map",
            "m.csv",
            "--bootstrap",
            "0",
        )
    for number, text in enumerate(
        (
            "a = " + "[" * 5000,
            "a = nan",
            "[gender]\ntruth = 1",
            "[gender]\ntruth = ['a', {b = 1}]",
            "gender.class.x = inf",
            "x = 1979-05-27",
            "[[gender]]",
            '"\\u001b[2J" = "\\u001b[2J"',
            "gender = " + "9" * 5000,
            "a" + ".a" * 5000 + "=1",
            'group = "race"\ngroup = "age"',
            "group = []",
            "group = [[]]",
        )
    ):
        add(
            f"map-toml-{number}",
            lambda f, t=text: ((f / "t.csv").write_text(SOUND), (f / "m.toml").write_text(t)),
            "audit",
            "t.csv",
            "--map",
            "m.toml",
            "--bootstrap",
            "0",
        )
    for number, word in enumerate(
        (
            "",
            "=",
            "a",
            "gender.truth=",
            "=x",
            "group=\x1b[2J",
            "gender.truth=nothing",
            "a.b.c.d.e=1",
            "gender.class.Male=Female",
            "x" * 100_000 + "=1",
            "/dev/zero",
            "/etc/passwd",
            "ignore=age",
            "group=age_predicted",
            "gender.prediction=gender",
        )
    ):
        add(f"map-word-{number}", SOUND, "audit", "t.csv", "--map", word, "--bootstrap", "0")
    for number, rule in enumerate(
        (
            "",
            ">=",
            "gender.accuracy",
            "gender.accuracy >= nan",
            "gender.accuracy >= inf",
            "gender.accuracy >= 1e400",
            "__import__('os') > 1",
            "\x1b[2J >= 1",
            "a" * 100_000 + " > 1",
            "gender.worst_group.accuracy >= 0.1 >= 0.2",
            "age.mae < -1",
            ".. < 1",
        )
    ):
        add(f"rule-{number}", SOUND, "audit", "t.csv", "--fail-under", rule, "--bootstrap", "0")
    for name in ("nan", "1e-300", "0.9999999999999999", "0.5"):
        add(f"guarantee-{name}", texts["probability-odd"], "audit", "t.csv", "--guarantee", name, "--bootstrap", "0")

    def pages(folder: Path) -> None:
        from facefeat.cli import run

        table = (
            SOUND.replace("White", MARKUP)
            .replace("Male,W", "Male,W")
            .replace("race", f"race{MARKUP.replace('(1)', '')}")
        )
        (folder / "t.csv").write_text(table)
        run(["audit", "t.csv", "--report", "r", "--bootstrap", "10"])
        run(["census", "t.csv", "--report", "c", "--bootstrap", "10"])
        for page in folder.rglob("*.html"):
            assert "<script>alert" not in page.read_text("utf-8"), f"markup of a table is live in {page.name}"

    out.append(Case("tables", "sheet-markup", lambda f: None, pages, exit=(0,)))

    def parquet(name: str, columns: Callable[[], dict[str, Any]], **options: Any) -> None:
        def make(folder: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table(columns()), folder / "t.parquet", compression="zstd")
            pa.default_memory_pool().release_unused()

        for words in (("audit", "t.parquet", "--bootstrap", "0"), ("census", "t.parquet", "--bootstrap", "10")):
            out.append(Case("tables", f"parquet-{name}-{words[0]}", make, words, **{"exit": (0, 1, 2), **options}))

    def columns(gender: Any = None, **more: Any) -> Callable[[], dict[str, Any]]:
        return lambda: {
            "gender": gender() if gender else ["Male", "Female"] * 20,
            "gender_predicted": ["Male"] * 40,
            **{n: v() for n, v in more.items()},
        }

    import datetime
    import decimal

    parquet("nested", columns(age=lambda: [[1, 2]] * 40, race=lambda: [{"a": 1}] * 40))
    parquet(
        "decimal",
        columns(age=lambda: [decimal.Decimal("1.5")] * 40, age_predicted=lambda: [decimal.Decimal("1e30")] * 40),
    )
    parquet(
        "dates",
        columns(age=lambda: [datetime.date(1900, 1, 1)] * 40, age_predicted=lambda: [datetime.timedelta(9)] * 40),
    )
    parquet(
        "times", columns(age=lambda: [datetime.datetime(1, 1, 1)] * 40, age_predicted=lambda: [datetime.time(1)] * 40)
    )
    parquet("nulls", columns(age=lambda: [None] * 40, age_predicted=lambda: [None] * 40))
    parquet("bools", columns(gender=lambda: [True, False] * 20))
    parquet(
        "numbers", columns(age=lambda: [float("nan"), 1e308] * 20, age_predicted=lambda: [float("inf"), -1e308] * 20)
    )
    parquet("integers", columns(age=lambda: [2**63 - 1, -(2**63)] * 20, age_predicted=lambda: [1, 2] * 20))
    parquet("texts-large", lambda: {"gender": ["x" * 30_000_000] * 30, "gender_predicted": ["y"] * 30}, seconds=90.0)
    parquet("names-escape", columns(**{"\x1b[2J": lambda: ["\x9b31m"] * 40}))
    parquet("names-none", lambda: {"": [1] * 40})

    def dictionary() -> Any:
        import pyarrow as pa

        return pa.array(["Male", "Female"] * 20).dictionary_encode()

    parquet("dictionary", columns(gender=dictionary))

    def alike(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_arrays([pa.array(["a", "b"])] * 3, names=["gender", "gender", "gender_predicted"])
        pq.write_table(table, folder / "t.parquet")

    raw: dict[str, Callable[[Path], object]] = {
        "alike": alike,
        "pipe": lambda f: os.mkfifo(f / "t.parquet"),
        "device": lambda f: (f / "t.parquet").symlink_to("/dev/zero"),
        "folder": lambda f: (f / "t.parquet").mkdir(),
        "text": lambda f: (f / "t.parquet").write_text(SOUND),
        "short": lambda f: (f / "t.parquet").write_bytes(b"PAR1PAR1"),
        "footer": lambda f: (f / "t.parquet").write_bytes(b"PAR1" + bytes(50) + b"\xff\xff\xff\x7fPAR1"),
        "footer-random": lambda f: (f / "t.parquet").write_bytes(
            b"PAR1" + rng(0, "footer").randbytes(500) + b"\xf0\1\0\0PAR1"
        ),
    }
    for name, make in raw.items():
        add(f"parquet-{name}", make, "audit", "t.parquet", "--bootstrap", "0", seconds=30.0)
    for words in (
        ("audit", "t.csv"),
        ("census", "t.csv"),
        ("audit", "g.csv", "--map", "t.csv"),
        ("data", "merge", "t.csv", "t.csv", "-o", "o"),
        ("census", "g.csv", "--reference", "t.csv"),
        ("census", "g.csv", "--confusion", "t.csv"),
    ):
        number = "-".join(words[:1] + words[2:3])
        add(f"pipe-{number}", lambda f: (os.mkfifo(f / "t.csv"), (f / "g.csv").write_text(SOUND)), *words, seconds=30.0)
        add(
            f"zero-{number}",
            lambda f: ((f / "t.csv").symlink_to("/dev/zero"), (f / "g.csv").write_text(SOUND)),
            *words,
            seconds=30.0,
        )

    # ---- data sets that say that they were imported

    def imported(text: str, **files: str) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            (folder / "d").mkdir()
            (folder / "d" / "faces.csv").write_text(text, "utf-8", errors="surrogateescape")
            for i in range(4):
                (folder / "d" / f"{i}.png").write_bytes(encoded("png", "RGB", 24))
            for name, content in files.items():
                (folder / "d" / f"{name}.json").write_text(content)
                (folder / "d" / f"{name}.toml").write_text(content)

        return make

    good = "file,split,age,gender,race\n" + "".join(f"{i}.png,train,{i + 20},Male,White\n" for i in range(4))
    for name, text in {
        "sound": good,
        "none": "file,split\n",
        "escapes": good.replace("train", "\x1b[2J"),
        "outside": good.replace("0.png", "../../../../../etc/passwd"),
        "device": good.replace("0.png", "/dev/zero"),
        "archive": good.replace("0.png", "/etc/passwd!a.png").replace("1.png", "x.tar#y.png"),
        "bad-labels": good.replace("Male", "Nobody"),
        "ages": good.replace("20", "1e308").replace("21", "-5"),
        "quote": good + '"',
        "long": good + "x" * 2_000_000,
    }.items():
        for words in (
            ("data", "merge", "d", "d", "-o", "o"),
            ("data", "doctor", "d", "-o", "o"),
            ("data", "explore", "d", "-o", "o"),
            ("evaluate", "--data", "d", "--split", "train", "--bootstrap", "0"),
        ):
            add(f"data-{name}-{words[1].strip('-')}", imported(text), *words, seconds=90.0)
    for number, text in enumerate(
        (
            "[" * 100_000,
            "null",
            "[]",
            "9" * 5000,
            '{"rows": 5}',
            '{"decisions": {"0.png": NaN}}',
            '[{"file": "../../x", "decision": "drop"}]',
            '{"a": "\\u001b[2J"}',
        )
    ):
        add(
            f"apply-{number}",
            lambda f, t=text: (imported(good)(f), (f / "a.json").write_text(t)),
            "data",
            "doctor",
            "d",
            "-o",
            "o",
            "--apply",
            "a.json",
        )
        add(
            f"apply-csv-{number}",
            lambda f, t=text: (imported(good)(f), (f / "a.csv").write_text("file,attribute,value\n" + t)),
            "data",
            "doctor",
            "d",
            "-o",
            "o",
            "--apply",
            "a.csv",
        )
        add(
            f"about-{number}",
            imported(good, about=text, dataset=text, schema=text, import_=text),
            "data",
            "explore",
            "d",
            "-o",
            "o",
        )
    add("json", SOUND, "audit", "t.csv", "--json", "--bootstrap", "0", exit=(0,), never=("NaN", "Infinity"))
    add("json-nan", texts["ages-nan"], "audit", "t.csv", "--json", "--bootstrap", "0", never=("NaN", "Infinity"))
    add("json-huge", texts["ages-1e308-all"], "audit", "t.csv", "--json", "--bootstrap", "5", never=("NaN", "Infinity"))
    add("json-none", json.dumps({"a": 1}), "audit", "t.csv", "--json")
    return out
