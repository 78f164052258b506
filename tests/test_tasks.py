import subprocess
import sys

import pytest

from planet_tf.control.tasks import SUITE, TASKS, Task, cameras, get_task, label


def test_table_is_the_originals():
    """The repeats decide episode lengths and what a return means."""
    repeats = {name: task.action_repeat for name, task in TASKS.items()}
    assert repeats == {
        "cartpole_balance": 8,
        "cartpole_swingup": 8,
        "cheetah_run": 4,
        "cup_catch": 4,
        "finger_spin": 2,
        "reacher_easy": 4,
        "walker_walk": 2,
    }
    assert {task.camera for task in TASKS.values()} == {0}


def test_any_suite_task():
    assert get_task("hopper-hop") == Task("hopper", "hop", 2)
    assert get_task("humanoid_CMU-run").domain == "humanoid_CMU"


def test_both_names_of_a_task_mean_the_same():
    """A second spelling must not bring a second action repeat."""
    assert get_task("cheetah-run") == get_task("cheetah_run")
    assert get_task("ball_in_cup-catch").action_repeat == 4


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("cup_cach", "cup_catch"),
        ("hopper_hop", "hopper-hop"),
        ("lqr-lqr_2_1", None),
        ("gym_cheeta", "gym_cheetah"),
    ],
)
def test_unknown_name(wrong, right):
    with pytest.raises(ValueError) as error:
        get_task(wrong)
    message = str(error.value)
    assert right is None or f"Did you mean {right!r}?" in message
    for name in [*TASKS, "dog-fetch", "quadruped-walk", "dummy", "gym:NAME"]:
        assert name in message


def test_worlds_that_are_not_dm_controls():
    """The original's names work too, with its action repeats."""
    assert get_task("gym:a_module:ALE/Pong-v5") == Task(
        "gym", "a_module:ALE/Pong-v5", 1
    )
    assert get_task("gym_cheetah") == get_task("gym:HalfCheetah-v5")
    assert get_task("gym_racecar") == get_task("gym:CarRacing-v3")
    assert get_task("worlds.arm:Arm") == Task("module", "worlds.arm:Arm", 1)
    for name in ("gym:", ":Arm"):
        with pytest.raises(ValueError, match="write gym:NAME or"):
            get_task(name)


def test_labels_are_safe_in_paths():
    assert label("cup_catch") == "cup_catch"
    assert label("gym:ALE/Pong-v5") == "gym_ALE_Pong-v5"
    assert label("worlds.arm:Arm") == "worlds.arm_Arm"


def test_suite_is_complete():
    """The table is a copy; a new dm_control must not make it wrong.

    In a process of its own, because the import loads a graphics library.
    """
    ours = [(domain, task) for domain in SUITE for task in SUITE[domain]]
    # Of the first and the last task of each domain, as loading takes time.
    some = {(domain, SUITE[domain][i]) for domain in SUITE for i in (0, -1)}
    code = (
        "from dm_control import suite; print((suite.ALL_TASKS, {pair: "
        f"suite.load(*pair).physics.model.ncam for pair in {some}}}))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    theirs, counts = eval(output)
    assert set(ours) == {pair for pair in theirs if pair[0] != "lqr"}
    assert counts == {pair: cameras(Task(*pair)) for pair in some}
