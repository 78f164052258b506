"""Who plays the episodes of a run, to train on or to test with."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from planet_tf.collects import Collect
from planet_tf.control.episode_source import EpisodeSource
from planet_tf.control.episodes import Episode, episode_return
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.tools.progress import Progress
from planet_tf.training.guards import memory_for
from planet_tf.training.schedule import Schedule, noise_scale

# By name of the collector and task.
Played = dict[str, dict[str, list[Episode]]]


@dataclasses.dataclass(frozen=True)
class Players:
    """The collectors of a split, each with the agent that plans as it asks.

    Attributes:
        collects: The collectors by name, see `Config.collectors`.
        agents: By `Collect.agent_key`, see `build.agents`.
        source: Has the worlds and the replay of this split.
        schedule: The run's.
        progress: Counts the decisions.
    """

    collects: dict[str, Collect]
    agents: dict[tuple, MPCAgent]
    source: EpisodeSource
    schedule: Schedule
    progress: Progress

    def play(self, updates: int, names: Sequence[str] | None = None) -> Played:
        """Plays with some of the collectors, or all; `record` keeps it.

        Args:
            updates: Done when these episodes are due: sets the noise.
            names: Of collectors.

        Raises:
            MemoryError: The accelerator's ran out.
            WorkerError: A world failed several times in a row.
        """
        played = {}
        for name in self.collects if names is None else names:
            collect = self.collects[name]
            agent = self.agents[collect.agent_key]
            agent.action_noise = collect.action_noise * noise_scale(
                self.schedule.collect_step(updates),
                collect.action_noise_ramp,
                collect.action_noise_min,
            )
            with memory_for("planning", "planner_amount", "planner_horizon"):
                played[name] = self.source.play(
                    agent, self.progress.played, collect.batch_size
                )
        return played

    def record(self) -> None:
        """Adds what was played to the replay; see `Replay.add`."""
        self.source.record()


def scores(played: Played) -> dict[str, float]:
    """Mean returns by task, and their mean, the original's `score`."""
    result = {}
    for name, by_task in played.items():
        returns = {
            f"{name}/return_{task}": float(
                np.mean([*map(episode_return, some)])
            )
            for task, some in by_task.items()
        }
        mean = float(np.mean(list(returns.values())))
        result |= {**returns, f"{name}/score": mean}
    return result
