"""The original's names for our variables, and weights computed from names.

The arrays in `tests/golden` came out of the original code with weights that are
exact functions of their names, so that no weight is stored. Both codes share
all layouts (also [height, width, out, in] for transposed convolutions and
reset, update for the columns of the gates): only the names differ.
"""

import zlib
from typing import Any

import numpy as np


def formula_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight that the golden arrays were made with: float32 of `shape`.

    Args:
        name: The original's name, `rssm/transition/dense/kernel`.
        shape: In the original's layout.
    """
    u = 2.0 * _hash_uniform(name, int(np.prod(shape))) - 1.0
    if len(shape) == 1:
        weight = 0.1 * u + (1.0 if name.endswith("b_ru") else 0.0)
    else:
        if "conv2d_transpose" in name:
            # Stride 2 in both directions: a quarter of the kernel meets each
            # output pixel.
            fan_in = shape[0] * shape[1] * shape[3] / 4.0
        else:
            fan_in = float(np.prod(shape[:-1]))
        weight = u * 2.0 / np.sqrt(fan_in)
    return weight.astype(np.float32).reshape(shape)


def _hash_uniform(name: str, count: int) -> np.ndarray:
    """24-bit numbers in [0, 1) [count], the same on every machine."""
    x = np.arange(count, dtype=np.uint32)
    x = x + np.uint32(zlib.crc32(name.encode("ascii")))
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2.0**24


def original_variables(model: Any) -> dict[str, Any]:
    """A world model's variables by the names that the original gave them.

    Args:
        model: A `WorldModel` with an RSSM, SSM or DRNN.
    """
    cell = model.dynamics
    layers = {
        "encoder": (model.encoder.convs, []),
        "head_image": ([model.image.dense], []),
        "head_reward": ([*model.reward.hidden, model.reward.out], []),
    }
    if cell.name == "drnn":
        layers["drnn/posterior"] = (
            _gaussian(cell.gaussian),
            [cell.encoder, cell.decoder],
        )
    elif cell.name == "ssm":
        layers["ssm/transition"] = (_gaussian(cell.prior), [])
        layers["ssm/posterior"] = (_gaussian(cell.post), [])
    else:
        layers["rssm/transition"] = (
            [*cell.inputs, *_gaussian(cell.prior)],
            [cell.gru],
        )
        layers["rssm/posterior"] = (_gaussian(cell.post), [])
    variables = {}
    for part, (linear, grus) in layers.items():
        kind = "conv2d" if part == "encoder" else "dense"
        for i, layer in enumerate(linear):
            name = f"{part}/{_numbered(kind, i)}"
            variables[f"{name}/kernel"] = layer.kernel
            variables[f"{name}/bias"] = layer.bias
        for i, gru in enumerate(grus):
            name = f"{part}/{_numbered('gru_cell', i)}"
            for weight in ("w_ru", "b_ru", "w_c", "b_c"):
                variables[f"{name}/{weight}"] = getattr(gru, weight)
    pairs = zip(model.image.kernels, model.image.biases, strict=True)
    for i, (kernel, bias) in enumerate(pairs):
        name = f"head_image/{_numbered('conv2d_transpose', i)}"
        variables[f"{name}/kernel"] = kernel
        variables[f"{name}/bias"] = bias
    return variables


def _numbered(kind: str, i: int) -> str:
    """As TF1 named layers: dense, dense_1, dense_2."""
    return f"{kind}_{i}" if i else kind


def _gaussian(gaussian: Any) -> list:
    return [*gaussian.hidden, gaussian.mean, gaussian.std]
