"""How large a run will be, from its config alone."""

from planet_tf.collects import Collect
from planet_tf.config import Config
from planet_tf.tools import flops
from planet_tf.training.schedule import Schedule


def schedule(config: Config) -> Schedule:
    """When a run does what."""
    collects = config.collectors("train").items()
    return Schedule(
        config.train_steps,
        config.test_steps,
        config.batch_shape[0],
        config.max_steps,
        {name: collect.interval for name, collect in collects},
    )


def widths(config: Config) -> dict[str, int]:
    """The sizes of layers that `tools/flops.py` counts with, by its names."""
    return {
        "stoch": config.state_size,
        "deter": config.model_size,
        "layers": config.num_layers,
        "units": config.num_units,
    }


def encoder_channels(config: Config) -> int:
    """Channels of what the encoder sees: the image, and its motion if any."""
    return 6 if config.encode_motion else 3


def update_flops(config: Config, action_dim: int) -> int:
    """Operations of one update, as `tools/flops.py` counts them."""
    return flops.update_flops(
        *config.batch_shape,
        config.conv_depth,
        action_dim,
        image_every=config.image_loss_every,
        channels=encoder_channels(config),
        overshooting=config.overshooting_distance,
        reward_ahead=config.overshooting_reward_scale > 0,
        **widths(config),
    )


def plan_flops(
    config: Config, action_dim: int, collect: Collect | None = None
) -> int:
    """Operations of one plan, of a collector or the run's, likewise."""
    collect = config.collector(collect or Collect())
    return flops.plan_flops(
        collect.amount,
        collect.iterations,
        collect.horizon,
        action_dim,
        **widths(config),
    )


def collected(config: Config) -> dict[str, int]:
    """Episodes that each collector adds to the training data by the end."""
    clock = schedule(config)
    last = clock.collect_step(clock.total_updates)
    return {
        name: len(config.tasks)
        * collect.batch_size
        * collect.interval.count(last, clock.batch)
        for name, collect in config.collectors("train").items()
    }


def episodes(config: Config) -> tuple[int, int]:
    """Episodes to train on and to test on at the end, seed episodes too."""
    clock = schedule(config)
    train, test = (
        config.seed_episodes(split) * len(config.tasks)
        for split in ("train", "test")
    )
    tests = clock.total_updates // clock.epoch_updates
    each = sum(it.batch_size for it in config.collectors("test").values())
    return (
        train + sum(collected(config).values()),
        test + tests * each * len(config.tasks),
    )
