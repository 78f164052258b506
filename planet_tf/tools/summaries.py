"""What a run tells the outside: metrics.jsonl, TensorBoard and GIFs.

<logdir>/metrics.jsonl             one JSON object per logged point
<logdir>/events.out.tfevents.*     the same for TensorBoard, with the GIFs
<logdir>/events.out.tfevents.0.about  what TensorBoard shows of the whole run
<logdir>/videos/<name>-<updates>.gif  the ten newest of each name
<logdir>/<name>.gif                the newest video of that name
"""

import contextlib
import io
import json
import math
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from matplotlib.figure import Figure
from PIL import Image

from planet_tf.tools import gif, plots
from planet_tf.tools.files import atomic_write, write_text

# GIFs may differ from the frames by this much of 255: one step of the model's
# 5-bit pixels, whose flicker would be half of the file.
_TOLERANCE = 9
_DPI = 80  # Of plots.
_KEPT = 10  # Numbered GIFs of each name; TensorBoard's file has them all.


class Logger:
    """Writes the scalars, pictures and texts of one run.

    Every point can be read when the call returns. TensorBoard's x-axis is
    `env_steps`, so that runs with different action repeats compare. A point
    without new steps is shown one further: TensorBoard shows only the last
    point of a step, and forgets whole steps when a run is resumed. Pictures
    belong to the scalars that come next.

    Args:
        logdir: The run's directory, created if missing.
        resume_updates: Gradient steps in the checkpoint from which the run
            goes on. Points of metrics.jsonl and numbered GIFs with more
            `updates` are dropped, as the run will make them again, and
            TensorBoard is told to forget its points after the last one that is
            left. None keeps all.

    Raises:
        OSError: The directory is not writable; names the file.
    """

    def __init__(
        self,
        logdir: str | os.PathLike,
        resume_updates: int | None = None,
    ):
        self._logdir = pathlib.Path(logdir)
        self._logdir.mkdir(parents=True, exist_ok=True)
        self._videos = self._logdir / "videos"
        self._metrics_path = self._logdir / "metrics.jsonl"
        self._step = _keep_points(
            self._metrics_path, self._videos, resume_updates
        )
        for video in _numbered(self._videos):
            if resume_updates is not None and video.updates > resume_updates:
                video.path.unlink()
        with _explained(self._metrics_path):
            self._metrics = self._metrics_path.open("a", encoding="utf-8")
        # Made anew each time: in a file of every start, TensorBoard would
        # show texts as often as the run was resumed. Sorted before the others.
        about = self._logdir / "events.out.tfevents.0.about"
        with _explained(about):
            about.unlink(missing_ok=True)  # Readers may have it open.
        self._about = _EventFile(about)
        # Nanoseconds keep names unique.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._events = _EventFile(self._logdir / name)
        self._events.restart(self._step + 1)

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files; calling it again does nothing."""
        with _explained(self._metrics_path):
            self._metrics.close()
        self._about.close()
        self._events.close()

    def scalars(
        self,
        counters: Mapping[str, int],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Logs one point.

        Args:
            counters: How far the run is; `updates` and `env_steps` at least.
                TensorBoard shows them under "progress".
            metrics: Values by "topic/name". JSON has no NaN or infinity:
                metrics.jsonl holds null for them; TensorBoard marks them.
            curves: Lists of values by "topic/name", for metrics.jsonl alone.

        Raises:
            OSError: The disk is full, or not writable; names the file.
        """
        values = {name: float(value) for name, value in metrics.items()}
        line = {name: int(value) for name, value in counters.items()}
        line["wall_time"] = time.time()
        for name, value in values.items():
            line[name] = _finite(value)
        for name, curve in (curves or {}).items():
            line[name] = [_finite(float(value)) for value in curve]
        with _explained(self._metrics_path):
            self._metrics.write(json.dumps(line, allow_nan=False) + "\n")
            self._metrics.flush()
            # A checkpoint that outlives a power cut counts on this line.
            os.fsync(self._metrics.fileno())
        summary = tf.compat.v1.Summary()
        for name, value in counters.items():
            summary.value.add(tag=f"progress/{name}", simple_value=value)
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        self._write(counters, summary)
        self._step = _next_step(self._step, counters["env_steps"])

    def video(
        self,
        counters: Mapping[str, int],
        name: str,
        frames: np.ndarray,
        fps: float = 20,
    ) -> None:
        """Logs a video as GIF files and in TensorBoard's Images tab.

        Args:
            counters: How far the run is; `updates` and `env_steps` at least.
            name: "topic/name"; the slash becomes "_" in file names.
            frames: uint8 [T, H, W, 3].
            fps: Frames per second.

        Raises:
            OSError: The disk is full, or not writable; names the file.
        """
        data = gif.encode_gif(frames, fps, _TOLERANCE)
        stem = name.replace("/", "_")
        numbered = self._videos / f"{stem}-{counters['updates']:07d}.gif"
        for path in (numbered, self._logdir / f"{stem}.gif"):
            with atomic_write(path) as file:
                file.write(data)
        same = [x for x in _numbered(self._videos) if x.name == stem]
        for older in sorted(same, key=lambda x: x.updates)[:-_KEPT]:
            older.path.unlink()
        self._image(counters, name, frames.shape[1:3], data)

    def image(
        self, counters: Mapping[str, int], name: str, image: np.ndarray
    ) -> None:
        """Shows a photograph-like image, uint8 [H, W, 3], as a JPEG.

        Args:
            counters: How far the run is; `env_steps` at least.
            name: "topic/name".
            image: uint8 [H, W, 3].
        """
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=80)
        self._image(counters, name, image.shape[:2], buffer.getvalue())

    def figure(
        self, counters: Mapping[str, int], name: str, figure: Figure
    ) -> None:
        """Shows a plot, see `tools/plots.py`."""
        data = plots.png(figure, _DPI)
        width, height = Image.open(io.BytesIO(data)).size
        self._image(counters, name, (height, width), data)

    def histogram(
        self, counters: Mapping[str, int], name: str, values: np.ndarray
    ) -> None:
        """Shows how values of any shape are distributed.

        Those that are not finite are left out.
        """
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        counts, edges = np.histogram(values, bins=30)
        histogram = tf.compat.v1.HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=values.size,
            sum=values.sum(),
            sum_squares=np.square(values).sum(),
            # TensorBoard takes each limit as the upper end of its bucket.
            bucket_limit=edges,
            bucket=[0, *counts],
        )
        summary = tf.compat.v1.Summary()
        summary.value.add(tag=name, histo=histogram)
        self._write(counters, summary)

    def text(self, name: str, text: str) -> None:
        """Shows Markdown in TensorBoard's Text tab, such as the config."""
        summary = tf.compat.v1.Summary()
        value = summary.value.add(tag=name, tensor=tf.make_tensor_proto(text))
        value.metadata.plugin_data.plugin_name = "text"
        self._about.write(0, summary)

    def plugin(self, content: Any) -> None:
        """Writes a summary made by one of TensorBoard's plugins."""
        # Its Summary is another class with the same wire format.
        summary = tf.compat.v1.Summary.FromString(content.SerializeToString())
        self._about.write(0, summary)

    def _image(
        self,
        counters: Mapping[str, int],
        name: str,
        size: tuple[int, int],
        data: bytes,
    ) -> None:
        """Writes an encoded image of height and width `size`."""
        # TensorBoard has no video summary, but its image summary passes the
        # bytes on as they are, and the browser plays them.
        image = tf.compat.v1.Summary.Image(
            height=size[0],
            width=size[1],
            colorspace=3,
            encoded_image_string=data,
        )
        summary = tf.compat.v1.Summary()
        summary.value.add(tag=name, image=image)
        self._write(counters, summary)

    def _write(
        self, counters: Mapping[str, int], summary: tf.compat.v1.Summary
    ) -> None:
        """Writes to TensorBoard a part of the point at `counters`."""
        self._events.write(
            _next_step(self._step, counters["env_steps"]), summary
        )


class _EventFile:
    """TensorBoard's file format: TFRecords of Event protos.

    Written directly rather than through `tf.summary`, whose writer ignores a
    full disk and cannot mark a restart.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path  # Its name must contain "tfevents".
        with _explained(self._path):
            self._file = tf.io.TFRecordWriter(str(self._path))
        self._append(0, file_version="brain.Event:2")

    def restart(self, step: int) -> None:
        """Lets TensorBoard forget points of earlier files from `step` on."""
        status = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._append(step, session_log=status)

    def write(self, step: int, summary: tf.compat.v1.Summary) -> None:
        """Appends a summary, which can be read when it returns."""
        self._append(step, summary=summary)

    def close(self) -> None:
        """Closes the file."""
        with _explained(self._path):
            self._file.close()

    def _append(self, step: int, **content) -> None:
        event = tf.compat.v1.Event(wall_time=time.time(), step=step, **content)
        with _explained(self._path):
            self._file.write(event.SerializeToString())
            self._file.flush()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _next_step(last: int, env_steps: int) -> int:
    """Where TensorBoard shows a point after one at step `last`."""
    return max(env_steps, last + 1)


def _keep_points(
    path: pathlib.Path, videos: pathlib.Path, updates: int | None
) -> int:
    """Drops points that a resumed run makes again; see `Logger`.

    Where none is left, the file and the folder of videos are set aside.

    Returns:
        Where TensorBoard shows the last point that is left; 0 without any.
    """
    if not path.exists():
        return 0
    text = path.read_text(encoding="utf-8", errors="replace")
    kept, step, damaged = "", 0, 0
    for line in text.splitlines():
        try:
            point = json.loads(line)
            at, env_steps = point["updates"], point["env_steps"]
        except (ValueError, TypeError, KeyError):
            damaged += 1
            continue
        if updates is None or at <= updates:
            kept += line + "\n"
            step = _next_step(step, env_steps)
    if damaged:
        logging.warning(
            "Dropped %d damaged line(s) of %s, as a crash leaves them.",
            damaged,
            path,
        )
    if text and not kept:
        # The checkpoints were moved away: a new run, but days of the old one.
        now = time.time_ns()
        path.replace(path.with_name(f"metrics.{now}.jsonl"))
        if videos.exists():
            videos.replace(videos.with_name(f"videos.{now}"))
    elif kept != text:
        write_text(path, kept)
    return step


class _Video(NamedTuple):
    """A file `<name>-<updates>.gif`."""

    name: str
    updates: int
    path: pathlib.Path


def _numbered(folder: pathlib.Path) -> Iterator[_Video]:
    """The numbered GIFs in a folder, in no order."""
    for path in folder.glob("*.gif"):
        if match := re.fullmatch(r"(.+)-(\d{7,})\.gif", path.name):
            yield _Video(match[1], int(match[2]), path)


@contextlib.contextmanager
def _explained(path: pathlib.Path) -> Iterator[None]:
    """Turns a failed write into an OSError that names the file."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"Could not write {path} ({reason}). Free some disk space or "
            "correct its permissions, then start the same command again to "
            "resume the run."
        ) from error
