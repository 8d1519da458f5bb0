"""File names that are not UTF-8, on which OpenCV's own reading and writing ends the process."""

import multiprocessing
import os

NOT_UTF8 = os.fsdecode(b'b\xe4r')  # as an archive from an old Windows leaves it


def ends_well(function, *arguments):
    """Call a function in a child process, and tell whether the process came to its end."""
    child = multiprocessing.get_context('fork').Process(target=function, args=arguments)
    child.start()
    child.join()
    return child.exitcode == 0
