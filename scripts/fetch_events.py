r"""TensorBoard events to CSV, one file for each folder and tag.

    python -m scripts.fetch_events --logdirs='~/planet_tf/*' \
        --tags='test/*' --outdir=DIR

Writes DIR/<folder>___<tag>.csv with the columns wall_time (seconds since 1970),
step and value, the scalars as TensorBoard shows them: what a resumed run made
again replaces what it had made before. Folders whose event files are the same
as at the last time are skipped (DIR/fetched.json says which), so that the same
command again fetches what is new.
"""

import fnmatch
import glob
import json
import os
import pathlib
import re
import struct
import sys
from collections.abc import Iterator

from planet_tf.tools.files import csv_text, expanded, write_text
from scripts.command_line import Parser

# A tag's points: (wall_time, step, value).
Points = dict[str, list[tuple[float, int, float]]]

_DONE = "fetched.json"
# Checksums in pure Python take a second for 10 MB; larger records are videos.
_CHECKED_BYTES = 65536


def event_folders(pattern: str) -> list[pathlib.Path]:
    """Folders with event files that match, or are below one that matches."""
    matches = glob.glob(os.path.expanduser(pattern), recursive=True)
    return sorted(
        {
            file.parent
            for match in matches
            for file in pathlib.Path(match).rglob("*tfevents*")
        }
    )


def event_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Event files in the order in which they were written."""
    return sorted(folder.glob("*tfevents*"))


def read_scalars(path: pathlib.Path, points: Points, tags: str) -> None:
    """Adds the scalars of an event file to those of earlier ones.

    Args:
        path: The file.
        points: By tag; gets the new ones, and loses those that a restart of
            the run has made void.
        tags: Which to read, a pattern as for file names.

    Raises:
        EOFError: The file ends within a record; all before it was added.
        ValueError: The file is damaged; what is before the damage was added.
        OSError: The file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorboard import data_compat
    from tensorboard.compat.proto import event_pb2
    from tensorboard.util import tensor_util

    for record in _records(path):
        try:
            event = event_pb2.Event.FromString(record)
        except DecodeError as error:
            raise ValueError("a record is not an event") from error
        if event.session_log.status == event_pb2.SessionLog.START:
            for tag, known in points.items():
                points[tag] = [p for p in known if p[1] < event.step]
        for value in event.summary.value:
            if not fnmatch.fnmatch(value.tag, tags):
                continue
            value = data_compat.migrate_value(value)
            if value.metadata.plugin_data.plugin_name == "scalars":
                number = tensor_util.make_ndarray(value.tensor).item()
                points.setdefault(value.tag, []).append(
                    (event.wall_time, event.step, number)
                )


def _records(path: pathlib.Path) -> Iterator[bytes]:
    """The records of a TFRecord file.

    TensorBoard's own reader needs TensorFlow, or checks every byte of every
    video in Python, and takes damage for the end of the file.
    """
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    def check(data: bytes, checksum: bytes) -> None:
        crc = pywrap_tensorflow.masked_crc32c(data)
        if struct.pack("<I", crc) != checksum:
            raise ValueError("a checksum is wrong")

    with path.open("rb") as file:
        while header := file.read(12):
            if len(header) < 12:
                raise EOFError
            check(header[:8], header[8:])
            (size,) = struct.unpack("<Q", header[:8])
            data, checksum = file.read(size), file.read(4)
            if len(checksum) < 4:
                raise EOFError
            if size <= _CHECKED_BYTES:
                check(data, checksum)
            yield data


def fetch(
    folder: pathlib.Path, tags: str, outdir: pathlib.Path
) -> tuple[list[str], list[str]]:
    """Writes the CSV files of one folder.

    Args:
        folder: With event files.
        tags: Which scalars, a pattern as for file names.
        outdir: Where the files go.

    Returns:
        Names of the files, and one line for each problem.

    Raises:
        OSError: A file cannot be written; names it.
    """
    points: Points = {}
    problems = []
    for path in event_files(folder):
        try:
            read_scalars(path, points, tags)
        except EOFError:
            pass  # It is being written, or its run was killed while writing.
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror})")
        except ValueError as error:
            problems.append(f"{path} is damaged ({error}); used what is before")
    names = []
    for tag, values in sorted(points.items()):
        name = f"{_plain(str(folder))}___{_plain(tag)}.csv"
        if name in names:
            problems.append(
                f"{folder}: skipped {tag}, another tag has its file"
            )
            continue
        names.append(name)
        header = ("wall_time", "step", "value")
        write_text(outdir / name, csv_text([header, *values]))
    return names, problems


def main(arguments: list[str] | None = None) -> int:
    """Fetches what is new and returns the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--logdirs", metavar="GLOB", required=True, help="folders of runs"
    )
    parser.add_argument(
        "--tags", metavar="GLOB", default="*", help="scalars; default: all"
    )
    parser.add_argument("--outdir", metavar="DIR", required=True, type=expanded)
    args = parser.parse_args(arguments)
    folders = event_folders(args.logdirs)
    if not folders:
        print(
            f"--logdirs={args.logdirs}: no folder with TensorBoard events "
            "(*tfevents*) matches. Quote the pattern, so that the shell leaves "
            "it as it is.",
            file=sys.stderr,
        )
        return 2
    try:
        return _fetch_all(folders, args.tags, args.outdir)
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 2


def _fetch_all(
    folders: list[pathlib.Path], tags: str, outdir: pathlib.Path
) -> int:
    done = _read_done(outdir / _DONE)
    owners: dict[str, pathlib.Path] = {}
    found, written, skipped, problems = 0, 0, 0, []

    def complain(*texts: str) -> None:
        problems.extend(texts)
        for text in texts:  # At once, as the disk may be full before the end.
            print(text, file=sys.stderr)

    for folder in folders:
        name = _plain(str(folder))
        if owners.setdefault(name, folder) != folder:
            complain(
                f"{folder}: skipped, its files have {owners[name]}'s names"
            )
            continue
        state = {
            "tags": tags,
            "events": [
                [path.name, path.stat().st_size, path.stat().st_mtime_ns]
                for path in event_files(folder)
            ],
        }
        files = done.get(name, {}).get("files", [])
        if done.get(name) == {**state, "files": files} and all(
            (outdir / file).exists() for file in files
        ):
            skipped += 1
        else:
            files, new = fetch(folder, tags, outdir)
            written += len(files)
            complain(*new)
            if not new:  # Otherwise it is read, and complained about, again.
                done[name] = {**state, "files": files}
                write_text(outdir / _DONE, json.dumps(done, indent=1))
        found += len(files)
    if not found:
        complain(
            f"--tags={tags}: no scalar of {len(folders)} folder(s) matches"
        )
    print(
        f"{written} file(s) written, {skipped} of {len(folders)} folder(s) "
        f"unchanged since the last time. CSV files: {outdir.resolve()}"
    )
    return 2 if problems else 0


def _read_done(path: pathlib.Path) -> dict[str, dict]:
    try:
        done = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        done = None
    # Otherwise, everything is fetched again.
    return done if isinstance(done, dict) else {}


def _plain(text: str) -> str:
    """Text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "_", text).strip("_")


if __name__ == "__main__":
    sys.exit(main())
