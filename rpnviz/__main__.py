"""``python -m rpnviz``."""

import sys

from rpnviz.cli import main

if __name__ == "__main__":
    sys.exit(main())
