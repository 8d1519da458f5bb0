"""``paco-seg plot`` under the name that it had before."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['plot', *sys.argv[1:]])
