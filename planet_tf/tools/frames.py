"""Frames of episodes kept on disk, uncompressed, instead of in memory.

Beside the episodes of a directory, `frames/` holds the images of each as one
file that chunks are read from; the operating system keeps in memory what it
has room for. The files can be deleted at any time: they are made again from
the episodes.
"""

import logging
import pathlib
import zipfile
import zlib

import numpy as np

from planet_tf.tools.files import UNREADABLE, atomic_write

_IMAGE = "image.npy"  # What NumPy calls the array within an archive.


class NotWrittenError(OSError):
    """Frames could not be written; nothing is wrong with the episode."""


class Frames:
    """The images of one episode; slices of it are read from disk.

    The file is that of the array in the episode's archive, byte for byte, so
    that the archive's own checksum tells whether it is intact.

    Args:
        episode: The archive.

    Attributes:
        path: The file.
        shape: [N+1, H, W, 3].
        dtype: uint8.

    Raises:
        NotWrittenError: The frames are not there and cannot be written.
        ValueError: Or another of the exceptions of damaged archives.
    """

    def __init__(self, episode: pathlib.Path):
        self._episode = episode
        self.path = frames_path(episode)
        if not self._intact():
            self._write()
        images = self._open()
        self.shape, self.dtype = images.shape, images.dtype
        self.ndim = images.ndim

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Reads some rows, [T, H, W, 3].

        Raises:
            OSError: The disk failed, or was full when a lost file was to be
                made again.
        """
        try:
            return np.array(self._open()[rows])
        except UNREADABLE as error:
            logging.warning("Writing %s again, because: %s", self.path, error)
            self._write()
            return np.array(self._open()[rows])

    def _open(self) -> np.ndarray:
        # Opened for each read: an open map would count as this process's
        # memory, and thousands of them would use up its open files.
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def _intact(self) -> bool:
        with zipfile.ZipFile(self._episode) as archive:
            expected = archive.getinfo(_IMAGE)
        try:
            if self.path.stat().st_size != expected.file_size:
                return False
            return zlib.crc32(self.path.read_bytes()) == expected.CRC
        except FileNotFoundError:
            return False

    def _write(self) -> None:
        with zipfile.ZipFile(self._episode) as archive:
            content = archive.read(_IMAGE)
        try:
            with atomic_write(self.path) as file:
                file.write(content)
        except OSError as error:
            raise NotWrittenError(*error.args) from error


def frames_path(episode: pathlib.Path) -> pathlib.Path:
    """Where the frames of an episode are."""
    return episode.parent / "frames" / f"{episode.stem}.npy"


def remove_others(directory: pathlib.Path, keep: set[pathlib.Path]) -> None:
    """Deletes the frames of a directory's episodes but those in `keep`."""
    folder = directory / "frames"
    for path in folder.glob("*"):
        if path not in keep:
            path.unlink()
    if folder.exists() and not keep:
        folder.rmdir()
