"""Walls around a child's files, sockets and signals: the kernel's Landlock, which needs no privilege and never comes down."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

# include/uapi/linux/landlock.h; the numbers of system calls are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_BENEATH_PATH = 1
_PR_SET_NO_NEW_PRIVS = 38
# include/uapi/linux/capability.h
_CAPABILITIES_VERSION, _CAPABILITIES_BYTES = 0x20080522, 24
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_ALL_OF_VERSION_1, _REFER, _TRUNCATE = (1 << 13) - 1, 1 << 13, 1 << 14
_ALL_TCP, _ALL_SCOPES = 3, 3
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev")
_DEVICES = "/dev"


def confine(*, readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Let this process see no more than the interpreter, the system's own files and `readable`, and write below `writable`.

    It can then open no TCP connection, reach no process outside by a signal, and read nothing of such a process either, as far
    as the kernel's version goes; and it has no privileges, whoever runs it. Call it before any thread starts. Returns False
    where the system knows no such walls.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _drop_privileges(libc)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    handled = _ALL_OF_VERSION_1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ruleset = _make_ruleset(libc, version, handled)
    if ruleset < 0:
        return False
    try:
        for path in (*_interpreter(), *map(Path, _SYSTEM), *readable):
            _allow(libc, ruleset, path, _READING)
        for path in (*writable, Path(_DEVICES)):
            _allow(libc, ruleset, path, handled)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _drop_privileges(libc: ctypes.CDLL) -> None:
    """Give up all capabilities: root, too, sees of other processes and files what anybody of its name would."""
    whom = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    libc.capset(whom, bytes(_CAPABILITIES_BYTES))


def _make_ruleset(libc: ctypes.CDLL, version: int, handled: int) -> int:
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", _ALL_TCP)
    if version >= 6:
        attributes += struct.pack("=Q", _ALL_SCOPES)
    return int(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    if not path.exists():
        return
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        granted = rights if path.is_dir() else rights & _OF_FILES
        libc.syscall(_ADD_RULE, ruleset, _BENEATH_PATH, struct.pack("=Qi", granted, descriptor), 0)
    finally:
        os.close(descriptor)


def _interpreter() -> list[Path]:
    """Return where code and libraries come from."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return [Path(place) for place in (sys.prefix, sys.base_prefix, *sys.path, *libraries) if place]
