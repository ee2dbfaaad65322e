"""The object cache: hits, damage, strangers, races, and the byte limit."""

import os
import subprocess
import sys
import threading
import warnings

import pytest

from codegen import cache
from codegen.cache import CacheWarning, ObjectCache, build_objects, entry_key
from codegen.sealed import HEADER

TEXT = "define i64 @one() {\n  ret i64 1\n}"
KEY = "a" * 64


@pytest.fixture
def store(tmp_path):
    return ObjectCache(tmp_path / "objects")


def use(store):
    """Misses, stores two objects, finds both."""
    assert store.get(KEY) is None
    for key, blob in ((KEY, b"built"), ("b" * 64, b"more")):
        store.put(key, blob)
        assert store.get(key) == blob


def only_file(store):
    (entry,) = store.entries()
    return entry.path


def test_an_object_comes_back(store):
    assert store.get(KEY) is None
    store.put(KEY, b"code")
    assert store.get(KEY) == b"code"
    assert ObjectCache(store.folder).get(KEY) == b"code"
    assert (store.stats.hits, store.stats.misses, store.stats.stored) == (1, 1, 1)
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert store.verify() == []


def test_build_calls_for_text_only_once(store):
    calls = []

    def text():
        calls.append(1)
        return [TEXT]

    blobs, hit = build_objects(["graph"], text, store)
    again, hit_again = build_objects(["graph"], text, ObjectCache(store.folder))
    assert (blobs, hit, hit_again, len(calls)) == (again, False, True, 1)


def test_objects_of_one_entry_come_back_in_order(store):
    texts = [TEXT, TEXT.replace("one", "another"), TEXT.replace("1", "2")]
    blobs, _ = build_objects(["several"], lambda: iter(texts), store)
    assert len(set(blobs)) == 3
    assert build_objects(["several"], lambda: texts, store) == (blobs, True)


def test_keys_tell_parts_cpu_and_compiler_apart(monkeypatch):
    keys = {entry_key(parts) for parts in (["a", "b"], ["ab"], ["a", "b", ""], ["b", "a"])}
    before = entry_key(["a"])
    monkeypatch.setattr(cache, "_sources", lambda: "other sources")
    assert len(keys | {before, entry_key(["a"])}) == 6


def damaged(data):
    """Ways in which a file can be wrong."""
    yield b""
    yield data[:5]
    yield data[:HEADER]
    yield data[:-1]
    yield data + b"x"
    yield b"garbage" * 100
    yield b"other magic bytes 1\n" + data[20:]
    for at in range(0, len(data), 7):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_damage_costs_one_warning_and_a_rebuild(store):
    blobs, _ = build_objects(["k"], lambda: [TEXT], store)
    path = only_file(store)
    good = path.read_bytes()
    for bad in list(damaged(good[: HEADER + 40])) + [good[:-1], good + b"\0"]:
        path.write_bytes(bad)
        assert store.verify()
        with pytest.warns(CacheWarning, match="rebuilt") as said:
            assert build_objects(["k"], lambda: [TEXT], store) == (blobs, False)
        assert len(said) == 1
        assert path.read_bytes() == good


def test_an_entry_under_another_key_is_refused(store):
    store.put(KEY, b"code")
    only_file(store).rename(store.folder / ("b" * 64 + cache.SUFFIX))
    with pytest.warns(CacheWarning, match="checksum"):
        assert store.get("b" * 64) is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_others_can_write_is_not_used(store, mode):
    store.put(KEY, b"planted")
    store.folder.chmod(mode)
    fresh = ObjectCache(store.folder)
    with pytest.warns(CacheWarning, match="memory only") as said:
        use(fresh)
    assert len(said) == 1
    assert fresh.verify()
    store.folder.chmod(0o700)
    assert store.get(KEY) == b"planted"  # the disk was left alone


def test_a_folder_of_someone_else_is_not_used(store, monkeypatch):
    store.put(KEY, b"planted")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.warns(CacheWarning, match="belongs to user"):
        assert ObjectCache(store.folder).get(KEY) is None


def test_a_file_others_can_write_or_a_link_is_rebuilt(store, tmp_path):
    store.put(KEY, b"code")
    path = only_file(store)
    path.chmod(0o666)
    with pytest.warns(CacheWarning, match="written by others"):
        assert store.get(KEY) is None
    store.put(KEY, b"code")
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)
    with pytest.warns(CacheWarning, match="rebuilt"):
        assert store.get(KEY) is None
    os.mkfifo(path)
    with pytest.warns(CacheWarning, match="not a plain file"):
        assert store.get(KEY) is None


def test_a_folder_that_cannot_be_made_is_survived(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        broken = ObjectCache(folder)
        with pytest.warns(CacheWarning) as said:
            use(broken)
        assert len(said) == 1
        assert broken.entries() == []
        assert broken.clear() == 0


def test_a_disk_that_stops_taking_writes_is_survived(store, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    store.put("c" * 64, b"stored before")
    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(CacheWarning, match="No space left") as said:
        use(store)
    assert len(said) == 1
    assert store.get("c" * 64) == b"stored before"
    assert len(list(store.folder.iterdir())) == 1


def test_least_recently_used_entries_go_first(tmp_path):
    store = ObjectCache(tmp_path / "objects", limit=3 * (HEADER + 100))
    for age, name in enumerate("abc"):
        store.put(name * 64, bytes(100))
        os.utime(store.folder / (name * 64 + cache.SUFFIX), (age, age))
    assert store.get("a" * 64)  # now the most recent
    store.put("d" * 64, bytes(100))
    assert {entry.key[0] for entry in store.entries()} == {"a", "c", "d"}
    store.put("e" * 64, bytes(1000))  # larger than the limit: kept out
    assert len(store.entries()) == 3
    assert store.stats.evicted == 1


def test_leftovers_of_killed_writers_are_swept(store):
    store.put(KEY, b"code")
    old, young = store.folder / "x.tmp", store.folder / "y.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.put("b" * 64, b"code")
    assert not old.exists()
    assert young.exists()


def test_clear_and_environment(store, monkeypatch, tmp_path):
    store.put(KEY, b"code")
    assert store.clear() == 1
    assert store.get(KEY) is None
    monkeypatch.setenv("TRACEFUSE_CACHE_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("TRACEFUSE_CACHE_BYTES", "4096")
    named = ObjectCache()
    assert (named.folder, named.limit) == (tmp_path / "named", 4096)
    monkeypatch.setenv("TRACEFUSE_CACHE_BYTES", "a lot")
    with pytest.raises(ValueError, match="TRACEFUSE_CACHE_BYTES"):
        ObjectCache()


def test_threads_reading_and_writing_one_key(tmp_path):
    blob = os.urandom(200_000)
    wrong = []

    def work():
        mine = ObjectCache(tmp_path / "objects")
        for _ in range(30):
            mine.put(KEY, blob)
            if mine.get(KEY) != blob:
                wrong.append(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_processes_reading_and_writing_one_key(tmp_path):
    code = f"""
from codegen.cache import ObjectCache
store = ObjectCache({str(tmp_path / "objects")!r})
blob = bytes(range(256)) * 1000
for _ in range(100):
    store.put({KEY!r}, blob)
    assert store.get({KEY!r}) == blob
assert store.stats.damaged == 0
"""
    command = [sys.executable, "-W", "error", "-c", code]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert ObjectCache(tmp_path / "objects").verify() == []
