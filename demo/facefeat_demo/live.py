"""The camera, live, and videos: a picture at a time is read, and the browser keeps each face's answer until it settles.

A video is decoded by the browser, which plays it anyway: its file never comes here, and no decoder meets a stranger's.
"""

from __future__ import annotations

import base64
import binascii
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facefeat_demo.photos import open_photo, shrink

if TYPE_CHECKING:
    from facefeat_demo.host import Host

_STATIC = Path(__file__).resolve().parent / "static"
_SCRIPTS = ("tracks.js", "live.js", "clip.js")
_HEAD = "data:image/jpeg;base64,"
LARGEST = 400_000
"""Characters of a picture, as it comes from the browser."""
LONGEST = 512
FACES = 8
"""Faces of a picture that are answered."""
WAITING = 4
"""Pictures of all visitors that may wait in the queue; the next one is refused."""
_PAGE = """
<div class="ff-live">
  <div class="ff-live-starts">
    <button type="button" class="ff-live-start">Use my camera, live</button>
    <button type="button" class="ff-clip-start">Read a video</button>
    <input type="file" class="ff-clip-file" accept="video/*" aria-label="A video" hidden>
  </div>
  <p class="ff-quiet ff-live-note" role="status"></p>
  <div class="ff-live-stage" hidden>
    <div class="ff-live-view">
      <video muted playsinline aria-label="The camera, or your video"></video><div class="ff-live-boxes"></div>
    </div>
    <p class="ff-quiet"><span class="ff-live-says"></span> <span class="ff-live-kept"></span>
    <button type="button" class="ff-link ff-live-stop"></button></p>
    <div class="ff-cards ff-live-found" aria-live="polite"></div>
  </div>
</div>
"""


def live_camera(host: Host) -> gr.HTML:
    """Buttons for the camera and for a video, and the view with a box around each face."""
    waiting = threading.BoundedSemaphore(WAITING)
    one = threading.Lock()

    def live_frame(picture: Any) -> dict[str, Any]:
        """The faces of one picture of a camera or a video: boxes as shares of its sides, and what is predicted."""
        if not waiting.acquire(blocking=False):
            return {"error": "Too many cameras and videos are being read on this page. Please try again later."}
        try:
            with one:
                return frame_of(host, picture)
        finally:
            waiting.release()

    script = "".join((_STATIC / name).read_text("utf-8") for name in _SCRIPTS)
    return gr.HTML(_PAGE, js_on_load=script, server_functions=[live_frame], elem_id="classify-live")


def frame_of(host: Host, picture: Any) -> dict[str, Any]:
    """{"faces": [...]} for a JPEG as a data address, or {"error": sentence}. What comes is untrusted."""
    if not isinstance(picture, str) or not picture.startswith(_HEAD) or len(picture) > LARGEST:
        return {"error": "This is not a picture of a camera or a video."}
    try:
        opened = open_photo(base64.b64decode(picture[len(_HEAD) :], validate=True))
    except (binascii.Error, ValueError):
        return {"error": "This is not a picture of a camera or a video."}
    if isinstance(opened, str):
        return {"error": opened}
    pixels = shrink(opened, LONGEST)
    height, width = pixels.shape[:2]
    faces = []
    for face in host.model.predict(pixels).faces[:FACES]:
        left, top, right, bottom = face.box
        box = [max(0.0, left / width), max(0.0, top / height), min(1.0, right / width), min(1.0, bottom / height)]
        numbers = {n: float(p.value) for n, p in face.attributes.items() if p.value is not None}
        shares = {n: p.probabilities for n, p in face.attributes.items() if p.value is None}
        between = {
            n: {"low": float(p.interval.low), "high": float(p.interval.high)}
            for n, p in face.attributes.items()
            if p.interval is not None
        }
        faces.append({"box": box, "values": numbers, "between": between, "shares": shares})
    return {"faces": faces}
