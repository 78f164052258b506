import subprocess
import sys

MODULES = [
    "planet_tf",
    "planet_tf.config",
    "planet_tf.control.check_env",
    "planet_tf.control.dummy",
    "planet_tf.control.environments",
    "planet_tf.control.episodes",
    "planet_tf.control.gym_adapter",
    "planet_tf.control.rendering",
    "planet_tf.control.rewards",
    "planet_tf.control.simulator",
    "planet_tf.control.tasks",
    "planet_tf.control.workers",
    "planet_tf.control.wrappers",
    "planet_tf.tools.replay",
    "scripts.plan_with_simulator",
    "tests.fakes",
]


def test_worlds_and_data_do_without_tensorflow():
    """TensorFlow and Mesa's renderer in one process crash at the first frame.

    The simulator must be absent too: dm_control chooses its graphics backend
    when it is imported, before ours could be chosen.
    """
    code = f"""
import importlib, sys
for name in {MODULES}:
    importlib.import_module(name)
    for unwanted in (
        "tensorflow", "keras", "dm_control", "mujoco", "gymnasium"
    ):
        assert unwanted not in sys.modules, f"{{name}} imports {{unwanted}}"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_package_imports_nothing():
    code = """
import sys
before = set(sys.modules)
import planet_tf
assert planet_tf.__version__
assert set(sys.modules) - before == {"planet_tf"}, set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
