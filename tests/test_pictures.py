"""What a test phase shows, read back from TensorBoard's file."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from planet_tf import pictures
from planet_tf.models.world_model import OpenLoop, Prediction
from planet_tf.tools import plots
from planet_tf.tools.summaries import Logger
from planet_tf.training.evaluation import CONTEXT, Holdout

B, T = 2, 8


def _holdout(**heads):
    """Random predictions; `heads` are sizes of targets beside the reward."""
    rng = np.random.default_rng(0)
    shapes = {"reward": (), **{k: (size,) for k, size in heads.items()}}

    def images():  # Of one colour, which is quick to encode.
        return np.tile(rng.random([B, T, 1, 1, 3]), [1, 1, 64, 64, 1])

    def prediction():
        return Prediction(
            images(),
            {k: rng.normal(size=[B, T, *v]) for k, v in shapes.items()},
            {k: -rng.random([B, T]) for k in ("image", *shapes)},
            rng.random([B, T]),
            rng.random([B, T]),
        )

    curves = {
        f"open_loop/{name}_by_step": rng.random(T - CONTEXT)
        for name in ("image", "image_repeat", "reward", "reward_repeat", "kl")
    }
    batch = {k: rng.normal(size=[B, T, *v]) for k, v in shapes.items()}
    predictions = OpenLoop(
        images(), prediction(), prediction(), prediction(), rng.random([B, T])
    )
    return Holdout({}, curves, batch, predictions)


@pytest.mark.parametrize("tasks", [["cup"], ["cup", "cheetah"]])
def test_every_task_is_shown(tmp_path, tasks):
    """With several, one must not overwrite the other.

    TensorBoard's Images tab opens the first two topics alone.
    """
    found = {task: _holdout() for task in tasks}
    played = {
        task: [{"image": np.zeros([7 + i, 64, 64, 3], np.uint8)}]
        for i, task in enumerate(tasks)
    }
    counters = {"updates": 1, "env_steps": 10}
    with Logger(tmp_path) as log:
        pictures.log_episodes(log, counters, "test", played)
        pictures.log_predictions(log, counters, found)
        pictures.log_histograms(log, counters, found, _NoModel())
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()
    ends = [""] if len(tasks) == 1 else [f"_{task}" for task in tasks]
    kinds = {
        "test": ["open_loop", "closed_loop"],
        "plots": [
            "heads",
            "log_prob",
            "error_by_step",
            "strip_data",
            "strip_closed_loop_post",
            "strip_closed_loop_prior",
            "strip_open_loop",
        ],
    }
    expected = {f"test/{task}" for task in tasks} | {
        f"{topic}/{name}{end}"
        for topic, names in kinds.items()
        for name in names
        for end in ends
    }
    assert set(tags["images"]) == expected
    for end in ends:
        assert f"data/reward{end}" in tags["histograms"]
        assert f"state/open_loop_entropy{end}" in tags["histograms"]
        assert _frames(events, f"test/open_loop{end}") == T
        assert _frames(events, f"test/closed_loop{end}") == T
    for i, task in enumerate(tasks):
        assert _frames(events, f"test/{task}") == 7 + i


class _NoModel:
    trainable_variables = ()


def _frames(events, tag):
    (event,) = events.Images(tag)
    return Image.open(io.BytesIO(event.encoded_image_string)).n_frames


def test_every_head_and_dimension_has_its_axes():
    """Of the sequence with rewards, with the truth where it belongs."""
    found = _holdout(position=2)
    found.batch["reward"][:] = 0
    found.batch["reward"][1, 6] = 50
    figure = pictures.head_figure(found)
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels == ["reward", "position 0", "position 1"]
    closed, opened, truth = (line.get_ydata() for line in figure.axes[2].lines)
    expected = [
        found.predictions.post.values["position"],
        found.predictions.open.values["position"],
        found.batch["position"],
    ]
    for line, values in zip((closed, opened, truth), expected, strict=True):
        np.testing.assert_array_equal(line, values[1, :, 1])


def test_heads_of_many_components_are_cut():
    """A dog's 220 made a plot of 28,288 pixels, in a minute."""
    found = _holdout(position=7, velocity=8)
    axes = pictures.head_figure(found).axes
    labels = [ax.get_ylabel() for ax in axes]
    expected = [f"position {i}" for i in range(7)]
    expected += [f"velocity {i}" for i in range(5)]
    assert labels == ["reward", *expected]
    assert "the first 12 of 15 components" in axes[-1].get_xlabel()
    found = _holdout(position=12)
    axes = pictures.head_figure(found).axes
    assert len(axes) == 13
    assert axes[-1].get_xlabel() == "step (decisions)"


@pytest.mark.parametrize("count", [1, 2])
def test_few_predicted_steps_can_be_seen(count):
    """A line through one point is nothing, and half a step is no step."""
    curves = {k: v[:count] for k, v in _holdout().curves.items()}
    figure = pictures.error_figure({"a": curves})
    plots.png(figure)  # Sets the limits.
    for ax in figure.axes:
        for line in ax.lines:
            assert (line.get_marker() == "o") == (count == 1)
        low, high = ax.get_xlim()
        ticks = [x for x in ax.get_xticks() if low <= x <= high]
        assert ticks == list(range(1, count + 1))


def test_errors_begin_one_step_after_the_last_image():
    """With the model's and the repeated frame's, of every task."""
    curves = {task: _holdout().curves for task in ("a", "b")}
    figure = pictures.error_figure(curves)
    image, reward, kl = figure.axes
    assert [len(ax.lines) for ax in (image, reward, kl)] == [4, 4, 2]
    line = image.lines[2]
    assert line.get_label() == "b: model"
    assert list(line.get_xdata()) == list(range(1, T - CONTEXT + 1))
    np.testing.assert_array_equal(
        line.get_ydata(), curves["b"]["open_loop/image_by_step"]
    )
