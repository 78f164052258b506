"""Golden arrays, and the comparisons made with them."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

# Tolerances for float32.
EXACT = 0.0
LAYER = 1e-5  # one layer or formula
UNROLL = 1e-4  # through time or iterations
GRADIENT = 1e-3
# Entries of a gradient, on average. A unit whose input is zero but for rounding
# is active in one code and not in the other; the decoder's 5e5 units have one
# in every fourth pass, which moves entries by up to 1.5e-2, their average by up
# to 4e-3, and norms by up to 5e-4.
SWITCHED = 1e-2


class Check(NamedTuple):
    """One compared array."""

    array: str  # file:name
    shape: tuple[int, ...]
    absolute: float  # largest difference
    relative: float
    tolerance: float
    note: str

    @property
    def passed(self) -> bool:
        """False also where the difference is not a number."""
        return self.relative <= self.tolerance


# Settings of the original that the arrays were made with and do not contain. A
# `settings.json` in their folder replaces those that it names.
SETTINGS = {
    # Weights of the loss in `losses:scales_*` and of overshooting.
    "scales": {
        "divergence_scale": 0.3,
        "reward_scale": 2.5,
        "image_scale": 0.1,
    },
    "overshooting_scale": 0.7,
    # Largest norms of the gradient in `optimizer:<name>_*`.
    "clips": {"default": 1000.0, "noclip": 1e9, "clip": 5.0},
    # Exploration noise in `agent`.
    "exploration": 0.3,
    # Observed steps in `*_open_*`.
    "context": 2,
    # What the episode file was recorded in.
    "episode_task": "cartpole_balance",
    # After, every and until of `data:schedule_*`.
    "intervals": {"collect": [5000, 5000], "collect_until": [100, 700, 9000]},
    # Length and minimum of `data:schedule_noise_*`.
    "ramps": {"constant": [0, 0.0], "up": [10000, 0.0], "down": [-10000, 0.1]},
}


class Parity:
    """A folder of golden arrays, and what was found about them.

    Args:
        directory: In the layout of `tests/golden`.

    Attributes:
        settings: `SETTINGS`, and what the folder says otherwise.

    Raises:
        ValueError: The folder's settings cannot be read, or nothing reads one.
    """

    def __init__(self, directory: str | pathlib.Path):
        self._directory = pathlib.Path(directory)
        self._arrays: dict[str, dict[str, np.ndarray]] = {}
        self._inputs: set[str] = set()
        self.checks: list[Check] = []
        self.skipped: dict[str, str] = {}
        path = self._directory / "settings.json"
        try:
            given = json.loads(path.read_text()) if path.exists() else {}
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if not isinstance(given, dict):
            raise ValueError(f"{path} is not a dictionary of settings")
        if unknown := sorted(set(given) - set(SETTINGS)):
            raise ValueError(
                f"{path}: nothing reads {', '.join(unknown)}; there are "
                f"{', '.join(SETTINGS)}"
            )
        self.settings: dict[str, Any] = {**SETTINGS, **given}

    def files(self) -> list[str]:
        """Names of the folder's files, without `.npz`."""
        return sorted(path.stem for path in self._directory.glob("*.npz"))

    def names(self, file: str) -> list[str]:
        """Names of the arrays in a file.

        Raises:
            OSError: The file is missing or unreadable.
        """
        if file not in self._arrays:
            with np.load(self._directory / f"{file}.npz") as arrays:
                self._arrays[file] = dict(arrays)
        return list(self._arrays[file])

    def get(self, array: str) -> np.ndarray:
        """Returns an array, `file:name`, as an input for our code.

        Raises:
            KeyError: The file does not have it.
        """
        self._inputs.add(array)
        return self._read(array)

    def check(
        self,
        array: str,
        ours: Any,
        tolerance: float,
        rows: bool = False,
        average: bool = False,
        least: float = 0.0,
        note: str = "",
    ) -> None:
        """Compares our numbers with an array.

        Where the original has no number, ours only has to be finite.

        Args:
            array: As `file:name`.
            ours: Tensor, array or list of the same shape.
            tolerance: Largest difference that passes, relative to the largest
                magnitude in the array.
            rows: Relative to the largest magnitude of each row instead.
            average: The average difference decides, not the largest.
            least: Relative to this where the magnitude is smaller: that of the
                numbers whose difference the array is.
            note: For the report.

        Raises:
            ValueError: The shapes differ.
        """
        theirs, ours = self._read(array), np.asarray(ours)
        if ours.shape != theirs.shape:
            raise ValueError(
                f"{array} has shape {theirs.shape}, ours has {ours.shape}"
            )
        if theirs.dtype.kind == "U":
            ours, theirs = ours == theirs, np.ones(theirs.shape)
        ours, theirs = ours.astype("f8"), theirs.astype("f8")
        unknown = np.isnan(theirs) & np.isfinite(ours)
        difference = np.where(unknown, 0.0, np.abs(ours - theirs))
        scale = np.where(unknown, 0.0, np.abs(theirs))
        axes = tuple(range(1, theirs.ndim)) if rows else None
        absolute = difference.max(axes)
        scale = np.maximum(scale.max(axes), least)
        decisive = difference.mean(axes) if average else absolute
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(decisive == 0, 0.0, decisive / scale)
        if unknown.any():
            note = f"{np.count_nonzero(unknown)} are NaN in the original"
        self.checks.append(
            Check(
                array,
                theirs.shape,
                float(np.max(absolute)),
                float(np.max(relative)),
                float(tolerance),
                note,
            )
        )

    def skip(self, array: str, reason: str) -> None:
        """Says why an array is not compared."""
        self._read(array)
        self.skipped[array] = reason

    def unread(self, file: str) -> list[str]:
        """Arrays of a file that none of the above was called for."""
        seen = {c.array for c in self.checks} | self._inputs | {*self.skipped}
        arrays = [f"{file}:{name}" for name in self.names(file)]
        return [array for array in arrays if array not in seen]

    def _read(self, array: str) -> np.ndarray:
        file, name = array.split(":")
        if name not in self.names(file):
            raise KeyError(f"{self._directory / file}.npz has no {name}")
        return self._arrays[file][name]
