"""``paco-seg demo-data digits`` under the name that it had before."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['demo-data', 'digits', *sys.argv[1:]])
