"""What of a round is done; see `checkpoint.Position`."""

import time
from collections.abc import Mapping, Sequence

from planet_tf.tools.replay import Replay
from planet_tf.training.checkpoint import Position


class Round:
    """Updates, then what is due after them; a run is one after the other.

    Args:
        first: Where the run goes on, or begins.
        started: Time at which this process began with it.
        replays: To train and to test on, with all that was recorded so far.

    Attributes:
        updates: Gradient steps done.
        losses: Of those in this round, as from `Learner.update`.
        best: Highest test score so far.
    """

    def __init__(
        self, first: Position, started: float, replays: Sequence[Replay]
    ):
        self.updates = first.updates
        self.losses = [*first.losses]
        self.best = first.best_score
        self._begun = started - first.seconds
        self._replays = replays
        self._mark()

    @property
    def start(self) -> int:
        """Updates that were done before this round."""
        return self.updates - len(self.losses)

    @property
    def seconds(self) -> float:
        """Wall time taken so far, by all processes of the run."""
        return time.time() - self._begun

    @property
    def position(self) -> Position:
        """What continues here; episodes of this round are played again."""
        losses = [{k: float(v) for k, v in x.items()} for x in self.losses]
        return Position(
            self.updates, self.seconds, losses, *self._recorded, self.best
        )

    def add(self, loss: Mapping[str, float]) -> None:
        """Counts an update."""
        self.losses.append(loss)
        self.updates += 1

    def end(self) -> None:
        """The next round begins: all that was recorded by now is kept."""
        self.losses = []
        self._mark()

    def _mark(self) -> None:
        self._recorded = [replay.next_index for replay in self._replays]
