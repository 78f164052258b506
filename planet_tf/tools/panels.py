"""Pictures of sequences: videos side by side, and strips over time.

A picture has named rows, each of images [B, T, H, W, 3] in [0, 1]:

    frames = panels.video(panels.comparison(truth, prediction), context=5)
    frames = panels.with_labels(frames, ["truth", "prediction", "error"])
"""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from planet_tf.tools.gif import upscale

# Sky blue and orange, which colour-blind readers tell apart (Okabe and Ito).
CONTEXT_COLOR = (86, 180, 233)
PREDICTED_COLOR = (230, 159, 0)
_GAP_COLOR = (0, 0, 0)
_TEXT_COLOR = (255, 255, 255)
_READABLE = 8  # Pixels that letters have at least.
_BORDER = 2  # Pixels around each image of a video, after enlarging.


def comparison(
    truth: np.ndarray, prediction: np.ndarray, change: bool = False
) -> dict[str, np.ndarray]:
    """Rows that set what the model predicts beside what happened.

    Args:
        truth: Float [B, T, H, W, 3] in [0, 1].
        prediction: The same.
        change: Adds the difference between neighbouring predicted frames.

    Returns:
        `truth`, `prediction`, where asked for `change`, and `error`; the last
        two are grey where nothing changes or differs.

    Raises:
        ValueError: The shapes differ or are no videos.
    """
    if truth.shape != prediction.shape or truth.ndim != 5:
        raise ValueError(
            "Truth and prediction must both be [B, T, H, W, 3], got "
            f"{list(truth.shape)} and {list(prediction.shape)}."
        )
    rows = {"truth": truth, "prediction": prediction}
    if change:
        step = np.diff(prediction, axis=1, prepend=prediction[:, :1])
        rows["change"] = (step + 1) / 2
    rows["error"] = (prediction - truth + 1) / 2
    return rows


def video(
    rows: Mapping[str, np.ndarray], context: int, enlarge: int = 2
) -> np.ndarray:
    """Sequences side by side, one row of them below the other.

    The frame around every row but the first is blue while the model sees the
    images, and orange once it predicts from actions alone.

    Args:
        rows: Float [B, T, H, W, 3] in [0, 1] by name, the truth first.
        context: How many of the T images the model saw.
        enlarge: Every pixel becomes a square of this size.

    Returns:
        uint8 [T, rows * (enlarge * H + 4), B * (enlarge * W + 4), 3], as each
        image is framed by 2 pixels.
    """
    parts = []
    for number, images in enumerate(rows.values()):
        colors = [_GAP_COLOR]
        if number:
            length = images.shape[1]
            colors = [CONTEXT_COLOR] * min(context, length)
            colors += [PREDICTED_COLOR] * (length - len(colors))
        parts.append(_row(images, colors, enlarge))
    return np.concatenate(parts, axis=1)


def strip(
    rows: Mapping[str, np.ndarray], context: int, every: int = 1
) -> np.ndarray:
    """Time from left to right, one sequence below the other.

    Args:
        rows: Float [B, T, H, W, 3] in [0, 1] by name, the truth first; all of
            the first sequence come before those of the second.
        context: See `video`.
        every: Shows steps 0, `every`, 2 * `every`, ...

    Returns:
        uint8 [B * rows * (H + 4), T' * (W + 4), 3] for T' steps.
    """
    count = len(next(iter(rows.values())))
    parts = []
    for i in range(count):
        one = {name: images[i : i + 1] for name, images in rows.items()}
        frames = video(one, context, enlarge=1)[::every]
        T, H, W, C = frames.shape
        parts.append(frames.transpose(1, 0, 2, 3).reshape(H, T * W, C))
    return np.concatenate(parts, axis=0)


def with_labels(
    frames: np.ndarray, labels: Sequence[str], size: int = 14
) -> np.ndarray:
    """Adds a column of names at the left, one for each of equal rows.

    Args:
        frames: uint8 [T, H, W, 3].
        labels: From top to bottom.
        size: Of the letters, in pixels.
    """
    font = ImageFont.load_default(size)
    width = round(max(font.getlength(text) for text in labels)) + size
    height = frames.shape[1]
    column = Image.new("RGB", (width, height), _GAP_COLOR)
    draw = ImageDraw.Draw(column)
    for number, text in enumerate(labels):
        middle = (number + 0.5) * height / len(labels)
        draw.text((size / 2, middle), text, _TEXT_COLOR, font, anchor="lm")
    column = np.broadcast_to(
        np.asarray(column), [len(frames), height, width, 3]
    )
    return np.concatenate([column, frames], axis=2)


def with_captions(
    frames: np.ndarray,
    captions: Sequence[str],
    colors: Sequence[tuple[int, int, int]] | None = None,
    size: int = 14,
) -> np.ndarray:
    """Adds a line of text above each frame.

    Args:
        frames: uint8 [T, H, W, 3].
        captions: T of them, or one for all.
        colors: Of the letters, as many; white by default.
        size: Of the letters, in pixels; smaller where a caption is too long.
    """
    letters = range(size, min(size, _READABLE) - 1, -1)
    for font in map(ImageFont.load_default, letters):
        if max(map(font.getlength, captions)) <= frames.shape[2] - size:
            break
    colors = colors or [_TEXT_COLOR] * len(captions)
    lines = np.empty([len(captions), 2 * size, frames.shape[2], 3], np.uint8)
    for line, text, color in zip(lines, captions, colors, strict=True):
        image = Image.new("RGB", line.shape[1::-1], _GAP_COLOR)
        ImageDraw.Draw(image).text(
            (size / 2, size), text, color, font, anchor="lm"
        )
        line[...] = image
    lines = np.broadcast_to(lines, [len(frames), *lines.shape[1:]])
    return np.concatenate([lines, frames], axis=1)


def _row(
    images: np.ndarray, colors: list[tuple[int, int, int]], enlarge: int
) -> np.ndarray:
    """Sequences [B, T, H, W, 3] side by side: uint8 [T, H', B * W', 3].

    Args:
        images: Float in [0, 1].
        colors: Of the frame around each image, T of them or one for all.
        enlarge: See `video`.
    """
    images = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
    images = upscale(images, enlarge)
    B, T, H, W, C = images.shape
    tiles = np.empty([T, H + 2 * _BORDER, B, W + 2 * _BORDER, C], np.uint8)
    tiles[:] = np.array(colors, np.uint8)[:, None, None, None]
    inside = slice(_BORDER, -_BORDER)
    tiles[:, inside, :, inside] = images.transpose(1, 2, 0, 3, 4)
    return tiles.reshape([T, H + 2 * _BORDER, -1, C])
