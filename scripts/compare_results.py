"""Sets runs beside each other and beside what was published.

    python -m scripts.compare_results RUNS... --out=DIR

RUNS are folders of runs, finished or still going: any number of tasks, seeds
and presets. Writes to DIR:

    report.html     everything, videos too, in one file
    report.md       the tables
    <table>.csv     each of them
    curves.csv      a row for each test episode of each run: time, counters,
                    returns and losses
    steps.png       return against environment steps
    hours.png       return against time
"""

import math
import pathlib
import sys

from planet_tf.tools.files import csv_text, expanded, write_text
from scripts.command_line import Parser
from scripts.comparison import simulator

# Videos are most of a report; what comes beyond this is left out.
_MAX_VIDEO_BYTES = 50e6


def write(
    folders: list[pathlib.Path],
    out: pathlib.Path,
    planner: pathlib.Path = simulator.FILE,
) -> list[str]:
    """Writes the report.

    Args:
        folders: Of the runs.
        out: Folder of the report, made if missing.
        planner: CSV file of `scripts.plan_with_simulator`.

    Returns:
        One line for each problem that did not keep a run from being used.

    Raises:
        ValueError: A folder holds no run, or a table cannot be read.
        OSError: A file cannot be written; names it.
    """
    from planet_tf.tools import plots
    from scripts.comparison import figures, page, published, runs, tables

    references, searches = published.read(), simulator.read(planner)
    results, problems, videos, size = [], [], [], 0
    for folder in folders:
        found, lines = runs.read(folder)
        results += found
        problems += lines
    results, copies = _without_copies(results)
    problems += copies
    for folder in dict.fromkeys(result.folder for result in results):
        for path in runs.videos(pathlib.Path(folder)):
            try:
                video = path.read_bytes()
            except OSError as error:  # A run that is going on deletes its own.
                problems.append(f"{path}: skipped, {error.strerror}")
                continue
            size += len(video)
            if size > _MAX_VIDEO_BYTES:
                problems.append(f"left out of report.html: {path}")
            else:
                videos.append((video, f"{folder}: {path.stem}"))
    groups, tasks = tables.group(results), tables.tasks_of(results)
    problems += _repeated_seeds(groups)

    run_tasks = [t for t in tasks if any(t in g for g in groups.values())]
    plots.save(figures.over_steps(groups, tasks, references), out / "steps.png")
    plots.save(
        figures.over_hours(groups, run_tasks, references), out / "hours.png"
    )
    made = [
        *tables.make_all(results, references),
        simulator.table(searches, references),
    ]
    for table in made:
        write_text(out / f"{table.name}.csv", table.csv())
    write_text(out / "curves.csv", csv_text(_curves(results)))
    missing = [task for task in tasks if task not in run_tasks]
    introduction = (
        f"Runs of planet_tf on {', '.join(run_tasks)}, beside published "
        "results."
    )
    if missing:
        introduction += f" Not run: {', '.join(missing)}."
    title = "planet_tf: results"
    write_text(
        out / "report.md",
        "\n".join(
            [
                f"# {title}\n\n{introduction}\n",
                *(f"- {problem}\n" for problem in problems),
                *(t.markdown() for t in made),
            ]
        ),
    )
    captions = [
        (
            out / "steps.png",
            "Noise-free test episodes during training. Thick: median over "
            "seeds, where all have come so far; shaded: from the lower to the "
            "upper quartile; thin: single seeds, as many for each agent as its "
            "panel says. Black and gray: published; points at 100,000, 500,000 "
            "and 1,000,000 steps (Dreamer: 5,000 later) stand side by side. "
            "Horizontal lines: final returns.",
        ),
        (
            out / "hours.png",
            "The same against the time spent training, on whatever machine "
            "each run had. Horizontal lines: final returns of published "
            "agents, whose learning curves over time are not known.",
        ),
    ]
    write_text(
        out / "report.html",
        page.render(title, introduction, made, captions, videos, problems),
    )
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Writes a report and returns the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument(
        "runs", metavar="RUNS", nargs="+", type=expanded, help="runs"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=expanded,
        required=True,
        help="where the report goes",
    )
    parser.add_argument(
        "--planner",
        metavar="CSV",
        type=expanded,
        default=simulator.FILE,
        help="returns of the planner on the true simulator, as\n"
        "`scripts.plan_with_simulator --csv=CSV` writes them\n"
        "(default: results/planner_on_simulator.csv)",
    )
    args = parser.parse_args(arguments)
    # A folder that is given twice is no problem to tell about.
    folders = {folder.resolve(): folder for folder in args.runs}
    try:
        problems = write(list(folders.values()), args.out, args.planner)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"Report: {(args.out / 'report.html').resolve()}")
    return 0


def _without_copies(results) -> tuple[list, list[str]]:
    """Of each run the copy that came furthest, and a line for each other.

    Copies would count as seeds, which they are not.
    """
    found: dict[tuple, list] = {}
    for r in results:
        key = (r.label, r.task, r.seed, r.log_start)
        found.setdefault(key, []).append(r)
    kept, lines = [], []
    for copies in found.values():
        best = max(copies, key=lambda r: (r.updates, r.episodes))
        kept.append(best)
        lines += [
            f"{r.folder}: left out, it is a copy of {best.folder}"
            for r in copies
            if r is not best
        ]
    return kept, list(dict.fromkeys(lines))  # One for all tasks of a run.


def _repeated_seeds(groups) -> list[str]:
    """Runs that may be no seeds of their own: same agent, task and seed."""
    lines = []
    for name, by_task in groups.items():
        for task, results in by_task.items():
            seeds = [result.seed for result in results]
            for seed in sorted({s for s in seeds if seeds.count(s) > 1}):
                copies = [r.folder for r in results if r.seed == seed]
                lines.append(
                    f"{name}, {task}: seed {seed} counts {len(copies)} times "
                    f"({', '.join(copies)})"
                )
    return lines


def _curves(results) -> list[list]:
    """A row for each test episode of each run; what is unknown is empty."""
    points = [(r, point) for r in results for point in r.curve]
    names = list(points[0][1]) if points else []
    rows = [["run", "agent", "task", "seed", *names]]
    for r, point in points:
        cells = ("" if math.isnan(x) else x for x in point.values())
        rows.append([r.folder, r.label, r.task, r.seed, *cells])
    return rows


if __name__ == "__main__":
    sys.exit(main())
