"""The acting agent around a tiny world model."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.control.belief import Memory
from planet_tf.control.planning import cross_entropy_method
from planet_tf.models.world_model import Noise

TINY = config.Config(
    conv_depth=2,
    model_size=8,
    state_size=4,
    num_layers=1,
    num_units=8,
    planner_amount=16,
    planner_topk=4,
    planner_iterations=2,
    planner_horizon=3,
)


def random_belief(model, batch):
    """A state [B, .] with values in [0, 1)."""
    rng = np.random.default_rng(0)
    return tf.nest.map_structure(
        lambda x: tf.constant(rng.uniform(0, 1, x.shape).astype("f4")),
        model.dynamics.initial(batch),
    )


@pytest.fixture(scope="module")
def agent():
    tf.keras.utils.set_random_seed(0)
    model = build.world_model(TINY, 2)
    return build.agent(TINY, model, 2)


def _images(batch, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, [batch, 64, 64, 3], np.uint8)


def _resident() -> int:
    """Bytes of memory in use now; a peak would hide what is leaked later."""
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_one_trace_and_flat_memory():
    """A Python number among the arguments would trace (and leak) each call."""
    values = dataclasses.replace(
        TINY, planner_warm_start=True, encode_motion=True
    )
    agent = build.agent(values, build.world_model(values, 2), 2)
    images = _images(1)
    agent.action_noise = 0.3
    for episode in range(2):
        agent.reset(1, seed=episode)
        for _ in range(100):
            agent.act(images)
    before = _resident()
    for episode in range(10):
        agent.action_noise = episode / 10
        agent.reset(1, seed=episode)
        for _ in range(200):
            agent.act(images)
    grown = _resident() - before
    assert grown < 20 * 2**20, grown
    assert agent.policy.experimental_get_tracing_count() == 1


def test_actions_in_bounds_and_noise_clipped(agent):
    """Strong noise would leave the bounds without the clip after it."""
    agent.action_noise = 5.0
    agent.reset(4, seed=0)
    actions = agent.act(_images(4))
    assert actions.shape == (4, 2) and actions.dtype == np.float32
    assert np.abs(actions).max() == 1.0


def test_seed_decides(agent):
    """An episode is repeatable, and another seed is another episode."""
    agent.action_noise = 0.3

    def play(seed):
        agent.reset(1, seed=seed)
        return np.concatenate([agent.act(_images(1, t)) for t in range(3)])

    np.testing.assert_array_equal(play(5), play(5))
    assert np.abs(play(5) - play(6)).max() > 1e-3
    # Consecutive decisions of one episode must not share their noise.
    agent.reset(1, seed=5)
    seeds = [agent._seed + tf.constant([t, 0]) for t in range(2)]
    noise = [agent.draw_noise(s, 1).explore.numpy() for s in seeds]
    assert np.abs(noise[0] - noise[1]).max() > 1e-3


def test_belief_carries_over_and_reset_forgets(agent):
    """The same image after another history must not look the same."""
    agent.action_noise = 0.0
    agent.reset(1, seed=0)
    agent.act(_images(1, 0))
    first = agent.memory.state.deter.numpy()
    agent.act(_images(1, 0))
    assert np.abs(agent.memory.state.deter.numpy() - first).max() > 1e-4
    agent.reset(1, seed=0)
    agent.act(_images(1, 0))
    np.testing.assert_allclose(
        agent.memory.state.deter.numpy(), first, atol=1e-6
    )


def test_rows_do_not_mix(agent):
    """Row i of a batch acts as it would alone (the original mixes them).

    The predicted reward depends on the state, so tiling candidates instead of
    repeating them would score one row's actions from another row's state.
    """
    model = agent.model
    images = _images(3)
    noise = agent.draw_noise(tf.constant([1, 2]), 3)
    state, action = model.dynamics.initial(3), tf.zeros([3, 2])
    start = tf.random.stateless_uniform([3, 3, 2], [0, 1], -1.0, 1.0)
    seen = tf.zeros(images.shape)
    together, *_ = agent.decide(
        images, Memory(state, action, start, seen), tf.constant(0.0), noise
    )
    for i in range(3):
        row = slice(i, i + 1)
        alone, *_ = agent.decide(
            images[row],
            Memory(
                model.dynamics.initial(1), action[row], start[row], seen[row]
            ),
            tf.constant(0.0),
            noise._replace(
                image=noise.image[row],
                post=noise.post[row],
                plan=noise.plan[:, row],
                latent=noise.latent[:, row],
                explore=noise.explore[row],
            ),
        )
        np.testing.assert_allclose(
            together.action[i], alone.action[0], atol=1e-4
        )


def test_acting_filters_as_training_does():
    """One image at a time, and all of them as a chunk: the same belief."""
    values = dataclasses.replace(TINY, mean_only=True, encode_motion=True)
    tf.keras.utils.set_random_seed(0)
    model = build.world_model(values, 2)
    agent = build.agent(values, model, 2)
    agent.reset(2, seed=0)
    seeds = [agent._seed + tf.constant([t, 0]) for t in range(3)]
    noise = [agent.draw_noise(seed, 2).image for seed in seeds]
    images = [_images(2, t) for t in range(3)]
    actions = [tf.zeros([2, 2]), *map(agent.act, images)][:-1]
    batch = {
        "image": tf.stack(images, 1),
        "action": tf.stack(actions, 1),
        "reward": tf.zeros([2, 3]),
    }
    *_, post = model.objectives(batch, Noise(tf.stack(noise, 1), None, None))
    np.testing.assert_allclose(
        agent.memory.state.deter, post.deter[:, -1], atol=1e-5
    )
    np.testing.assert_allclose(
        agent.memory.state.mean, post.mean[:, -1], atol=1e-5
    )


def test_warm_start():
    """Each search begins with what the last left to do, forgotten by reset."""
    warm = dataclasses.replace(TINY, planner_warm_start=True)
    model = build.world_model(warm, 2)
    agent, cold = build.agent(warm, model, 2), build.agent(TINY, model, 2)
    for _ in range(2):
        agent.reset(2, seed=3)
        cold.reset(2, seed=3)
        np.testing.assert_array_equal(
            agent.act(_images(2)), cold.act(_images(2))
        )
        start = agent.memory.start
        agent.act(_images(2, 1))
        assert (
            np.abs(agent.memory.action - cold.act(_images(2, 1))).max() > 1e-4
        )
    assert cold.memory.start is None
    # By hand, as there is no noise to explore.
    noise = agent.draw_noise(agent._seed + tf.constant([1, 0]), 2)
    plan = cross_entropy_method(
        agent.predicted_return(agent.memory.state, noise.latent),
        noise.plan,
        elites=4,
        start=start,
    )
    np.testing.assert_allclose(agent.memory.action, plan[:, 0], atol=1e-4)
    np.testing.assert_allclose(
        agent.memory.start[:, :-1], plan[:, 1:], atol=1e-4
    )
    np.testing.assert_array_equal(agent.memory.start[:, -1], np.zeros([2, 2]))


def _correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def test_record_of_decisions():
    """Says what was predicted, and changes no action."""
    model = build.world_model(TINY, 2)
    silent = build.agent(TINY, model, 2)
    agent = build.agent(TINY, model, 2, record=True)
    for each in (silent, agent):
        each.reset(3, seed=4)
    for t in range(2):
        images = _images(3, t)
        np.testing.assert_array_equal(agent.act(images), silent.act(images))
    assert silent.records == [] and len(agent.records) == 2
    predicted, search = agent.records[1]
    assert predicted.shape == (3,)
    assert search.elite_return.shape == (2, 3)
    # By hand: 16 futures of the same plan, from this row's belief, with noise
    # that chose none of the elites.
    seed = agent._seed + tf.constant([1, 0])
    noise = agent.draw_noise(seed, 3)
    searched = silent.draw_noise(seed, 3).latent
    np.testing.assert_array_equal(noise.latent[:2], searched)
    assert noise.latent.shape[0] == 3
    for latent in searched:
        assert abs(_correlation(latent, noise.latent[2])) < 0.1
    objective = agent.predicted_return(agent.memory.state, noise.latent)
    plan = cross_entropy_method(objective, noise.plan, elites=4)
    row = tf.nest.map_structure(lambda x: x[1:2], agent.memory.state)
    futures = agent.predicted_return(row, noise.latent[:, 1:2])(
        tf.repeat(plan[1:2, None], 16, 1), 2
    )
    np.testing.assert_allclose(predicted[1], np.mean(futures), atol=1e-4)
    agent.reset(3, seed=4)
    assert agent.records == []


def test_nothing_to_record_without_a_search():
    idle = dataclasses.replace(TINY, planner_iterations=0)
    with pytest.raises(ValueError, match="iteration"):
        build.agent(idle, build.world_model(idle, 2), 2, record=True)
