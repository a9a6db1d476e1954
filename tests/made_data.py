"""Made pictures, archives and tables for the tests of the data room."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

UTK = [
    f"{age}_{i % 2}_{i % 5}_2017011622{i:07d}.jpg.chip.jpg" for i, age in enumerate((1, 5, 12, 25, 33, 47, 58, 66, 90))
]
BROKEN = ["39_1_20170116174525125.jpg.chip.jpg", "portrait.jpg", "20_3_0_2017.jpg.chip.jpg", "20_0_7_2017.jpg.chip.jpg"]


def jpeg(colour: int = 0, size: int = 12) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (colour % 256, 90, 30)).save(out, "JPEG")
    return out.getvalue()


def fill(folder: Path, files: Mapping[str, bytes] | Sequence[str]) -> Path:
    for i, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name] if isinstance(files, Mapping) else jpeg(i))
    folder.mkdir(exist_ok=True)
    return folder


def tar(path: Path, files: Sequence[str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for i, name in enumerate(files):
            info = tarfile.TarInfo(name)
            data = jpeg(i)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def table(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
