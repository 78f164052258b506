"""What the commands with argparse share."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from planet_tf.tools.parameters import suggestion


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an argument, as absl's flags do.

    And takes no flag for another that begins like it.
    """

    def __init__(self, **options):
        options.setdefault("formatter_class", argparse.RawTextHelpFormatter)
        module = sys.modules["__main__"].__spec__
        if module:  # Started with -m, as all are.
            options.setdefault("prog", f"python -m {module.name}")
        super().__init__(allow_abbrev=False, **options)

    def parse_args(
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> argparse.Namespace:
        """As argparse, but complains first about a flag that is unknown.

        argparse would say that the flag it stands for is missing.
        """
        known = self._option_string_actions
        for argument in sys.argv[1:] if args is None else args:
            name = argument.partition("=")[0]
            if argument == "--":
                break  # No flags from here on.
            if re.match("--?[a-zA-Z]", name) and name not in known:
                end = suggestion(name, known, "flags")
                self.exit(2, f"There is no flag {name}{end}\n")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2."""
        self.exit(2, f"{message} (--help lists all arguments)\n")
