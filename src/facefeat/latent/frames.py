"""Writes frames as a video, an animation, a folder of pictures or a contact sheet; whole or not at all."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facefeat.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from facefeat.types import UInt8Array

VIDEO = (".mp4",)
ANIMATION = (".gif", ".webp")
SHEET = (".png", ".jpg")
_GROUND = (16, 20, 24)


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
                ".mp4 needs a video library. Type: pip install 'facefeat[video]'. Or name the output .gif or .webp."
            ) from None
    if ending and path.is_dir():
        raise InputError(f"{str(path)!r} is a folder. Give the name of a file.")
    if not ending and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{str(path)!r} is there already. A folder of frames must be new or empty.")
    where = path.absolute().parent
    if not where.is_dir():
        raise InputError(f"cannot write {str(path)!r}: there is no folder {str(where)!r}.")
    if not os.access(where, os.W_OK):
        raise InputError(f"cannot write {str(path)!r}: the folder {str(where)!r} may not be written.")
    return path


def check_picture(output: Path) -> Path:
    """`check_output` for one picture. Raises InputError for an ending other than .png and .jpg, too."""
    if output.suffix.lower() not in SHEET:
        raise InputError(f"the output must be a .png or .jpg file. Received: {str(output)!r}.")
    return check_output(output)


def write_picture(picture: UInt8Array, output: Path) -> Path:
    """Write one (H, W, 3) uint8 picture as it is: beside its place, then renamed. Raises as `check_picture`."""
    from PIL import Image

    path = check_picture(output)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.absolute().parent))
    try:
        Image.fromarray(picture).save(beside / path.name, quality=95)
        (beside / path.name).replace(path)
    except OSError as e:
        raise InputError(f"cannot write {str(path)!r}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def write_frames(frames: UInt8Array, output: str | Path, *, fps: float = 30.0) -> Path:
    """Write (T, H, W, 3) uint8 frames; the format follows from the ending of `output` (see `check_output`).

    fps: frames a second; GIF counts in hundredths of a second, so at most 50. A contact sheet shows up to 24 of the
    frames, evenly spread, first and last among them. The frames are written beside and renamed.

    Raises InputError, MissingExtraError as `check_output`; InputError where there is no frame or fps is not positive.
    """
    path = check_output(output)
    if not len(frames):
        raise InputError("there are no frames to write.")
    if not (math.isfinite(fps) and 0 < fps <= 240):
        raise InputError(f"fps must be over 0, at most 240. Received: {fps}.")
    write: Callable[[UInt8Array, Path, float], None] = _folder
    if path.suffix:
        kind = path.suffix.lower()
        write = _video if kind in VIDEO else _animation if kind in ANIMATION else _sheet
    beside = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.absolute().parent))
    try:
        made = beside / (path.name if path.suffix else "frames")
        write(frames, made, fps)
        if path.is_dir():
            path.rmdir()
        made.replace(path)
    except OSError as e:
        raise InputError(f"cannot write {str(path)!r}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def _video(frames: UInt8Array, path: Path, fps: float) -> None:
    import imageio.v2 as imageio

    # H.264 with 4:2:0 colour, which every browser plays, wants even sides.
    height, width = (s - s % 2 for s in frames.shape[1:3])
    options: dict[str, Any] = {"codec": "libx264", "quality": 8, "pixelformat": "yuv420p", "macro_block_size": 2}
    writer: Any = imageio.get_writer(path, format="FFMPEG", fps=fps, ffmpeg_log_level="error", **options)
    with closing(writer):
        for frame in frames:
            writer.append_data(frame[:height, :width])


def _animation(frames: UInt8Array, path: Path, fps: float) -> None:
    from PIL import Image

    pictures = [Image.fromarray(f) for f in frames]
    options: dict[str, Any] = {"quality": 85, "method": 4} if path.suffix.lower() == ".webp" else {}
    lasts = max(20, round(1000 / fps)) if path.suffix.lower() == ".gif" else max(1, round(1000 / fps))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lasts, loop=0, **options)


def _folder(frames: UInt8Array, path: Path, fps: float) -> None:
    from PIL import Image

    path.mkdir()
    digits = max(4, len(str(len(frames))))
    for i, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(path / f"{i:0{digits}d}.png")


def _sheet(frames: UInt8Array, path: Path, fps: float) -> None:
    from PIL import Image

    shown = frames[np.unique(np.round(np.linspace(0, len(frames) - 1, min(24, len(frames)))).astype(int))]
    Image.fromarray(contact_sheet(shown)).save(path)


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
    lanczos = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(f).resize((size, size), lanczos)) for f in frames])


def with_text(frames: UInt8Array, texts: Iterable[str]) -> UInt8Array:
    """(T, H, W, 3) uint8 and a text each -> (T, H, 2 W, 3) uint8: the text on a dark ground beside each frame."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = frames.shape[1:3]
    # Twelve lines of 24 characters fit beside a frame.
    font = ImageFont.load_default(max(8.0, min(height / 15, width / 14)))
    out = np.empty((len(frames), height, 2 * width, 3), "uint8")
    out[:, :, :width] = frames
    for i, text in enumerate(texts):
        panel = Image.new("RGB", (width, height), _GROUND)
        ImageDraw.Draw(panel).multiline_text((width / 16, height / 16), text, font=font, fill="#e8eaed", spacing=6)
        out[i, :, width:] = np.asarray(panel)
    return out


def with_text_below(frames: UInt8Array, texts: Sequence[str]) -> UInt8Array:
    """(T, H, W, 3) uint8 and a text each -> (T, H + P, W, 3) uint8: the text under each frame, P the same for all."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = frames.shape[1:3]
    # Twenty characters fit below a frame.
    font = ImageFont.load_default(max(8.0, width / 12))
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    margin = width // 32
    under = max(math.ceil(draw.multiline_textbbox((0, 0), t or " ", font=font, spacing=4)[3]) for t in texts)
    out = np.empty((len(frames), height + under + 2 * margin, width, 3), "uint8")
    for i, text in enumerate(texts):
        panel = Image.new("RGB", (width, out.shape[1] - height), _GROUND)
        ImageDraw.Draw(panel).multiline_text((margin, margin), text, font=font, fill="#e8eaed", spacing=4)
        out[i, :height], out[i, height:] = frames[i], np.asarray(panel)
    return out
