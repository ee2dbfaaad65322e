"""Whole training steps give the same bits with any number of threads, and from the cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("same_bits.py")
NETWORKS = ("lenet", "mlp", "transformer", "resnet", "lstm", "gan")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What a process says that compiles, one that finds the cache, and one kept on one CPU."""
    cache = tmp_path_factory.mktemp("cache")
    environment = os.environ | {"TRACEFUSE_CACHE_DIR": str(cache)}
    found = []
    for arguments in ((), (), ("one",)):
        if arguments and not hasattr(os, "sched_setaffinity"):
            continue
        command = [sys.executable, str(SCRIPT), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def test_the_second_process_compiled_nothing(runs):
    first, *others = (run["cache"] for run in runs)
    assert first["hits"] == 0
    assert first["misses"] == first["stored"] >= len(NETWORKS)
    for cache in others:
        assert cache["misses"] == cache["damaged"] == 0
        assert cache["hits"] == first["misses"]


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_change_no_bit(runs, name):
    first = runs[0]["digests"][name]
    assert len(first) == 3
    assert len(set(first)) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_reload_and_a_single_cpu_change_no_bit(runs, name):
    assert len({run["digests"][name][0] for run in runs}) == 1
    assert len({digest for run in runs for digest in run["digests"][name]}) == 1


def test_networks_differ(runs):
    """The digests are of something: no two networks have the same."""
    assert len({run[0] for run in runs[0]["digests"].values()}) == len(NETWORKS)
