import pathlib
import re
import subprocess
import sys

import pytest

MODULES = [
    "planet_tf",
    "planet_tf.config",
    "planet_tf.config_flags",
    "planet_tf.control.check_env",
    "planet_tf.control.dm_control_adapter",
    "planet_tf.control.dummy",
    "planet_tf.control.environments",
    "planet_tf.control.episodes",
    "planet_tf.control.gym_adapter",
    "planet_tf.control.make",
    "planet_tf.control.rendering",
    "planet_tf.control.rewards",
    "planet_tf.control.simulator",
    "planet_tf.control.tasks",
    "planet_tf.control.workers",
    "planet_tf.control.wrappers",
    "planet_tf.machine",
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


# Each takes longer to import than everything else that a command needs to
# say what its flags are.
SLOW = {
    "av",
    "dm_control",
    "gymnasium",
    "keras",
    "matplotlib",
    "mujoco",
    "scipy",
    "tensorboard",
    "tensorflow",
    "tensorflow_probability",
}
SCRIPTS = sorted(
    f"scripts.{path.stem}"
    for path in (pathlib.Path(__file__).parent.parent / "scripts").glob("*.py")
    if 'if __name__ == "__main__"' in path.read_text()
)


def run(*arguments):
    """A command that ends early; its process, and what it imported."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        capture_output=True,
        text=True,
    )
    lines = process.stderr.splitlines()
    found = {x.rpartition("|")[2].strip() for x in lines if "import time" in x}
    assert "encodings" in found
    return process, found


@pytest.mark.parametrize(
    "command",
    ["planet_tf.train", "planet_tf.evaluate", "planet_tf.doctor", *SCRIPTS],
)
def test_help_is_quick(command):
    process, imported = run(command, "--help")
    assert "--" in process.stdout and "Traceback" not in process.stderr
    assert not imported & SLOW
    # An unknown flag, in one line.
    process, _ = run(command, "--no_such_flag=1")
    lines = process.stderr.splitlines()
    (line,) = [x for x in lines if not x.startswith("import time:")]
    assert process.returncode == 2
    assert re.search(r"no flag -*no_such_flag(; did you|\. All flags: )", line)


@pytest.mark.parametrize(
    "flag", ["--sed=1", "--batch_shape=x", "--task=nope", "--planner_topk=2000"]
)
def test_flag_errors_are_quick(flag):
    process, imported = run("planet_tf.train", flag)
    assert process.returncode == 2 and flag[:5] in process.stderr
    assert not imported & SLOW
