"""Whether TensorFlow and rendering work here, and on what.

Whatever may crash or hang runs in a process of its own. For the doctor, see
`planet_tf/doctor.py`. Needs no package but Python's own.
"""

import importlib
import importlib.metadata
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from planet_tf import machine
from planet_tf.control import rendering
from planet_tf.control.tasks import SUITE, get_task

if TYPE_CHECKING:
    from planet_tf.config import Config

SLOW_FRAME = 100.0  # Milliseconds; software takes 6 to 35.

# Packages by module, see `unusable`.
_NEEDED = {"absl": "absl-py", "numpy": "numpy", "yaml": "PyYAML"}

# What `tensorflow` and `frames` judge the answers of.
TENSORFLOW = """
import json
import planet_tf
import tensorflow as tf
import tensorflow_probability
gpus = tf.config.list_physical_devices("GPU")
for gpu in gpus:
    tf.config.experimental.set_memory_growth(gpu, True)
x = tf.function(lambda x: x @ x, jit_compile=True)(tf.ones([256, 256]))
assert float(x[0, 0]) == 256
details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
print(json.dumps([[d.get("device_name", "GPU"),
                   d.get("compute_capability", [0, 0])] for d in details]))
"""

_FRAMES = """
import sys, time
from planet_tf.control.make import make_environment
world = make_environment(sys.argv[1], sys.argv[2])
world.reset(0)
times = []
for _ in range(20):
    start = time.perf_counter()
    world.render()
    times.append(time.perf_counter() - start)
print(1000 * min(times))  # Other programs may be running.
"""


class Finding(NamedTuple):
    """What one check has found."""

    name: str
    text: str
    advice: str = ""  # None is needed where nothing is wrong.


def tested() -> dict[str, str]:
    """The versions that are tested together, by package."""
    beside = pathlib.Path(__file__).parent.parent / "requirements.txt"
    if beside.exists():
        lines = beside.read_text().splitlines()
    else:
        lines = importlib.metadata.requires("planet_tf") or []
    pins = (re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", x) for x in lines)
    return {pin[1]: pin[2] for pin in pins if pin}


def unusable() -> list[Finding]:
    """Packages that cannot be imported, of those that the doctor needs."""
    found = []
    for module, package in _NEEDED.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            found.append(
                Finding(
                    "packages",
                    f"{module}: {' '.join(str(error).split())}",
                    "All other checks need it: pip install --force-reinstall "
                    f"{package}=={tested().get(package)}",
                )
            )
    return found


def nvidia_driver() -> Finding | None:
    """What the driver says; None without an NVIDIA GPU.

    A driver's version file alone is no sign of one: containers show their
    host's.
    """
    if not os.path.exists("/dev/nvidiactl"):
        return None
    try:
        result = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(
            "driver", f"nvidia-smi: {error}", "Reinstall the NVIDIA driver."
        )
    lines = (result.stdout or result.stderr).strip().splitlines() or [""]
    if result.returncode:
        return Finding(
            "driver",
            f"nvidia-smi: {lines[0]}",
            "Restart the machine, or install driver and libraries of one "
            "version.",
        )
    return Finding("driver", "; ".join(lines[1:]))


class Answer(NamedTuple):
    """How a process ended."""

    status: int | None  # None: it hung. Negative: the signal.
    output: str
    error: str

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        if self.status is None:
            return "no answer in time"
        last = (self.error.strip() or "no message").splitlines()[-1]
        if self.status < 0:
            return f"{signal.Signals(-self.status).name} ({last})"
        return last


def run_python(code: str, *arguments: str, timeout: float = 180.0) -> Answer:
    """Runs a program in a process of its own."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", "")
    return Answer(result.returncode, result.stdout, result.stderr)


def tensorflow(answer: Answer, nvidia: bool) -> Iterator[Finding]:
    """Whether TensorFlow works, and on what.

    Args:
        answer: Of a process that imports, lists GPUs and compiles.
        nvidia: Whether there is an NVIDIA GPU.
    """
    if answer.status != 0:
        yield Finding("tensorflow", answer.reason, _tensorflow_advice(answer))
        return
    gpus = json.loads(answer.output.splitlines()[-1])
    names = ", ".join(name for name, _ in gpus)
    if gpus or not nvidia:
        yield Finding("tensorflow", f"runs on {names or 'the CPU'}")
    else:
        advice = 'pip install "tensorflow[and-cuda]=={}"'.format(
            tested().get("tensorflow", "")
        )
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            advice = "Unset CUDA_VISIBLE_DEVICES, which hides all GPUs."
        elif os.environ.get("LD_LIBRARY_PATH"):
            advice += "; unset LD_LIBRARY_PATH, which may name another CUDA."
        yield Finding("tensorflow", "does not see the NVIDIA GPU", advice)
    if gpus:
        fast = all(tuple(capability) >= (8, 0) for _, capability in gpus)
        text = "float32" + (", TF32 and bfloat16" if fast else " only")
        yield Finding("precision", f"GPU: {text}")


def _tensorflow_advice(answer: Answer) -> str:
    if answer.status == -signal.SIGILL:
        return (
            "This processor lacks instructions that TensorFlow's builds need "
            "(AVX): use another machine."
        )
    if "tf_keras" in answer.error or "tf-keras" in answer.error:
        return f"pip install tf-keras=={tested().get('tf-keras', '')}"
    if "libdevice" in answer.error or "ptxas" in answer.error:
        return 'pip install "tensorflow[and-cuda]", which brings ptxas.'
    if "No module named" in answer.error or "ImportError" in answer.error:
        return "pip install -r requirements.txt, in a new environment."
    return "See all of it: python -c 'import tensorflow_probability'"


def cpu(cpuinfo: str) -> Finding:
    """What the processor computes with, from /proc/cpuinfo."""
    cores = machine.cores()
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if not flags:  # ARM, for example.
        return Finding("precision", f"CPU: {cores} cores, float32")
    has = set(flags[1].split())
    names = {
        "avx2": "AVX2",
        "avx512f": "AVX-512",
        "avx512_bf16": "bfloat16",
        "amx_bf16": "AMX bfloat16",
    }
    found = [name for flag, name in names.items() if flag in has]
    text = f"CPU: {cores} cores, float32 with "
    if "avx2" in has:
        return Finding("precision", text + ", ".join(found))
    return Finding(
        "precision",
        text + "neither AVX2 nor AVX-512",
        "Use a processor made after 2013; updates take many times as long "
        "on this one.",
    )


def computes_bfloat16(cpuinfo: str) -> bool:
    """Whether a processor has instructions for it, from /proc/cpuinfo."""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    known = {"avx512_bf16", "amx_bf16", "bf16"}  # The last one is ARM's.
    return bool(flags and known & set(flags[1].split()))


def graphics(config: "Config", nvidia: bool) -> Iterator[Finding]:
    """Whether images can be rendered, on what, and how fast."""
    suite = [name for name in config.tasks if get_task(name).domain in SUITE]
    if not suite:
        yield Finding("graphics", "not tried, no task of dm_control")
        return
    try:
        name, renderer = rendering.choose_backend()
    except RuntimeError as error:
        text, _, advice = str(error).partition("\nFixes")
        yield Finding(
            "graphics", " ".join(text.split()), f"Fixes{advice}{_hint(nvidia)}"
        )
        return
    software = re.search("llvmpipe|softpipe|swrast|software", renderer, re.I)
    advice = ""
    if software and nvidia:
        advice = (
            "Images are drawn in software although there is a GPU. In a "
            "container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,"
            "utility,graphics; else install the driver's EGL library."
        )
    yield Finding(
        "graphics",
        f"{name}: {renderer}{' (software)' if software else ' (hardware)'}",
        advice,
    )
    yield frames(
        run_python(_FRAMES, suite[0], config.render_quality), suite[0], name
    )


def _hint(nvidia: bool) -> str:
    """What is probably the cause where nothing can be rendered."""
    given = os.environ.get("NVIDIA_DRIVER_CAPABILITIES", "all")
    if nvidia and not {"all", "graphics"} & set(given.split(",")):
        return f"\nHere, NVIDIA_DRIVER_CAPABILITIES={given} lacks graphics."
    if os.environ.get("MUJOCO_GL") == "glfw" and not os.environ.get("DISPLAY"):
        return "\nHere, MUJOCO_GL=glfw needs a screen: unset it."
    return ""


def frames(answer: Answer, task: str, backend: str) -> Finding:
    """Whether a world can be made, and how fast its camera is.

    Args:
        answer: Of a process that prints milliseconds per frame.
        task: Which world.
        backend: "egl" or "osmesa".
    """
    if answer.status == 0:
        milliseconds = float(answer.output.splitlines()[-1])
        advice = ""
        if milliseconds > SLOW_FRAME:
            advice = (
                "Rendering will take most of the time: try "
                "--render_quality=fast, or a machine with a GPU."
            )
        text = f"{task}: {milliseconds:.0f} ms a frame"
        return Finding("frames", text, advice)
    if "do not fit together" in answer.error:
        advice = answer.reason.partition("Tested: ")[2]
    elif answer.status is None or answer.status < 0:
        other = "osmesa" if backend == "egl" else "egl"
        advice = f"The graphics driver is broken: try MUJOCO_GL={other}."
    else:
        advice = "pip install -r requirements.txt, in a new environment."
    return Finding("frames", f"{task}: {answer.reason}", advice)
