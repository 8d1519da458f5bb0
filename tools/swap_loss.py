"""``paco-seg swap`` under the name that MM users know."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['swap', *sys.argv[1:]])
