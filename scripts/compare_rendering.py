"""Time and look of both rendering qualities.

    python -m scripts.compare_rendering

Plays the same random actions in two copies of each task and prints the median
milliseconds of a frame, and the mean and largest difference of pixels on a
scale of 255. Times vary with the machine, differences hardly.
"""

import time

import numpy as np
from absl import flags

from planet_tf import command
from planet_tf.control.make import make_environment
from planet_tf.control.tasks import TASKS

_FRAMES = flags.DEFINE_integer("frames", 40, "Frames per task.", lower_bound=1)


def compare(task: str, frames: int) -> str:
    """One line of the table."""
    worlds = [make_environment(task, name) for name in ("original", "fast")]
    rng = np.random.default_rng(0)
    seconds, differences = ([], []), []
    for world in worlds:
        world.reset(1)
    for _ in range(frames):
        action = rng.uniform(-1, 1, worlds[0].spec.action_dim)
        images = []
        for world, spent in zip(worlds, seconds, strict=True):
            world.step(action)
            start = time.perf_counter()
            images.append(world.render().astype(int))
            spent.append(time.perf_counter() - start)
        differences.append(np.abs(images[0] - images[1]))
    for world in worlds:
        world.close()
    original, fast = (1000 * np.median(spent) for spent in seconds)
    return (
        f"{task:18}{original:10.1f}{fast:10.1f}"
        f"{np.mean(differences):10.2f}{np.max(differences):10d}"
    )


def main() -> None:
    """Prints a table of all tasks in the original's list."""
    print(f"{'':18}{'original':>10}{'fast':>10}{'mean':>10}{'largest':>10}")
    for task in TASKS:
        print(compare(task, _FRAMES.value), flush=True)


if __name__ == "__main__":
    command.run(main)
