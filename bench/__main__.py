"""``python -m numopt.bench CASE ...`` is ``numopt bench CASE ...``."""

import sys

from numopt.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
