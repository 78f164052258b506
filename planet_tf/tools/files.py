"""Files that are either complete or not there."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

# What a crash leaves behind; nothing with this ending is ever read.
TEMPORARY = ".tmp"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a file that appears under its name only once it is complete.

    Readers see the old content or the new, never a part, even if the program
    or the machine stops half-way. Makes missing directories.

    Raises:
        OSError: Naming the file, which is then as it was before.
    """
    path = pathlib.Path(path)
    # In the same directory, because a rename is atomic within a file system.
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            error.errno,
            f"could not write {path} ({reason}); files written before it are "
            "intact",
        ) from error
