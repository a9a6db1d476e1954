"""A detector: an object with `detect` and `detect_batch`."""

from facefeat import Component, Face, InputError


class Middle:
    """Takes the middle of every image for a face."""

    def __init__(self, part):
        self.part = part

    def detect(self, image):
        """Faces of one (H, W, 3) uint8 RGB image, largest first, in the image's own pixels."""
        height, width = image.shape[:2]
        x, y = width * (1 - self.part) / 2, height * (1 - self.part) / 2
        # `landmarks` would be (5, 2) float32: left and right eye, nose, left and right corner of the mouth, left and
        # right being the viewer's. Without them a face is aligned by its box alone.
        return [Face(box=(x, y, width - x, height - y), score=1.0)]

    def detect_batch(self, images):
        """The same answers for several images of any sizes. Override it where a batch is faster."""
        return [self.detect(image) for image in images]


def build(*, part=0.5):
    """part: how much of the image's sides the face takes, above 0, at most 1. Raises InputError."""
    # Settings come from people: say what you received and what is valid.
    if not isinstance(part, int | float) or not 0 < part <= 1:
        raise InputError(f"detector 'middle': part must be above 0, and at most 1. Received: {part!r}.")
    return Middle(part)


DETECTOR = Component("middle", build, "takes the middle of every image for a face")
