"""One file in place of another: all of it or nothing, whatever fails and whenever."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: an open file cannot be removed there, which is lock enough
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 26  # some systems refuse a single write of 2 GiB
_SUFFIX = ".fastnn-tmp"


def replace_file(path: str | os.PathLike[str], parts: Iterable[Any]) -> None:
    """Write the bytes of `parts`, one after the other, as the file `path`.

    A temporary file in the same directory is written, synced and renamed over `path`; then the
    directory is synced. A symbolic link is followed. The file gets the mode of the one it replaces,
    less the umask, so that a private file stays private. Temporary files that killed writers of the
    same file left behind are removed first, which may free the space that is needed.

    Parameters
    ----------
    path : str or os.PathLike
    parts : iterable of bytes-like

    Raises
    ------
    OSError
        With errno and `path`, from any step. `path` is what it was and no temporary file stays.
    """
    path = os.fsdecode(path)
    try:
        _replace(os.path.realpath(path), parts)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _replace(target, parts):
    directory, name = os.path.split(target)
    mode = 0o666
    with contextlib.suppress(FileNotFoundError):
        old = os.stat(target)
        if not stat.S_ISREG(old.st_mode):  # a rename would put a file in place of /dev/null
            code = errno.EISDIR if stat.S_ISDIR(old.st_mode) else errno.EINVAL
            raise OSError(code, os.strerror(code), target)
        mode = old.st_mode & 0o777
    _remove_stale(directory, name)
    temporary, descriptor = _create_temporary(directory, name, mode)
    with contextlib.ExitStack() as closing:
        # A synced file has nothing left to lose when it is closed, which also ends the lock.
        closing.callback(_quietly, os.close, descriptor)
        try:
            for part in parts:
                _write(descriptor, part)
            os.fsync(descriptor)
            if fcntl is None:  # Windows cannot rename an open file
                closing.close()
            _rename(temporary, target)
        except BaseException:
            closing.close()
            _quietly(os.unlink, temporary)
            raise


def _quietly(function, *arguments):
    with contextlib.suppress(OSError):
        function(*arguments)


def _write(descriptor, part):
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view[:_CHUNK]) :]


def _temporary_name(directory, name):
    return os.path.join(directory, f".{name}.{secrets.token_hex(8)}{_SUFFIX}")


def _create_temporary(directory, name, mode):
    """A new file that is locked for as long as its writer lives."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = _temporary_name(directory, name)
        descriptor = os.open(temporary, flags, mode)
        # Another save may have taken it for stale between creation and lock: then try once more.
        if _lock(descriptor) is not False and os.path.lexists(temporary):
            return temporary, descriptor
        os.close(descriptor)


def _lock(descriptor):
    """True if the lock is ours, False if someone else holds it, None if there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_stale(directory, name):
    """Remove temporary files of this target whose writer is gone.

    A lock tells, not a process id: ids mean nothing in another container or on another host that
    shares the directory, and are used again.
    """
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}{re.escape(_SUFFIX)}")
    with contextlib.suppress(OSError):
        for found in os.listdir(directory):
            if pattern.fullmatch(found):
                _quietly(_remove_if_stale, os.path.join(directory, found))


def _remove_if_stale(temporary):
    if fcntl is None:
        os.unlink(temporary)
        return
    descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and _lock(descriptor):
            os.unlink(temporary)
    finally:
        os.close(descriptor)


def _rename(temporary, target):
    """Put `temporary` in place of `target`, durably, or leave all as it was.

    Until the directory is synced, a second name keeps the old file, so that a failure of the sync
    can be undone. File systems without hard links do without.
    """
    directory, name = os.path.split(target)
    kept = _temporary_name(directory, name)
    is_new = False
    try:
        os.link(target, kept)
    except FileNotFoundError:
        is_new = True
    except OSError:
        pass
    try:
        os.replace(temporary, target)
        try:
            _sync_directory(directory)
        except BaseException:
            if is_new:
                _quietly(os.unlink, target)
            else:
                _quietly(os.replace, kept, target)
            raise
    finally:
        _quietly(os.unlink, kept)


def _sync_directory(directory):
    if fcntl is None:  # Windows cannot open directories
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system to which this means nothing
            raise
    finally:
        _quietly(os.close, descriptor)
