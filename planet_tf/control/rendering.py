"""Finds a graphics backend that works, before anything imports dm_control.

Left alone, dm_control prefers GLFW, which needs a screen, and a backend that
is installed may still fail or hang at the first frame. So each candidate has
to render a frame in a process of its own.
"""

import os
import subprocess
import sys
from typing import Any, NamedTuple

_PROBE = """
from dm_control import mujoco
from OpenGL import GL

physics = mujoco.Physics.from_xml_string(
    "<mujoco><worldbody><light/><geom size='1'/></worldbody></mujoco>"
)
assert physics.render(64, 64).std() > 0, "the rendered frame is blank"
# OSMesa draws in another thread, where its name cannot be asked for.
print((GL.glGetString(GL.GL_RENDERER) or b"OSMesa (software)").decode())
physics.free()
"""

_HELP = """
Fixes, in the order to try them:
- Debian or Ubuntu, also for rendering on the CPU (libosmesa6 is only needed
  where EGL fails):
      apt-get update && apt-get install -y libegl1 libgl1 libosmesa6
- Without root: conda install -c conda-forge mesalib
- In a container with an NVIDIA GPU: start it with
      NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
- "Permission denied" for /dev/dri: join the group that owns it (render or
  video).
- Several GPUs: MUJOCO_EGL_DEVICE_ID counts only those that EGL can see; unset
  it, and the first that works is taken."""


class Backend(NamedTuple):
    """What renders the images."""

    name: str  # the value of MUJOCO_GL: "egl" or "osmesa"
    renderer: str  # as OpenGL names it; contains "llvmpipe" on a CPU


def choose_backend(timeout: float = 60.0) -> Backend:
    """Chooses a backend for this process and those it spawns; takes 1 to 2 s.

    Tries EGL, then OSMesa; if the user has set MUJOCO_GL, nothing but that.
    Sets MUJOCO_GL and PYOPENGL_PLATFORM in `os.environ`.

    Args:
        timeout: Seconds after which a backend counts as broken.

    Raises:
        RuntimeError: None works; says why and what to install.
    """
    user = os.environ.get("MUJOCO_GL", "").lower()
    failures = []
    for name in [user] if user else ["egl", "osmesa"]:
        chosen = {"MUJOCO_GL": name}
        if name in ("egl", "osmesa"):
            chosen["PYOPENGL_PLATFORM"] = name
        try:
            probe = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env=os.environ | chosen,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            failures.append(f"{name}: no frame within {timeout:.0f} seconds")
            continue
        if probe.returncode == 0:
            os.environ.update(chosen)
            return Backend(name, probe.stdout.strip())
        reason = (probe.stderr.strip() or "no message").splitlines()[-1]
        failures.append(f"{name}: {reason} (exit code {probe.returncode})")
    set_by_user = " (MUJOCO_GL is set; unset it to try others)" if user else ""
    raise RuntimeError(
        f"No graphics backend can render an image{set_by_user}.\n- "
        + "\n- ".join(failures)
        + _HELP
    )


def draw_fast(visual: Any) -> None:
    """Trades hard edges and coarse shadows for time, in a MuJoCo model.

    Args:
        visual: The model's `vis`; read when its first frame is drawn.
    """
    # Deviates from planet: it has MuJoCo's defaults, which take five times as
    # long; effect on return: unmeasured.
    visual.quality.shadowsize = 256
    visual.quality.offsamples = 0
