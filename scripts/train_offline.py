"""Trains a model on another run's episodes, to see what its settings are worth.

    python -m scripts.train_offline --logdir=RUN --config=cpu --conv_depth=16

Nobody acts: the model learns from RUN's `train_episodes` for `--seconds` of
processor time, and is scored on its `test_episodes` meanwhile. Flags of
training that concern the model apply, but --state_diagnostics; with
--center_images, the mean is that of all these episodes; --task or --tasks
choose among them, and the columns are of all tasks together. The run's own
config is not read, and nothing is written. A line says

    seconds, updates  of processor time in updates so far, and their number
    ms                for each
    image, reward     held-out log-probabilities in nats, higher is better
    next image        the same of an image that is predicted one step ahead
    kl                KL(post || prior) on the same
    reward error      mean absolute error of the reward, open loop, over the
                      planner's horizon after 5 images
    R2 post, next,    share of the reward's variance that is explained by the
    open              posterior, one step ahead, and open loop, 1 to 5 steps
                      after 5 images (the others: from there on)
    sums              correlation of the reward's sum over that horizon with
                      the one predicted: what plans are ranked by, but across
                      states

The scores are of 64 held-out sequences of 50 rows, or as many as each task has.
"""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from planet_tf import command, config_flags
from planet_tf.config import Config
from planet_tf.control.tasks import label
from planet_tf.tools.files import expanded
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.replay import Replay
from planet_tf.tools.seeding import fold
from planet_tf.training.schedule import CONTEXT

if TYPE_CHECKING:
    from planet_tf.training.evaluation import Holdout

_COLUMNS = (
    "seconds",
    "updates",
    "ms",
    "image",
    "next image",
    "reward",
    "kl",
    "reward error",
    "R2 post",
    "R2 next",
    "R2 open",
    "sums",
)
_BATCH, _BATCHES = 16, 4  # Of held-out sequences.


def compare(
    config: Config,
    logdir: str,
    seconds: float,
    every: float,
    tasks: Sequence[str] | None = None,
) -> None:
    """Trains and prints; see the flags.

    Args:
        config: Of the model.
        logdir: A flag, as are the others.
        seconds: The same.
        every: The same.
        tasks: Labels of those whose episodes count. None: all.

    Raises:
        ValueError: There are no such episodes.
    """
    folder, horizon = expanded(logdir), config.planner_horizon
    replay, heldout = (
        Replay(folder / f"{split}_episodes", tasks=tasks, read_only=True)
        for split in ("train", "test")
    )
    length = heldout.sequence_length(heldout.tasks)
    sequences = [*heldout.batches(0, _BATCHES, _BATCH, length, 0)]
    batches = replay.batches(0, sys.maxsize, *config.batch_shape, config.seed)
    first = next(batches)
    # TensorFlow, which flags and missing episodes need not wait for.
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build
        from planet_tf.tools import devices
        from planet_tf.training.evaluation import holdout

        devices.prepare()
    tf.keras.utils.set_random_seed(config.seed)
    model = build.world_model(config, first["action"].shape[-1])
    learner = build.learner(config, model)
    if model.background is not None:
        model.background.assign(replay.mean_image(config.image_bits))
    learner.trace(first)
    rewards = np.concatenate([batch["reward"] for batch in sequences])
    rewards = rewards[:, CONTEXT:]  # Those that are scored.
    print(
        f"{len(rewards)} held-out sequences; rewards vary in "
        f"{np.count_nonzero(np.ptp(rewards, axis=1))} of them.",
        file=sys.stderr,
    )
    print("  ".join(f"{name:>12}" for name in _COLUMNS), flush=True)
    spent, due, updates = 0.0, every, 0
    for batch in batches:
        began = time.process_time()
        seed = tf.constant(fold(config.seed, "update", updates))
        loss = learner.update(batch, seed)["loss"].numpy()
        spent += time.process_time() - began
        updates += 1
        if not loss < float("inf"):
            raise ValueError(f"The loss of update {updates} is {loss}.")
        if spent >= due:
            noise = fold(config.seed, "holdout", 0)
            found = [holdout(model, [batch], noise) for batch in sequences]
            metrics = {
                name: np.mean([x.metrics[name] for x in found])
                for name in found[0].metrics
            }
            errors = np.mean(
                [x.curves["open_loop/reward_by_step"] for x in found], 0
            )
            values = (
                f"{spent:.0f}",
                f"{updates:,}",
                f"{1000 * spent / updates:.0f}",
                f"{metrics['test/image']:,.2f}",
                f"{metrics['closed_loop/prior_image_log_prob']:,.2f}",
                f"{metrics['test/reward']:.3f}",
                f"{metrics['test/kl']:.2f}",
                f"{errors[:horizon].mean():.3f}",
                *(f"{x:.2f}" for x in _rewards(found, horizon)),
            )
            print("  ".join(f"{value:>12}" for value in values), flush=True)
            if spent >= seconds:
                return
            due = min(due + every, seconds)


def _rewards(found: "list[Holdout]", horizon: int) -> list[float]:
    """What the last four columns say; nan where rewards do not vary."""
    truth = np.concatenate([x.batch["reward"] for x in found])[:, CONTEXT:]
    post, prior, ahead = (
        np.concatenate(
            [getattr(x.predictions, name).values["reward"] for x in found]
        )[:, CONTEXT:]
        for name in ("post", "prior", "open")
    )

    def explained(guess: np.ndarray, truth: np.ndarray) -> float:
        return 1 - np.mean((guess - truth) ** 2) / (np.var(truth) or np.nan)

    sums = (x[:, :horizon].sum(1) for x in (ahead, truth))
    with np.errstate(invalid="ignore"):  # No variance.
        correlation = np.corrcoef(*sums)[0, 1]
    return [
        explained(post, truth),
        explained(prior, truth),
        explained(ahead[:, :5], truth[:, :5]),
        correlation,
    ]


def main() -> None:
    """From the command line to `compare`."""
    values = flags.FLAGS
    with command.reported():
        config = config_flags.read()
        chosen = values["task"].present or values["tasks"].present
        compare(
            config,
            command.logdir(),
            values.seconds,
            min(values.every, values.seconds),
            [*map(label, config.tasks)] if chosen else None,
        )


def define_flags() -> None:
    """The flags of this command."""
    config_flags.define()
    flags.DEFINE_string("logdir", None, "Folder of a run with episodes.")
    flags.DEFINE_float(
        "seconds", 180.0, "Processor time to train for, in seconds.", 0.0
    )
    flags.DEFINE_float(
        "every", 60.0, "Seconds of processor time between scores.", 0.0
    )


if __name__ == "__main__":
    define_flags()
    command.run(main)
