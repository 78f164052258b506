"""Everything a run can change: one frozen dataclass, its presets, its file.

The parameters, their names, units and defaults are those of the original's
`scripts/configs.py`, unless their group says otherwise. *Step units* are the
original's counter: one update advances it by the batch size, see
`planet_tf/training/schedule.py`.
"""

import dataclasses
import os
import pathlib

import yaml

from planet_tf import __version__
from planet_tf.collects import PLANNER, Collect
from planet_tf.tools import parameters
from planet_tf.tools.files import write_text
from planet_tf.tools.parameters import param

# What can be replaced to act with a model that is there.
SEARCH = tuple(f"planner_{name}" for name in PLANNER)
ACTING = (*SEARCH, "planner_warm_start")

_ACTIVATIONS = "relu | elu | tanh | swish | softplus | none"


class ConfigError(ValueError):
    """A value that cannot work, found out in the worlds that it is for."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything a run can change."""

    # Deviates from planet: ball in cup instead of cheetah by default, because
    # it is the task that this project is measured on first.
    tasks: tuple[str, ...] = param(
        ("cup_catch",), "Tasks that one agent learns, by name."
    )
    # Deviates from planet: nothing is seeded there.
    seed: int = param(
        0, "Fixes all randomness of the run.", ">= 0, < 2147483648"
    )
    action_repeat: int = param(
        0,
        "Simulator steps per decision, for all tasks; 0: each task's own.",
        ">= 0, <= 1000",
    )
    camera_id: int = param(
        0, "Camera of every dm_control task; -1 is the free one.", ">= -1"
    )

    batch_shape: tuple[int, int] = param(
        (50, 50), "Chunks in a batch, and rows in a chunk, as in 50,50."
    )
    image_bits: int = param(
        5, "Bits of colour that the model sees.", ">= 1, <= 8"
    )

    activation: str = param(
        "relu",
        "Activation of reward head and dynamics, except in drnn.",
        _ACTIVATIONS,
    )
    num_layers: int = param(3, "Hidden layers of the reward head.", ">= 1")
    num_units: int = param(
        300, "Units in each hidden layer of the reward head.", ">= 1"
    )

    model: str = param("rssm", "Latent dynamics.", "rssm | ssm | drnn")
    model_size: int = param(
        200, "Units of the GRU and of dense layers in the dynamics.", ">= 1"
    )
    state_size: int = param(30, "Size of the stochastic state.", ">= 1")
    model_layers: int = param(
        1, "Dense layers at each of three places in rssm.", ">= 1"
    )
    future_rnn: bool = param(True, "The prior of rssm reads the new GRU state.")
    mean_only: bool = param(
        False, "Means instead of samples in the latent state."
    )
    min_stddev: float = param(
        0.1, "Added to every latent standard deviation.", "> 0"
    )
    drnn_encoder_to_decoder: bool = param(
        False, "In drnn, the decoder reads the previous encoder state."
    )
    drnn_sample_to_sample: bool = param(
        True, "In drnn, the latent reads the previous sample."
    )
    drnn_sample_to_encoder: bool = param(
        True, "In drnn, the encoder reads the previous sample."
    )
    drnn_decoder_to_encoder: bool = param(
        False, "In drnn, the encoder reads the previous decoder state."
    )
    drnn_decoder_to_sample: bool = param(
        True, "In drnn, the latent reads the previous decoder state."
    )
    drnn_action_to_decoder: bool = param(
        False, "In drnn, the decoder reads the action."
    )

    gradient_heads: tuple[str, ...] = param(
        ("image", "reward"),
        "Heads whose loss trains encoder and dynamics too.",
    )
    state_diagnostics: bool = param(
        False,
        "Train heads that read the simulator's state from the latent "
        "one; they do not influence the agent.",
    )
    divergence_scale: float = param(1.0, "Weight of KL(post || prior).", ">= 0")
    global_div_scale: float = param(
        0.0, "Weight of KL(post || unit Gaussian).", ">= 0"
    )
    overshooting_scale: float = param(
        0.0, "Weight of latent overshooting.", ">= 0"
    )
    overshooting_distance: int = param(
        0, "Longest prediction that overshooting trains.", ">= 0"
    )
    os_stop_posterior_grad: bool = param(
        True, "Overshooting leaves the posteriors it predicts alone."
    )
    free_nats: float | None = param(
        3.0,
        "KL below this many nats a row costs nothing; none: no floor.",
        ">= 0",
    )
    image_loss_scale: float = param(
        1.0, "Weight of the image's log-likelihood.", ">= 0"
    )
    # The paper does not mention this weight.
    reward_loss_scale: float = param(
        10.0, "Weight of the reward's log-likelihood.", ">= 0"
    )
    main_learning_rate: float = param(1e-3, "Learning rate of Adam.", "> 0")
    main_gradient_clipping: float = param(
        1000.0, "Largest global norm of the gradient.", "> 0"
    )

    train_steps: int = param(
        50_000, "Step units of training between tests.", ">= 1"
    )
    test_steps: int = param(
        50, "Step units of held-out batches in each test.", ">= 1"
    )
    max_steps: int = param(
        50_000_000, "Step units in the run, train and test.", ">= 1"
    )
    num_seed_episodes: int = param(
        5,
        "Random episodes before training, per task, to train on and to "
        "test on.",
        ">= 1",
    )
    collect_every: int = param(
        5000, "Step units of training between collected episodes.", ">= 1"
    )
    train_action_noise: float = param(
        0.3,
        "Standard deviation of the noise on actions of collected episodes.",
        ">= 0",
    )
    action_noise_ramp: int = param(
        0,
        "Step units over which noise grows from zero, or if negative, "
        "shrinks to zero.",
    )
    action_noise_min: float = param(
        0.0, "Least factor on exploration noise.", ">= 0"
    )
    train_collects: tuple[Collect, ...] = param(
        (Collect(),),
        "Who collects episodes to train on: a YAML list, as in "
        "[{batch_size: 4, every: 1000}], with any of "
        f"{', '.join(parameters.fields(Collect))}.",
    )
    test_collects: tuple[Collect, ...] = param(
        (Collect(),), "Likewise, who plays in tests; the first has the score."
    )
    collect_objective: str = param(
        "reward",
        "What collected episodes are planned for; disagreement explores where "
        "an ensemble does not know what comes next, whatever the reward.",
        "reward | disagreement",
    )
    planner_horizon: int = param(
        12, "Decisions the planner looks ahead.", ">= 1"
    )
    planner_amount: int = param(
        1000, "Action sequences tried per iteration.", ">= 1"
    )
    planner_topk: int = param(
        100, "Best action sequences, which shape the next iteration.", ">= 1"
    )
    planner_iterations: int = param(
        10, "Iterations of the cross-entropy method; 0 plans zeros.", ">= 0"
    )

    # From here on, what the original does not have. The defaults do as it does.
    planner_warm_start: bool = param(
        False, "Search around what the last plan left to do."
    )
    conv_depth: int = param(
        32,
        "Filters of the first convolution; all others scale with it.",
        ">= 1",
    )
    conv_activation: str = param(
        "relu",
        "Activation of encoder and decoder.",
        _ACTIVATIONS,
    )
    normalize_embed: bool = param(
        False,
        "Embeddings of images have mean 0 and variance 1 over their units.",
    )
    center_images: bool = param(
        False,
        "Encoder and decoder see differences to the mean image of the seed "
        "episodes, of all tasks together; fixed once a run has begun.",
    )
    encode_motion: bool = param(
        False, "The encoder also sees how each image differs from the last."
    )
    image_loss_every: int = param(
        1,
        "One image in so many rows of a chunk is decoded and compared.",
        ">= 1",
    )
    overshooting_reward_scale: float = param(
        0.0,
        "Weight of the rewards' negative log-likelihood under predictions 1 "
        "to --overshooting_distance rows ahead.",
        ">= 0",
    )
    value_loss_scale: float = param(
        0.0,
        "Weight of a value's negative log-likelihood; unless 0, plans for "
        "reward discount it and count what comes after their horizon. How much "
        "hardly matters, as nothing else trains with it.",
        ">= 0",
    )
    discount: float = param(
        0.99,
        "With --value_loss_scale, what a reward counts for each decision that "
        "it is away.",
        "> 0, < 1",
    )
    value_lambda: float = param(
        0.95,
        "The value learns from returns of 1 / (1 - lambda) decisions or so.",
        ">= 0, <= 1",
    )
    prior_divergence_scale: float = param(
        0.0,
        "Weight of a second KL(post || prior), without free nats, that does "
        "not pull a posterior to its prior.",
        ">= 0",
    )
    deterministic: bool = param(
        False,
        "The same run bit by bit on the same machine, however often it is "
        "stopped and resumed; slower on GPUs.",
    )
    histograms: bool = param(
        False,
        "Show in TensorBoard how weights, data and entropies are distributed.",
    )
    replay_storage: str = param(
        "memory",
        "Where recorded frames wait for training; disk takes little memory.",
        "memory | disk",
    )
    collect_while_training: bool = param(
        False,
        "Play episodes beside the updates before them, not after these: "
        "faster, but with the weights of a round earlier.",
    )
    # float16 is not offered: the gradient of one pixel's mean is its error
    # over the rows of a batch, 1e-4 and less, and float16 loses digits below
    # 6e-5, so that the loss would need scaling, and overflows above 65,504.
    # bfloat16 has the range of float32.
    precision: str = param(
        "float32",
        "What matrix products and convolutions are computed in; weights, "
        "states and losses are always float32. On GPUs from Ampere on, "
        "TensorFlow rounds the inputs of float32's to TensorFloat-32.",
        "float32 | bfloat16",
    )
    render_quality: str = param(
        "original",
        "Rendering; fast has coarse shadows and hard edges.",
        "original | fast",
    )
    seed_action_correlation: float = param(
        0.0,
        "Correlation of neighbouring actions in seed episodes.",
        ">= 0, < 1",
    )
    test_seed_episodes: int | None = param(
        None,
        "Random episodes to test on, per task; none: num_seed_episodes.",
        ">= 1",
    )

    @property
    def explores(self) -> bool:
        """Whether episodes are collected where an ensemble disagrees."""
        collects = self.collectors("train").values()
        return any(it.objective == "disagreement" for it in collects)

    def seed_episodes(self, split: str) -> int:
        """Random episodes per task in "train" or "test"."""
        # Deviates from planet: optional, as many of both there; effect on
        # return: none, they are not trained on.
        if split == "test" and self.test_seed_episodes is not None:
            return self.test_seed_episodes
        return self.num_seed_episodes

    def collector(self, collect: Collect, split: str = "test") -> Collect:
        """The same with the run's parameters for all that it leaves open.

        Args:
            collect: A collector.
            split: "train" or "test", which explores only if told to.
        """
        train = split == "train"
        run = {
            "after": self.collect_every,
            "every": self.collect_every,
            "objective": self.collect_objective if train else "reward",
            "action_noise": self.train_action_noise if train else 0.0,
            "action_noise_ramp": self.action_noise_ramp,
            "action_noise_min": self.action_noise_min,
            **{name: getattr(self, f"planner_{name}") for name in PLANNER},
        }
        left_open = {
            k: v for k, v in run.items() if getattr(collect, k) is None
        }
        return dataclasses.replace(collect, **left_open)

    def as_tested(self) -> "Config":
        """The same, with the planner of its tests as the run's."""
        tested = self.collectors("test")["test"]
        planner = {f"planner_{name}": getattr(tested, name) for name in PLANNER}
        return dataclasses.replace(self, test_collects=(Collect(),), **planner)

    def collectors(self, split: str) -> dict[str, Collect]:
        """The complete collectors of "train" or "test".

        They go by what their metrics begin with: `train` for the first, and
        `train_<name>` for others.
        """
        given = getattr(self, f"{split}_collects")
        return {
            f"{split}_{collect.name}" if i else split: self.collector(
                collect, split
            )
            for i, collect in enumerate(given)
        }


PRESETS = {
    "default": Config(),
    # Sized for two CPU cores, where its 40,000 updates take an hour on
    # cartpole_swingup and more elsewhere; WORKSPACE_NOTES.md has what was
    # tried for it. Uniform actions rarely reach cup_catch's reward, correlated
    # ones do and keep it (`python -m scripts.explore_seeds`). Once the planner
    # catches, episodes show little of the swings before a catch, so that there
    # are many random ones.
    "cpu": Config(
        batch_shape=(8, 25),
        num_layers=2,
        num_units=128,
        model_size=128,
        train_steps=16_000,
        test_steps=32,
        max_steps=20 * 16_032,
        num_seed_episodes=80,
        test_seed_episodes=20,
        collect_every=1600,
        planner_amount=200,
        planner_topk=5,
        planner_horizon=20,
        planner_iterations=3,
        planner_warm_start=True,
        conv_depth=8,
        conv_activation="elu",
        normalize_embed=True,
        center_images=True,
        image_loss_every=5,
        divergence_scale=0.1,
        free_nats=1.0,
        prior_divergence_scale=1.0,
        collect_while_training=True,
        render_quality="fast",
        seed_action_correlation=0.8,
    ),
    # The original's with narrower networks and fewer updates: a minute in which
    # everything runs once.
    "debug": Config(
        action_repeat=50,
        batch_shape=(5, 10),
        num_layers=1,
        num_units=10,
        model_size=10,
        state_size=5,
        train_steps=10,
        test_steps=10,
        max_steps=200,
        num_seed_episodes=1,
        collect_every=10,
        planner_amount=5,
        planner_topk=2,
        planner_iterations=2,
        conv_depth=4,
        render_quality="fast",
    ),
}


def plain(config: Config) -> dict:
    """All values as YAML has them."""
    return {name: parameters.plain(getattr(config, name)) for name in _FIELDS}


def save(config: Config, path: str | os.PathLike) -> None:
    """Writes this package's version and all values as plain YAML.

    Raises:
        OSError: Naming the file.
    """
    values = {"version": __version__} | plain(config)
    write_text(path, yaml.safe_dump(values, sort_keys=False))


def load(path: str | os.PathLike) -> Config:
    """Reads what `save` wrote; fields it lacks have their default.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds something else, or a value out of bounds; names
            the file.
    """
    values, version = _read(path)
    if unknown := [name for name in values if name not in _FIELDS]:
        raise ValueError(
            f"{path}: this code has no parameter "
            f"{', '.join(map(str, unknown))}. Version {version} of planet_tf "
            "wrote the file, at a commit that machine.jsonl beside it names; "
            "only that can go on with this run."
        )
    try:
        config = Config(**parameters.converted(Config, values, str(path)))
        parameters.check(config, f"{path}: ")
        for collect in (*config.train_collects, *config.test_collects):
            parameters.check(collect, f"{path}: collector {collect.name}: ")
    except ValueError as error:
        if version != __version__:
            raise ValueError(
                f"{path} was written by version {version} of planet_tf, and "
                f"this is {__version__}. {error}"
            ) from error
        raise
    return config


def written_by(path: str | os.PathLike) -> str:
    """The version of planet_tf that wrote a file; errors as in `load`."""
    return _read(path)[1]


def _read(path: str | os.PathLike) -> tuple[dict, str]:
    """What is in a file, and the version that wrote it."""
    try:
        values = parameters.read_yaml(pathlib.Path(path).read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text: its byte {error.start} is not UTF-8"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a dictionary of parameters")
    return values, str(values.pop("version", "unknown"))


def differences(old: Config, new: Config) -> list[str]:
    """One line "name: old -> new" for every field that differs."""
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in _FIELDS)
    return [
        f"{name}: {parameters.plain(a)} -> {parameters.plain(b)}"
        for name, a, b in pairs
        if a != b
    ]


_FIELDS = parameters.fields(Config)
