"""The planner on problems whose optimum is known."""

import numpy as np
import pytest
import tensorflow as tf

from planet_tf.control.planning import cross_entropy_method


def _noise(iterations=10, batch=1, candidates=300, horizon=3, actions=2):
    shape = [iterations, batch, candidates, horizon, actions]
    return tf.random.stateless_normal(shape, [0, 1])


def _plan(objective, noise, elites=30, start=None):
    function = tf.function(
        lambda noise: cross_entropy_method(
            objective, noise, elites=elites, start=start
        )
    )
    return function(noise).numpy()


def test_finds_the_optimum():
    """Fails for a planner that minimises, or refits to the wrong elites."""
    goal = np.array([[0.5, -0.3], [0.0, 0.9], [-0.7, 0.1]], np.float32)

    def objective(actions, i):
        return -tf.reduce_sum((actions - goal) ** 2, [2, 3])

    np.testing.assert_allclose(_plan(objective, _noise())[0], goal, atol=0.05)


def test_rows_are_independent():
    """Mixed-up rows would meet half-way."""
    goals = tf.constant([-0.5, 0.5])

    def objective(actions, i):
        return -tf.reduce_sum(
            (actions - goals[:, None, None, None]) ** 2, [2, 3]
        )

    plan = _plan(objective, _noise(batch=2))
    np.testing.assert_allclose(plan[0], np.full([3, 2], -0.5), atol=0.05)
    np.testing.assert_allclose(plan[1], np.full([3, 2], 0.5), atol=0.05)


def test_candidates_and_plans_stay_in_bounds():
    """A goal outside is approached up to the bound, never beyond."""
    seen = []

    def objective(actions, i):
        seen.append(float(tf.reduce_max(tf.abs(actions))))
        return -tf.reduce_sum((actions - 3.0) ** 2, [2, 3])

    plan = cross_entropy_method(objective, _noise(), elites=30).numpy()
    assert max(seen) <= 1.0
    assert plan.max() <= 1.0
    np.testing.assert_allclose(plan, np.ones([1, 3, 2]), atol=0.01)


def test_same_noise_same_plan():
    """Resuming and parity both rest on this."""

    def objective(actions, i):
        return tf.reduce_sum(tf.sin(5 * actions), [2, 3])

    first, again = (_plan(objective, _noise()) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("start", [None, 0.5])
def test_numpy_twin(start):
    """Population std with its floor, from clipped candidates."""
    noise = _noise(iterations=3, candidates=20).numpy()

    def objective(actions, i):
        return tf.reduce_sum(actions * (1.0 + tf.cast(i, tf.float32)), [2, 3])

    mean, std = np.full([3, 2], start or 0.0, np.float32), np.ones([3, 2])
    given = None if start is None else tf.constant(mean[None])
    for i in range(3):
        actions = np.clip(mean + std * noise[i, 0], -1, 1)
        best = np.argsort(-actions.sum((1, 2)))[:5]
        mean = actions[best].mean(0)
        std = np.sqrt(actions[best].var(0) + 1e-6)
    plan = _plan(objective, noise, elites=5, start=given)
    np.testing.assert_allclose(plan[0], mean, atol=1e-5)


def test_record_of_a_search():
    """By hand, for each row and iteration; recording changes no plan."""
    noise = _noise(iterations=3, batch=2, candidates=20).numpy()

    def objective(actions, i):
        rows = tf.constant([1.0, -2.0])[:, None]
        return rows * tf.reduce_sum(actions, [2, 3])

    plan, search = cross_entropy_method(objective, noise, elites=5, record=True)
    np.testing.assert_array_equal(
        plan, cross_entropy_method(objective, noise, elites=5)
    )
    for row, scale in enumerate([1.0, -2.0]):
        mean, std = np.zeros([3, 2]), np.ones([3, 2])
        for i in range(3):
            actions = np.clip(mean + std * noise[i, row], -1, 1)
            returns = scale * actions.sum((1, 2))
            best = np.argsort(-returns)[:5]
            mean = actions[best].mean(0)
            std = np.sqrt(actions[best].var(0) + 1e-6)
            expected = [
                returns[best].mean(),
                returns[best].std(),
                std.mean(),
                std[0].mean(),
            ]
            found = [values[i, row] for values in search]
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_iterations_it_plans_zeros():
    """The original's way to switch planning off."""
    plan = _plan(lambda actions, i: actions[:, :, 0, 0], _noise(iterations=0))
    np.testing.assert_array_equal(plan, np.zeros([1, 3, 2]))
