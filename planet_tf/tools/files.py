"""Files that are either complete or not there."""

import contextlib
import csv
import io
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

# What a crash leaves behind; nothing with this ending is ever read.
TEMPORARY = ".tmp"


# What damaged episodes were seen to raise when read (by changing random bytes):
# headers are parsed as Python, and may claim any size.
UNREADABLE = (
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def expanded(path: str | os.PathLike) -> pathlib.Path:
    """What a path that was typed stands for; shells leave `--out=~/x` alone.

    As in shells, the `~` of a user that there is not stays.
    """
    return pathlib.Path(os.path.expanduser(path))


def checkpoints(directory: pathlib.Path) -> dict[int, pathlib.Path]:
    """Paths of the checkpoints in a folder by updates, newest first.

    From the files themselves: TensorFlow's own list of them is one more file
    that can be lost.
    """
    paths = (path.with_suffix("") for path in directory.glob("ckpt-*.index"))
    numbers = ((path.name.removeprefix("ckpt-"), path) for path in paths)
    found = {
        int(number): path for number, path in numbers if number.isdecimal()
    }
    return dict(sorted(found.items(), reverse=True))


def sync(path: pathlib.Path) -> None:
    """Waits until a file, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # Some file systems sync files alone.
            raise
    finally:
        os.close(descriptor)


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
            sync(path.parent)
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


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file at once; errors as in `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def csv_text(rows: Iterable[Iterable]) -> str:
    """Rows of cells, the header among them, as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
