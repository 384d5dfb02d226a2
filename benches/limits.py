"""Limits of processor time and memory for a command, by the kernel's control groups: version 1, or version 2 where that rules.

Processor time is limited as in Lambda: several processors are to be seen, but all threads together get a share of one in every
period and then wait for the next. The period is 20 ms, the short end of what is usual: what others inferred of Lambda's from
outside (arXiv 2506.01283). With Linux's own 100 ms a small share would have bursts and pauses five times as long, and jobs
that end within the first burst would seem to have a whole processor.
"""

import os
import signal
import time
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 20_000
PATIENCE_S = 10


class Unavailable(Exception):
    """Why no limits can be set here."""


class Limits:
    """Used in a `with`; whoever calls `enter` is limited until its end. `processors` may be a part of one."""

    def __init__(self, processors, memory_bytes):
        self.quota_us, self.memory_bytes = round(processors * PERIOD_US), memory_bytes
        self.folders = []

    def __enter__(self):
        name = f"lifeboat-bench-{os.getpid()}"
        try:
            if (GROUPS / "memory" / "memory.limit_in_bytes").exists():
                self._make_version_1(name)
            elif (GROUPS / "cgroup.controllers").exists():
                self._make_version_2(name)
            else:
                raise Unavailable(f"{GROUPS} has no control groups for processor time and memory")
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"control groups cannot be made ({error}): that takes root, outside of a container") from error
        return self

    def _make_version_1(self, name):
        processor, memory = self._make(GROUPS / "cpu" / name), self._make(GROUPS / "memory" / name)
        (processor / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (processor / "cpu.cfs_quota_us").write_text(str(self.quota_us))
        (memory / "memory.swappiness").write_text("0")
        (memory / "memory.limit_in_bytes").write_text(str(self.memory_bytes))
        with_swap = memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():
            with_swap.write_text(str(self.memory_bytes))
        self._killed = memory / "memory.oom_control"

    def _make_version_2(self, name):
        (GROUPS / "cgroup.subtree_control").write_text("+cpu +memory")
        group = self._make(GROUPS / name)
        (group / "cpu.max").write_text(f"{self.quota_us} {PERIOD_US}")
        (group / "memory.max").write_text(str(self.memory_bytes))
        swap = group / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        self._killed = group / "memory.events"

    def _make(self, folder):
        folder.mkdir()
        self.folders.append(folder)
        return folder

    def enter(self):
        """Puts this process under the limits."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def has_killed(self):
        """Whether somebody wanted more memory than there is, and was ended for it."""
        return any(int(line.split()[1]) for line in self._killed.read_text().splitlines() if line.startswith("oom_kill "))

    def __exit__(self, *_):
        for folder in self.folders:
            self._remove(folder)

    def _remove(self, folder):
        """A group can be removed when nobody is in it: what a command that was killed left behind is ended."""
        deadline = time.monotonic() + PATIENCE_S
        while pids := (folder / "cgroup.procs").read_text().split():
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes {', '.join(pids)} in {folder} do not end")
            for pid in map(int, pids):
                _end(pid)
            time.sleep(0.05)
        folder.rmdir()


def _end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
