"""The usual ways in which an installation fails, each injected."""

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
from unittest import mock

import pytest

from planet_tf import config, doctor, hardware
from planet_tf.control import rendering
from planet_tf.hardware import Answer

CPUINFO = "processor : 0\nflags\t\t: fpu sse4_2 {}\n"
GIB = 2.0**30


def failed(error, status=1):
    return Answer(status, "", f"Traceback ...\n{error}\n")


def test_this_installation():
    """Its own subprocesses run, whatever is wrong here or not."""
    result = subprocess.run(
        [sys.executable, "-m", "planet_tf.doctor", "--config=debug"],
        cwd=pathlib.Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    lines = result.stdout.splitlines()
    names = [line.split()[1] for line in lines if not line.startswith(" ")]
    for name in ("versions", "tensorflow", "graphics", "memory", "disk"):
        assert name in names, result.stdout + result.stderr
    assert "ms a frame" in result.stdout
    assert not any(x.startswith("WRONG  tensorflow") for x in lines), lines
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert result.returncode == bool(wrong)
    assert lines[-1] == (f"{len(wrong)} wrong" if wrong else "All is well.")


def _without(*options):
    """Of a doctor that lacks something: what it prints."""
    result = subprocess.run(
        [sys.executable, *options],
        cwd=pathlib.Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and not result.stderr, result.stderr
    assert result.stdout.splitlines()[0].split()[1] == "python"
    return result.stdout


@pytest.mark.parametrize(
    ("module", "package"),
    [("absl", "absl-py"), ("numpy", "numpy"), ("yaml", "PyYAML")],
)
def test_a_package_that_the_doctor_needs_is_broken(module, package):
    output = _without(
        "-c",
        f"import runpy, sys; sys.modules['{module}'] = None; "
        "runpy.run_module('planet_tf.doctor', run_name='__main__')",
    )
    assert f"WRONG  packages    {module}: " in output
    assert f"pip install --force-reinstall {package}==" in output
    assert output.splitlines()[-1].endswith("wrong")


def test_nothing_is_installed():
    """Python leaves all packages out."""
    output = _without("-S", "-m", "planet_tf.doctor")
    for name in ("tensorflow", "dm_control", "numpy", "absl-py", "PyYAML"):
        assert f"{name} missing" in output
        assert f" {name}=={hardware.tested()[name]}" in output


def test_bad_flags_are_refused(monkeypatch, capsys):
    read = mock.Mock(side_effect=ValueError("--seed=-1: no"))
    monkeypatch.setattr(doctor.config_flags, "read", read)
    with pytest.raises(SystemExit) as error:
        doctor.main()
    assert error.value.code == 2
    assert capsys.readouterr() == ("", "--seed=-1: no\n")


def test_python_without_builds():
    assert not doctor.python((3, 12)).advice
    assert "3.11" in doctor.python((3, 14)).advice


def test_versions():
    pins = {"mujoco": "3.17.0", "dm_control": "1.0.50", "pytest": "9.2.0"}
    installed = dict(pins)
    assert not doctor.versions(pins, installed.get).advice
    del installed["pytest"]  # Users need no tests.
    assert not doctor.versions(pins, installed.get).advice
    pins["matplotlib"] = "3.11.2"  # Training draws.
    assert doctor.versions(pins, installed.get).text == "matplotlib missing"
    installed["matplotlib"] = "3.11.2"
    installed["mujoco"] = "4.0.0"  # As pip would have it.
    finding = doctor.versions(pins, installed.get)
    assert finding.text == "mujoco 4.0.0"
    assert "pip install mujoco==3.17.0" in finding.advice
    assert "pairs" in finding.advice
    del installed["dm_control"]
    assert "dm_control missing" in doctor.versions(pins, installed.get).text


def test_tested_versions_are_those_of_the_requirements(monkeypatch):
    """In a checkout, and as the metadata of an installed package has them."""
    pins = hardware.tested()
    assert pins["dm_control"] == "1.0.50" and pins["tensorflow"] == "2.21.0"
    monkeypatch.setattr(hardware, "__file__", "/nowhere/planet_tf/doctor.py")
    monkeypatch.setattr(
        hardware.importlib.metadata,
        "requires",
        lambda name: ["mujoco==3.17.0", 'gymnasium==1.2; extra == "gym"', "x"],
    )
    assert hardware.tested() == {"mujoco": "3.17.0", "gymnasium": "1.2"}


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (failed("ModuleNotFoundError: No module named 'tf_keras'"), "tf-keras"),
        (failed("ImportError: cannot import name x"), "requirements.txt"),
        (failed("libdevice not found at ./libdevice.10.bc"), "and-cuda"),
        (failed("", -signal.SIGILL), "AVX"),
        (Answer(None, "", ""), "python -c"),
    ],
)
def test_tensorflow_that_fails(answer, advice):
    (finding,) = hardware.tensorflow(answer, nvidia=False)
    assert advice in finding.advice


def test_gpu_that_tensorflow_does_not_see(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    none = Answer(0, "[]\n", "")
    (finding,) = hardware.tensorflow(none, nvidia=False)
    assert finding.text == "runs on the CPU" and not finding.advice
    (finding,) = hardware.tensorflow(none, nvidia=True)
    assert "tensorflow[and-cuda]==2.21.0" in finding.advice
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/cuda-11/lib64")
    (finding,) = hardware.tensorflow(none, nvidia=True)
    assert "LD_LIBRARY_PATH" in finding.advice
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (finding,) = hardware.tensorflow(none, nvidia=True)
    assert "Unset CUDA_VISIBLE_DEVICES" in finding.advice


def test_precision_of_gpus():
    for capability, text in (((9, 0), "bfloat16"), ((7, 5), "only")):
        answer = Answer(0, json.dumps([["a GPU", capability]]), "")
        device, precision = hardware.tensorflow(answer, nvidia=True)
        assert device.text == "runs on a GPU" and text in precision.text


def test_precision_of_processors():
    modern = CPUINFO.format("avx2 avx512f avx512_bf16")
    assert "AVX2, AVX-512, bfloat16" in hardware.cpu(modern).text
    assert hardware.cpu(CPUINFO.format("avx")).advice
    assert not hardware.cpu("Features : fp asimd\n").advice  # ARM.


@pytest.fixture
def backend(monkeypatch):
    """A graphics backend that answers as told."""

    def use(answer, frame="9.0\n"):
        def choose():
            if isinstance(answer, Exception):
                raise answer
            return rendering.Backend(*answer)

        monkeypatch.setattr(hardware.rendering, "choose_backend", choose)
        monkeypatch.setattr(
            hardware, "run_python", lambda *_: Answer(0, frame, "")
        )

    return use


def test_graphics_that_work(backend):
    backend(("egl", "llvmpipe (LLVM 15.0.6, 256 bits)"))
    first, frames = hardware.graphics(config.Config(), nvidia=False)
    assert "(software)" in first.text and not first.advice
    assert frames.text == "cup_catch: 9 ms a frame" and not frames.advice
    backend(("egl", "NVIDIA H100/PCIe/SSE2"), "150.0\n")
    first, frames = hardware.graphics(config.Config(), nvidia=True)
    assert "(hardware)" in first.text and not first.advice
    assert "render_quality" in frames.advice


def test_software_beside_a_gpu(backend):
    """EGL falls back in silence, and everything is slow."""
    backend(("egl", "llvmpipe (LLVM 15.0.6, 256 bits)"))
    first, _ = hardware.graphics(config.Config(), nvidia=True)
    assert "NVIDIA_DRIVER_CAPABILITIES" in first.advice


def test_no_graphics(backend, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("DISPLAY", raising=False)
    backend(RuntimeError("No graphics backend ...\n- egl: x\nFixes: apt-get"))
    (finding,) = hardware.graphics(config.Config(), nvidia=False)
    assert finding.text == "No graphics backend ... - egl: x"
    assert "apt-get" in finding.advice and "needs a screen" in finding.advice
    monkeypatch.setenv("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")
    (finding,) = hardware.graphics(config.Config(), nvidia=True)
    assert "lacks graphics" in finding.advice
    other = config.Config(tasks=("dummy",))
    (finding,) = hardware.graphics(other, nvidia=False)
    assert not finding.advice


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            failed(
                "RuntimeError: dm_control 1.0.50 and mujoco 4.0.0 do not fit "
                "together ('MjModel' ...). Tested: pip install mujoco==3.17.0"
            ),
            "pip install mujoco==3.17.0",
        ),
        (Answer(None, "", ""), "MUJOCO_GL=osmesa"),
        (failed("", -signal.SIGSEGV), "MUJOCO_GL=osmesa"),
        (failed("ModuleNotFoundError: dm_control"), "requirements.txt"),
    ],
)
def test_worlds_that_cannot_be_made(answer, advice):
    assert advice in hardware.frames(answer, "cup_catch", "egl").advice


def test_driver(monkeypatch):
    def driver(status, output):
        monkeypatch.setattr(
            hardware.subprocess,
            "run",
            lambda *_, **__: subprocess.CompletedProcess(
                [], status, output, ""
            ),
        )
        return hardware.nvidia_driver()

    monkeypatch.setattr(hardware.os.path, "exists", lambda path: True)
    assert driver(0, "name, memory.free\nA GPU, 70 MiB\n") == (
        "driver",
        "A GPU, 70 MiB",
        "",
    )
    finding = driver(18, "Failed to initialize NVML: version mismatch\n")
    assert "version mismatch" in finding.text and "Restart" in finding.advice
    monkeypatch.setattr(hardware.os.path, "exists", lambda path: False)
    assert hardware.nvidia_driver() is None


def test_memory():
    """The paper's run needs gigabytes for images; a small one does not."""
    paper = config.Config(tasks=("walker_walk",))
    assert not doctor.memory(paper, 32 * GIB).advice
    assert "--max_steps" in doctor.memory(paper, 8 * GIB).advice
    on_disk = dataclasses.replace(paper, replay_storage="disk")
    assert not doctor.memory(on_disk, 8 * GIB).advice
    assert not doctor.memory(config.PRESETS["debug"], 4 * GIB).advice
    # A thousand episodes, half of them of 125 decisions and not of 500.
    both = config.Config(tasks=("walker_walk", "cartpole_swingup"))
    assert not doctor.memory(both, 8 * GIB).advice


def test_memory_of_a_container(tmp_path, monkeypatch):
    """The machine's memory is not what a container may use."""
    assert doctor.free_memory() > 0
    (tmp_path / "max").write_text("3000\n")
    (tmp_path / "current").write_text("1000\n")
    files = (tmp_path / "max", tmp_path / "current")
    monkeypatch.setattr(doctor, "_CGROUPS", [files])
    assert doctor.free_memory() == 2000
    before = doctor.free_memory()
    (tmp_path / "max").write_text("max\n")
    assert doctor.free_memory() > before


def test_a_disk_that_may_not_be_looked_at(powerless):
    """Also a link to nothing, where no folder can be made either."""
    for name in ("closed/run", "link"):
        finding = doctor.disk(config.Config(), powerless / name)
        assert finding.text.endswith("cannot be written to")
        assert "--logdir" in finding.advice


def test_disk(tmp_path, monkeypatch):
    paper = config.Config()
    (tmp_path / "file").write_text("")
    finding = doctor.disk(paper, tmp_path / "file" / "run")
    assert "--logdir" in finding.advice
    on_disk = dataclasses.replace(paper, replay_storage="disk")
    for run, free, wrong in (
        (paper, 100 * GIB, False),
        (paper, 0.1 * GIB, True),
        (paper, 3 * GIB, False),
        (on_disk, 3 * GIB, True),
    ):
        monkeypatch.setattr(
            doctor.shutil,
            "disk_usage",
            lambda path, free=free: doctor.shutil._ntuple_diskusage(0, 0, free),
        )
        assert bool(doctor.disk(run, tmp_path / "new" / "x").advice) == wrong
