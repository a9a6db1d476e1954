"""What was predicted from a photo, as the HTML of a page: the photo with numbered boxes, and a card for each face."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from facefeat_demo.host import MAX_CARDS, NO_FACE, PhotoResult
from facefeat_demo.photos import data_uri

if TYPE_CHECKING:
    from facefeat import AttributePrediction, FaceResult
    from facefeat.types import UInt8Array

UNSURE = 0.6
"""Below this probability a card says that it is unsure, and names the runner-up."""
_WIDE = 0.3  # of the scale
_SMALL = 40  # pixels
_DOUBTFUL = 0.9

WELCOME = """
<div class="ff-empty">
  <p class="ff-empty-title">Choose a photo, or try an example</p>
  <p>Every face gets a number in the photo and a card with what the model predicts from it: an age, a gender and a race,
  how sure it is, and where it looked.</p>
</div>
"""


def page(result: PhotoResult) -> str:
    """The HTML for one photo."""
    if result.error is not None or result.pixels is None:
        return notice("That did not work", result.error or "")
    count = len(result.faces)
    if not count:
        says = f"A face is found best when it is seen from the front, in good light, and not very small. {NO_FACE}"
        return _photo(result) + notice("No face was found in this photo", says)
    cards = "".join(
        card(i, face, look, alone=count == 1)
        for i, (face, look) in enumerate(zip(result.faces, result.looks, strict=False), 1)
    )
    more = "" if not result.turned else f'<p class="ff-quiet">{turned(result.turned)}</p>'
    if count > MAX_CARDS:
        more += f'<p class="ff-quiet">The cards show the {MAX_CARDS} largest faces of {count}.</p>'
    found = f"{count} face{'s' * (count > 1)} found"
    return (
        f'<div role="status"><h2 class="ff-count">{found}</h2></div>{_photo(result)}{more}'
        f'<div class="ff-cards">{cards}</div>'
        f'<p class="ff-quiet">Predicted in {result.seconds:.1f} s on {escape(result.device)}. '
        "These are guesses of how a face looks to others, not facts about a person.</p>"
    )


def turned(degrees: int) -> str:
    """A sentence on a photo that was turned, counter-clockwise."""
    way = {90: "a quarter to the left", 180: "upside down", 270: "a quarter to the right"}[degrees]
    return f"No face was found in the photo as it lies, so it was turned {way}."


def notice(title: str, text: str) -> str:
    """A sentence in place of a result."""
    heading = f'<p class="ff-notice-title">{escape(title)}</p>'
    return f'<div class="ff-notice" role="status">{heading}<p>{escape(text)}</p></div>'


def _photo(result: PhotoResult) -> str:
    assert result.pixels is not None
    width, height = result.size
    boxes = "".join(_box(i, face, width, height) for i, face in enumerate(result.faces, 1))
    shown_height, shown_width = result.pixels.shape[:2]
    return (
        f'<div class="ff-photo" style="--ratio:{shown_width / shown_height:.4f}">'
        f'<img src="{data_uri(result.pixels)}" width="{shown_width}" height="{shown_height}" '
        f'alt="Your photo, with a numbered box around each face">{boxes}</div>'
    )


def _box(number: int, face: FaceResult, width: int, height: int) -> str:
    left, top, right, bottom = face.box
    left, top = max(0.0, left), max(0.0, top)
    wide, high = min(right, width) - left, min(bottom, height) - top
    place = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * wide / width:.2f}%;height:{100 * high / height:.2f}%"
    )
    small = " ff-box-small" if wide / width < 0.05 else ""
    return f'<div class="ff-box{small}" style="{place}"><span>{number}</span></div>'


def card(number: int, face: FaceResult, look: Mapping[str, UInt8Array], alone: bool = False) -> str:
    """One face: its crop, an age, every other attribute as bars, doubts, and where the model looked."""
    crop = face.face.crop
    picture = "" if crop is None else f'<img class="ff-crop" src="{data_uri(crop, quality=92)}" alt="Face {number}">'
    numbers = "".join(value(name, p) for name, p in face.attributes.items())
    others = "".join(bars(name, p) for name, p in face.attributes.items() if p.value is None)
    doubts = "".join(f"<li>{escape(d)}</li>" for d in doubts_of(face))
    doubts = f'<ul class="ff-doubts" aria-label="Doubts">{doubts}</ul>' if doubts else ""
    return (
        f'<section class="ff-card{" ff-wide" if alone else ""}" aria-label="Face {number}"><div><header>{picture}'
        f'<div><p class="ff-number">Face {number}</p>{numbers}</div></header>{others}</div>'
        f"<div>{doubts}{_look(number, face, look, alone)}</div></section>"
    )


def value(name: str, read: AttributePrediction) -> str:
    """A number in large, on its scale, with the interval that it lies in; empty for an attribute without one."""
    if read.value is None:
        return ""
    about = f"<small>{escape(name)} about</small>"
    shown = f'<p class="ff-age">{about} {read.value:.0f} <small>{escape(read.unit)}</small></p>'
    between = read.interval
    if between is None or read.scale is None:
        return shown
    start, end = read.scale
    ends = (between.low, read.value, between.high)
    low, at, high = (100 * min(max((v - start) / (end - start), 0), 1) for v in ends)
    reach = f'<i style="left:{low:.0f}%;width:{max(high - low, 1):.0f}%"></i>'
    return (
        f'{shown}<div class="ff-scale" aria-hidden="true">{reach}<b style="left:{at:.0f}%"></b></div>'
        f'<p class="ff-interval">probably {between.low:.0f} to {between.high:.0f}</p>'
    )


def bars(name: str, prediction: AttributePrediction) -> str:
    """An attribute's probabilities, each a bar; the most probable first unless the classes have few."""
    probabilities = sorted(prediction.probabilities.items(), key=lambda kv: -kv[1])
    rows = "".join(
        f'<tr{" class=ff-best" if i == 0 else ""}><th scope="row">{escape(label)}</th>'
        f'<td><div class="ff-bar"><i style="width:{100 * p:.1f}%"></i></div></td><td>{percent(p)}</td></tr>'
        for i, (label, p) in enumerate(probabilities)
    )
    return f'<table class="ff-bars"><caption>{escape(name.capitalize())}</caption><tbody>{rows}</tbody></table>'


def percent(p: float) -> str:
    """A probability for people: never 0 % and never 100 %."""
    return "&lt;1 %" if p < 0.01 else "&gt;99 %" if p > 0.99 else f"{100 * p:.0f} %"


def doubts_of(face: FaceResult) -> list[str]:
    """The honest words: where the model is unsure of a face, and why one should be."""
    out = []
    if face.score < _DOUBTFUL:
        out.append("This may not be a face at all.")
    left, top, right, bottom = face.box
    if min(right - left, bottom - top) < _SMALL:
        out.append("The face is small in the photo: it can hardly be seen.")
    for name, read in face.attributes.items():
        if read.value is not None:
            between, scale = read.interval, read.scale
            if between and scale and between.high - between.low >= _WIDE * (scale[1] - scale[0]):
                out.append(f"Unsure of the {name}.")
        elif read.probability is not None and read.probability < UNSURE:
            ranked = sorted(read.probabilities, key=lambda label: -read.probabilities[label])
            out.append(f"Unsure of the {name}: {' or '.join(ranked[:2])}.")
    return out


def _look(number: int, face: FaceResult, look: Mapping[str, UInt8Array], is_open: bool) -> str:
    if not look:
        return ""
    figures = "".join(
        f'<figure><img src="{data_uri(picture)}" alt="Face {number}: where the model looked for {escape(name)} '
        f'{escape(face.attributes[name].label)}"><figcaption>{escape(name.capitalize())}: '
        f"{escape(face.attributes[name].label)}</figcaption></figure>"
        for name, picture in look.items()
    )
    return (
        f'<details class="ff-look"{" open" if is_open else ""}><summary>Where the model looked</summary>'
        f'<div class="ff-looks">{figures}</div>'
        '<p class="ff-quiet"><b class="ff-for">Orange</b> spoke for the class, <b class="ff-against">blue</b> against '
        "it.</p></details>"
    )
