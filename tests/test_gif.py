"""GIFs decode to what was put in, frame by frame."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from planet_tf.tools import gif


def decode(data):
    """Frames uint8 [T, H, W, 3] and milliseconds between them."""
    image = Image.open(io.BytesIO(data))
    frames, durations = [], []
    for frame in ImageSequence.Iterator(image):
        frames.append(np.asarray(frame.convert("RGB")))
        durations.append(frame.info["duration"])
    assert image.info["loop"] == 0, "must repeat forever"
    return np.stack(frames), durations


def moving_square(steps=6):
    """A red square that moves one pixel a frame over blue: [T, 8, 16, 3]."""
    frames = np.zeros([steps, 8, 16, 3], np.uint8)
    frames[..., 2] = 200
    for t in range(steps):
        frames[t, 2:5, t + 1 : t + 4] = [250, 10, 0]
    return frames


def test_frames_survive_exactly():
    """Few colours need no loss; a wrong corner or size would show."""
    decoded, _ = decode(gif.encode_gif(moving_square()))
    np.testing.assert_array_equal(decoded, moving_square())


def test_equal_frames_are_kept():
    """Pillow's own writer merges them, which shifts every later frame."""
    frames = moving_square()[[0, 0, 0, 1, 2, 2]]
    decoded, durations = decode(gif.encode_gif(frames, fps=10))
    np.testing.assert_array_equal(decoded, frames)
    assert durations == [100] * 6


def test_many_colors_stay_close():
    """A palette from one frame alone fails for a video that changes."""
    ramp = np.arange(64, dtype=np.uint8)
    frames = np.zeros([8, 64, 64, 3], np.uint8)
    for t in range(8):
        frames[t, ..., 0] = 30 * t
        frames[t, ..., 1] = 4 * ramp
        frames[t, ..., 2] = ramp[:, None]
    decoded, _ = decode(gif.encode_gif(frames))
    error = np.abs(decoded.astype(int) - frames)
    assert error.mean() < 8
    assert error.max() < 50


def test_rare_colors_survive_among_many():
    """A small ball must not be averaged away by a noisy background."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, [4, 64, 64, 3], np.uint8)
    ball = np.s_[:, 30:32, 30:32]
    frames[ball] = [230, 159, 0]
    decoded, _ = decode(gif.encode_gif(frames))
    assert np.abs(decoded[ball].astype(int) - frames[ball]).max() < 10


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros([2, 4, 4, 3], np.float32),
        np.zeros([4, 4, 3], np.uint8),
        np.zeros([2, 4, 4, 1], np.uint8),
        np.zeros([0, 4, 4, 3], np.uint8),
    ],
)
def test_wrong_frames_are_refused(frames):
    """Floats cast silently would give black videos."""
    with pytest.raises(ValueError):
        gif.encode_gif(frames)


def test_wrong_rate_is_refused():
    """Beyond 50 fps browsers play at 10."""
    with pytest.raises(ValueError, match="fps"):
        gif.encode_gif(moving_square(), fps=100)


def test_upscale_repeats_pixels():
    """Height and width swapped would transpose the picture."""
    frames = np.arange(2 * 1 * 2 * 3).reshape(2, 1, 2, 3)
    large = gif.upscale(frames, 2)
    assert large.shape == (2, 2, 4, 3)
    np.testing.assert_array_equal(large[:, ::2, ::2], frames)
    np.testing.assert_array_equal(large[:, 1::2, 1::2], frames)


def test_tolerance_is_a_limit():
    """What drifts slowly must follow, too, and what moves must move."""
    frames = moving_square(12)
    frames[..., 1] += (3 * np.arange(12, dtype=np.uint8))[:, None, None]
    frames[..., 2] += (np.arange(12, dtype=np.uint8) % 2 * 8)[:, None, None]
    steady, _ = decode(gif.encode_gif(frames, tolerance=9))
    error = np.abs(steady.astype(int) - frames)
    assert 0 < error.max() <= 9
    assert error[..., 0].max() == 0, "the square"
    flicker = np.diff(steady[:, 0, 0].astype(int), axis=0)
    assert (flicker[:, 2] == 0).all()
    assert (flicker[:, 1] > 0).sum() == 2  # After 12 and 24 of 33.
