"""Says in words what is wrong with a world, before it is trained on.

    python -m scripts.check_env dummy
    python -m scripts.check_env gym:HalfCheetah-v5
    python -m scripts.check_env my_module:MyWorld

TASK is what `--task` takes: a task of dm_control, gym:NAME, or
module:CONSTRUCTOR, a class or function that returns a world of one's own. One
episode is played to its end, and some are begun; one line for each problem.
The exit status is 0 if all is well, 1 if not, and 2 if it cannot be made.
"""

import sys

from planet_tf.control.check_env import SLOW, check_env
from planet_tf.control.make import make_environment
from scripts.command_line import Parser


def main(arguments: list[str] | None = None) -> int:
    """Checks the world of a task and returns the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument("task", metavar="TASK", help="as for --task")
    parser.add_argument(
        "--action_repeat", type=int, help="replaces the task's own"
    )
    parser.add_argument(
        "--render_quality", choices=["original", "fast"], default="original"
    )
    parser.add_argument(
        "--slow",
        type=float,
        default=SLOW,
        help=f"seconds that a decision may take (default: {SLOW})",
    )
    args = parser.parse_args(arguments)
    try:
        world = make_environment(
            args.task, args.render_quality, action_repeat=args.action_repeat
        )
    except Exception as error:  # It may be anybody's constructor.
        kind = type(error).__name__
        print(f"{args.task} cannot be made: {kind}: {error}", file=sys.stderr)
        return 2
    problems, summary = check_env(world, args.slow)
    world.close()
    for problem in problems:
        print(f"{args.task}: {problem}")
    verdict = f"{len(problems)} problem(s)" if problems else "all is well"
    print(f"{args.task}: {verdict}. {summary}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
