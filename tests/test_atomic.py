"""Saving at any cost: F15 (kill -9) and F16 (errors of the file system) of the fault list."""

import errno
import os
import stat
import subprocess
import sys
import textwrap

import pytest

from fastnn import _atomic
from fastnn._atomic import replace_file

OLD = b"the old file"
NEW = [b"the ", b"new ", b"file" * 1000]
fcntl = pytest.importorskip("fcntl", reason="locks and rights here are those of POSIX")


class FaultyOS:
    """The module os, whose function number `fail_at` (counted by call) fails."""

    counted = frozenset(
        ["open", "close", "write", "fsync", "replace", "link", "unlink", "listdir", "stat", "fstat"]
    )

    def __init__(self, fail_at=None, code=errno.EIO):
        self.fail_at, self.code = fail_at, code
        self.calls = []

    def __getattr__(self, name):
        function = getattr(os, name)
        return self.wrap(name, function) if name in self.counted else function

    def wrap(self, name, function):
        def call(*arguments):
            self.calls.append(name)
            if len(self.calls) - 1 != self.fail_at:
                return function(*arguments)
            if name == "close":  # a close that fails has closed nonetheless
                function(*arguments)
            raise OSError(self.code, os.strerror(self.code))

        return call

    @property
    def failed(self):
        return self.calls[self.fail_at] if self.fail_at < len(self.calls) else None


def attempt(path, faulty, monkeypatch):
    """Replace `path` on a faulty system; return the error, if any."""
    with monkeypatch.context() as patch:
        patch.setattr(_atomic, "os", faulty)
        try:
            replace_file(path, NEW)
        except OSError as error:
            return error
    return None


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EFBIG])
@pytest.mark.parametrize("exists", [True, False])
def test_F16_an_error_at_any_call_leaves_the_old_file(tmp_path, monkeypatch, code, exists):
    fatal = []
    for fail_at in range(1000):
        folder = tmp_path / str(fail_at)
        folder.mkdir()
        path = folder / "model"
        if exists:
            path.write_bytes(OLD)
        stale = folder / f".model.{'0' * 16}.fastnn-tmp"
        stale.touch()
        faulty = FaultyOS(fail_at, code)
        descriptors = len(os.listdir("/dev/fd"))
        error = attempt(path, faulty, monkeypatch)
        assert len(os.listdir("/dev/fd")) == descriptors
        if faulty.failed is None:
            break
        if error is None:  # what failed only tidies up
            assert path.read_bytes() == b"".join(NEW)
        else:
            fatal.append(faulty.failed)
            assert error.errno == code
            assert error.filename == str(path)
            assert path.exists() == exists
            assert not exists or path.read_bytes() == OLD
        left = set(names(folder)) - {"model", stale.name}
        assert not left or faulty.failed in ("unlink", "listdir")
        replace_file(path, [b"again"])
        assert names(folder) == ["model"]
    assert faulty.failed is None
    for call in ("stat", "open", "write", "fsync", "replace"):
        assert call in fatal
    assert fatal.count("fsync") == 2  # of the file and of the folder
    assert fatal.count("write") == len(NEW)


def test_F16_file_size_limit(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(OLD)
    code = f"""
        import resource
        from fastnn._atomic import replace_file
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            replace_file({str(path)!r}, [bytes(4000), bytes(4000)])
        except OSError as error:
            print(error.errno, error.filename)
    """
    assert run(code).split() == [str(errno.EFBIG), str(path)]
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["model"]


def test_F16_missing_folder_names_the_path(tmp_path):
    path = tmp_path / "missing" / "model"
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(path, NEW)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_F16_what_is_no_regular_file_is_not_replaced(tmp_path, make):
    path = tmp_path / "model"
    make(path)
    with pytest.raises(OSError, match=r"Is a directory|Invalid argument"):
        replace_file(path, NEW)
    assert not stat.S_ISREG(os.stat(path).st_mode)
    assert names(tmp_path) == ["model"]


def test_F16_an_interrupt_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(OLD)

    def interrupted():
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, interrupted())
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["model"]


def test_file_system_without_folder_sync(tmp_path, monkeypatch):
    path = tmp_path / "model"
    counting = FaultyOS()
    attempt(path, counting, monkeypatch)
    last_fsync = len(counting.calls) - 1 - counting.calls[::-1].index("fsync")
    path.unlink()
    assert attempt(path, FaultyOS(last_fsync, errno.EINVAL), monkeypatch) is None
    assert path.read_bytes() == b"".join(NEW)


def test_mode_follows_the_umask_and_a_private_file_stays_private(tmp_path):
    path = tmp_path / "model"
    before = os.umask(0o027)
    try:
        replace_file(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        replace_file(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o666)
        replace_file(path, NEW)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "runs").mkdir()
    target = tmp_path / "runs" / "third"
    target.write_bytes(OLD)
    link = tmp_path / "latest"
    link.symlink_to(target)
    replace_file(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == b"".join(NEW)


def test_relative_paths_and_short_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_atomic, "_CHUNK", 7)
    replace_file("model", NEW)
    assert (tmp_path / "model").read_bytes() == b"".join(NEW)


# ---- stale temporary files


def make_temporary(folder, name="model"):
    path = folder / f".{name}.{'ab' * 8}.fastnn-tmp"
    path.write_bytes(b"half a model")
    return path


def test_F15_stale_temporaries_of_the_same_file_are_removed(tmp_path):
    stale = make_temporary(tmp_path)
    other = make_temporary(tmp_path, "model.b")
    similar = tmp_path / ".model.abc.fastnn-tmp"
    similar.touch()
    replace_file(tmp_path / "model", NEW)
    assert not stale.exists()
    assert other.exists()
    assert similar.exists()


def test_F15_the_temporary_of_a_living_writer_stays(tmp_path):
    living = make_temporary(tmp_path)
    with open(living) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        replace_file(tmp_path / "model", NEW)
        assert living.exists()
    replace_file(tmp_path / "model", NEW)
    assert not living.exists()


def test_F15_links_and_pipes_that_look_like_temporaries_are_left(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    link = tmp_path / f".model.{'1' * 16}.fastnn-tmp"
    link.symlink_to(victim)
    pipe = tmp_path / f".model.{'2' * 16}.fastnn-tmp"
    os.mkfifo(pipe)
    replace_file(tmp_path / "model", NEW)
    assert victim.read_bytes() == OLD
    assert link.is_symlink()
    assert pipe.exists()


def test_F15_a_temporary_that_another_save_took_for_stale_is_made_anew(tmp_path, monkeypatch):
    lock = _atomic._lock
    taken = []

    def taken_once(descriptor):
        if not taken:
            taken.extend(tmp_path.glob(".model.*"))
            os.unlink(taken[0])
        return lock(descriptor)

    monkeypatch.setattr(_atomic, "_lock", taken_once)
    replace_file(tmp_path / "model", NEW)
    assert len(taken) == 1
    assert (tmp_path / "model").read_bytes() == b"".join(NEW)
    assert names(tmp_path) == ["model"]


def test_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    stale = make_temporary(tmp_path)
    replace_file(tmp_path / "model", NEW)
    assert (tmp_path / "model").read_bytes() == b"".join(NEW)
    assert stale.exists()  # nobody can tell whether its writer lives


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_F15_kill_at_any_call_leaves_the_old_file_or_the_new(tmp_path):
    """A process forks children that each kill themselves at one call of a save."""
    code = f"""
        import os, signal
        from pathlib import Path
        from fastnn import _atomic

        folder, old, new = Path({str(tmp_path)!r}), {OLD!r}, {NEW!r}

        class Deadly:
            def __init__(self, at):
                self.at, self.calls = at, 0
            def __getattr__(self, name):
                function = getattr(os, name)
                if name not in {set(FaultyOS.counted)!r}:
                    return function
                def call(*arguments):
                    self.calls += 1
                    if self.calls - 1 == self.at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return function(*arguments)
                return call

        for at in range(1000):
            path = folder / str(at)
            path.write_bytes(old)
            child = os.fork()
            if child == 0:
                _atomic.os = Deadly(at)
                _atomic.replace_file(path, new)
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            whole = [old, b"".join(new)].index(path.read_bytes())
            left = len(list(folder.glob(f".{{at}}.*")))
            _atomic.replace_file(path, [b"again"])
            assert path.read_bytes() == b"again"
            assert not list(folder.glob(f".{{at}}.*"))
            print("killed" if os.WIFSIGNALED(status) else "lived", ["old", "new"][whole], left)
            if not os.WIFSIGNALED(status):
                break
    """
    lines = run(code).splitlines()
    assert lines[-1] == "lived new 0"
    assert {line.split()[0] for line in lines[:-1]} == {"killed"}
    outcomes = [line.split()[1] for line in lines]
    assert outcomes == sorted(outcomes, reverse=True)  # all old, then all new
    assert any(line.endswith("1") for line in lines)  # some do leave a temporary file behind


def test_F15_concurrent_saves_leave_one_of_them_whole(tmp_path):
    code = f"""
        import sys, threading
        from fastnn._atomic import replace_file
        def save(i):
            for _ in range(30):
                replace_file({str(tmp_path / "model")!r}, [bytes([i]) * 50_000])
        threads = [threading.Thread(target=save, args=(i,)) for i in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.communicate()[1] == b""
    content = (tmp_path / "model").read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert names(tmp_path) == ["model"]
