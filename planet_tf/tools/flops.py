"""Arithmetic of one update and of one plan, counted from layer sizes.

A product of [n, k] and [k, m] counts as 2 n k m operations; activations, losses
and the optimizer are left out (below one percent at the paper's sizes), as are
value, ensemble and heads of the simulator's state, which there are not by
default.
"""


def frame_flops(
    conv_depth: int, features: int, channels: int = 3
) -> dict[str, int]:
    """Forward operations per image of `encoder` and `decoder`.

    The encoder's image has so many `channels`.
    """
    d = conv_depth
    # (output positions, kernel area, channels in, channels out)
    encoder = [
        (31**2, 16, channels, d),
        (14**2, 16, d, 2 * d),
        (6**2, 16, 2 * d, 4 * d),
        (2**2, 16, 4 * d, 8 * d),
    ]
    # For transposed convolutions, positions of the input.
    decoder = [
        (1, 1, features, 32 * d),
        (1, 25, 32 * d, 4 * d),
        (5**2, 25, 4 * d, 2 * d),
        (13**2, 36, 2 * d, d),
        (30**2, 36, d, 3),
    ]

    def total(layers):
        return sum(2 * n * area * i * o for n, area, i, o in layers)

    return {"encoder": total(encoder), "decoder": total(decoder)}


def step_flops(
    action_dim: int,
    embed: int,
    stoch: int = 30,
    deter: int = 200,
    layers: int = 3,
    units: int = 300,
) -> dict[str, int]:
    """Forward operations per latent step of RSSM `prior`, `post`, `reward`."""
    gru = 2 * (2 * deter) * 3 * deter
    hidden = 2 * (stoch + action_dim) * deter + 2 * deter * deter
    normal = 2 * deter * 2 * stoch
    sizes = [stoch + deter] + [units] * layers + [1]
    return {
        "prior": hidden + gru + normal,
        "post": 2 * (deter + embed) * deter + normal,
        "reward": sum(
            2 * i * o for i, o in zip(sizes, sizes[1:], strict=False)
        ),
    }


def update_flops(
    batch: int,
    length: int,
    conv_depth: int,
    action_dim: int,
    image_every: int = 1,
    channels: int = 3,
    overshooting: int = 0,
    reward_ahead: bool = False,
    **sizes: int,
) -> int:
    """Operations of one gradient step on RSSM; keywords as `step_flops`.

    One image in `image_every` rows of a chunk is decoded; the encoder sees all,
    of so many `channels`. `overshooting` steps are predicted from every row,
    and their rewards with `reward_ahead`. The backward pass costs twice the
    forward pass, but nothing needs the gradient of the images.
    """
    features = sizes.get("stoch", 30) + sizes.get("deter", 200)
    frame = frame_flops(conv_depth, features, channels)
    step = step_flops(action_dim, 32 * conv_depth, **sizes)
    images = 2 * 31**2 * 16 * channels * conv_depth
    each = 3 * (frame["encoder"] + sum(step.values())) - images
    each += 3 * overshooting * (step["prior"] + reward_ahead * step["reward"])
    drawn = max(length // image_every, 1)
    return batch * (length * each + drawn * 3 * frame["decoder"])


def plan_flops(
    candidates: int,
    iterations: int,
    horizon: int,
    action_dim: int,
    **sizes: int,
) -> int:
    """Operations of one plan on RSSM; keywords as `step_flops`."""
    step = step_flops(action_dim, 0, **sizes)
    # The state that all candidates start from is counted once for each of them,
    # although its products are computed once: 1.3 % of the paper's plan.
    steps = candidates * iterations * horizon
    return steps * (step["prior"] + step["reward"])
