"""Settings for all tests."""

import os
import pathlib
import tempfile

import pytest

# Before any of them imports TensorFlow: it reads its settings only then.
import planet_tf  # noqa: F401


@pytest.fixture
def powerless():
    """A folder of someone who is not root, with a folder that is closed.

    Beside it, a link to nothing.
    """
    before = os.getresuid()
    if before[1] == 0:
        os.setresuid(65534, 65534, 0)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "link").symlink_to(folder / "gone")
            (folder / "closed").mkdir()
            (folder / "closed").chmod(0)
            yield folder
            (folder / "closed").chmod(0o700)
    finally:
        os.setresuid(*before)
