"""The trained agent that comes with the repository."""

import pathlib

import planet_tf
from planet_tf.control.make import choose_backend_for
from planet_tf.evaluate import evaluate

TASK = "cup_catch"
FOLDER = pathlib.Path(__file__).parents[1] / "results/cpu/cup_catch_seed2"


def test_it_catches_the_ball():
    """Weights of an earlier commit, real pixels, the whole search."""
    choose_backend_for([TASK])
    agent = planet_tf.load(FOLDER)
    (played,) = evaluate(agent, [TASK], 1, 1, seed=0).values()
    assert played.returns[0] > 700
