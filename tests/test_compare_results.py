"""The report of two tiny runs, as files and in a browser."""

import csv
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from planet_tf.tools import gif
from scripts import compare_results
from scripts.comparison import page
from scripts.comparison.table import Table
from tests.test_comparison import make_run

FILES = {
    *("report.html", "report.md", "steps.png", "hours.png", "curves.csv"),
    *("runs.csv", "returns.csv", "budgets.csv", "intervals.csv"),
    *("efficiency.csv", "simulator.csv"),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Folder of a report, made from a going run, its copy, and another."""
    folder = tmp_path_factory.mktemp("report")
    runs = folder / "runs"
    first = make_run(runs / "first", [10.0, 300])
    shutil.copytree(first, runs / "copy")
    with (first / "metrics.jsonl").open("a") as file:
        file.write('{"updates": 300, "env_steps": 30000, "time/total": 5400, ')
        file.write('"test/return_cup_catch": 450}\n')
    video = gif.encode_gif(np.zeros([3, 8, 8, 3], np.uint8), 20)
    (first / "test_open_loop.gif").write_bytes(video)
    (first / "gone.gif").symlink_to("nowhere")
    with (first / "metrics.jsonl").open("a") as file:
        file.write('{"updates": 400, "env_st')
    again = make_run(runs / "again", [20.0, 400])
    out = folder / "out"
    command = [str(runs / "copy"), str(first), f"{first}/", str(again)]
    command += [f"--out={out}"]
    assert compare_results.main(command) == 0
    return out


def test_report_is_complete(report):
    assert {path.name for path in report.iterdir()} == FILES
    text = (report / "report.html").read_text()
    # Two plots and one video, none of them outside of the file.
    sources = re.findall(r'src="([^"]{22})', text)
    assert sources == 2 * ["data:image/png;base64,"] + [
        "data:image/gif;base64,"
    ]
    assert not re.search(r"(href|src)=\"(?!data:)|https?://", text)
    assert "Not run: cartpole_swingup, reacher_easy" in text
    for name in ("steps.png", "hours.png"):
        with Image.open(report / name) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 20


def test_folder_that_is_given_twice_counts_once(report):
    lines = (report / "curves.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 + 2
    assert lines[1].endswith("first,cpu,cup_catch,0,100,,10000,0.5,10.0,,,,")


def test_copied_run_counts_once(report):
    """The one that came further; scores are 760 / 3 and 420 / 2."""
    notes = re.findall(
        "<p class=note>(.*)</p>", (report / "report.html").read_text()
    )
    (line,) = (note for note in notes if "is a copy of" in note)
    assert re.fullmatch(".*/copy: left out, it is a copy of .*/first", line)
    (scores,) = csv.DictReader((report / "intervals.csv").open())
    assert scores["scores"] == "2"
    assert float(scores["median"]) == pytest.approx((760 / 3 + 210) / 2)


def test_another_run_of_a_seed_is_named(report):
    """Seeds that are no seeds make intervals too narrow."""
    for name in ("report.html", "report.md"):
        assert "seed 0 counts 2 times" in (report / name).read_text()


def test_planner_on_the_simulator_is_shown(report):
    """In its own section alone."""
    text = (report / "report.html").read_text()
    assert "<h2>The planner on the true simulator</h2>" in text
    assert "50 x 3 x 12" in text
    for name in ("runs", "returns", "intervals", "efficiency"):
        assert "719.7" not in (report / f"{name}.csv").read_text()


def test_another_file_of_the_planner(tmp_path, monkeypatch, capsys):
    """One that is missing is named; no shell expands this `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    command = ["run", "--out=~/out", "--planner=~/none.csv"]
    assert compare_results.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/none.csv cannot be read")


def test_browser_shows_report_without_an_error(report, tmp_path):
    browser = next(
        filter(None, map(shutil.which, ("chromium", "google-chrome"))), None
    )
    if not browser:
        pytest.skip("neither chromium nor google-chrome is on PATH")
    url = (report / "report.html").as_uri()

    def open_page(url: str) -> str:
        return subprocess.run(
            [
                browser,
                *("--headless", "--no-sandbox", "--disable-gpu"),
                *("--disable-quic", "--no-first-run"),
                *("--disable-background-networking", "--disable-sync"),
                "--disable-component-update",
                f"--user-data-dir={tmp_path / 'profile'}",
                *("--window-size=1400,1000", "--enable-logging=stderr"),
                f"--screenshot={tmp_path / 'page.png'}",
                url,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stderr

    assert "CONSOLE" not in open_page(url)
    with Image.open(tmp_path / "page.png") as image:
        assert image.size[0] == 1400
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    # The browser does report what is wrong with a page.
    broken = tmp_path / "broken.html"
    broken.write_text("<script>missing()</script>")
    assert "CONSOLE" in open_page(broken.as_uri())


@pytest.mark.parametrize("case", ["missing", "empty", "not a config"])
def test_folder_without_a_run(tmp_path, capsys, case):
    """One line that names the folder, and exit status 2."""
    folder = tmp_path / "run"
    if case != "missing":
        folder.mkdir()
    if case == "not a config":
        (folder / "config.yaml").write_text("- 1\n")
    out = tmp_path / "out"
    assert compare_results.main([str(folder), f"--out={out}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(folder) in error
    assert not out.exists()


def test_video_that_a_run_deletes_meanwhile(report):
    """Runs keep ten; the others are in the report nevertheless."""
    text = (report / "report.html").read_text()
    assert "first/gone.gif: skipped, No such file" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RUNS, --out"),
        # Not that --out is missing.
        (["run", "--ot=y"], "There is no flag --ot; did you mean --out?"),
        (["run", "-out", "y"], "There is no flag -out; did you mean --out?"),
        (["--out=x", "--", "--ot"], "--ot holds no run"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        sys.exit(compare_results.main(arguments))
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_page_holds_its_pictures(tmp_path):
    """No reference leads out of the file, whatever a run is called."""
    video = gif.encode_gif(np.zeros([2, 4, 4, 3], np.uint8), 20)
    table = Table("t", "T", ("a",), [(1,)], "")
    text = page.render("t", "i", [table], [], [(video, '"><script>')], ["p"])
    assert 'src="data:image/gif;base64,R0lGODlh' in text
    assert "<script>" not in text and "http" not in text
