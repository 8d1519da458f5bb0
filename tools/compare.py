"""``paco-seg compare`` under the name that it had before."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['compare', *sys.argv[1:]])
