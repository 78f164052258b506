"""What TensorBoard knows of a run from the start: its tabs' fixed contents."""

import dataclasses
from collections.abc import Sequence

import yaml
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalars
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams

from planet_tf.config import PRESETS, Config, differences
from planet_tf.tools.summaries import Logger

# Charts of the Custom Scalars tab: title -> regular expressions of tags. Those
# "by task" are for runs with several.
CHARTS = {
    "Does it learn?": {
        "Return of an episode": [r"(train|test)(_[\w.-]+)?/score$"],
        "Return by task": [r"(train|test)(_[\w.-]+)?/return_"],
    },
    "World model, on training and held-out data": {
        "Image log-density": [r"(train|test)/image$"],
        "Reward log-density": [r"(train|test)/reward$"],
        "KL(posterior || prior) in nats": [r"(train|test)/kl$"],
        "Loss": [r"(train|test)/loss$"],
    },
    "Predictions from actions alone": {
        "Image error against that of a repeated frame": [
            r"open_loop/image(_repeat)?$"
        ],
        "Image error by task": [
            r"open_loop/image_(?!at_|repeat|(log_prob|mean|std)$)[\w.-]+$"
        ],
        "Image error by predicted step": [r"open_loop/image_at_"],
        "Reward error by predicted step": [r"open_loop/reward_at_"],
        "KL(posterior || prediction) by predicted step": [r"open_loop/kl_at_"],
    },
    "Latent state": {
        "Entropy in nats": [r"(train|test)/(prior|post)_entropy$"],
        "Standard deviation": [r"(train|test)/(prior|post)_std$"],
    },
    "Training": {
        "Gradient norm": [r"train/(clipped_)?grad_norm$"],
        "Updates left out": [r"train/skipped$"],
        "Episodes": [r"progress/episodes$"],
        "Episode files that cannot be used": [r"progress/skipped_episodes$"],
    },
    "Time": {
        "Share of the wall time": [r"time/.*_share$"],
        "Rate in 1/s": [r"time/.*_rate$"],
    },
}

_GUIDE = """\
The horizontal axis is **environment steps** of training data: decisions times
action repeat, over all tasks. Returns, errors of predictions and pictures of
one task have its name at the end, and so has `progress/env_steps_<task>`;
everything else is of all tasks together.

### Tabs

| tab | what to look at |
| - | - |
| Custom Scalars | the curves that matter, side by side |
| Time Series, Scalars | all of them, by topic as below |
| Images | plots, strips over time, videos (they play) |
| HParams | this run's parameters beside those of others |
| Histograms | weights, data, entropies; with `--histograms` |
| Text | this page, and the parameters |

### Topics

| topic | what it holds |
| - | - |
| `train/` | means over the updates since the last point; returns of collected \
episodes, which have exploration noise |
| `test/` | the same scalars on held-out episodes; returns of episodes without \
noise; GIFs of these episodes and of predictions |
| `train_<name>/`, `test_<name>/` | returns of the collector of that name \
in `--train_collects`, `--test_collects`; of the first: `train/`, `test/` |
| `closed_loop/` | predictions with all images seen: `post` after seeing the \
image, `prior` one step before |
| `open_loop/` | predictions from 5 images and actions alone; where episodes \
terminate, also of what follows |
| `progress/` | how far the run is |
| `time/` | seconds and share of the wall time of each activity, and of all \
but `wait` the rate in 1/s |
| `plots/` | predicted values against true ones; errors by predicted step; \
`strip_..`: images over time from left to right, truth, prediction, change \
from frame to frame (grey: none), error (grey: none) |

### Names

| name | meaning |
| - | - |
| `loss` | what the model minimises, without `value` and `ensemble` |
| `image`, `reward` in `train/` and `test/` | log-density in nats; higher is \
better. A perfect image has -11,292.4, a perfect reward -0.919 |
| `image`, `reward` in `closed_loop/` and `open_loop/` | mean absolute error; \
lower is better; pixels in [0, 1] |
| `.._repeat` | the error of repeating the last image or reward that was seen |
| `.._at_15` | 15 steps after the last image |
| `.._log_prob`, `.._mean`, `.._std` | log-density of the data; mean and \
standard deviation of what is predicted |
| `kl` | KL(posterior, prediction) in nats; `divergence`: beyond the free \
nats; `prior_divergence`: the same as `kl`, a term of its own in the loss |
| `overshooting`, `overshooting_reward` | divergence of predictions several \
steps ahead, 0 past the end of a chunk, so that tests have more of it; the \
reward's log-density under them |
| `value` | log-density of what the value function is to predict |
| `ensemble`, `disagreement` | log-density of the next latent state under the \
ensemble; variance of its predictions on recorded episodes |
| `prior_entropy`, `post_std`, ... | of the latent state |
| `score` | mean return over the tasks; `return_<task>`: of one |
| `grad_norm` | before clipping; `clipped_grad_norm` after |
| `skipped` | updates left out because they were not finite |
| `skipped_episodes` | episode files, to train or to test on, that cannot be \
used |

A blue frame marks images that the model has seen, an orange one what it
predicts.
"""


def introduce(log: Logger, config: Config, name: str) -> None:
    """Writes the guide, the config, and the HParams and Custom Scalars tabs.

    Args:
        log: Of the run.
        config: The run's.
        name: What the HParams tab calls the run.
    """
    log.text("about", _GUIDE)  # Above the config, as they are sorted.
    values = _hparams(config)
    listed = yaml.safe_dump(values, sort_keys=False)
    log.text("config", f"```\n{listed}```")
    log.plugin(custom_scalars.pb(_layout(config.tasks)))
    log.plugin(_experiment(config))
    log.plugin(hparams.hparams_pb(values, trial_id=name))


def _experiment(config: Config) -> summary_pb2.Summary:
    """What the HParams tab has: parameters, some of them first, and metrics.

    It shows five parameters until others are chosen, those marked before the
    rest. Marked are the tasks, the seed, and what is not as in the preset that
    the config is most like.
    """
    preset = min(PRESETS.values(), key=lambda x: len(differences(x, config)))
    summary = hparams.hparams_config_pb(
        [hparams.HParam(name) for name in _hparams(config)],
        [
            hparams.Metric(tag)
            for tag in (
                "test/score",
                "train/score",
                "test/image",
                "test/reward",
                "open_loop/image",
                "open_loop/reward",
            )
        ],
    )
    # hparams.HParam knows nothing of the mark.
    plugin = summary.value[0].metadata.plugin_data
    content = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        changed = getattr(config, info.name) != getattr(preset, info.name)
        info.differs = changed or info.name in ("tasks", "seed")
    plugin.content = content.SerializeToString()
    return summary


def _layout(tasks: Sequence[str]) -> layout_pb2.Layout:
    """The Custom Scalars tab."""
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                chart=[
                    layout_pb2.Chart(
                        title=name,
                        multiline=layout_pb2.MultilineChartContent(tag=tags),
                    )
                    for name, tags in charts.items()
                    if len(tasks) > 1 or not name.endswith("by task")
                ],
            )
            for title, charts in CHARTS.items()
        ]
    )


def _hparams(config: Config) -> dict[str, bool | int | float | str]:
    """The config in types that the HParams tab has."""
    return {
        name: value if isinstance(value, bool | int | float) else _text(value)
        for name, value in dataclasses.asdict(config).items()
    }


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
