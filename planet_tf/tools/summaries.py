"""What a run tells the outside: metrics.jsonl, TensorBoard and GIFs.

<logdir>/metrics.jsonl             one JSON object per logged point
<logdir>/events.out.tfevents.*     the same for TensorBoard, with the GIFs
<logdir>/videos/<name>-<updates>.gif
<logdir>/<name>.gif                the newest video of that name
"""

import contextlib
import json
import math
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from absl import logging

from planet_tf.tools import gif
from planet_tf.tools.files import atomic_write

# Sky blue and orange, which colour-blind readers tell apart (Okabe and Ito).
CONTEXT_COLOR = (86, 180, 233)
PREDICTED_COLOR = (230, 159, 0)
_GAP_COLOR = (0, 0, 0)
_BORDER = 2  # Pixels around each image of a video, after enlarging.
_ENLARGE = 2


class Logger:
    """Writes the scalars, videos and texts of one run.

    Every point is on disk when the call returns. TensorBoard's x-axis is
    `env_steps`, so that runs with different action repeats compare.

    Args:
        logdir: The run's directory, created if missing.
        resume_updates: Gradient steps in the checkpoint from which the run
            goes on. Points of metrics.jsonl with more `updates` are dropped,
            as the run will make them again, and TensorBoard is told to forget
            its points after the last one that is left. None keeps all.

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
        self._metrics_path = self._logdir / "metrics.jsonl"
        step = _keep_points(self._metrics_path, resume_updates)
        with _explained(self._metrics_path):
            self._metrics = self._metrics_path.open("a", encoding="utf-8")
        self._events = _EventFile(self._logdir, step + 1)

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files; calling it again does nothing."""
        with _explained(self._metrics_path):
            self._metrics.close()
        self._events.close()

    def scalars(
        self, counters: Mapping[str, int], metrics: Mapping[str, float]
    ) -> None:
        """Logs one point.

        Args:
            counters: How far the run is; `updates` and `env_steps` at least.
            metrics: Values by "topic/name". JSON has no NaN or infinity:
                metrics.jsonl holds null for them; TensorBoard marks them.

        Raises:
            OSError: The disk is full, or not writable; names the file.
        """
        values = {name: float(value) for name, value in metrics.items()}
        line = {name: int(value) for name, value in counters.items()}
        line["wall_time"] = time.time()
        for name, value in values.items():
            line[name] = value if math.isfinite(value) else None
        with _explained(self._metrics_path):
            self._metrics.write(json.dumps(line, allow_nan=False) + "\n")
            self._metrics.flush()
        summary = tf.compat.v1.Summary()
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        self._events.write(counters["env_steps"], summary)

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
        data = gif.encode_gif(frames, fps)
        stem = name.replace("/", "_")
        numbered = f"videos/{stem}-{counters['updates']:07d}.gif"
        for path in (numbered, f"{stem}.gif"):
            with atomic_write(self._logdir / path) as file:
                file.write(data)
        # TensorBoard has no video summary, but its image summary passes the
        # bytes on as they are, and the browser plays them.
        image = tf.compat.v1.Summary.Image(
            height=frames.shape[1],
            width=frames.shape[2],
            colorspace=3,
            encoded_image_string=data,
        )
        summary = tf.compat.v1.Summary()
        summary.value.add(tag=name, image=image)
        self._events.write(counters["env_steps"], summary)

    def text(self, name: str, text: str) -> None:
        """Shows Markdown in TensorBoard's Text tab, such as the config."""
        summary = tf.compat.v1.Summary()
        value = summary.value.add(tag=name, tensor=tf.make_tensor_proto(text))
        value.metadata.plugin_data.plugin_name = "text"
        self._events.write(0, summary)


def open_loop_video(
    truth: np.ndarray, prediction: np.ndarray, context: int = 5
) -> np.ndarray:
    """Sets what the model predicts beside what happened.

    Three rows of sequences side by side: truth, prediction, and error, which
    is grey where the two agree. The frame around the prediction is blue while
    the model sees the images, and orange once it predicts from actions alone.

    Args:
        truth: Float [B, T, H, W, 3] in [0, 1].
        prediction: Float [B, T, H, W, 3] in [0, 1].
        context: How many of the T images the model saw.

    Returns:
        uint8 [T, 3 * (2 * H + 4), B * (2 * W + 4), 3], each image enlarged
        twice and framed by 2 pixels.

    Raises:
        ValueError: The shapes differ or are no videos.
    """
    if truth.shape != prediction.shape or truth.ndim != 5:
        raise ValueError(
            "Truth and prediction must both be [B, T, H, W, 3], got "
            f"{list(truth.shape)} and {list(prediction.shape)}."
        )
    error = (prediction - truth + 1) / 2
    rows = [
        _row(truth, [_GAP_COLOR]),
        _row(
            prediction,
            [
                CONTEXT_COLOR if t < context else PREDICTED_COLOR
                for t in range(truth.shape[1])
            ],
        ),
        _row(error, [_GAP_COLOR]),
    ]
    return np.concatenate(rows, axis=1)


def _row(images: np.ndarray, colors: list[tuple[int, int, int]]) -> np.ndarray:
    """Sequences [B, T, H, W, 3] side by side: uint8 [T, H', B * W', 3].

    Args:
        images: Float in [0, 1].
        colors: Of the frame around each image, T of them or one for all.
    """
    images = np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
    images = gif.upscale(images, _ENLARGE)
    B, T, H, W, C = images.shape
    tiles = np.empty([T, H + 2 * _BORDER, B, W + 2 * _BORDER, C], np.uint8)
    tiles[:] = np.array(colors, np.uint8)[:, None, None, None]
    inside = slice(_BORDER, -_BORDER)
    tiles[:, inside, :, inside] = images.transpose(1, 2, 0, 3, 4)
    return tiles.reshape([T, H + 2 * _BORDER, -1, C])


class _EventFile:
    """TensorBoard's file format: TFRecords of Event protos.

    Written directly rather than through `tf.summary`, whose writer ignores a
    full disk and cannot mark a restart.
    """

    def __init__(self, logdir: pathlib.Path, start_step: int):
        # The name must contain "tfevents"; nanoseconds keep names unique.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._path = logdir / name
        with _explained(self._path):
            self._file = tf.io.TFRecordWriter(str(self._path))
        self._append(0, file_version="brain.Event:2")
        # TensorBoard forgets points of earlier files from this step on.
        status = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._append(start_step, session_log=status)

    def write(self, step: int, summary: tf.compat.v1.Summary) -> None:
        """Appends a summary, and has it on disk before it returns."""
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


def _keep_points(path: pathlib.Path, updates: int | None) -> int:
    """Drops points that a resumed run makes again; see `Logger`.

    Returns:
        The `env_steps` of the last point that is left, or -1 without any.
    """
    if not path.exists():
        return -1
    text = path.read_text(encoding="utf-8", errors="replace")
    kept, step, damaged = "", -1, 0
    for line in text.splitlines():
        try:
            point = json.loads(line)
            at, env_steps = point["updates"], point["env_steps"]
        except (ValueError, TypeError, KeyError):
            damaged += 1
            continue
        if updates is None or at <= updates:
            kept += line + "\n"
            step = max(step, env_steps)
    if damaged:
        logging.warning(
            "Dropped %d damaged line(s) of %s, as a crash leaves them.",
            damaged,
            path,
        )
    if text and not kept:
        # The checkpoints were moved away: a new run, but days of the old one.
        path.replace(path.with_name(f"metrics.{time.time_ns()}.jsonl"))
    elif kept != text:
        with atomic_write(path) as file:
            file.write(kept.encode())
    return step


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
