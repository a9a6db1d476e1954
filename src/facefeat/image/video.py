"""Writes frames as a video, an animation, a folder of pictures or a contact sheet, atomically."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence, Sized
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, MissingExtraError
from facefeat.utils.atomic import atomic_file, temporary_folder, unwritable

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

VIDEO = (".mp4",)
ANIMATION = (".gif", ".webp")
SHEET = (".png", ".jpg")
_GROUND = (16, 20, 24)
_MOST_BYTES = 2_000_000_000
"""Of the frames of an animation: Pillow holds them all until it writes. The other formats take one at a time."""


def check_output(output: str | Path) -> Path:
    """Whether frames can be written there, before the work. A name without an ending is a folder of PNG.

    Raises InputError for another ending, a place that cannot be written, or a folder that holds something else;
    MissingExtraError for .mp4 without the extra `video`.
    """
    path = Path(output)
    ending = path.suffix.lower()
    valid = (*VIDEO, *ANIMATION, *SHEET)
    if ending and ending not in valid:
        raise InputError(
            f"no such format: {ending!r} in {str(path)!r}. Valid: {', '.join(valid[:3])}; {' or '.join(SHEET)} for a "
            "contact sheet; a name without an ending for a folder of PNG."
        )
    if ending in VIDEO:
        try:
            import imageio_ffmpeg  # noqa: F401
            from imageio import v2  # noqa: F401
        except ImportError:
            raise MissingExtraError(
                '.mp4 needs a video library. Next: pip install "facefeat[video]". Or name the output .gif or .webp.'
            ) from None
    if ending and path.is_dir():
        raise InputError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not ending and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{str(path)!r} is there already. A folder of frames must be new or empty.")
    where = path.absolute().parent
    if not where.is_dir():
        what = f"{str(where)!r} is no folder" if where.exists() else f"there is no folder {str(where)!r}"
        raise InputError(f"cannot write {str(path)!r}: {what}.")
    if not os.access(where, os.W_OK):
        raise InputError(f"cannot write {str(path)!r}: the folder {str(where)!r} may not be written.")
    return path


def check_fps(fps: float) -> None:
    """Raises InputError unless it is over 0, at most 240."""
    if not (math.isfinite(fps) and 0 < fps <= 240):
        raise InputError(f"fps must be over 0, at most 240. Received: {fps}.")


def check_animation(output: Path, frames: int, width: int, height: int) -> None:
    """Raises InputError where the output is a .gif or .webp and its frames would fill the memory."""
    size = 3 * frames * width * height
    if output.suffix.lower() in ANIMATION and size > _MOST_BYTES:
        raise InputError(
            f"{frames:,} frames of {width} x {height} pixels are {size / 1e9:.1f} GB, too much for an animation: at "
            f"most {_MOST_BYTES / 1e9:g} GB. Take fewer or smaller frames, or an .mp4 or a folder for the output."
        )


def check_picture(output: Path) -> Path:
    """`check_output` for one picture. Raises InputError for an ending other than .png and .jpg, too."""
    if output.suffix.lower() not in SHEET:
        raise InputError(f"the output must be a .png or .jpg file. Received: {str(output)!r}.")
    return check_output(output)


def write_picture(picture: UInt8Array, output: Path) -> Path:
    """Write one (H, W, 3) uint8 picture, atomically. Raises as `check_picture`."""
    from PIL import Image

    path = check_picture(output)
    with atomic_file(path) as new:
        Image.fromarray(picture).save(new, quality=95)
    return path


def write_frames(
    frames: UInt8Array | Iterable[UInt8Array], output: str | Path, *, fps: float = 30.0, count: int | None = None
) -> Path:
    """Write (T, H, W, 3) uint8 frames; the format follows from the ending of `output` (see `check_output`).

    frames: an array, or (H, W, 3) frames one after the other, which are written one by one, except for .gif and .webp.
    count: how many, where `frames` does not know its length.
    fps: frames a second; GIF counts in hundredths of a second, so at most 50. A contact sheet shows up to 24 of the
    frames, evenly spread, first and last among them. Written atomically.

    Raises InputError, MissingExtraError as `check_output`; InputError where there is no frame or fps is not positive.
    """
    path = check_output(output)
    if count is None:
        if not isinstance(frames, Sized):
            raise InputError("frames that do not know their length need `count`.")
        count = len(frames)
    if not count:
        raise InputError("there are no frames to write.")
    check_fps(fps)
    write: Callable[[Iterable[UInt8Array], Path, float, int], None] = _folder
    if path.suffix:
        kind = path.suffix.lower()
        write = _video if kind in VIDEO else _animation if kind in ANIMATION else _sheet
    try:
        with temporary_folder(path) as temporary:
            new = temporary / path.name
            write(frames, new, fps, count)
            if path.is_dir():
                path.rmdir()
            new.replace(path)
    except OSError as e:
        raise unwritable(path, e) from None
    return path


def _video(frames: Iterable[UInt8Array], path: Path, fps: float, count: int) -> None:
    import imageio.v2 as imageio
    import imageio_ffmpeg

    options: dict[str, Any] = {"codec": "libx264", "quality": 8, "pixelformat": "yuv420p", "macro_block_size": 2}
    writer: Any = imageio.get_writer(path, format="FFMPEG", fps=fps, ffmpeg_log_level="error", **options)
    with closing(writer):
        for frame in frames:
            # H.264 with 4:2:0 colour, which every browser plays, wants even sides.
            height, width = (s - s % 2 for s in frame.shape[:2])
            try:
                writer.append_data(frame[:height, :width])
            except OSError as e:  # imageio appends the command that it ran, on further lines
                why = str(e).partition("\n")[0]
                raise OSError(f"ffmpeg stopped ({why}). Is there room on the disk?") from None
    # imageio does not look at how ffmpeg ended, which fails as late as at the last byte where the disk is full.
    try:
        written = imageio_ffmpeg.count_frames_and_secs(path)[0]
    except RuntimeError:  # it cannot be read at all
        written = 0
    if written < count:
        raise OSError(f"ffmpeg wrote {written} of {count} frames. Is there room on the disk?")


def _animation(frames: Iterable[UInt8Array], path: Path, fps: float, count: int) -> None:
    from PIL import Image

    pictures = map(Image.fromarray, frames)
    options: dict[str, Any] = {"quality": 85, "method": 4} if path.suffix.lower() == ".webp" else {}
    lasts = max(20, round(1000 / fps)) if path.suffix.lower() == ".gif" else max(1, round(1000 / fps))
    next(pictures).save(path, save_all=True, append_images=pictures, duration=lasts, loop=0, **options)


def _folder(frames: Iterable[UInt8Array], path: Path, fps: float, count: int) -> None:
    from PIL import Image

    path.mkdir()
    digits = max(4, len(str(count)))
    for i, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(path / f"{i:0{digits}d}.png")


def _sheet(frames: Iterable[UInt8Array], path: Path, fps: float, count: int) -> None:
    from PIL import Image

    places = set(np.round(np.linspace(0, count - 1, min(24, count))).astype(int).tolist())
    Image.fromarray(contact_sheet([f for i, f in enumerate(frames) if i in places])).save(path)


def contact_sheet(frames: Sequence[Any] | UInt8Array, columns: int = 0, gap: int = 4) -> UInt8Array:
    """(T, H, W, 3) uint8 -> one (H', W', 3) uint8 picture, row by row; columns: 0 for at most 8."""
    count, (height, width) = len(frames), np.shape(frames[0])[:2]
    across = columns or min(8, count)
    down = math.ceil(count / across)
    size = (down * (height + gap) + gap, across * (width + gap) + gap, 3)
    sheet = np.broadcast_to(np.asarray(_GROUND, "uint8"), size).copy()
    for i, frame in enumerate(frames):
        y, x = gap + (i // across) * (height + gap), gap + (i % across) * (width + gap)
        sheet[y : y + height, x : x + width] = frame
    return sheet


def enlarge(frames: UInt8Array, size: int) -> UInt8Array:
    """(T, S, S, 3) uint8 -> (T, size, size, 3) uint8, by Lanczos resampling."""
    from PIL import Image

    if frames.shape[1:3] == (size, size):
        return frames
    if not len(frames):
        return np.zeros((0, size, size, 3), "uint8")
    lanczos = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(f).resize((size, size), lanczos)) for f in frames])


def with_text(frames: UInt8Array, texts: Iterable[str]) -> UInt8Array:
    """(T, H, W, 3) uint8 and a text each -> (T, H, 2 W, 3) uint8: the text on a dark background next to each frame."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = frames.shape[1:3]
    # Twelve lines of 24 characters fit next to a frame.
    font = ImageFont.load_default(max(8.0, min(height / 15, width / 14)))
    out = np.empty((len(frames), height, 2 * width, 3), "uint8")
    out[:, :, :width] = frames
    for i, text in enumerate(texts):
        panel = Image.new("RGB", (width, height), _GROUND)
        ImageDraw.Draw(panel).multiline_text((width / 16, height / 16), text, font=font, fill="#e8eaed", spacing=6)
        out[i, :, width:] = np.asarray(panel)
    return out


def with_text_below(frames: UInt8Array, texts: Sequence[str], letters: int = 20) -> UInt8Array:
    """(T, H, W, 3) uint8 and a text each -> (T, H + P, W, 3) uint8: the text under each frame, P the same for all.

    letters: how many of them fit below a frame.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = frames.shape[1:3]
    font = ImageFont.load_default(max(8.0, 5 * width / (3 * letters)))
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    margin = width // 32
    under = max(math.ceil(draw.multiline_textbbox((0, 0), t or " ", font=font, spacing=4)[3]) for t in texts)
    out = np.empty((len(frames), height + under + 2 * margin, width, 3), "uint8")
    for i, text in enumerate(texts):
        panel = Image.new("RGB", (width, out.shape[1] - height), _GROUND)
        ImageDraw.Draw(panel).multiline_text((margin, margin), text, font=font, fill="#e8eaed", spacing=4)
        out[i, :height], out[i, height:] = frames[i], np.asarray(panel)
    return out
