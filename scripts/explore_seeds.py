"""What random actions find: `python -m scripts.explore_seeds --task=cup_catch`.

Plays episodes of random actions with several correlations between neighbouring
actions (`--seed_action_correlation` of a run) and prints their returns.
"""

import functools

import numpy as np
from absl import flags

from planet_tf import command
from planet_tf.control import rendering
from planet_tf.control.episodes import RandomActions, collect, episode_return
from planet_tf.control.make import make_environment
from planet_tf.control.workers import Worker

_TASK = flags.DEFINE_string("task", "cup_catch", "Task.")
_EPISODES = flags.DEFINE_integer("episodes", 40, "Episodes each.", 1)
_CORRELATIONS = flags.DEFINE_list(
    "correlations", ["0", "0.5", "0.8", "0.9", "0.95"], "What to compare."
)


def main() -> None:
    """Prints one line for each correlation."""
    rendering.choose_backend()
    constructor = functools.partial(
        make_environment, _TASK.value, render_quality="fast"
    )
    print(f"{'correlation':>12}{'rewarded':>10}{'mean':>8}{'largest':>9}")
    with Worker(constructor) as world:
        for correlation in map(float, _CORRELATIONS.value):
            policy = RandomActions(world.spec.action_dim, correlation)
            returns = [
                episode_return(collect([world], policy, [seed])[0])
                for seed in range(_EPISODES.value)
            ]
            print(
                f"{correlation:12.2f}{np.mean(np.array(returns) > 1):10.0%}"
                f"{np.mean(returns):8.1f}{np.max(returns):9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    command.run(main)
