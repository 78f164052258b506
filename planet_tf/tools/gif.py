"""Animated GIFs from uint8 frames, with Pillow alone.

TensorBoard has no videos, but its Images tab plays GIFs, and so does every
browser. The original piped frames through the ffmpeg program instead
(tools/gif_summary.py).
"""

import itertools
import struct

import numpy as np
from PIL import GifImagePlugin, Image

# One of the 256 palette entries means "as in the frame before".
_UNCHANGED = 255
_PALETTE_SAMPLES = 512 * 512


def encode_gif(
    frames: np.ndarray, fps: float = 20, tolerance: int = 0
) -> bytes:
    """Encodes frames as a GIF that plays forever.

    One palette of 255 colours, chosen for this video, serves all frames;
    every frame is kept, even one that equals its neighbour, so that frame t
    of the GIF is frame t of the video.

    Args:
        frames: uint8 [T, H, W, 3], with T, H and W at least 1.
        fps: Frames per second, at most 50; GIF rounds the time between two
            frames to 1/100 s.
        tolerance: A channel that differs by at most this, of 255, from what
            is shown stays as it is. Files of predictions, whose pixels
            flicker by the least step, become half as large.

    Raises:
        ValueError: Frames of another shape or type, or an impossible rate.
    """
    frames = checked_frames(frames)
    if not 1 <= fps <= 50:
        raise ValueError(f"fps must be in [1, 50], got {fps}.")
    frames = _steady(frames, tolerance)
    palette = _palette(frames)
    # Pillow's own `save` merges equal frames, so the parts are joined here.
    parts = [_header(frames, palette)]
    before = None
    for frame in frames:
        image = Image.fromarray(frame).quantize(
            palette=palette, dither=Image.Dither.NONE
        )
        after = np.asarray(image)
        image, corner = _difference(before, after)
        parts += GifImagePlugin.getdata(
            image,
            corner,
            duration=10 * round(100 / fps),  # Milliseconds.
            disposal=1,  # Leave this frame in place below the next one.
            transparency=_UNCHANGED,
        )
        before = after
    return b"".join([*parts, b";"])


def checked_frames(frames: np.ndarray) -> np.ndarray:
    """The frames, if they are uint8 [T, H, W, 3] and not empty.

    Raises:
        ValueError: They are not; says what they are.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            "Frames must be uint8 of shape [T, H, W, 3], got "
            f"{frames.dtype} {list(frames.shape)}. Scale images in [0, 1] by "
            "255 and cast them first."
        )
    if not frames.size:
        raise ValueError(f"No pixels to show in {list(frames.shape)}.")
    return frames


def _steady(frames: np.ndarray, tolerance: int) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] without changes up to `tolerance`."""
    if not tolerance:
        return frames
    frames = frames.copy()
    for before, frame in itertools.pairwise(frames):
        # In bytes, and each channel on its own: that is quick.
        change = np.maximum(frame, before) - np.minimum(frame, before)
        np.copyto(frame, before, where=change <= tolerance)
    return frames


def upscale(frames: np.ndarray, factor: int) -> np.ndarray:
    """Repeats pixels: [..., H, W, C] to [..., H * factor, W * factor, C]."""
    return frames.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _palette(frames: np.ndarray) -> Image.Image:
    """An image that carries the 255 colours for uint8 [T, H, W, 3]."""
    pixels = frames.reshape(-1, 3)
    if len(pixels) > _PALETTE_SAMPLES:
        # At random, because a regular stride can miss whole columns.
        rng = np.random.default_rng(0)
        pixels = pixels[rng.integers(0, len(pixels), _PALETTE_SAMPLES)]
    # Maximum coverage keeps rare colours (a thin border, a small ball) that
    # a median cut gives up; four rounds of k-means then halve the error.
    return Image.fromarray(pixels[None]).quantize(
        _UNCHANGED, method=Image.Quantize.MAXCOVERAGE, kmeans=4
    )


def _header(frames: np.ndarray, palette: Image.Image) -> bytes:
    """What comes before the frames: size, palette, endless repetition."""
    _, height, width, _ = frames.shape
    colors = bytes(palette.getpalette()).ljust(3 * 256, b"\0")
    # 0xF7: a palette for all frames, of 256 colours with 8 bits a channel.
    screen = struct.pack("<HHBBB", width, height, 0xF7, 0, 0)
    repeat = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    return b"GIF89a" + screen + colors + repeat


def _difference(
    before: np.ndarray | None, after: np.ndarray
) -> tuple[Image.Image, tuple[int, int]]:
    """The part of palette indices [H, W] to draw, and its (x, y) corner.

    Pixels that stay the same become transparent: long runs of one value, which
    GIF's compression shortens best.
    """
    x = y = 0
    if before is not None:
        changed = before != after
        rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
        after = np.where(changed, after, _UNCHANGED).astype(np.uint8)
        if rows.size:
            y, x = rows[0], columns[0]
            after = after[y : rows[-1] + 1, x : columns[-1] + 1]
        else:
            after = after[:1, :1]  # A frame must have at least one pixel.
    image = Image.fromarray(np.ascontiguousarray(after)).convert("P")
    return image, (int(x), int(y))
