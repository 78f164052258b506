"""MP4s decode to what was put in, and are what browsers play."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from planet_tf.tools import video


def decode(data):
    """Frames uint8 [T, H, W, 3], and codec, pixel format and frame rate."""
    with av.open(io.BytesIO(data)) as container:
        (stream,) = container.streams.video
        frames = [f.to_ndarray(format="rgb24") for f in container.decode()]
        # Here, as a stream ends with its container.
        codec = stream.codec_context
        kind = (codec.name, codec.pix_fmt, float(stream.average_rate))
        return np.stack(frames), kind


def gray(steps, height, width):
    """Each frame of one gray, brighter from frame to frame."""
    levels = np.linspace(20, 230, steps).astype(np.uint8)
    return np.broadcast_to(
        levels[:, None, None, None], (steps, height, width, 3)
    )


def test_frames_come_back_in_order():
    frames = gray(7, 64, 128)
    decoded, kind = decode(video.encode_mp4(frames, fps=12.5))
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).max() < 6
    # What browsers cannot play: 4:4:4, which FFmpeg chooses for RGB frames.
    assert kind == ("h264", "yuv420p", 12.5)


def test_odd_sizes_and_a_single_frame():
    """H.264 refuses odd sizes; an episode may end at its first frame."""
    decoded, _ = decode(video.encode_mp4(gray(1, 33, 65)))
    assert decoded.shape == (1, 34, 66, 3)


def test_both_files_hold_every_frame(tmp_path):
    gif, mp4 = video.write_videos(
        tmp_path / "out" / "run.v1", gray(5, 16, 16), scale=4
    )
    assert (gif.name, mp4.name) == ("run.v1.gif", "run.v1.mp4")
    assert decode(mp4.read_bytes())[0].shape == (5, 64, 64, 3)
    with Image.open(gif) as image:
        assert (image.n_frames, image.size) == (5, (64, 64))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        video.encode_mp4(np.zeros([3, 8, 8, 3], np.float32))
    with pytest.raises(ValueError, match="fps"):
        video.encode_mp4(gray(2, 8, 8), fps=0)
