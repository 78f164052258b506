"""What an agent knows: the belief given all images so far, and what it did.

Shape letters: B batch of environments, H horizon, A action, S stochastic state.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models.world_model import WorldModel


class Memory(NamedTuple):
    """What an agent carries from one decision to the next."""

    state: Any  # Belief, [B, .]
    action: tf.Tensor  # [B, A] in [-1, 1], the last one; zeros at first
    # [B, H, A] in [-1, 1], where the next search starts; None: at zeros.
    start: tf.Tensor | None
    image: tf.Tensor  # [B, 64, 64, 3], what `see` made of it; zeros at first


def initial(model: WorldModel, batch: int, action_dim: int) -> Memory:
    """Before the first decision; without a start for a search."""
    return Memory(
        model.dynamics.initial(batch),
        tf.zeros([batch, action_dim]),
        None,
        tf.zeros([batch, *IMAGE_SHAPE]),
    )


def perceive(
    model: WorldModel,
    image: tf.Tensor,
    memory: Memory,
    image_noise: tf.Tensor | None,
    post_noise: tf.Tensor | None,
) -> tuple[Any, tf.Tensor]:
    """The belief given one more image.

    Args:
        model: Whose belief it is.
        image: uint8 [B, 64, 64, 3].
        memory: Of the previous decision, whose action led to `image`.
        image_noise: Uniform in [0, 1), of the same shape, or None.
        post_noise: [B, S] standard normal; None: the mean.

    Returns:
        The state, [B, .], and what `see` made of the image.
    """
    x = model.see(image, image_noise)
    _, post = model.dynamics.observe(
        model.embed(x[:, None], memory.image),
        memory.action[:, None],
        (None, None if post_noise is None else post_noise[:, None]),
        memory.state,
    )
    return tf.nest.map_structure(lambda x: x[:, 0], post), x
