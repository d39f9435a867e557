"""What a process may use, within control groups that the test makes up."""

from __future__ import annotations

import os
import sys

import pytest

from stoker.machine import free_bytes, usable_cores

ALL = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


@pytest.fixture
def groups(tmp_path):
    """Writes files of a control group, and the list of the groups that the process is in."""
    def write(own, **files):
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_", ".", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        (tmp_path / "own").write_text(own)
        (tmp_path / "meminfo").write_text("MemTotal:       64 kB\nMemAvailable:   8000000 kB\n")
        return tmp_path / "cgroup", tmp_path / "own"

    return write


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", ALL), ("100000 100000", 1), ("50000 100000", 1), ("6400000 100000", ALL)])
def test_a_quota_bounds_the_cores(groups, quota, cores):
    assert usable_cores(*groups("0::/box", box__cpu_max=quota)) == cores


def test_a_quota_of_a_group_further_up_counts_too(groups):
    assert usable_cores(*groups("0::/pod/box", pod__box__cpu_max="max 100000", pod__cpu_max="100000 100000")) == 1


def test_groups_of_the_first_version(groups, tmp_path):
    folder = tmp_path / "cgroup" / "cpu,cpuacct" / "box"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("100000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    root, own = groups("4:cpu,cpuacct:/box\n3:memory:/box\n")
    assert usable_cores(root, own) == 1


def test_without_groups_there_is_no_bound(tmp_path):
    assert usable_cores(tmp_path / "none", tmp_path / "none") == ALL
    assert free_bytes(tmp_path / "none", tmp_path / "none", tmp_path / "none") is None


def test_memory_is_what_the_system_has_or_the_group_leaves(groups, tmp_path):
    info = tmp_path / "meminfo"
    assert free_bytes(*groups("0::/box"), info) == 8_000_000 * 1024
    root, own = groups(
        "0::/box", box__memory_max="4000000000", box__memory_current="3000000000", box__memory_stat="anon 1\ninactive_file 500")
    assert free_bytes(root, own, info) == 1_000_000_500
    assert free_bytes(*groups("0::/box", box__memory_max="max"), info) == 8_000_000 * 1024
