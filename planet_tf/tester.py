"""The test phase: episodes without noise, losses on held-out sequences."""

import dataclasses
from collections.abc import Sequence

from planet_tf import pictures
from planet_tf.config import Config
from planet_tf.models.world_model import WorldModel
from planet_tf.players import Players, scores
from planet_tf.tools.progress import Timers
from planet_tf.tools.replay import Replay
from planet_tf.tools.summaries import Logger
from planet_tf.training.evaluation import holdouts, merged
from planet_tf.training.guards import memory_for
from planet_tf.training.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Tester:
    """Everything that a test needs.

    Attributes:
        config: The run's.
        schedule: The run's.
        model: To test.
        players: Who play in tests.
        replay: Where these episodes go, and held-out sequences come from.
        tasks: By name in the replay.
        log: For pictures.
        timers: "evaluate" is the time of the held-out sequences.
    """

    config: Config
    schedule: Schedule
    model: WorldModel
    players: Players
    replay: Replay
    tasks: Sequence[str]
    log: Logger
    timers: Timers

    def test(self, counters: dict[str, int]) -> tuple[dict, dict]:
        """Returns scalars and curves; shows pictures where they are due."""
        config, updates = self.config, counters["updates"]
        shown = self.schedule.pictures_due(updates)
        # Deviates from planet: every collector plays once, however many
        # batches `test_steps` asks for.
        played = self.players.play(updates)
        self.players.record()
        with self.timers("evaluate"), memory_for("a test", "batch_shape"):
            found = holdouts(
                self.model,
                self.replay,
                self.tasks,
                self.schedule.test_batches,
                config.batch_shape[0],
                config.seed,
                updates,
            )
            metrics, curves = merged(found)
            if shown:
                log = self.log
                for name, episodes in played.items():
                    pictures.log_episodes(log, counters, name, episodes)
                pictures.log_predictions(log, counters, found)
                if config.histograms:
                    pictures.log_histograms(log, counters, found, self.model)
        return scores(played) | metrics, curves
