"""``paco-seg compare --suite quickstart`` under the name that it had before."""

import sys

from paco_seg.cli import main

if __name__ == '__main__':
    main(['compare', '--suite', 'quickstart', *sys.argv[1:]])
