"""TensorBoard's own readers find what is written at the start of a run."""

import dataclasses
import re

import pytest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata

from planet_tf import config, dashboard
from planet_tf.tools.summaries import Logger


def test_tabs_have_contents(tmp_path):
    """Types that the HParams tab lacks must not end a run at its start."""
    with Logger(tmp_path) as log:
        dashboard.introduce(log, config.Config(free_nats=None), "run")
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    start = events.summary_metadata[metadata.SESSION_START_INFO_TAG]
    content = start.plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    assert values["batch_shape"].string_value == "50,50"
    assert values["main_learning_rate"].number_value == 1e-3
    assert values["future_rnn"].bool_value is True
    assert values["free_nats"].string_value == "None"
    start = events.summary_metadata[metadata.EXPERIMENT_TAG]
    experiment = metadata.parse_experiment_plugin_data(
        start.plugin_data.content
    )
    names = {info.name for info in experiment.hparam_infos}
    assert names == set(values)
    assert "test/score" in {x.name.tag for x in experiment.metric_infos}
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert len(layout.category) == len(dashboard.CHARTS)
    assert set(events.PluginTagToContent("text")) == {"about", "config"}


@pytest.mark.parametrize("tasks", [("a",), ("a", "b")])
def test_charts_by_task_are_for_several(tasks):
    """Of one task they are empty, or the same as another chart."""
    layout = dashboard._layout(tasks)
    charts = [chart.title for x in layout.category for chart in x.chart]
    by_task = {title for title in charts if "by task" in title}
    expected = {"Return by task", "Image error by task"}
    assert by_task == (expected if len(tasks) > 1 else set())
    assert "Image error by predicted step" in charts


def test_what_tells_runs_apart_is_marked(tmp_path):
    """TensorBoard shows five parameters: those marked, then by the alphabet."""
    run = dataclasses.replace(
        config.PRESETS["cpu"], tasks=("cheetah_run",), conv_depth=32
    )
    with Logger(tmp_path) as log:
        dashboard.introduce(log, run, "run")
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    start = events.summary_metadata[metadata.EXPERIMENT_TAG]
    infos = metadata.parse_experiment_plugin_data(
        start.plugin_data.content
    ).hparam_infos
    marked = {info.name for info in infos if info.differs}
    assert marked == {"tasks", "seed", "conv_depth"}


def test_errors_of_each_task_are_in_a_chart():
    """And nothing of another scale."""
    charts = dashboard.CHARTS["Predictions from actions alone"]
    (by_task,) = charts["Image error by task"]
    assert re.match(by_task, "open_loop/image_cup_catch")
    assert re.match(by_task, "open_loop/image_mean_task")
    for name in (
        "",
        "_repeat",
        "_log_prob",
        "_mean",
        "_std",
        "_at_5",
        "_repeat_at_5",
    ):
        assert not re.match(by_task, f"open_loop/image{name}")


def test_returns_of_all_collectors_are_in_the_charts():
    """Whatever they are called; each curve in one chart."""
    charts = dashboard.CHARTS["Does it learn?"]
    (scores,), (returns,) = charts.values()
    for prefix in ("train", "test", "train_wild", "test_a-1.b"):
        assert re.match(scores, f"{prefix}/score")
        assert re.match(returns, f"{prefix}/return_cup_catch")
        assert not re.match(scores, f"{prefix}/return_cup_catch")
