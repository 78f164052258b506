"""A trained agent to use: images in, actions out. See `planet_tf.load`."""

import dataclasses
import pathlib

import numpy as np

from planet_tf import build, run_folder
from planet_tf.config import ACTING
from planet_tf.control import distilled
from planet_tf.control.mpc_agent import PlanRecord
from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.run_folder import Run
from planet_tf.tools.files import checkpoints
from planet_tf.validation import validate


class Agent:
    """Filters images and plans, or asks a policy; no exploration noise.

    Args:
        run: Where config and weights come from.
        record: Keep what the planner thought, in `records`.
        policy: Act by the policy that the planner was distilled into.

    Attributes:
        run: The same.

    Raises:
        ValueError: The checkpoint or the policy cannot be read.
    """

    def __init__(self, run: Run, record: bool = False, policy: bool = False):
        self.run = run
        model = build.restored(run)
        sizes = (run.config, model, run.action_dim)
        if policy:
            network = build.policy(*sizes)
            distilled.restore(network, _policy_of(run))
            self._policy = distilled.DistilledAgent(
                model, network, run.action_dim
            )
        else:
            self._policy = build.agent(*sizes, record=record)
        self._batch = None

    @property
    def records(self) -> list[PlanRecord]:
        """One of arrays for each decision since `reset`, if asked for."""
        return self._policy.records

    def reset(self, batch: int = 1, seed: int = 0) -> None:
        """Forgets everything.

        Args:
            batch: Worlds B that will be acted in side by side.
            seed: Of the planner's noise: the same images then lead to the
                same actions.
        """
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self._policy.reset(batch, seed)
        self._batch = batch

    def act(self, image: np.ndarray) -> np.ndarray:
        """Decides what to do next.

        Args:
            image: uint8 [64, 64, 3], what is seen now, or [B, 64, 64, 3].

        Returns:
            The action, float32 [A] or [B, A] in [-1, 1]. A world with fewer
            action dimensions than others of its run uses the first ones.

        Raises:
            RuntimeError: `reset` was not called.
            ValueError: This is not such an image.
        """
        if self._batch is None:
            raise RuntimeError("Call reset before the first act.")
        image = np.asarray(image)
        images = image[None] if image.ndim == len(IMAGE_SHAPE) else image
        if images.shape != (self._batch, *IMAGE_SHAPE):
            raise ValueError(
                f"act expects images of shape {[self._batch, *IMAGE_SHAPE]} "
                f"after reset({self._batch}), not {list(image.shape)}."
            )
        if images.dtype != np.uint8:
            raise ValueError(
                f"act expects uint8 images, 0 to 255, not {images.dtype}."
            )
        actions = self._policy.act(images)
        return actions if image.ndim == images.ndim else actions[0]


def _policy_of(run: Run) -> pathlib.Path:
    """Its file; ValueError if there is none."""
    if run.policy.exists():
        return run.policy
    folder = run.logdir / "checkpoints"
    kept = {*checkpoints(folder), *checkpoints(folder / "best")}
    have = [x for x in kept if run.policy.with_stem(str(x)).exists()]
    raise ValueError(
        f"{run.logdir} has no policy for checkpoint {run.updates}"
        + (f", only for {', '.join(map(str, sorted(have)))}" if have else "")
        + f". python -m planet_tf.distill --logdir={run.logdir} "
        f"--checkpoint={run.updates} makes one."
    )


def load(
    logdir: str | pathlib.Path,
    checkpoint: int | str | None = None,
    record: bool = False,
    policy: bool = False,
    **planner: int,
) -> Agent:
    """See `planet_tf.load`; `record` as for `Agent`."""
    if unknown := [name for name in planner if name not in ACTING]:
        raise TypeError(
            f"load: {', '.join(unknown)} cannot be replaced, only "
            f"{', '.join(ACTING)}"
        )
    if policy and planner:
        raise ValueError(
            f"{', '.join(planner)}: has no effect with a policy, which does "
            "not plan; leave it out"
        )

    def make(run: Run) -> Agent:
        config = dataclasses.replace(run.config, **planner)
        validate(config)
        return Agent(run._replace(config=config), record, policy)

    return run_folder.use(make, logdir, checkpoint)
