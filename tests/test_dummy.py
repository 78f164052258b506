import numpy as np
import pytest

from planet_tf.control.dummy import Dummy
from planet_tf.control.make import make_environment


def squares(image):
    """Centres of the red and of the blue square, in pixels (x, y)."""
    centres = []
    for channel in (0, 2):
        ys, xs = np.nonzero(image[..., channel] == 255)
        centres.append(np.array([xs.mean(), ys.mean()]))
    return centres


def test_action_moves_the_square_it_shows():
    world = Dummy()
    world.reset(3)
    world.step(np.zeros(2))
    before, goal = squares(world.step(np.zeros(2))[0]["image"])
    for _ in range(10):
        observation, _, _ = world.step(np.array([1, -0.5]))
    after, same_goal = squares(observation["image"])
    # 0.02 * 10 of 27 pixels, which is half the way across.
    np.testing.assert_allclose(after - before, [5.4, -2.7], atol=1)
    np.testing.assert_array_equal(goal, same_goal)


def test_reward_can_be_read_off_the_image():
    """So a model can learn it, from images alone."""
    world = Dummy()
    world.reset(1)
    rng = np.random.default_rng(0)
    rewards = []
    for _ in range(300):
        observation, reward, _ = world.step(rng.uniform(-1, 1, 2))
        red, blue = squares(observation["image"])
        hidden = (observation["image"][..., 2] == 255).sum() < 100
        if not hidden:
            distance = np.linalg.norm(red - blue) / 27
            assert reward == pytest.approx(1 - distance / 2, abs=0.05)
        rewards.append(reward)
    assert np.std(rewards) > 0.01


def test_best_play_earns_nearly_everything():
    """1,000 is the most, as in dm_control; doing nothing earns half of it."""
    totals = {}
    for speed in (0, 20):
        world = make_environment("dummy")
        observation, total, done = world.reset(5), 0.0, False
        while not done:
            way = observation["goal"] - observation["position"]
            action = np.clip(speed * way, -1, 1)
            observation, reward, done = world.step(action)
            total += reward
        totals[speed] = total
    assert totals[0] < 800 < 950 < totals[20] <= 1000


@pytest.mark.parametrize("way", [-1, 1])
def test_squares_stay_in_the_picture(way):
    world = Dummy()
    world.reset(0)
    for _ in range(150):
        observation, _, _ = world.step(np.array([way, way]))
    np.testing.assert_array_equal(observation["position"], [way, way])
    corner = slice(54, None) if way == 1 else slice(10)
    assert np.all(observation["image"][corner, corner, 0] == 255)
