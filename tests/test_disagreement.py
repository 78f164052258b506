"""The ensemble: what it predicts, where it disagrees, and who goes there."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build
from planet_tf.collects import Collect
from planet_tf.models.disagreement import Ensemble
from planet_tf.networks.basic import VectorHead
from planet_tf.tools.noise import draw_normal
from tests.test_mpc_agent import TINY, random_belief

F, A, S = 2, 1, 3


def _ensemble(members=5):
    heads = [VectorHead(F + A, (S,), 1, 16, "elu") for _ in range(members)]
    return Ensemble(heads)


def test_action_and_next_state_belong_together():
    """Row t of the action led from the features of t - 1 to the mean of t."""
    ensemble = _ensemble()
    rng = np.random.default_rng(0)
    features, action, mean = (
        rng.normal(size=[2, 4, n]).astype("f4") for n in (F, A, S)
    )
    found = ensemble.log_prob(*map(tf.constant, (features, action, mean)))
    for t in range(3):
        x = np.concatenate([features[:, t], action[:, t + 1]], -1)
        errors = [head(x).numpy() - mean[:, t + 1] for head in ensemble.heads]
        expected = -np.square(errors).sum(-1) / 2 - S * np.log(2 * np.pi) / 2
        np.testing.assert_allclose(found[:, t], expected.mean(0), rtol=1e-5)


def test_disagrees_where_it_has_not_been_and_not_about_noise():
    """Trained left of zero, half of it on noise: its mean is known there."""
    tf.keras.utils.set_random_seed(0)
    ensemble = _ensemble()
    variables = ensemble.trainable_variables
    optimizer = tf.keras.optimizers.Adam(0.01)
    optimizer.build(variables)

    @tf.function
    def update(seed):
        features = draw_normal([64, 2, F], seed)
        features = -tf.abs(features)
        mean = draw_normal([64, 2, S], seed + 1)
        mean *= tf.cast(features[:, :1, :1] < -1, tf.float32)
        with tf.GradientTape() as tape:
            density = ensemble.log_prob(features, tf.zeros([64, 2, A]), mean)
            loss = -tf.reduce_mean(density)
        optimizer.apply(tape.gradient(loss, variables), variables)

    for i in range(500):
        update(tf.constant([0, 2 * i]))
    quiet, noisy, new = (
        float(ensemble.disagreement(tf.constant([place]), tf.zeros([1, A]))[0])
        for place in ([-0.5, -1.0], [-1.5, -1.0], [3.0, 3.0])
    )
    assert new > 10 * max(quiet, noisy), (quiet, noisy, new)


@pytest.fixture(scope="module")
def explorer():
    tf.keras.utils.set_random_seed(0)
    config = dataclasses.replace(
        TINY, train_collects=(Collect(objective="disagreement"),)
    )
    model = build.world_model(config, 2)
    agents = build.agents(config, model, 2)
    assert [kind[0] for kind in agents] == ["disagreement", "reward"]
    return model, *agents.values()


def test_explorer_seeks_disagreement(explorer):
    """Of every action in the state before it, not of the state it leads to."""
    model, agent, _ = explorer
    noise = agent.draw_noise(tf.constant([0, 1]), 1)
    state = random_belief(model, 1)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, [1, 16, 3, 2]).astype("f4")
    found = agent.objective(state, noise.latent)(tf.constant(actions), 0)
    spread = tf.nest.map_structure(lambda x: tf.repeat(x, 16, 0), state)
    states = model.dynamics.imagine(
        tf.constant(actions[0]), noise.latent[0][0], spread
    )
    features = [
        model.dynamics.features(spread),
        *tf.unstack(model.dynamics.features(states), axis=1),
    ]
    expected = 0
    for t in range(3):
        x = np.concatenate([features[t], actions[0, :, t]], -1)
        members = [head(x).numpy() for head in model.ensemble.heads]
        expected += np.var(members, 0).mean(-1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)


def test_tests_play_for_reward(explorer):
    """Their score would otherwise say nothing of what was learned."""
    model, explores, plays = explorer
    image = np.zeros([1, 64, 64, 3], np.uint8)
    for agent in (explores, plays):
        agent.reset(1, seed=0)
    assert np.abs(explores.act(image) - plays.act(image)).max() > 1e-3
    plain = build.agent(TINY, model, 2)
    plain.reset(1, seed=0)
    plays.reset(1, seed=0)
    np.testing.assert_array_equal(plays.act(image), plain.act(image))
