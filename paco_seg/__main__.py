"""``python -m paco_seg COMMAND ...`` is ``paco-seg COMMAND ...``."""

from paco_seg.cli import main

if __name__ == '__main__':
    main()
