"""What a run logs can be read back, once, also after a restart."""

import io
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from planet_tf import config, dashboard
from planet_tf.tools import plots
from planet_tf.tools.summaries import Logger
from scripts import fetch_events
from tests import runs


def counters(updates):
    """A run that plays 10 steps for each update."""
    return {"updates": updates, "episodes": 1, "env_steps": 10 * updates}


def points(logdir):
    """The lines of metrics.jsonl."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (logdir / "metrics.jsonl").read_text()
    assert not text or text.endswith("\n")
    return [
        json.loads(line, parse_constant=refuse) for line in text.splitlines()
    ]


def tensorboard(logdir):
    """What TensorBoard's own reader sees."""
    reader = event_accumulator.EventAccumulator(str(logdir))
    reader.Reload()
    return reader


def test_scalars_reach_both_files(tmp_path):
    """x-axis and values must agree; the line must be there before close."""
    logger = Logger(tmp_path)
    logger.scalars(counters(3), {"train/loss": np.float32(0.5)})
    (point,) = points(tmp_path)
    assert point.pop("wall_time") > 0
    assert point == {
        "updates": 3,
        "episodes": 1,
        "env_steps": 30,
        "train/loss": 0.5,
    }
    (event,) = tensorboard(tmp_path).Scalars("train/loss")
    assert (event.step, event.value) == (30, 0.5)
    logger.close()


def test_nan_is_null_in_json_and_nan_in_tensorboard(tmp_path):
    """`NaN` in a line breaks strict JSON readers."""
    with Logger(tmp_path) as logger:
        logger.scalars(counters(1), {"a": math.nan, "b": -math.inf, "c": 1})
    (point,) = points(tmp_path)
    assert (point["a"], point["b"], point["c"]) == (None, None, 1)
    reader = tensorboard(tmp_path)
    assert math.isnan(reader.Scalars("a")[0].value)
    assert reader.Scalars("b")[0].value == -math.inf


def test_resume_forgets_what_comes_again(tmp_path):
    """Points after the checkpoint would appear twice, in both files."""
    with Logger(tmp_path) as logger:
        for updates in range(1, 6):
            logger.scalars(counters(updates), {"a": updates})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"updates": 6, "env_st')  # Killed while writing.
    for _ in range(2):  # The second resume must not lose the first's points.
        with Logger(tmp_path, resume_updates=3) as logger:
            for updates in range(4, 7):
                logger.scalars(counters(updates), {"a": -updates})
    expected = [1, 2, 3, -4, -5, -6]
    assert [point["a"] for point in points(tmp_path)] == expected
    events = tensorboard(tmp_path).Scalars("a")
    assert [event.value for event in events] == expected
    assert [event.step for event in events] == [10, 20, 30, 40, 50, 60]


def test_resume_from_the_start_forgets_all(tmp_path):
    """A run killed before its first checkpoint starts with a clean log."""
    for value in (1, 2):
        with Logger(tmp_path, resume_updates=0) as logger:
            logger.scalars(counters(1), {"a": value})
    assert [point["a"] for point in points(tmp_path)] == [2]
    events = tensorboard(tmp_path).Scalars("a")
    assert [event.value for event in events] == [2]


# Rounds of a run by updates and environment steps: the tests play nothing, as
# with the default schedule, where they follow 99 updates after an episode.
ROUNDS = [(1, 10), (2, 20), (3, 20), (4, 20), (5, 30), (6, 30)]
TESTS = 3, 4, 6


def _log_rounds(logdir, after=None, end=7, pictures_only=False):
    """Logs the rounds that end after `after` updates and until `end`."""
    with Logger(logdir, after) as logger:
        dashboard.introduce(logger, config.Config(), "run")
        for updates, env_steps in ROUNDS[after or 0 : end]:
            at = {"updates": updates, "env_steps": env_steps}
            if updates in TESTS:
                frame = np.full([4, 4, 3], 10 * updates, np.uint8)
                logger.image(at, "test/picture", frame)
                logger.histogram(at, "test/histogram", frame)
            if updates == end and pictures_only:
                break
            logger.scalars(at, {"train/loss": updates})


@pytest.mark.parametrize("pictures_only", [False, True])
@pytest.mark.parametrize("end", range(1, 7))
def test_resume_within_a_step(tmp_path, end, pictures_only):
    """TensorBoard forgets whole steps, and each may hold several points."""
    reference, logdir = tmp_path / "reference", tmp_path / "run"
    _log_rounds(reference)
    _log_rounds(logdir, None, end, pictures_only)
    for _ in range(2):
        _log_rounds(logdir, end - 1, end)
    _log_rounds(logdir, end)
    expected = runs.events(reference)
    assert runs.events(logdir) == expected
    losses = [(10, 1), (20, 2), (21, 3), (22, 4), (30, 5), (31, 6)]
    for folder in reference, logdir:
        fetched = {}
        for path in fetch_events.event_files(folder):
            fetch_events.read_scalars(path, fetched, "train/loss")
        points = [point[1:] for point in fetched["train/loss"]]
        assert points == losses
    assert [step for step, _ in expected["test/picture"]] == [21, 22, 31]
    assert [step for step, _ in expected["config"]] == [0]


@pytest.mark.parametrize("end", ["", "\n", '\n{"upd', "\n\0\0\0"])
def test_any_end_of_file_can_be_continued(tmp_path, end):
    """A line without its end must not swallow the next one."""
    whole = '{"updates": 1, "env_steps": 10}'
    (tmp_path / "metrics.jsonl").write_text(whole + end)
    with Logger(tmp_path) as logger:
        logger.scalars(counters(2), {})
    assert [point["updates"] for point in points(tmp_path)] == [1, 2]


def test_video_reaches_files_and_images_tab(tmp_path):
    """TensorBoard shows a still if it gets pixels instead of the GIF."""
    frames = np.zeros([4, 6, 8, 3], np.uint8)
    frames[2:] = 255
    with Logger(tmp_path) as logger:
        logger.video(counters(1), "test/episode", 255 - frames)
        logger.video(counters(2), "test/episode", frames)
    reader = tensorboard(tmp_path)
    events = reader.Images("test/episode")
    assert [event.step for event in events] == [10, 20]
    assert (events[1].height, events[1].width) == (6, 8)
    data = events[1].encoded_image_string
    assert Image.open(io.BytesIO(data)).n_frames == 4
    videos = tmp_path / "videos"
    assert (videos / "test_episode-0000001.gif").read_bytes() != data
    assert (videos / "test_episode-0000002.gif").read_bytes() == data
    assert (tmp_path / "test_episode.gif").read_bytes() == data


def test_text_reaches_text_tab(tmp_path):
    """Without the plugin's name TensorBoard drops it."""
    with Logger(tmp_path) as logger:
        logger.text("config", "batch: 50")
    reader = tensorboard(tmp_path)
    assert "config" in reader.PluginTagToContent("text")
    (event,) = reader.Tensors("config")
    assert tf.make_ndarray(event.tensor_proto).item() == b"batch: 50"


def test_counters_and_curves(tmp_path):
    """Curves must not break who reads scalars; counters are scalars, too."""
    with Logger(tmp_path) as logger:
        logger.scalars(counters(1), {"a": 1}, {"b": np.array([1, np.nan])})
    (point,) = points(tmp_path)
    assert point["b"] == [1, None]
    reader = tensorboard(tmp_path)
    assert reader.Scalars("progress/updates")[0].value == 1
    assert "b" not in reader.Tags()["scalars"]


def test_newest_videos_are_kept(tmp_path):
    """Ten of each name, and not those of a name that begins alike."""
    frames = np.zeros([2, 4, 4, 3], np.uint8)
    with Logger(tmp_path) as logger:
        logger.video(counters(1), "test/cup-1", frames)
        for updates in range(1, 13):
            logger.video(counters(updates), "test/cup", frames)
    names = sorted(path.name for path in (tmp_path / "videos").iterdir())
    kept = [f"test_cup-{number:07d}.gif" for number in range(3, 13)]
    assert names == [*kept, "test_cup-1-0000001.gif"]


def test_starting_over_drops_later_videos(tmp_path):
    """As the newest by number, they would push out what is made now."""
    frames = np.zeros([2, 4, 4, 3], np.uint8)
    with Logger(tmp_path) as logger:
        for updates in range(9_999_994, 10_000_005):
            logger.video(counters(updates), "test/cup", frames)
    (tmp_path / "videos" / "mine.gif").touch()
    with Logger(tmp_path, resume_updates=9_999_996) as logger:
        logger.video(counters(10_000_000), "test/cup", frames)
    names = {path.name for path in (tmp_path / "videos").iterdir()}
    kept = (9_999_995, 9_999_996, 10_000_000)
    assert names == {"mine.gif", *(f"test_cup-{x}.gif" for x in kept)}


def test_a_new_run_sets_the_old_ones_videos_aside(tmp_path):
    """Its checkpoints were moved away; days of it are in this folder."""
    frames = np.zeros([2, 4, 4, 3], np.uint8)
    with Logger(tmp_path) as logger:
        logger.video(counters(7), "test/cup", frames)
        logger.scalars(counters(7), {"a": 1.0})
    with Logger(tmp_path, resume_updates=0) as logger:
        logger.video(counters(1), "test/cup", frames)
    aside, new = sorted(tmp_path.glob("videos*"), reverse=True)
    assert [x.name for x in aside.iterdir()] == ["test_cup-0000007.gif"]
    assert [x.name for x in new.iterdir()] == ["test_cup-0000001.gif"]
    assert len([*tmp_path.glob("metrics.*.jsonl")]) == 1


def test_images_and_plots_can_be_decoded(tmp_path):
    """A wrong size makes TensorBoard squeeze them."""
    image = np.zeros([6, 40, 3], np.uint8)
    image[:, 20:] = 255
    figure, axes = plots.figure(1, 1, (3, 2))
    axes.plot([1, 2])
    with Logger(tmp_path) as logger:
        logger.image(counters(1), "plots/strip", image)
        logger.figure(counters(1), "plots/a", figure)
    reader = tensorboard(tmp_path)
    (strip,), (plot,) = (reader.Images(f"plots/{x}") for x in ("strip", "a"))
    decoded = Image.open(io.BytesIO(strip.encoded_image_string))
    assert np.abs(np.asarray(decoded).astype(int) - image).mean() < 4
    for event in (strip, plot):
        decoded = Image.open(io.BytesIO(event.encoded_image_string))
        assert decoded.size == (event.width, event.height)


def test_histogram_counts(tmp_path):
    """Shifted by one bucket, it looks plausible and is wrong."""
    values = np.array([[0.0, 0.0, 0.0], [3.0, np.nan, 1.01]])
    with Logger(tmp_path) as logger:
        logger.histogram(counters(1), "a", values)
    (event,) = tensorboard(tmp_path).Histograms("a")
    histogram = event.histogram_value
    assert (histogram.min, histogram.max, histogram.num) == (0, 3, 5)
    assert histogram.sum == pytest.approx(4.01)
    counts = dict(zip(histogram.bucket_limit, histogram.bucket, strict=True))
    filled = {round(k, 3): v for k, v in counts.items() if v}
    assert filled == {0.1: 3, 1.1: 1, 3.0: 1}


@pytest.mark.parametrize("name", ["metrics.jsonl", "tfevents"])
def test_full_disk_names_the_file(tmp_path, name):
    """tf.summary goes on in silence; hours of results would be missing."""
    logger = Logger(tmp_path)
    if name == "tfevents":
        logger._events._file.close()
        logger._events._file = tf.io.TFRecordWriter("/dev/full")
    else:
        logger._metrics.close()
        logger._metrics = open("/dev/full", "w")
    with pytest.raises(OSError, match=f"{name}.*No space left.*resume"):
        logger.scalars(counters(1), {"a": 1})
