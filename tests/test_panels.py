"""Every pixel is where the caption says it is."""

import numpy as np
import pytest

from planet_tf.tools import panels


def open_loop_video(truth, prediction, context=5):
    return panels.video(panels.comparison(truth, prediction), context)


def test_open_loop_video_layout():
    """Rows: truth, prediction, error; columns: sequences; frame by time."""
    B, T, H, W = 2, 4, 3, 5
    shape = [B, T, H, W, 3]
    truth = np.full(shape, 0.2, np.float32)
    truth[1] = 0.4
    prediction = np.full(shape, 0.8, np.float32)
    prediction[1, 3] = 1.5  # Clipped, not wrapped around.
    video = open_loop_video(truth, prediction, context=2)
    tall, wide = 2 * H + 4, 2 * W + 4
    assert video.dtype == np.uint8
    assert video.shape == (T, 3 * tall, B * wide, 3)
    tiles = video.reshape(T, 3, tall, B, wide, 3)
    inside = tiles[:, :, 2:-2, :, 2:-2]
    # [row, sequence] at the first time step.
    expected = np.rint(255 * np.array([[0.2, 0.4], [0.8, 0.8], [0.8, 0.7]]))
    values = inside[0].transpose(0, 2, 1, 3, 4)
    np.testing.assert_array_equal(
        values, np.broadcast_to(expected[..., None, None, None], values.shape)
    )
    assert (inside[3, 1:, :, 1] == 255).all()
    for t, color in enumerate(
        2 * [panels.CONTEXT_COLOR] + 2 * [panels.PREDICTED_COLOR]
    ):
        frame = tiles[t, 1]
        assert (frame[:2] == color).all()
        assert (frame[-2:] == color).all()
        assert (frame[:, :, :2] == color).all()
        assert (frame[:, :, -2:] == color).all()


def test_open_loop_video_puts_pixels_in_place():
    """A wrong axis order would mix time, sequences and columns."""
    truth = np.zeros([2, 3, 4, 5, 3])
    truth[1, 2, 3, 4, 0] = 1
    video = open_loop_video(truth, truth)
    red = np.argwhere(video[:, : 2 * 4 + 4, :, 0] == 255)
    top, left = 2 + 2 * 3, (2 * 5 + 4) + 2 + 2 * 4
    assert red.tolist() == [
        [2, top + i, left + j] for i in (0, 1) for j in (0, 1)
    ]


def test_open_loop_video_refuses_different_shapes():
    """Broadcasting would hide a prediction that is one frame short."""
    with pytest.raises(ValueError, match="must both be"):
        open_loop_video(np.zeros([1, 5, 4, 4, 3]), np.zeros([1, 1, 4, 4, 3]))


def test_change_is_from_frame_to_frame():
    """Gray where nothing moves, the first frame included."""
    prediction = np.zeros([1, 3, 4, 4, 3])
    prediction[:, 1:] = 0.5
    rows = panels.comparison(prediction, prediction, change=True)
    assert list(rows) == ["truth", "prediction", "change", "error"]
    np.testing.assert_array_equal(
        rows["change"][0, :, 0, 0, 0], [0.5, 0.75, 0.5]
    )


def test_strip_goes_through_time_to_the_right():
    """One sequence below the other, with all of its rows."""
    truth = np.zeros([2, 5, 4, 6, 3])
    truth += np.arange(5)[None, :, None, None, None] / 10
    truth[1] += 0.5
    strip = panels.strip({"truth": truth, "again": truth}, 3, every=2)
    assert strip.shape == (2 * 2 * 8, 3 * 10, 3)
    inside = strip.reshape(4, 8, 3, 10, 3)[:, 2:-2, :, 2:-2]
    values = inside[:, 0, :, 0, 0]
    expected = [[0, 0.2, 0.4], [0.5, 0.7, 0.9]]
    np.testing.assert_array_equal(
        values, np.rint(255 * np.repeat(expected, 2, axis=0))
    )
    borders = strip.reshape(4, 8, 3, 10, 3)[1, 0, :, 0]
    colors = 2 * [panels.CONTEXT_COLOR] + [panels.PREDICTED_COLOR]
    np.testing.assert_array_equal(borders, colors)


def test_text_leaves_the_frames_alone():
    """Labels at the left and captions above, of each frame its own."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, [3, 60, 80, 3], np.uint8)
    labelled = panels.with_labels(frames, ["truth", "prediction"])
    width = labelled.shape[2] - 80
    np.testing.assert_array_equal(labelled[:, :, width:], frames)
    for half in (labelled[0, :30, :width], labelled[0, 30:, :width]):
        assert half.max() == 255
        assert half[:5].max() == 0, "not in the middle of its row"
    red = (255, 0, 0)
    captions = panels.with_captions(frames, ["1", "1", "22"], [red] * 3)
    above = captions.shape[1] - 60
    np.testing.assert_array_equal(captions[:, above:], frames)
    lines = captions[:, :above].astype(int)
    np.testing.assert_array_equal(lines[0], lines[1])
    assert lines[2].sum() > 1.5 * lines[0].sum() > 0
    assert lines[..., 1:].max() == 0
    once = panels.with_captions(frames, ["task"])
    assert (once[:, :above] == once[:1, :above]).all()


def test_long_captions_shrink():
    """Cut off at the right, names of tasks that begin alike are the same."""
    frames = np.zeros([2, 10, 110, 3], np.uint8)
    usual, long = (
        panels.with_captions(frames, ["task", text])[:, :-10]
        for text in ("walk", "humanoid_run_pure_state")
    )
    assert usual.shape == long.shape == (2, 28, 110, 3)
    assert long[1].any() and not long[1, :, -5:].any()
    # All of one size, or a video's letters would jump.
    assert np.ptp(np.argwhere(long[0])[:, 0]) < np.ptp(
        np.argwhere(usual[0])[:, 0]
    )
