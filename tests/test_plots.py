"""The shared look of plots."""

import matplotlib
from PIL import Image

from planet_tf.tools import plots


def test_writes_a_picture_and_leaves_no_trace(tmp_path):
    """Settings of other users of matplotlib must stay as they were."""
    before = dict(matplotlib.rcParams)
    fig, axes = plots.figure(1, 2, size=(3, 2))
    lines = [ax.plot([0, 1], [i, 1], label="a") for i, ax in enumerate(axes)]
    plots.legend(axes[0])
    plots.save(fig, tmp_path / "new" / "plot.png")
    assert dict(matplotlib.rcParams) == before
    assert lines[0][0].get_color() == plots.BLUE
    with Image.open(tmp_path / "new" / "plot.png") as image:
        assert image.size == (720, 240)
        assert len(image.getcolors(2**20)) > 10  # Not blank.
