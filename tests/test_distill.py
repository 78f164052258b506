"""The planner in a policy: labels, learning, and the command on real pixels."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import planet_tf
from planet_tf import build
from planet_tf.control.distilled import (
    DistilledAgent,
    Imitator,
    Policy,
    explained,
    fit,
)
from planet_tf.networks.basic import VectorHead
from tests import runs
from tests.test_mpc_agent import TINY


def _images(batch, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, [batch, 64, 64, 3], np.uint8)


@pytest.fixture(scope="module")
def parts():
    tf.keras.utils.set_random_seed(0)
    model = build.world_model(TINY, 2)
    planner = build.agent(TINY, model, 2)
    return model, planner, build.policy(TINY, model, 2)


def test_planner_labels_the_states_of_who_plays(parts):
    """The belief must go on from the action that was really executed."""
    model, planner, policy = parts
    images = [_images(3, t) for t in range(3)]
    teacher, pupil = Imitator(planner), Imitator(planner, policy)
    teacher.reset(3, seed=1)
    actions = [teacher.act(image) for image in images]
    features, labels = teacher.take([3, 3, 3], 2)
    assert features.shape == (9, model.dynamics.feature_size)
    np.testing.assert_array_equal(labels, np.concatenate(actions))
    pupil.reset(3, seed=1)
    played = [pupil.act(image) for image in images]
    found, wanted = pupil.take([3, 3, 3], 2)
    # The same first belief and plan, from which the policy goes elsewhere.
    np.testing.assert_array_equal(found[:3], features[:3])
    np.testing.assert_array_equal(wanted[:3], labels[:3])
    assert np.abs(found[3:6] - features[3:6]).max() > 1e-4
    np.testing.assert_allclose(
        np.concatenate(played), policy(tf.constant(found)), atol=1e-6
    )


def test_worlds_that_are_done_teach_nothing(parts):
    """They still show their last image, and nothing is done there."""
    _, planner, _ = parts
    teacher = Imitator(planner)
    for seed in range(2):  # As for two tasks, one after the other.
        teacher.reset(2, seed)
        actions = [teacher.act(_images(2, t)) for t in range(3)]
        _, labels = teacher.take([1, 3], 2)
        expected = [actions[0], actions[1][1:], actions[2][1:]]
        np.testing.assert_array_equal(labels, np.concatenate(expected))


def test_actions_that_a_world_does_not_use_teach_nothing(parts):
    _, planner, _ = parts
    teacher = Imitator(planner)
    teacher.reset(1, 0)
    action = teacher.act(_images(1, 0))
    _, labels = teacher.take([1], 1)
    np.testing.assert_array_equal(labels, action * [1, 0])


def test_learns_what_there_is_to_learn():
    """A function of the features is; noise of the search is not."""
    tf.keras.utils.set_random_seed(0)
    policy = Policy(VectorHead(3, (2,), 2, 32, "elu"))
    rng = np.random.default_rng(0)
    features = rng.normal(size=[2000, 3]).astype("f4")
    goal = np.tanh(2 * features[:, :2] * features[:, 2:])
    noise = rng.normal(size=goal.shape) * goal.std()
    assert explained(policy, (features, goal)) < 0.1
    labels = features, (goal + noise).astype("f4")
    fit(policy, labels, 2000, 256, rng)
    assert explained(policy, (features, goal)) > 0.9
    assert 0.4 < explained(policy, labels) < 0.6


def test_agent_filters_as_the_planner_does(parts):
    """The policy reads beliefs; with means, they are the same ones."""
    config = dataclasses.replace(
        TINY, mean_only=True, normalize_embed=True, activation="elu"
    )
    tf.keras.utils.set_random_seed(0)
    model = build.world_model(config, 2)
    policy = build.policy(config, model, 2)
    agent = DistilledAgent(model, policy, 2)
    planner = build.agent(config, model, 2)
    pupil = Imitator(planner, policy)
    for each in (agent, pupil):
        each.reset(2, seed=0)
    for t in range(3):
        image = _images(2, t)
        action = agent.act(image)
        state = agent.memory.state
        np.testing.assert_allclose(
            action, policy(model.dynamics.features(state)), atol=1e-6
        )
        # Not equal: pixels have noise below their 5 bits.
        pupil.act(image)
        np.testing.assert_allclose(
            state.deter, planner.memory.state.deter, atol=0.03
        )
    assert np.abs(state.deter).max() > 0.1
    agent.reset(2, seed=0)
    first = agent.act(_images(2, 0))
    agent.reset(2, seed=0)
    np.testing.assert_array_equal(agent.act(_images(2, 0)), first)
    assert agent.decide.experimental_get_tracing_count() == 1


def test_each_decision_has_noise_of_its_own(parts):
    """Else it would draw one latent sample for a whole episode."""
    model, _, policy = parts
    agent = DistilledAgent(model, policy, 2)
    agent.reset(1, seed=0)
    memory, samples = agent.memory, []
    for _ in range(2):
        agent.memory = memory  # The same past and image.
        agent.act(_images(1, 0))
        samples.append(agent.memory.state.stoch)
    assert np.abs(samples[0] - samples[1]).max() > 1e-3


def _command(module, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"planet_tf.{module}", *flags],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_command_and_what_uses_its_policy(tmp_path):
    """From a run's folder to an evaluation, and what is said without one."""
    runs.make(tmp_path, updates=[3, 7])
    logdir = f"--logdir={tmp_path}"
    with pytest.raises(ValueError, match="no policy for .* --checkpoint=7"):
        planet_tf.load(tmp_path, policy=True)
    result = _command(
        "distill", logdir, "--rounds=2", "--episodes=2", "--updates=5"
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].startswith("round 1 of 2: cup_catch ")
    assert lines[1].endswith(
        "40 decisions to learn from, all of them the planner's"
    )
    assert " 80 decisions to learn from, of new ones it expl" in lines[2]
    path = tmp_path / "policies" / "7.npz"
    assert lines[-1] == f"Written: {path}"
    result = _command("evaluate", logdir, "--policy", "--episodes=1")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "evaluation/7-policy=True/evaluation.json").exists()
    agent = planet_tf.load(tmp_path, policy=True)
    agent.reset()
    action = agent.act(_images(1, 0)[0])
    assert np.abs(action).max() <= 1
    with pytest.raises(ValueError, match="checkpoint 3, only for 7"):
        planet_tf.load(tmp_path, 3, policy=True)
    with pytest.raises(ValueError, match="planner_horizon: has no effect"):
        planet_tf.load(tmp_path, policy=True, planner_horizon=3)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="7.npz is damaged"):
        planet_tf.load(tmp_path, policy=True)


def test_bad_input_is_one_line(tmp_path):
    """Before TensorFlow is loaded, and anything is written."""
    idle = dataclasses.replace(runs.TINY, planner_iterations=0)
    runs.make(tmp_path / "idle", idle, updates=[1])
    for flags, message in (
        ([], "Name the folder of a run"),
        (["--logdir=/nowhere"], "holds no run"),
        ([f"--logdir={tmp_path}/idle"], "no planner to learn from"),
        ([f"--logdir={tmp_path}/idle", "--checkpoint=2"], "only 1"),
    ):
        result = _command("distill", *flags)
        assert result.returncode == 2 and message in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "idle" / "policies").exists()
