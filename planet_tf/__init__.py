"""PlaNet: learns a latent model of a world from images and plans in it.

A TensorFlow 2 implementation of "Learning Latent Dynamics for Planning from
Pixels" (Hafner et al., 2019). Read `train.py` first.
"""

import os

TYPE_CHECKING = False  # `typing` would be one more import; tools know this.
if TYPE_CHECKING:
    import pathlib

    from planet_tf.agent import Agent

# On CPUs without AVX-512, TensorFlow leaves oneDNN's kernels off by default;
# with them, convolutions run two to four times as fast there (a small model's
# update took 0.7 s instead of 2.0 s with AVX2). Only has an effect if set
# before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Errors alone.

__version__ = "0.2.0"


def load(
    logdir: "str | pathlib.Path",
    checkpoint: int | str | None = None,
    policy: bool = False,
    **planner: int,
) -> "Agent":
    """The agent of a run, to act with.

        agent = planet_tf.load("~/planet_tf/cup_catch-cpu-seed0")
        agent.reset()
        action = agent.act(image)

    Args:
        logdir: Folder of the run, which may still be going on.
        checkpoint: Updates done at a checkpoint that is there; "best": the
            one with the highest test score; None: the newest.
        policy: Act by the policy that `planet_tf.distill` made of the
            planner, in a fraction of the time.
        **planner: Replacements for the run's `planner_horizon`,
            `planner_amount`, `planner_topk`, `planner_iterations` and
            `planner_warm_start`.

    Raises:
        OSError: The folder is not readable.
        TypeError: A parameter that is not the planner's.
        ValueError: There is no run, no such checkpoint or policy, or one that
            cannot be read; or the planner's parameters do not go together.
    """
    # TensorFlow loads here and not with the package, which the processes of
    # the worlds import as well.
    from planet_tf.tools.quiet import without_cuda_complaints

    with without_cuda_complaints():
        from planet_tf.agent import load
    return load(logdir, checkpoint, policy=policy, **planner)
