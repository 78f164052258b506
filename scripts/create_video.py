"""What a trained model imagines: `python -m scripts.create_video --logdir=RUN`.

Shows held-out sequences side by side, and below them what the model predicts
after 5 frames of context from the actions of the other 45 alone, and the error
(grey: none). The frame around a prediction is blue during the context and
orange afterwards. Runs with several tasks have one block of rows for each.

Writes open_loop.gif and open_loop.mp4. (The original's script of this name cuts
TensorBoard's image strips into frames instead.)
"""

import pathlib

import numpy as np
from absl import flags

from planet_tf import command, run_folder
from planet_tf.tools.quiet import without_cuda_complaints
from scripts import predictions

_LETTERS = 8  # Pixels of a letter's size for each step of `scale`.


def main() -> None:
    """Writes the videos, and says where they are."""
    predictions.show(write, "Open-loop predictions", "scale", "fps")


def write(
    run: run_folder.Run,
    out: pathlib.Path,
    sequences: int = 6,
    seed: int = 0,
    scale: int | None = None,
    fps: float = 10,
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes GIF and MP4 into `out`, and returns them; see the flags."""
    # TensorFlow, which flags and a missing run need not wait for.
    with without_cuda_complaints():
        from planet_tf.heldout import predict
    from planet_tf.tools.video import write_videos

    found = predict(run, sequences, seed)
    scale = scale or (3 if len(found) == 1 else 2)
    frames = render({k: v.predictions for k, v in found.items()}, scale)
    return write_videos(out / "open_loop", frames, fps, tolerance=9)


def render(found: dict, scale: int) -> np.ndarray:
    """The frames, uint8 [T, H, W, 3], from an `OpenLoop` for each task."""
    from planet_tf.tools import panels
    from planet_tf.training.evaluation import CONTEXT

    letters = _LETTERS * scale
    blocks = []
    for task, shown in found.items():
        rows = panels.comparison(shown.truth, shown.open.image)
        block = panels.with_labels(
            panels.video(rows, CONTEXT, scale), list(rows), letters
        )
        blocks.append(panels.with_captions(block, [task], size=letters))
    frames = np.concatenate(blocks, axis=1)
    predicted = len(frames) - CONTEXT
    captions = [f"seen {t + 1}/{CONTEXT}" for t in range(CONTEXT)]
    captions += [f"predicted {k + 1}/{predicted}" for k in range(predicted)]
    colors = [panels.CONTEXT_COLOR] * CONTEXT
    colors += [panels.PREDICTED_COLOR] * predicted
    return panels.with_captions(frames, captions, colors, letters)


def define_flags() -> None:
    """The flags of this command."""
    predictions.define_flags(sequences=6, most=20)
    flags.DEFINE_integer(
        "scale",
        None,
        "Every pixel becomes a square of this size; 3 by default, or 2 with "
        "several tasks.",
        1,
    )
    flags.DEFINE_float("fps", 10, "Frames per second.", 1, 50)


if __name__ == "__main__":
    define_flags()
    command.run(main)
