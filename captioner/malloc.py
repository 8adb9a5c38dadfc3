"""Memory that a network frees and needs again at once, kept by the process.

A network frees and takes the same megabytes at every layer. glibc's malloc gives large blocks (from 128 KiB, and up to
32 MiB as it learns) back to the system as soon as they are freed, and the system must hand out each of their pages anew
and zeroed: a page fault per 4 KiB, thousands per photo. Where faults are dear, as in virtual machines, that costs up to
half of an encoder's time: a batch of eight took 26.7 ms per photo so, and 13.2 ms with the memory kept.

With several threads malloc has several heaps, each of which would keep the most that it ever held, so that a service
with dozens of threads would grow for hours; and only the first heap can hold large blocks. So there is one heap.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of glibc's malloc.h
MEBIBYTE = 2**20
KEPT = 2047 * MEBIBYTE  # free memory at the end of the heap that is kept; the parameter is a C int
GROWTH = 64 * MEBIBYTE  # how much more than needed the heap asks for when it grows


def keep_freed_memory() -> bool:
    """Tell malloc to keep what is freed for the next use; a program calls it first, a library leaves it to programs.

    The process then holds on to the most memory that it ever used at once.

    Returns:
        Whether it was done: it is for glibc only, and elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    wishes = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEPT, M_TOP_PAD: GROWTH}
    done = [mallopt(parameter, value) == 1 for parameter, value in wishes.items()]
    return all(done)
