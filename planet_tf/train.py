"""Trains PlaNet: `python -m planet_tf.train --task=cup_catch`. Read this first.

    flags -> Config     this command
    Config -> parts     build.py
    parts -> the loop   training/trainer.py

Everything is kept in `--logdir`; the same command continues a run that was
stopped. TensorFlow is imported when a run begins, so that flag errors come at
once and the spawned processes of the environments stay free of it.

Exit status: 0 when all is done; 1 after an error on the way; 2 for input that
cannot work, and nothing was written; 75 if another process uses the folder;
129, 130 and 143 if stopped by SIGHUP (a closed terminal), Ctrl-C or SIGTERM.
After all but 0 and 2, the same command goes on.
"""

import contextlib
import os
import shlex
import signal
import sys
import traceback

from absl import flags, logging

from planet_tf import command, config_flags, run_folder, worlds
from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control.make import choose_backend_for
from planet_tf.control.tasks import label
from planet_tf.tools.files import expanded
from planet_tf.tools.interrupts import stop_in_order, undisturbed
from planet_tf.tools.quiet import without_cuda_complaints

IN_USE = os.EX_TEMPFAIL  # Exit status, 75: another process is training there.


def main() -> None:
    """From the command line to `train`."""
    logging.set_verbosity(logging.WARNING)
    try:
        config = config_flags.read()
        worlds.try_unknown(config)
        if flags.FLAGS.logdir == "":
            raise ValueError(
                "--logdir= is empty: name a folder, or leave it out"
            )
        logdir = expanded(flags.FLAGS.logdir or _default_logdir(config))
        # Before the lock, which is the first file that is written.
        run_folder.prepare(config, logdir, flags.FLAGS.allow_config_change)
        choose_backend_for(config.tasks)
        keep = contextlib.ExitStack()
        keep.enter_context(run_folder.locked(logdir))
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(IN_USE if isinstance(error, BlockingIOError) else 2)
    folder = shlex.quote(str(logdir.absolute()))
    how_to_look = (
        f"Results: {logdir.absolute()}\nTo look at them: "
        f"{sys.executable} -m tensorboard.main --logdir={folder}"
    )
    print(how_to_look, flush=True)
    try:
        stop_in_order()
        with keep:
            # Of an earlier start; this one may do better.
            (logdir / "error.txt").unlink(missing_ok=True)
            # An interrupt may get lost in the middle of imports.
            with undisturbed(), without_cuda_complaints():
                from planet_tf.training.trainer import train
            train(config, logdir)
    except KeyboardInterrupt as error:
        stopped = "Stopped. The same command continues this run."
        try:
            print(stopped, how_to_look, sep="\n", flush=True)
        except BrokenPipeError:  # Ctrl-C ends `tee`, too.
            command.print_nowhere()
        # Without a number before `stop_in_order`.
        sys.exit(128 + (error.args[0] if error.args else signal.SIGINT))
    except BrokenPipeError:  # Of `head`, say.
        raise
    except configs.ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        with contextlib.suppress(OSError):
            (logdir / "error.txt").write_text(traceback.format_exc())
        print(
            f"{error}\nDetails are in {logdir}/error.txt. Once the cause is "
            "gone, the same command continues this run.",
            file=sys.stderr,
        )
        sys.exit(1)
    print("Finished.\n" + how_to_look)


def _default_logdir(config: Config) -> str:
    tasks = map(label, config.tasks)
    name = "-".join([*tasks, flags.FLAGS.config, f"seed{config.seed}"])
    return f"~/planet_tf/{name}"


def define_flags() -> None:
    """The flags of this command; those of a Config among them."""
    config_flags.define()
    flags.DEFINE_string(
        "logdir",
        None,
        "Folder of this run; the same folder continues it. "
        "By default ~/planet_tf/<task>-<config>-seed<seed>.",
    )
    flags.DEFINE_boolean(
        "allow_config_change",
        False,
        "Go on with a run whose config differs from the flags.",
    )


if __name__ == "__main__":
    define_flags()
    command.run(main)
