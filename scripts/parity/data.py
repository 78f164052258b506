"""Pixels, chunks and schedules."""

import tempfile

import numpy as np
import tensorflow as tf

from planet_tf.tools.preprocess import postprocess, preprocess
from planet_tf.tools.replay import Replay
from planet_tf.training.schedule import Interval, Schedule, noise_scale
from scripts.parity.report import EXACT, LAYER, Parity


def data(p: Parity) -> None:
    """Everything that `data.npz` is about."""
    _pixels(p)
    _chunks(p)
    _schedules(p)


def _pixels(p: Parity) -> None:
    image, unit = (tf.constant(p.get(f"data:{x}")) for x in ("image", "unit"))
    for bits in (3, 5, 8):
        p.check(f"data:pre_clean_{bits}", preprocess(image, bits), EXACT)
        noisy = preprocess(image, bits, unit)
        p.check(f"data:pre_noisy_{bits}", noisy, LAYER)
        p.check(f"data:post_float_{bits}", postprocess(noisy, bits), EXACT)
        p.check(f"data:post_uint8_{bits}", _uint8(noisy, bits), EXACT)
    wide = tf.constant(p.get("data:wide"))
    p.check("data:post_float_wide_5", postprocess(wide, 5), EXACT)
    p.check("data:post_uint8_wide_5", _uint8(wide, 5), EXACT)


def _uint8(image: tf.Tensor, bits: int) -> np.ndarray:
    return np.clip(256 * postprocess(image, bits), 0, 255).astype(np.uint8)


def _chunks(p: Parity) -> None:
    cases = p.get("data:chunk_cases").copy()
    for i, (rows, length, number, _, offset) in enumerate(cases):
        # Each chunk is drawn on its own here. Where the original takes several
        # from one episode, the later follow the first without a gap.
        number_taken = len(p.get(f"data:chunk_{i}_length"))
        offsets = max(offset, 0) + length * np.arange(number_taken)
        chunks, places = _sample(rows, length, offsets)
        p.check(f"data:chunk_{i}_a", chunks, EXACT)
        p.check(f"data:chunk_{i}_length", [len(x) for x in chunks], EXACT)
        if number == 1 and offset >= 0:
            cases[i, 3] = places
    p.check("data:chunk_cases", cases, EXACT)


def _sample(
    rows: int, length: int, offsets: np.ndarray
) -> tuple[np.ndarray, int]:
    """Chunks of 0, 1, 2... at given offsets, and how many offsets there are."""

    class Given:
        """Stands for the random generator."""

        def integers(self, high: int, size: int) -> np.ndarray:
            self.high = high
            return offsets

    episode = {
        "image": np.zeros([rows, 1, 1, 3], np.uint8),
        "action": np.zeros([rows, 1], np.float32),
        "reward": np.arange(rows, dtype=np.float32),
    }
    rng = Given()
    with tempfile.TemporaryDirectory() as directory:
        replay = Replay(directory)
        replay.add(episode, "count")
        batch = replay.sample(rng, len(offsets), length, ("reward",))
    return batch["reward"], rng.high


def _schedules(p: Parity) -> None:
    steps = p.get("data:schedule_step")
    batch = int(steps[1] - steps[0])
    collectors = {
        name: Interval(*values)
        for name, values in p.settings["intervals"].items()
    }
    schedule = Schedule(50_000, 50, batch, 50_000_000, collectors)
    # The original reads its counter before the update that advances it.
    due = [schedule.collect_due(step // batch + 1) for step in steps.tolist()]
    for name in collectors:
        p.check(f"data:schedule_{name}", [name in x for x in due], EXACT)
    for name, ramp in p.settings["ramps"].items():
        noise = [noise_scale(step, *ramp) for step in steps.tolist()]
        p.check(f"data:schedule_noise_{name}", noise, LAYER)
