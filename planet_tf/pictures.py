"""What TensorBoard shows of a test besides scalars: videos, strips, plots."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from planet_tf.control.episodes import Episode
from planet_tf.models.world_model import OpenLoop, WorldModel
from planet_tf.tools import panels, plots
from planet_tf.tools.summaries import Logger
from planet_tf.training.evaluation import CONTEXT, Holdout

# Sequences in a picture, chosen for less than a megabyte a test.
_IN_VIDEO = 4
_IN_STRIP = 2
_IN_DATA = 6
_COMPONENTS = 12  # Of the simulator's state in a plot.
_EVERY = 3  # Steps from one column of a strip to the next.


def log_episodes(
    log: Logger,
    counters: Mapping[str, int],
    name: str,
    played: dict[str, list[Episode]],
) -> None:
    """Shows the first episode of each task that collector `name` played."""
    for task, (episode, *_) in played.items():
        log.video(counters, f"{name}/{task}", episode["image"])


def log_predictions(
    log: Logger, counters: Mapping[str, int], found: dict[str, Holdout]
) -> None:
    """Shows predictions of held-out sequences, by task.

    Tags end in the task's name where a run has several. All are of two topics,
    as TensorBoard's Images tab opens only that many by itself.
    """
    for task, result in found.items():
        end = f"_{task}" if len(found) > 1 else ""
        for name, frames in videos(result.predictions).items():
            log.video(counters, f"test/{name}{end}", frames)
        for name, image in strips(result.predictions).items():
            log.image(counters, f"plots/strip_{name}{end}", image)
        for name, figure in {
            "heads": head_figure(result),
            "log_prob": log_prob_figure(result),
            "error_by_step": error_figure({task: result.curves}),
        }.items():
            log.figure(counters, f"plots/{name}{end}", figure)


def log_histograms(
    log: Logger,
    counters: Mapping[str, int],
    found: dict[str, Holdout],
    model: WorldModel,
) -> None:
    """Shows how weights, data and entropies are distributed."""
    for weight in model.trainable_variables:
        log.histogram(counters, f"weights/{weight.path}", weight.numpy())
    for task, result in found.items():
        end = f"_{task}" if len(found) > 1 else ""
        predictions = result.predictions
        values = {
            **{f"data/{key}": value for key, value in result.batch.items()},
            "data/return": result.batch["reward"].sum(1),
            "state/prior_entropy": predictions.prior.entropy,
            "state/post_entropy": predictions.post.entropy,
            "state/open_loop_entropy": predictions.open.entropy[:, CONTEXT:],
        }
        for name, value in values.items():
            log.histogram(counters, f"{name}{end}", value)


def videos(found: OpenLoop) -> dict[str, np.ndarray]:
    """Open and closed loop, a few sequences side by side: uint8 [T, H, W, 3].

    Closed loop has the truth, what the model makes of each image it sees, and
    what it expected one step before.
    """
    some = slice(_IN_VIDEO)
    truth = found.truth[some]
    closed = {
        "truth": truth,
        "posterior": found.post.image[some],
        "prior": found.prior.image[some],
    }
    opened = panels.comparison(truth, found.open.image[some])
    return {
        name: panels.with_labels(panels.video(rows, seen, enlarge), list(rows))
        for name, rows, seen, enlarge in (
            ("open_loop", opened, CONTEXT, 2),
            ("closed_loop", closed, truth.shape[1], 1),
        )
    }


def strips(found: OpenLoop) -> dict[str, np.ndarray]:
    """Images over time, from left to right: uint8 [H, W, 3].

    The data alone, then, for each way to predict it, truth, prediction, change
    from frame to frame, and error.

    Deviates from planet: fewer sequences and steps, of 10 and 50, that fit on
    a screen.
    """
    some = slice(_IN_STRIP)
    truth, length = found.truth[some], found.truth.shape[1]
    data = {"truth": found.truth[:_IN_DATA]}
    result = {"data": panels.strip(data, length, _EVERY)}
    for name, prediction, context in (
        ("closed_loop_post", found.post, length),
        ("closed_loop_prior", found.prior, length),
        ("open_loop", found.open, CONTEXT),
    ):
        rows = panels.comparison(truth, prediction.image[some], change=True)
        image = panels.strip(rows, context, _EVERY)
        labels = list(rows) * len(truth)
        result[name] = panels.with_labels(image[None], labels)[0]
    return result


def head_figure(found: Holdout) -> Figure:
    """Predicted and true values of the reward and of what else has a head.

    Of the image nothing, of the simulator's state the first components. Of the
    sequence whose rewards differ most, because most say nothing.

    Deviates from planet: there it is the first sequence.
    """
    predictions = found.predictions
    i = np.ptp(found.batch["reward"], axis=1).argmax()
    lines = []  # Label of an axis; truth, open loop and closed loop, [T] each.
    for name, opened in predictions.open.values.items():
        closed = predictions.post.values[name]
        trio = [x[i].reshape(len(x[i]), -1) for x in (opened, closed)]
        trio.insert(0, found.batch[name][i].reshape(len(trio[0]), -1))
        size = trio[0].shape[1]
        for j in range(size):
            label = name if size == 1 else f"{name} {j}"
            lines.append((label, *(x[:, j] for x in trio)))
    xlabel = "step (decisions)"
    if len(lines) > 1 + _COMPONENTS:
        xlabel += f"\nthe first {_COMPONENTS} of {len(lines) - 1} components"
    lines = lines[: 1 + _COMPONENTS]  # The reward is the first.
    figure, axes = plots.figure(
        len(lines), 1, (6, 3 if len(lines) < 4 else 1.6), sharex=True
    )
    for ax, (label, truth, opened, closed) in zip(
        np.ravel(axes), lines, strict=True
    ):
        _shade_context(ax)
        ax.plot(closed, color=plots.BLUE, label="closed loop")
        ax.plot(opened, color=plots.ORANGE, label="open loop")
        ax.plot(truth, color=plots.BLACK, linestyle=":", label="truth")
        ax.set(ylabel=label)
    np.ravel(axes)[-1].set(xlabel=xlabel)
    _legend_above(np.ravel(axes)[0])
    return figure


def log_prob_figure(found: Holdout) -> Figure:
    """Log-density of the data of the same sequence over time, by head."""
    predictions = found.predictions
    i = np.ptp(found.batch["reward"], axis=1).argmax()
    names = list(predictions.open.log_prob)
    figure, axes = plots.figure(len(names), 1, (6, 2.4), sharex=True)
    for ax, name in zip(np.ravel(axes), names, strict=True):
        _shade_context(ax)
        for label, color, source in (
            ("closed loop", plots.BLUE, predictions.post),
            ("open loop", plots.ORANGE, predictions.open),
        ):
            ax.plot(source.log_prob[name][i], color=color, label=label)
        ax.set(ylabel=f"log p({name}) in nats")
    np.ravel(axes)[-1].set(xlabel="step (decisions)")
    _legend_above(np.ravel(axes)[0])
    return figure


def error_figure(curves: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Open-loop errors against the predicted step.

    Args:
        curves: `Holdout.curves` by task.
    """
    panes = {
        "image": "image error\n(brightness 0 to 1)",
        "reward": "reward error\n(per decision)",
        "kl": "KL in nats",
    }
    figure, axes = plots.figure(len(panes), 1, (6, 2.4), sharex=True)
    for ax, (name, label) in zip(axes, panes.items(), strict=True):
        for (task, lines), color in zip(
            curves.items(), plots.COLORS * len(curves), strict=False
        ):
            curve = lines[f"open_loop/{name}_by_step"]
            steps = np.arange(1, len(curve) + 1)
            prefix = f"{task}: " if len(curves) > 1 else ""
            marker = "o" if len(curve) == 1 else ""  # One point has no line.
            ax.plot(
                steps,
                curve,
                marker=marker,
                color=color,
                label=f"{prefix}model",
            )
            repeat = lines.get(f"open_loop/{name}_repeat_by_step")
            if repeat is not None:
                ax.plot(
                    steps,
                    repeat,
                    marker=marker,
                    color=color if prefix else plots.GRAY,
                    linestyle="--",
                    label=f"{prefix}last seen, repeated",
                )
        ax.set(ylabel=label)
        ax.set_ylim(bottom=0)
    locator = axes[-1].xaxis.get_major_locator()
    locator.set_params(integer=True, min_n_ticks=1)
    axes[-1].set(xlabel="steps after the last image seen")
    plots.legend(
        axes[0], ncols=2, loc="lower left", bbox_to_anchor=(0, 1), fontsize=8
    )
    return figure


def _legend_above(ax) -> None:
    plots.legend(ax, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))


def _shade_context(ax) -> None:
    ax.axvspan(0, CONTEXT - 1, color=plots.SKY, alpha=0.25, lw=0, label="seen")
