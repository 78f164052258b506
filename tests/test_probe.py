"""The world of the parity check; imports no TensorFlow."""

import multiprocessing

from planet_tf.control.tasks import get_task
from scripts.parity.probe import Probe, formula_action


def _returns(name: str, seed: int) -> tuple[float, float]:
    """dm_control's own return of a seed, and the probe's from its state."""
    from dm_control import suite

    task = get_task(name)
    env = suite.load(task.domain, task.name, task_kwargs={"random": seed})
    time_step = env.reset()
    world = Probe(name, env.physics.get_state())
    world.draw = False
    world.reset(0)
    theirs, ours, done, t = 0.0, 0.0, False, 0
    while not done:
        action = formula_action(t, world.spec.action_dim)
        for _ in range(task.action_repeat):
            time_step = env.step(action)
            theirs += time_step.reward
        observation, reward, done = world.step(action)
        assert not observation["image"].any()  # Searching must not draw.
        ours += reward
        t += 1
    assert time_step.last()
    return theirs, ours


def test_an_episode_is_that_of_the_seed():
    """An error in the 14th digit would grow to one in the third."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        theirs, ours = process.apply(_returns, ("cheetah_run", 8))
    assert abs(theirs - ours) < 1e-9 * theirs
