"""What was predicted from a photo, as the HTML of a page: the photo with numbered boxes, and a card for each face."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from facefeat.utils.text import percent, with_unit
from facefeat_demo.host import MAX_CARDS, NO_FACE, Host, PhotoResult
from facefeat_demo.photos import PORTRAITS, data_uri

if TYPE_CHECKING:
    from facefeat import AttributePrediction, FaceResult
    from facefeat.types import UInt8Array

UNSURE = 0.6
"""Below this probability a card says that it is unsure, and names the runner-up."""
_WIDE = 0.3  # of the scale
_SMALL = 40  # pixels
_DOUBTFUL = 0.9
_CROWD = 4  # faces from which the cards lie under the photo, not beside it
_POOR, _BLOB = 0.7, 0.5  # quality below which a card says why a face is hard to read, and its box has no numbers


def page(result: PhotoResult, example: bool = False) -> str:
    """The HTML for one photo. example: whether it is the one that the page opens with."""
    if result.error is not None or result.pixels is None:
        return notice("That did not work", result.error or "")
    count = len(result.faces)
    if not count:
        says = f"A face is found best when it is seen from the front, in good light, and not very small. {NO_FACE}"
        said = notice("No face was found in this photo", says)
        says = "No face was found in this photo."
        return f'<div class="ff-answer" data-says="{says}">{_photo(result)}<div>{said}</div></div>'
    cards = "".join(
        card(i, face, look, alone=count == 1)
        for i, (face, look) in enumerate(zip(result.faces, result.looks, strict=False), 1)
    )
    found = f"{count} face{'s' * (count > 1)} found"
    title = "An example: this is my guess. Now show me yours." if example else found
    more = "" if not result.turned else f'<p class="ff-quiet">{turned(result.turned)}</p>'
    if count > MAX_CARDS:
        more += f'<p class="ff-quiet">The cards show the {MAX_CARDS} largest faces of {count}.</p>'
    says = f"{found}. " + " ".join(f"Face {i}: {spoken(f)}." for i, f in enumerate(result.faces[:MAX_CARDS], 1))
    share = "" if example else _share(result)
    seconds = "less than 0.1" if result.seconds < 0.1 else f"{result.seconds:.1f}"
    took = "" if example else f"Read in {seconds} s on {escape(result.device)}. "
    several = " ff-several" if 1 < count < _CROWD else " ff-crowd" if count >= _CROWD else ""
    return (
        f'<div class="ff-answer{several}" data-says="{escape("" if example else says)}">{_photo(result)}'
        f'<div class="ff-answer-text"><h2 class="ff-count">{title}</h2>{more}<div class="ff-cards">{cards}</div>'
        f'<p class="ff-quiet">{took}A guess of how a face looks to others, not a fact about a person. '
        f"{share}</p></div></div>"
    )


def answer(host: Host, photo: bytes) -> str:
    """The HTML for the bytes of a photo."""
    (result,) = host.predict([photo])
    return page(result)


def opening(host: Host) -> str:
    """What the page opens with: the answer for the first example."""
    return page(host.example(PORTRAITS[0]), example=True)


def spoken(face: FaceResult) -> str:
    """One face in a few words, such as "about 32 years, Female, White"; with its doubts."""
    parts = [
        f"{name} about {with_unit(f'{p.value:.0f}', p.unit)}" if p.value is not None else p.label
        for name, p in face.attributes.items()
    ]
    doubts = doubts_of(face)
    return ", ".join(parts) + (f". {' '.join(doubts)}".rstrip(".") if doubts else "")


def short_label(face: FaceResult) -> str:
    """What a box says of its face: "32, Female"; a question mark where it may be none, or can hardly be seen."""
    if _doubtful(face):
        return "?"
    numbers = [f"{p.value:.0f}" for p in face.attributes.values() if p.value is not None]
    classes = [p for p in face.attributes.values() if p.value is None and p.probabilities]
    # The attribute with the fewest classes has the shortest words.
    first = min(classes, key=lambda p: len(p.probabilities), default=None)
    return ", ".join(
        [
            *numbers[:1],
            *([] if first is None else [f"{first.label}{'' if (first.probability or 0) >= UNSURE else '?'}"]),
        ]
    )


def _doubtful(face: FaceResult) -> bool:
    """Whether it may be no face, or can hardly be seen."""
    poor = face.quality is not None and face.quality.value < _BLOB
    return face.score < _DOUBTFUL or _side(face) < _SMALL or poor


def _side(face: FaceResult) -> float:
    left, top, right, bottom = face.box
    return min(right - left, bottom - top)


def _share(result: PhotoResult) -> str:
    """A button that makes a picture of the answer, in the browser."""
    return '<button type="button" class="ff-link" data-card>Save as a picture</button>'


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
    alone = len(result.faces) == 1
    crowd = len(result.faces) >= _CROWD
    boxes = "".join(_box(i, face, width, height, alone, crowd) for i, face in enumerate(result.faces, 1))
    shown_height, shown_width = result.pixels.shape[:2]
    return (
        f'<div class="ff-photo" style="--ratio:{shown_width / shown_height:.4f}">'
        f'<img src="{data_uri(result.pixels)}" width="{shown_width}" height="{shown_height}" '
        f'alt="The photo, with a box around each face">{boxes}</div>'
    )


def _box(number: int, face: FaceResult, width: int, height: int, alone: bool, crowd: bool = False) -> str:
    left, top, right, bottom = face.box
    left, top = max(0.0, left), max(0.0, top)
    wide, high = min(right, width) - left, min(bottom, height) - top
    place = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * wide / width:.2f}%;height:{100 * high / height:.2f}%"
    )
    small = wide / width < (0.14 if crowd else 0.07)  # the words of neighbours must not overlap
    label = short_label(face)
    text = escape(label) if alone else f"{number}" if small or label == "?" else f"{number}: {escape(label)}"
    low = " ff-box-low" if top / height < 0.08 else ""
    doubtful = " ff-box-doubtful" if label == "?" else ""
    edge = " ff-box-end" if (left + wide / 2) / width > 0.7 else ""
    return (
        f'<div class="ff-box{" ff-box-small" * small}{low}{edge}{doubtful}" style="{place}"><span>{text}</span></div>'
    )


def card(number: int, face: FaceResult, look: Mapping[str, UInt8Array], alone: bool = False) -> str:
    """One face: its crop, an age, every other attribute as bars, doubts, and where the model looked."""
    crop = face.face.crop
    picture = "" if crop is None else f'<img class="ff-crop" src="{data_uri(crop, quality=92)}" alt="Face {number}">'
    numbers = "".join(value(name, p) for name, p in face.attributes.items())
    others = "".join(bars(name, p) for name, p in face.attributes.items() if p.value is None)
    doubts = "".join(f"<li>{escape(d)}</li>" for d in doubts_of(face))
    doubts = f'<ul class="ff-doubts" aria-label="Doubts">{doubts}</ul>' if doubts else ""
    title = "My guess" if alone else f"Face {number}"
    if _doubtful(face):  # the doubts come first, and no number stands out
        numbers, others, doubts = "", f"{doubts}{_all_the_same(numbers + others)}", ""
    return (
        f'<section class="ff-card{" ff-wide" if alone else ""}" aria-label="Face {number}"><div><header>{picture}'
        f'<div><p class="ff-number">{title}</p>{numbers}</div></header>{others}</div>'
        f"<div>{doubts}{_look(number, face, look, alone)}</div></section>"
    )


def _all_the_same(answers: str) -> str:
    return f'<details class="ff-look ff-all-same"><summary>What I would guess all the same</summary>{answers}</details>'


def value(name: str, read: AttributePrediction) -> str:
    """A number in large, on its scale, with the interval that it lies in; empty for an attribute without one."""
    if read.value is None:
        return ""
    about = f"<small>{escape(name)} about</small>"
    number, _, unit = with_unit(f"{read.value:.0f}", read.unit).partition(" ")
    shown = f'<p class="ff-age">{about} {number} <small>{escape(unit)}</small></p>'
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
    rows_of = sorted(prediction.probabilities.items(), key=lambda kv: -kv[1])
    rows = "".join(
        f'<tr{" class=ff-best" if i == 0 else ""}><th scope="row">{escape(label)}</th>'
        f'<td><div class="ff-bar"><i style="width:{100 * p:.1f}%"></i></div></td><td>{escape(percent(p))}</td></tr>'
        for i, (label, p) in enumerate(rows_of)
    )
    only = f" <small>of the {len(rows_of)} words that I know</small>" if len(rows_of) > 2 else ""
    return f'<table class="ff-bars"><caption>{escape(name.capitalize())}{only}</caption><tbody>{rows}</tbody></table>'


def doubts_of(face: FaceResult) -> list[str]:
    """The honest words: where the model is unsure of a face, and why one should be."""
    out = []
    if face.score < _DOUBTFUL:
        out.append("This may not be a face at all.")
    if _side(face) < _SMALL:
        out.append("The face is small in the photo: it can hardly be seen.")
    if face.quality is not None and face.quality.value < _POOR and face.quality.reasons:
        out.append(f"Hard to read: {', '.join(face.quality.reasons)}.")
    for name, read in face.attributes.items():
        if read.value is not None:
            between, scale = read.interval, read.scale
            if between and scale and between.high - between.low >= _WIDE * (scale[1] - scale[0]):
                out.append(f"Unsure of the {name}.")
        elif read.probability is not None and read.probability < UNSURE:
            ranked = sorted(read.probabilities, key=lambda label: -read.probabilities[label])
            out.append(f"Unsure of the {name}: {' or '.join(ranked[:2])}.")
    return [*out, *(note[:1].upper() + note[1:] for note in face.notes)]


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
        '<p class="ff-quiet"><b class="ff-for">Orange</b> made me say it, <b class="ff-against">blue</b> spoke against '
        "it.</p></details>"
    )
