"""MP4 videos from uint8 frames, and GIF and MP4 side by side.

H.264 in 4:2:0, which every browser plays. Encoded in this process by PyAV, the
binding to FFmpeg's libraries; no program is called.
"""

import io
import pathlib
from fractions import Fraction

import av
import numpy as np

from planet_tf.tools.files import atomic_write
from planet_tf.tools.gif import checked_frames, encode_gif, upscale


def encode_mp4(frames: np.ndarray, fps: float = 20) -> bytes:
    """Encodes frames as an MP4 that browsers play.

    H.264 needs even sizes here: an odd height or width gets its last row or
    column twice.

    Args:
        frames: uint8 [T, H, W, 3], with T, H and W at least 1.
        fps: Frames per second, > 0.

    Raises:
        ValueError: Frames of another shape or type, or an impossible rate.
    """
    frames = checked_frames(frames)
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps}.")
    _, height, width, _ = frames.shape
    frames = np.pad(
        frames, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], "edge"
    )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", Fraction(fps).limit_denominator(1000)
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # Near-lossless: these videos are tiny, and large flat pixels show
        # every artefact.
        stream.options = {"crf": "16"}
        for frame in frames:
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def write_videos(
    path: pathlib.Path,
    frames: np.ndarray,
    fps: float = 20,
    scale: int = 1,
    tolerance: int = 0,
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes the same frames as a GIF and as an MP4.

    Args:
        path: Without an ending; `.gif` and `.mp4` are added.
        frames: uint8 [T, H, W, 3].
        fps: Frames per second, 1 to 50.
        scale: Every pixel becomes a square of this size, so that 64 pixels
            can be seen.
        tolerance: Of the GIF, see `encode_gif`.

    Returns:
        The two files.

    Raises:
        OSError: Naming the file that could not be written.
        ValueError: See `encode_gif`.
    """
    frames = upscale(frames, scale)
    files = (path.with_name(f"{path.name}.{kind}") for kind in ("gif", "mp4"))
    gif, mp4 = files
    for target, data in (
        (gif, encode_gif(frames, fps, tolerance)),
        (mp4, encode_mp4(frames, fps)),
    ):
        with atomic_write(target) as file:
            file.write(data)
    return gif, mp4
