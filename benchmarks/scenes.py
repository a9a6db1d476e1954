"""Pictures with known faces for benchmarks/detectors.py. The same on each run; nothing here asks a detector.

FairFace's wild pictures were cut so that the labelled face always lies at the same place: WILD_BOX. Of 563 pictures,
MTCNN's boxes have their 5th to 95th percentile at 183 to 265 and 199 to 220 pixels (centre), 134 to 186 and 175 to 259
(size). So the place is known without asking any detector, and stays known after scaling, cutting, turning and pasting.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WILD_BOX = (145.0, 108.0, 299.0, 312.0)  # left, top, right, bottom in a wild picture of 448 pixels
LFW_BOX = (32.0, 24.0, 128.0, 148.0)  # in a crop of 160 pixels


@dataclass(frozen=True)
class Scene:
    """A picture and the boxes (n, 4) of the faces that must be found.

    complete: there are no other faces in it. smallest: a face's least size in a box, as a part of the box's.
    """

    image: np.ndarray
    boxes: np.ndarray
    complete: bool = False
    name: str = ""
    smallest: float = 0.5


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, "float64").reshape(-1, 4)


def rgb(path: Any) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def wild(data: Path, step: int = 1, first: int = 0) -> Iterator[tuple[str, Image.Image]]:
    with (data / "fairface" / "wild" / "labels.csv").open() as f:
        names = [row["file"] for row in csv.DictReader(f)]
    for name in names[first::step]:
        yield name, rgb(data / "fairface" / "wild" / name)


def plain(data: Path) -> Iterator[Scene]:
    for name, picture in wild(data):
        yield Scene(np.asarray(picture), boxes(WILD_BOX), name=name)


def portraits(data: Path) -> Iterator[Scene]:
    for path in sorted((data / "portraits").glob("*.jpg")):
        image = np.asarray(rgb(path))
        height, width = image.shape[:2]
        yield Scene(image, boxes((0, 0, width, height)), True, path.name, 0.12)


def dark(data: Path) -> Iterator[Scene]:
    """An eighth of the light, and a sensor's noise."""
    dice = np.random.default_rng(1)
    for name, picture in wild(data, 3):
        light = np.asarray(picture, "float32") * 0.08
        light += dice.normal(0, 2.5, light.shape)
        yield Scene(np.clip(light, 0, 255).astype("uint8"), boxes(WILD_BOX), name=name)


def blurred(data: Path) -> Iterator[Scene]:
    """A Gaussian of 9 pixels, an eighth of the eye distance of 68."""
    for name, picture in wild(data, 3, 1):
        yield Scene(np.asarray(picture.filter(ImageFilter.GaussianBlur(9))), boxes(WILD_BOX), name=name)


def masked(data: Path) -> Iterator[Scene]:
    """A surgical mask over nose, mouth and chin."""
    for name, picture in wild(data, 3, 2):
        picture = picture.copy()
        draw = ImageDraw.Draw(picture)
        shape = [(152, 214), (223, 204), (294, 214), (288, 270), (258, 306), (223, 318), (188, 306), (158, 270)]
        draw.polygon(shape, fill=(168, 200, 216))
        for y in (235, 255, 275):
            draw.line([(160, y), (286, y)], fill=(150, 184, 202), width=2)
        yield Scene(np.asarray(picture), boxes(WILD_BOX), name=name)


def sunglasses(data: Path) -> Iterator[Scene]:
    for name, picture in wild(data, 3):
        picture = picture.copy()
        draw = ImageDraw.Draw(picture)
        for x in (189, 257):
            draw.ellipse((x - 30, 168, x + 30, 210), fill=(12, 12, 14))
        draw.line([(145, 184), (300, 184)], fill=(12, 12, 14), width=6)
        yield Scene(np.asarray(picture), boxes(WILD_BOX), name=name)


def turned(angle: int) -> Callable[[Path], Iterator[Scene]]:
    def build(data: Path) -> Iterator[Scene]:
        left, top, right, bottom = WILD_BOX
        for name, picture in wild(data, 5, angle // 90):
            x, y = 448 - np.array([left, right]), 448 - np.array([top, bottom])
            where = {
                90: (top, x[1], bottom, x[0]),  # counter-clockwise, as Pillow turns
                180: (x[1], y[1], x[0], y[0]),
                270: (y[1], left, y[0], right),
            }[angle]
            yield Scene(np.rot90(np.asarray(picture), angle // 90).copy(), boxes(where), name=name)

    return build


def tilted(data: Path) -> Iterator[Scene]:
    """By 35 or 50 degrees to either side, about the face's centre."""
    left, top, right, bottom = WILD_BOX
    centre = ((left + right) / 2, (top + bottom) / 2)
    for k, (name, picture) in enumerate(wild(data, 4)):
        angle = (35, -35, 50, -50)[k % 4]
        yield Scene(
            np.asarray(picture.rotate(angle, Image.Resampling.BICUBIC, center=centre)), boxes(WILD_BOX), name=name
        )


def cut(percent: int) -> Callable[[Path], Iterator[Scene]]:
    """The picture's edge takes so much of the face's width or height away; from the left, the right or the top."""

    def build(data: Path) -> Iterator[Scene]:
        left, top, right, bottom = WILD_BOX
        share = percent / 100
        for k, (name, picture) in enumerate(wild(data, 4, percent // 10 % 4)):
            area = [
                (round(left + share * (right - left)), 0, 448, 448),
                (0, 0, round(right - share * (right - left)), 448),
                (0, round(top + share * (bottom - top)), 448, 448),
                (0, 0, 448, round(bottom - share * (bottom - top))),
            ][k % 4]
            x, y = area[:2]
            seen = (max(left, x) - x, max(top, y) - y, min(right, area[2]) - x, min(bottom, area[3]) - y)
            yield Scene(np.asarray(picture.crop(area)), boxes(seen), name=name)

    return build


def backgrounds() -> list[Image.Image]:
    """Photographs without people that scikit-image and scikit-learn ship."""
    import skimage
    import sklearn.datasets

    data, images = Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"
    names = ["coffee.png", "rocket.jpg", "motorcycle_left.png", "gravel.png", "brick.png", "grass.png", "chelsea.png"]
    files = [images / "china.jpg", images / "flower.jpg", *(data / n for n in names)]
    return [rgb(f) for f in files if f.is_file()]


def crowd(size: int, width: int, height: int, count: int = 24, pictures: int = 12) -> Callable[[Path], Iterator[Scene]]:
    """Wild pictures, made small so that a face is `size` pixels (root of its area), in one of width x height."""

    def build(data: Path) -> Iterator[Scene]:
        dice = np.random.default_rng(size * 7 + width)
        ground = backgrounds()
        left, top, right, bottom = WILD_BOX
        scale = size / np.sqrt((right - left) * (bottom - top))
        area = np.array([left - 95, top - 75, right + 95, bottom + 85])  # the head with some of what is around it
        tile = np.ceil((area[2:] - area[:2]) * scale).astype(int)
        columns, rows = width // tile[0], height // tile[1]
        per = max(1, min(count, columns * rows))
        source = iter(list(wild(data, 1)) * 6)
        for _ in range(max(pictures, -(-48 // per))):
            picture = ground[int(dice.integers(len(ground)))].resize((width, height), Image.Resampling.BICUBIC)
            found = []
            for cell in dice.permutation(columns * rows)[:per]:
                x, y = (cell % columns) * (width // columns), (cell // columns) * (height // rows)
                _, face = next(source)
                face = face.crop(tuple(area.astype(int))).resize(tuple(tile), Image.Resampling.LANCZOS)
                picture.paste(face, (int(x), int(y)))
                corner = np.array([x, y]) - area[:2] * scale
                found.append((*(np.array([left, top]) * scale + corner), *(np.array([right, bottom]) * scale + corner)))
            yield Scene(np.asarray(picture), boxes(*found))

    return build


def lfw(size: int) -> Callable[[Path], Iterator[Scene]]:
    """Grey faces of LFW, pasted with soft edges into 640 x 480."""

    def build(data: Path) -> Iterator[Scene]:
        dice = np.random.default_rng(size)
        ground = backgrounds()
        left, top, right, bottom = LFW_BOX
        scale = size / np.sqrt((right - left) * (bottom - top))
        side = round(160 * scale)
        columns, rows = 640 // side, 480 // side
        per = max(1, min(12, columns * rows))
        soft = Image.new("L", (160, 160), 0)
        ImageDraw.Draw(soft).rounded_rectangle((8, 8, 152, 152), 24, fill=255)
        soft = soft.filter(ImageFilter.GaussianBlur(5)).resize((side, side))
        with tarfile.open(data / "lfw" / "lfw.tar") as archive:
            members = [m for m in archive.getmembers() if m.name.endswith(".jpg")]
            members = [members[i] for i in dice.permutation(len(members))]
            for _ in range(-(-60 // per)):
                picture = ground[int(dice.integers(len(ground)))].resize((640, 480), Image.Resampling.BICUBIC)
                found = []
                for cell in dice.permutation(columns * rows)[:per]:
                    x, y = int(cell % columns * (640 // columns)), int(cell // columns * (480 // rows))
                    file = archive.extractfile(members.pop())
                    assert file is not None
                    face = rgb(io.BytesIO(file.read())).resize((side, side), Image.Resampling.LANCZOS)
                    picture.paste(face, (x, y), soft)
                    found.append((left * scale + x, top * scale + y, right * scale + x, bottom * scale + y))
                yield Scene(np.asarray(picture), boxes(*found))

    return build


def nothing(data: Path) -> Iterator[Scene]:
    """Pictures without a face: photographs of things and animals, textures, text, drawings, heads without faces."""
    import skimage

    dice = np.random.default_rng(5)
    none = boxes()
    shipped = Path(skimage.__file__).parent / "data"
    others = [
        "camera.png",
        "cell.png",
        "clock_motion.png",
        "coins.png",
        "horse.png",
        "hubble_deep_field.jpg",
        "ihc.png",
    ]
    others += [
        "moon.png",
        "motorcycle_right.png",
        "page.png",
        "retina.jpg",
        "text.png",
        "microaneurysms.png",
        "logo.png",
    ]
    whole = backgrounds() + [rgb(shipped / n) for n in others if n != "camera.png" and (shipped / n).is_file()]
    for picture in whole:
        picture.thumbnail((1000, 1000))
        yield Scene(np.asarray(picture), none, True, "whole")
        for k in range(12):
            side = int(min(picture.size) * dice.uniform(0.2, 0.7))
            x, y = (int(dice.integers(0, n - side + 1)) for n in picture.size)
            part = picture.crop((x, y, x + side, y + side)).resize((448, 448), Image.Resampling.BICUBIC)
            if k % 3 == 2:
                part = part.rotate(90 * int(dice.integers(4)))
            yield Scene(np.asarray(part), none, True, "part")
    for path in sorted((data / "fairface" / "samples_face_removed").glob("*.jpg")):
        yield Scene(np.asarray(rgb(path)), none, True, "face removed")
    for k in range(60):
        # Clouds of several sizes: what small networks most easily take for a face.
        cloud = np.zeros((448, 448, 3))
        for octave in (4, 8, 16, 32, 64):
            layer = dice.normal(0, 1 / octave**0.6, (octave, octave, 3 if k % 2 else 1))
            layer = np.broadcast_to(layer, (octave, octave, 3))
            for c in range(3):
                channel = Image.fromarray(layer[..., c].astype("float32")).resize((448, 448), Image.Resampling.BICUBIC)
                cloud[..., c] += np.asarray(channel)
        cloud = (cloud - cloud.min()) / np.ptp(cloud) * 255
        yield Scene(cloud.astype("uint8"), none, True, "clouds")
    for _ in range(20):
        drawing = Image.new("RGB", (448, 448), tuple(int(v) for v in dice.integers(0, 256, 3)))
        draw = ImageDraw.Draw(drawing)
        for _ in range(40):
            x, y, r = dice.integers(0, 448), dice.integers(0, 448), dice.integers(8, 90)
            colour = tuple(int(v) for v in dice.integers(0, 256, 3))
            draw.ellipse((int(x - r), int(y - r), int(x + r), int(y + r)), fill=colour)
        yield Scene(np.asarray(drawing.filter(ImageFilter.GaussianBlur(2))), none, True, "circles")


SETS: dict[str, Callable[[Path], Iterator[Scene]]] = {
    "wild": plain,
    "portraits": portraits,
    "dark": dark,
    "blurred": blurred,
    "masked": masked,
    "sunglasses": sunglasses,
    "tilted 35-50": tilted,
    "turned 90": turned(90),
    "turned 180": turned(180),
    "turned 270": turned(270),
    "cut 10 %": cut(10),
    "cut 20 %": cut(20),
    "cut 30 %": cut(30),
    "cut 40 %": cut(40),
    **{f"crowd {s} px in 640": crowd(s, 640, 480) for s in (16, 24, 32, 48, 64, 96)},
    **{f"crowd {s} px in 1280": crowd(s, 1280, 960, 40, 4) for s in (24, 32, 48, 64, 96, 200)},
    **{f"lfw {s} px": lfw(s) for s in (24, 32, 48, 96, 200)},
    "nothing": nothing,
}


def found(faces: list[tuple[float, ...]], wanted: np.ndarray, smallest: float = 0.5) -> tuple[int, int]:
    """How many of the wanted boxes (n, 4) some face is near to, and how many faces are near to none.

    Near: centres at most 0.4 of the wanted box's size (root of its area) apart and sizes within a factor of 2, since
    detectors differ in how much of a head they call a face. Each face counts once.
    """
    left = [np.asarray(f[:4], "float64") for f in faces]
    hits = 0
    for box in wanted:
        size = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
        for i, face in enumerate(left):
            side = np.sqrt(max(1e-9, (face[2] - face[0]) * (face[3] - face[1])))
            apart = np.hypot(*((face[:2] + face[2:]) / 2 - (box[:2] + box[2:]) / 2))
            if apart <= 0.4 * size and smallest <= side / size <= 2:
                hits += 1
                del left[i]
                break
    return hits, len(left)
