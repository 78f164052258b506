"""What the commands with argparse share."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an argument, as absl's flags do.

    And takes no flag for another that begins like it.
    """

    def __init__(self, **options):
        options.setdefault("formatter_class", argparse.RawTextHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2."""
        self.exit(2, f"{message} (--help lists all arguments)\n")
