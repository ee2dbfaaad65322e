"""LLVM text in, machine code out: objects for this CPU, and the addresses of their functions.

Code generation only. No IR passes run: our text already holds explicit vectors, so the passes
would add seconds and no speed. An object is position independent of this process (its libm
symbols are bound when it is loaded), so that it can be stored and loaded again in a millisecond.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import llvmlite
from llvmlite import binding as llvm

# Loads and stores of one block that LLVM's two schedulers compare pair by pair. An epilogue that
# stores single lanes has a thousand: seconds of compile time for what runs once a tile. Innermost
# loops have fewer, and are scheduled as ever.
SCHEDULED = 200

_libraries = itertools.count()
_loaded: list[llvm.ResourceTracker] = []  # code stays mapped for as long as the process lives
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child forked during a compile would wait for ever
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class NativeError(RuntimeError):
    """LLVM refused our text or an object: a bug of ours, never of the user's."""


@dataclass(frozen=True)
class Host:
    """A CPU as LLVM names it. Objects made for one are never run on another."""

    cpu: str
    features: str
    triple: str
    vector_bits: int
    vector_registers: int

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two objects of one text differ: the CPU, LLVM, and the libm they call."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return (llvmlite.__version__, version, _libc(), self.triple, self.cpu, self.features)

    def lanes(self, itemsize: int = 4) -> int:
        """How many values of ``itemsize`` bytes one vector register holds."""
        return self.vector_bits // (8 * itemsize)


def _libc() -> str:
    """The C library's version where it has one: an object may call functions of a newer one."""
    names = getattr(os, "confstr_names", {})
    return os.confstr("CS_GNU_LIBC_VERSION") or "" if "CS_GNU_LIBC_VERSION" in names else ""


@cache
def host() -> Host:
    """The CPU this process runs on."""
    _initialize()
    flags = dict(llvm.get_host_cpu_features())
    features = ",".join(("+" if on else "-") + name for name, on in sorted(flags.items()))
    triple = llvm.get_default_triple()
    bits, registers = _vectors(triple, frozenset(name for name, on in flags.items() if on))
    return Host(llvm.get_host_cpu_name(), features, triple, bits, registers)


def _vectors(triple: str, on: frozenset[str]) -> tuple[int, int]:
    """Width and number of the vector registers."""
    if triple.startswith("x86_64"):
        if "avx512f" in on:
            return 512, 32
        return (256, 16) if "avx2" in on else (128, 16)
    return 128, 32  # NEON


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.set_option("tracefuse", f"-dag-maps-huge-region={SCHEDULED}")


@cache
def _machine(target: Host) -> llvm.TargetMachine:
    _initialize()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=3,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )


@cache
def _process() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _parse(llvm_text: str, target: Host) -> llvm.ModuleRef:
    """The text as a verified module in a context of its own, every callee known to exist."""
    machine = _machine(target)
    try:
        module = llvm.parse_assembly(llvm_text, llvm.create_context())
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise NativeError(f"LLVM rejects the generated text: {str(error).strip()}") from error
    for function in module.functions:
        name = function.name
        outside = function.is_declaration and not name.startswith("llvm.")
        if outside and not hasattr(_process(), name):
            raise NativeError(f"the generated text calls {name}, which this process lacks")
    return module


def emit_object(llvm_text: str, target: Host | None = None) -> bytes:
    """An object file for this CPU (or ``target``); multiply-adds fuse only where the text says."""
    target = target or host()
    with _lock:
        return bytes(_machine(target).emit_object(_parse(llvm_text, target)))


def emit_objects(texts: Iterable[str]) -> list[bytes]:
    """An object for each text; while LLVM works on one, the next text is made."""
    # imported where something is compiled: a start from the cache does without
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(1, "tracefuse-llvm") as pool:
        return [done.result() for done in [pool.submit(emit_object, text) for text in texts]]


def emit_asm(llvm_text: str, target: Host | None = None) -> str:
    """The same code as ``emit_object``, as assembly for people."""
    target = target or host()
    with _lock:
        return str(_machine(target).emit_assembly(_parse(llvm_text, target)))


@cache
def _linker() -> llvm.LLJIT:
    return llvm.create_lljit_compiler(_machine(host()), suppress_errors=True)


def load_object(blob: bytes, symbols: Iterable[str]) -> dict[str, int]:
    """Map an object into this process; the addresses of ``symbols``, good until it ends."""
    return load_objects([blob], symbols)


def load_objects(blobs: Iterable[bytes], symbols: Iterable[str]) -> dict[str, int]:
    """The same of several objects, which share their symbols."""
    with _lock:
        builder = llvm.JITLibraryBuilder().add_current_process()
        for blob in blobs:
            builder.add_object_img(blob)
        wanted = tuple(symbols)
        for symbol in wanted:
            builder.export_symbol(symbol)
        try:
            tracker = builder.link(_linker(), f"object{next(_libraries)}")
        except RuntimeError as error:
            raise NativeError(f"an object does not load: {str(error).strip()}") from error
        _loaded.append(tracker)
        return {symbol: int(tracker[symbol]) for symbol in wanted}
