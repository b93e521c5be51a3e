"""What the ``headrace`` script calls.

It stands outside of the package, for to import that takes a moment: Ctrl-C within it is no bug, and no traceback.
"""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Load and run the command line."""
    try:
        from headrace.cli.main import main as command  # noqa: PLC0415 - see above

        command()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
