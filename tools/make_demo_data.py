"""``paco-seg demo-data digit-scenes`` under the name that it had before."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['demo-data', 'digit-scenes', *sys.argv[1:]])
