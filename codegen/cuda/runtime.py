"""Sizes and host arrays in, memory on the device out: a pool, copies, and what each tensor holds.

A ``Memory`` is one tensor's bytes, on the device, on the host, or the same on both. It moves them
when somebody asks for them where they are not: a step's state stays on the device from call to
call, and is copied to the host when a person looks at it.

Blocks go back to a pool when nobody holds them. There is one stream, so that a block may be handed
out again at once: what is asked later happens later.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.cuda.driver import Driver, open_driver, why_none

Array = npt.NDArray[Any]
GRAIN = 512  # bytes; what sizes are rounded to, and what every block is aligned to
SMALL = 64 << 10  # bytes of the host that are copied before they are sent
PAGE = 4096  # bytes; what pinned memory is rounded to
MANY = 64  # copies from the host's own memory that may be on their way


class Block:
    """Bytes on the device; the pool has them again when the last holder is gone."""

    __slots__ = ("__weakref__", "_pool", "raw", "size")

    def __init__(self, pool: Pool, raw: Any, size: int) -> None:
        self._pool, self.raw, self.size = pool, raw, size

    def __del__(self) -> None:
        self._pool.returned.append((self.raw, self.size))


class Pool:
    """Allocations of one device, used again by size.

    The pool holds every allocation, those in use too: one that only a cycle of garbage held would
    be freed by Numba's weak references before its block comes back.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._own: dict[int, Any] = {}  # by address
        self.returned: deque[tuple[Any, int]] = deque()  # by any thread, at any time
        self._lock = threading.RLock()
        self._free: defaultdict[int, list[Any]] = defaultdict(list)
        self.used = self.most = self.reserved = 0

    def take(self, size: int) -> Block:
        """A block of at least ``size`` bytes. MemoryError says how much is in use."""
        size = max(-(-size // GRAIN), 1) * GRAIN
        with self._lock:
            self.settle()
            raw = self._free[size].pop() if self._free[size] else self._fresh(size)
            self.used += size
            self.most = max(self.most, self.used)
        return Block(self, raw, size)

    def _fresh(self, size: int) -> Any:
        try:
            raw = self.driver.allocate(size)
        except MemoryError:
            self.empty()
            try:
                raw = self.driver.allocate(size)
            except MemoryError as error:
                text = f"{error}; tensors and programs hold {self.used:,}"
                raise MemoryError(text) from None
        self.reserved += size
        self._own[self.driver.address(raw)] = raw
        return raw

    def settle(self) -> None:
        """Take back what was returned."""
        with self._lock:
            while self.returned:
                raw, size = self.returned.popleft()
                self._free[size].append(raw)
                self.used -= size

    def empty(self) -> None:
        """Give what nobody uses back to the device."""
        with self._lock:
            self.settle()
            self.driver.synchronize()
            for size, raws in self._free.items():
                self.reserved -= size * len(raws)
                for raw in raws:
                    del self._own[self.driver.address(raw)]
            self._free.clear()


class Runtime:
    """One device: its driver, its pool, and host memory that copies still read.

    ``lock`` keeps the calls of one thread together: what another one asked meanwhile would become
    part of its recording.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver, self.pool, self.lock = driver, Pool(driver), threading.RLock()
        self._sent: deque[tuple[Callable[[], bool], Any]] = deque()
        self._pins: defaultdict[int, deque[Array]] = defaultdict(deque)

    def send(self, block: Block, at: int, host: Array, pinned: bool = False) -> None:
        """Ask for a copy onto the device; the caller may change ``host`` unless it is pinned."""
        flat = np.ascontiguousarray(host).reshape(-1).view(np.uint8)
        keep = pinned
        if not pinned and flat.size <= SMALL:
            flat, keep = flat.copy(), True
        with self.lock:
            self.driver.upload(block.raw, at, flat)
            if keep:
                self._sent.append((self.driver.mark(), (host, flat)))
            self._forget()

    def _forget(self) -> None:
        """Let go of host memory that was read; of much that was not, wait for it."""
        while self._sent and (len(self._sent) > MANY or self._sent[0][0]()):
            if not self._sent[0][0]():
                self.driver.synchronize()
            self._sent.popleft()

    def fetch(self, block: Block, at: int, host: Array) -> None:
        """Copy to the host, and wait for it."""
        plain = host.flags.c_contiguous
        flat = host.reshape(-1) if plain else np.empty(host.size, host.dtype)
        with self.lock:
            self.driver.download(block.raw, at, flat.view(np.uint8))
        if not plain:
            np.copyto(host, flat.reshape(host.shape))

    def synchronize(self) -> None:
        """Wait for everything that was asked."""
        with self.lock:
            self.driver.synchronize()
            self._sent.clear()

    def hold(self, array: Array) -> Memory:
        """The memory of an array that somebody else holds too; sent when a program asks for it."""
        return Memory(self, array.shape, array.dtype, host=array)

    def upload(self, array: Array, pinned: bool = False) -> Memory:
        """A copy of ``array`` on the device. Integers stay known on the host, so that places and
        labels can be checked without waiting for the device."""
        made = Memory(self, array.shape, array.dtype, block=self.pool.take(array.nbytes))
        assert made.block is not None
        self.send(made.block, 0, array, pinned)
        if array.dtype.kind in "iu":
            made.host, made.on_host = array.copy(), True
        return made

    def pinned(self, array: Array) -> Array:
        """A copy of ``array`` in memory that the device reads by itself.

        Such memory is slow to get: what nobody holds any more is used again. The array lies in a
        window of its own, which its views hold on to.
        """
        size = max(-(-array.nbytes // PAGE), 1) * PAGE
        free = self._pins[size]
        try:
            flat = free.pop()
        except IndexError:
            flat = self.driver.pinned(size)
        window: Array = np.asarray(memoryview(flat))  # type: ignore[arg-type]
        weakref.finalize(window, free.append, flat).atexit = False
        found: Array = window[: array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(found, array)
        return found


class Memory:
    """One tensor's bytes: ``block`` and ``host`` are where they lie, ``on_device`` and ``on_host``
    whether they are the newest there."""

    __slots__ = ("block", "dtype", "host", "on_device", "on_host", "runtime", "shape")

    def __init__(
        self,
        runtime: Runtime,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        block: Block | None = None,
        host: Array | None = None,
    ) -> None:
        self.runtime, self.shape, self.dtype = runtime, shape, np.dtype(dtype)
        self.block, self.host = block, host
        self.on_device, self.on_host = block is not None, host is not None

    @property
    def nbytes(self) -> int:
        """The size of the contents."""
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize

    def read(self) -> Array:
        """The contents on the host, in the same array if it may be written; waits if need be."""
        if not self.on_host:
            if self.host is None or not self.host.flags.writeable:
                self.host = np.empty(self.shape, self.dtype)
            assert self.block is not None
            self.runtime.fetch(self.block, 0, self.host)
            self.on_host = True
        assert self.host is not None
        return self.host

    def item(self) -> Any:
        """The one element."""
        return self.read().item()

    def wrote(self) -> None:
        """The host's array has new contents."""
        self.on_host, self.on_device = True, False

    def on(self) -> Block:
        """The contents on the device, always in the same block."""
        if self.block is None:
            self.block = self.runtime.pool.take(self.nbytes)
        if not self.on_device:
            assert self.host is not None
            self.runtime.send(self.block, 0, self.host)
            self.on_device = True
        return self.block

    def computed(self) -> None:
        """The device has new contents."""
        self.on_device, self.on_host = True, False


@cache
def runtime() -> Runtime:
    """This process's device. ``UnsupportedError`` with the reason where there is none."""
    return Runtime(open_driver())


@cache
def reason() -> str:
    """Why there is no device; empty where there is one."""
    return why_none()
