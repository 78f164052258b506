"""The value beyond the horizon against loops, and a case with a known one."""

import dataclasses

import numpy as np
import tensorflow as tf

from planet_tf import build
from planet_tf.models.value import Value
from planet_tf.networks.basic import VectorHead
from tests.test_mpc_agent import TINY, random_belief

DISCOUNT, LAMBDA = 0.9, 0.7
F = 3


def _value(discount=DISCOUNT, lambda_=LAMBDA):
    return Value(VectorHead(F, (), 1, 8, "elu"), discount, lambda_)


def test_targets_are_lambda_returns():
    """The recursion of the docstring, from the last row back."""
    rng = np.random.default_rng(0)
    value, reward = rng.normal(size=[2, 2, 6]).astype("f4")
    target = value[:, -1]
    expected = []
    for t in reversed(range(5)):
        mixed = (1 - LAMBDA) * value[:, t + 1] + LAMBDA * target
        target = reward[:, t + 1] + DISCOUNT * mixed
        expected.insert(0, target)
    found = _value().targets(tf.constant(value), tf.constant(reward))
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-5)


def test_the_first_reward_is_no_part_of_any_target():
    """It came before the first state; the value counts what comes after."""
    value = tf.zeros([1, 3])
    found = _value(lambda_=1.0).targets(value, tf.constant([[100.0, 1.0, 2.0]]))
    np.testing.assert_allclose(found, [[1 + DISCOUNT * 2, 2]], rtol=1e-6)


def test_what_a_plan_is_worth():
    """Rewards by hand, and the value of the state that they lead to."""
    value = _value()
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=[5, 4, 2]).astype("f4")
    features = tf.constant(rng.normal(size=[5, 2, F]).astype("f4"))
    expected = DISCOUNT**4 * value(features).numpy()
    for k in range(4):
        expected += DISCOUNT**k * rewards[:, k]
    found = value.bootstrapped(tf.constant(rewards), features)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_learns_the_value_of_two_states():
    """Rewards 1 for ever in one, none in the other: 1 / (1 - 0.9) and 0."""
    tf.keras.utils.set_random_seed(0)
    value = _value()
    features = tf.constant(np.eye(2, F)[:, None].repeat(8, 1), tf.float32)
    reward = tf.constant(np.repeat([[1.0], [0.0]], 8, 1), tf.float32)
    optimizer = tf.keras.optimizers.Adam(0.03)

    @tf.function
    def update():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(value.log_prob(features, reward))
        variables = value.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    optimizer.build(value.trainable_variables)
    for _ in range(600):
        update()
    np.testing.assert_allclose(value(features)[:, 0], [10, 0], atol=0.3)


def test_agent_plans_with_it():
    """The search maximises discounted rewards plus value; records do not."""
    config = dataclasses.replace(TINY, value_loss_scale=1.0, discount=DISCOUNT)
    model = build.world_model(config, 2)
    agent = build.agent(config, model, 2)
    noise = agent.draw_noise(tf.constant([0, 1]), 2)
    state = random_belief(model, 2)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, [2, 16, 3, 2]).astype("f4")
    worth = agent.objective(state, noise.latent)(tf.constant(actions), 1)
    plain = agent.predicted_return(state, noise.latent)(actions, 1)
    for row in range(2):
        start = tf.nest.map_structure(
            lambda x, row=row: tf.repeat(x[row : row + 1], 16, 0), state
        )
        states = model.dynamics.imagine(
            tf.constant(actions[row]), noise.latent[1][row], start
        )
        features = model.dynamics.features(states)
        rewards = model.reward(features).numpy()
        np.testing.assert_allclose(plain[row], rewards.sum(1), atol=1e-5)
        expected = DISCOUNT**3 * model.value(features[:, -1]).numpy()
        expected += rewards @ DISCOUNT ** np.arange(3)
        np.testing.assert_allclose(worth[row], expected, atol=1e-5)
    agent = build.agent(config, model, 2, record=True)
    agent.reset(2, seed=0)
    agent.act(np.zeros([2, 64, 64, 3], np.uint8))
    [(predicted, search)] = agent.records
    # The same plan with another value: it is not in the record.
    model.value.head.out.bias.assign([100.0])
    agent.reset(2, seed=0)
    agent.act(np.zeros([2, 64, 64, 3], np.uint8))
    [(again, raised)] = agent.records
    np.testing.assert_allclose(predicted, again, atol=1e-4)
    np.testing.assert_allclose(
        raised.elite_return - search.elite_return,
        np.full([2, 2], 100 * DISCOUNT**3),
        rtol=1e-4,
    )


def test_targets_are_data():
    """Else values would learn to be wrong together."""
    value = _value()
    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=[2, 4, F]).astype("f4"))
    reward = tf.constant(rng.normal(size=[2, 4]).astype("f4"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(value.log_prob(features, reward))
    (gradient,) = tape.gradient(total, [value.head.out.bias])
    now = value(features)
    error = value.targets(now, reward) - now[:, :-1]
    np.testing.assert_allclose(gradient, [np.sum(error)], rtol=1e-5)
