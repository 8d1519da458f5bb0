"""``paco-seg train`` under the name that MM users know."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['train', *sys.argv[1:]])
