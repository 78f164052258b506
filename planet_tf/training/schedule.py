"""When to collect, test and stop: the original trainer's clock.

The original counts *step units*: every update advances its counter by the batch
size B, in the train phase as in the test phase. An epoch is `train_steps` units
of training followed by `test_steps` units of testing. With its defaults
(B = 50) an epoch is 1000 updates and one test, and one episode is collected
every 100 updates.
"""

import dataclasses
import math
from typing import NamedTuple

CONTEXT = 5  # Frames seen before a prediction, as in the paper's videos.
# Frames of a held-out sequence, these among them.
# Deviates from planet: there it is as long as a training chunk, 50 by default.
TEST_LENGTH = 50


class Interval(NamedTuple):
    """When a collector plays, in step units of training."""

    after: int  # The first time
    every: int
    until: int = -1  # Never from here on; 0 or less: no end.

    def due(self, step: int, batch: int) -> bool:
        """Whether it is, or was during the last `batch` units."""
        since = step - self.after
        ended = 0 < self.until <= step
        return since >= 0 and since % self.every < batch and not ended

    def count(self, step: int, batch: int) -> int:
        """How often it is due until `step`, a multiple of `batch`."""
        end = step
        if self.until > 0:
            end = min(step, (self.until - 1) // batch * batch)
        return max(0, (end - self.after) // max(self.every, batch) + 1)


_PICTURES = 100  # Tests of a run that are shown in pictures.


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Turns the original's step units into numbers of updates.

    Every method takes the number of updates done so far: 0 at the start, 1
    after the first.

    Attributes:
        train_steps: Units of training in an epoch, rounded up to whole
            batches.
        test_steps: Units of testing in an epoch, rounded up likewise.
        batch: Units per update, the batch size B.
        max_steps: The run ends when train and test units reach this.
        intervals: When each collector plays, by name.
    """

    train_steps: int
    test_steps: int
    batch: int
    max_steps: int
    intervals: dict[str, Interval]

    @property
    def epoch_updates(self) -> int:
        """Updates in an epoch."""
        # Deviates from planet: there, phases that are no multiple of the
        # batch drift against it, and some epochs get an update more.
        return math.ceil(self.train_steps / self.batch)

    @property
    def test_batches(self) -> int:
        """Held-out batches evaluated in each test phase."""
        return math.ceil(self.test_steps / self.batch)

    @property
    def total_updates(self) -> int:
        """Updates in the whole run."""
        epoch = (self.epoch_updates + self.test_batches) * self.batch
        epochs, rest = divmod(self.max_steps, epoch)
        rest = min(math.ceil(rest / self.batch), self.epoch_updates)
        return epochs * self.epoch_updates + rest

    def collect_step(self, updates: int) -> int:
        """The counter a collection reads, for `collect_due` and noise.

        It is the original's training counter as it was before the latest
        update, which is why the first collection follows the 101st update by
        default and not the 100th.
        """
        return (updates - 1) * self.batch

    def collect_due(self, updates: int) -> list[str]:
        """Names of the collectors that are to play now (`define_model.py`)."""
        step = self.collect_step(updates)
        return [
            name
            for name, interval in self.intervals.items()
            if interval.due(step, self.batch)
        ]

    def test_due(self, updates: int) -> bool:
        """Whether an epoch's updates were just completed."""
        # Deviates from planet: a run whose `max_steps` falls between the last
        # update of an epoch and its test is still tested, because the run's
        # last weights would otherwise have no score.
        return updates > 0 and updates % self.epoch_updates == 0

    def pictures_due(self, updates: int) -> bool:
        """Whether a test shows videos and plots too.

        Every one of up to 100 tests, and of longer runs about 100 evenly
        spaced ones with the first and the last, so that the pictures of a
        task take about 100 MB at most.
        """
        number, rest = divmod(updates, self.epoch_updates)
        last = self.total_updates // self.epoch_updates
        every = max(1, math.ceil(last / _PICTURES))
        return (
            rest == 0
            and number > 0
            and ((number - 1) % every == 0 or number == last)
        )

    def next_stop(self, updates: int) -> int:
        """The next number of updates at which anything is due, or the end.

        At the end of the run this is `total_updates` again.
        """
        end = self.total_updates
        for later in range(updates + 1, end):
            if self.collect_due(later) or self.test_due(later):
                return later
        return end


def noise_scale(step: int, ramp: int = 0, minimum: float = 0.0) -> float:
    """Factor of the exploration noise (original `mpc_agent.py`).

    Args:
        step: Units of training, see `Schedule.collect_step`.
        ramp: 0 keeps the factor at 1; positive grows it from 0 to 1 within so
            many units; negative shrinks it from 1 to 0.
        minimum: The factor never falls below this.
    """
    scale = 1.0
    if ramp:
        scale = min(step / abs(ramp), 1.0)
    if ramp < 0:
        scale = 1.0 - scale
    return max(minimum, scale)
