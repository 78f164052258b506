import os
import subprocess

import pytest

from planet_tf.control import rendering


class FakeProbe:
    """Stands in for `subprocess.run`; `working` backends render."""

    def __init__(self, working, error="boom"):
        self.working = working
        self.error = error
        self.tried = []

    def __call__(self, command, env, timeout, **unused):
        self.tried.append((env["MUJOCO_GL"], env.get("PYOPENGL_PLATFORM")))
        if self.error == "hang" and env["MUJOCO_GL"] not in self.working:
            raise subprocess.TimeoutExpired(command, timeout)
        works = env["MUJOCO_GL"] in self.working
        return subprocess.CompletedProcess(
            command, int(not works), "a renderer\n", f"...\n{self.error}\n"
        )


@pytest.fixture
def environ(monkeypatch):
    """A copy of the environment in which no backend is chosen."""
    copy = dict(os.environ)
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM"):
        copy.pop(name, None)
    monkeypatch.setattr(os, "environ", copy)
    return copy


def use(monkeypatch, *args, **kwargs):
    probe = FakeProbe(*args, **kwargs)
    monkeypatch.setattr(rendering.subprocess, "run", probe)
    return probe


def test_a_real_frame(monkeypatch):
    """Nothing else shows that this machine can render at all."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    backend = rendering.choose_backend()
    assert backend.name in ("egl", "osmesa")
    assert backend.renderer
    assert os.environ["MUJOCO_GL"] == backend.name
    assert os.environ["PYOPENGL_PLATFORM"] == backend.name


def test_falls_back_to_osmesa(monkeypatch, environ):
    probe = use(monkeypatch, ["osmesa"])
    assert rendering.choose_backend() == ("osmesa", "a renderer")
    assert probe.tried == [("egl", "egl"), ("osmesa", "osmesa")]
    assert environ["MUJOCO_GL"] == environ["PYOPENGL_PLATFORM"] == "osmesa"


def test_a_hang_is_a_failure(monkeypatch, environ):
    use(monkeypatch, ["osmesa"], error="hang")
    assert rendering.choose_backend(timeout=1).name == "osmesa"


def test_users_choice_is_the_only_candidate(monkeypatch, environ):
    """Also when PYOPENGL_PLATFORM contradicts it."""
    environ.update(MUJOCO_GL="osmesa", PYOPENGL_PLATFORM="egl")
    probe = use(monkeypatch, ["egl", "osmesa"])
    assert rendering.choose_backend().name == "osmesa"
    assert probe.tried == [("osmesa", "osmesa")]


def test_users_choice_fails(monkeypatch, environ):
    environ["MUJOCO_GL"] = "glfw"
    probe = use(monkeypatch, ["egl"])
    with pytest.raises(RuntimeError, match="unset it to try others"):
        rendering.choose_backend()
    assert probe.tried == [("glfw", None)]
    assert environ["MUJOCO_GL"] == "glfw"


def test_failure_says_why_and_what_to_do(monkeypatch, environ):
    use(monkeypatch, [], error="libEGL is missing")
    with pytest.raises(RuntimeError) as error:
        rendering.choose_backend()
    message = str(error.value)
    assert "egl: libEGL is missing (exit code 1)" in message
    assert "osmesa: libEGL is missing" in message
    assert "apt-get install -y libegl1 libgl1 libosmesa6" in message
    assert "MUJOCO_GL" not in environ
