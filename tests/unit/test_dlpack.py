"""Buffer.__dlpack__: the capsules, what is in them, arguments, and who frees when.

The structures are read through ctypes, as a consumer in C would.
"""

import ctypes
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pyslab
from tests.utils import pattern

api = ctypes.pythonapi
api.PyCapsule_GetName.restype = ctypes.c_char_p
api.PyCapsule_GetName.argtypes = [ctypes.py_object]
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]

USED = ctypes.c_char_p(b"used_dltensor")  # a capsule does not own its name
USED_VERSIONED = ctypes.c_char_p(b"used_dltensor_versioned")


class Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Legacy(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "dltensor": (Legacy, USED, {}),
    "dltensor_versioned": (Versioned, USED_VERSIONED, {"max_version": (1, 0)}),
}
each_kind = pytest.mark.parametrize("name", KINDS)


def managed_of(capsule: object, name: str) -> Any:
    """Return the structure in a capsule, after checking its name."""
    assert name.encode() == api.PyCapsule_GetName(capsule)
    return KINDS[name][0].from_address(api.PyCapsule_GetPointer(capsule, name.encode()))


def consume(buf: pyslab.Buffer, name: str) -> Any:
    """Take the tensor over, as a consumer does: rename the capsule and let it go."""
    capsule = buf.__dlpack__(**KINDS[name][2])
    managed = managed_of(capsule, name)
    api.PyCapsule_SetName(capsule, KINDS[name][1])
    return managed


def delete(managed: Any) -> None:
    """Call the deleter. ctypes lets go of the GIL for it."""
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(managed.deleter)(ctypes.addressof(managed))


@each_kind
@pytest.mark.parametrize("nbytes", [0, 1, 100, 1 << 20])
def test_the_tensor(arena: pyslab.Arena, name: str, nbytes: int) -> None:
    """One dimension of bytes on the CPU, at the Buffer's own address."""
    buf = arena.kmalloc(nbytes)
    managed = consume(buf, name)
    tensor = managed.tensor
    assert nbytes == 0 or buf.address == tensor.data
    assert (1, 0) == tuple(tensor.device) == buf.__dlpack_device__()
    assert (1, 1, 8, 1) == (tensor.ndim, tensor.code, tensor.bits, tensor.lanes)
    assert (nbytes, 1, 0) == (tensor.shape[0], tensor.strides[0], tensor.byte_offset)
    if name == "dltensor_versioned":
        assert (1, 0) == tuple(managed.version)
        assert 0 == managed.flags  # neither read-only nor copied
    delete(managed)
    arena.kfree(buf)


@pytest.mark.parametrize(
    ("max_version", "name"),
    [
        (None, "dltensor"),
        ((0, 8), "dltensor"),
        ((0, 99), "dltensor"),
        ((1, 0), "dltensor_versioned"),
        ((1, 3), "dltensor_versioned"),
        ((2, 0), "dltensor_versioned"),
    ],
)
def test_versions(arena: pyslab.Arena, max_version: Any, name: str) -> None:
    """Consumers that know 1.0 get the versioned structure; it says 1.0."""
    capsule = arena.kmalloc(10).__dlpack__(max_version=max_version)
    managed_of(capsule, name)


@each_kind
def test_a_copy(arena: pyslab.Arena, name: str) -> None:
    """copy=True gives other memory of the same arena, and says so."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(3, 100)
    capsule = buf.__dlpack__(copy=True, **KINDS[name][2])
    managed = managed_of(capsule, name)
    assert buf.address != managed.tensor.data
    assert arena.base <= managed.tensor.data < arena.base + arena.size
    assert pattern(3, 100) == ctypes.string_at(managed.tensor.data, 100)
    assert 2 == arena.stats().current_count
    if name == "dltensor_versioned":
        assert 2 == managed.flags
    arena.kfree(buf)  # nothing is exported
    del capsule
    assert 0 == arena.stats().current_count


@each_kind
def test_an_unconsumed_capsule_gives_back(arena: pyslab.Arena, name: str) -> None:
    """It holds an export, and drops it when it goes, also while an exception is handled."""
    buf = arena.kmalloc(100)
    capsule = buf.__dlpack__(**KINDS[name][2])
    with pytest.raises(BufferError, match="1 exported"):
        arena.kfree(buf)

    def fail(outer: object) -> None:
        inner = [outer, buf.__dlpack__(**KINDS[name][2])]
        raise KeyError(len(inner))

    with pytest.raises(KeyError, match="2"):
        fail(capsule)
    del capsule
    gc.collect()
    arena.kfree(buf)


@each_kind
def test_the_tensor_keeps_the_buffer(arena: pyslab.Arena, name: str) -> None:
    """After the last reference the consumer still has the memory, until its deleter."""
    buf = arena.kmalloc(100)
    buf[:] = pattern(4, 100)
    managed = consume(buf, name)
    with pytest.raises(BufferError):
        arena.kfree(buf)
    del buf
    gc.collect()
    others = [arena.kzalloc(100) for _ in range(200)]
    assert pattern(4, 100) == ctypes.string_at(managed.tensor.data, 100)
    del others
    delete(managed)
    assert 0 == arena.stats().current_count


@each_kind
def test_a_deleter_on_a_thread_that_python_does_not_know(arena: pyslab.Arena, name: str) -> None:
    """The deleter is the start routine of a thread of its own: it takes the GIL itself."""
    libc = ctypes.CDLL(None)
    managed = consume(arena.kmalloc(100), name)
    thread = ctypes.c_ulong()
    start = ctypes.c_void_p(managed.deleter)
    argument = ctypes.c_void_p(ctypes.addressof(managed))
    assert 0 == libc.pthread_create(ctypes.byref(thread), None, start, argument)
    assert 0 == libc.pthread_join(thread, None)
    assert 0 == arena.stats().current_count


@each_kind
def test_deleters_on_many_threads(arena: pyslab.Arena, name: str) -> None:
    """Tensors made here and deleted on four threads at once; nothing stays."""
    tensors = [[consume(arena.kmalloc(64), name) for _ in range(500)] for _ in range(4)]

    def delete_all(mine: list[Any]) -> None:
        for managed in mine:
            delete(managed)

    threads = [threading.Thread(target=delete_all, args=(mine,)) for mine in tensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 == arena.stats().current_count


BAD: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "stream": ({"stream": 1}, BufferError),
    "stream -1": ({"stream": -1}, BufferError),
    "cuda": ({"dl_device": (2, 0)}, BufferError),
    "second cpu": ({"dl_device": (1, 1)}, BufferError),
    "no pair": ({"dl_device": 1}, TypeError),
    "three": ({"dl_device": (1, 0, 0)}, TypeError),
    "huge device": ({"dl_device": (1 << 70, 0)}, OverflowError),
    "version text": ({"max_version": "1.0"}, TypeError),
    "version floats": ({"max_version": (1.0, 0.0)}, TypeError),
    "version list": ({"max_version": [1, 0]}, TypeError),
    "unknown": ({"order": "C"}, TypeError),
}


@pytest.mark.parametrize(("options", "error"), BAD.values(), ids=BAD.keys())
def test_bad_arguments(
    arena: pyslab.Arena, options: dict[str, Any], error: type[Exception]
) -> None:
    """Each is refused and leaves no export behind."""
    buf = arena.kmalloc(100)
    with pytest.raises(error):
        buf.__dlpack__(**options)
    with pytest.raises(TypeError):
        buf.__dlpack__(None)  # type: ignore[call-arg]
    assert 1 == arena.stats().current_count
    arena.kfree(buf)


def test_good_devices(arena: pyslab.Arena) -> None:
    """None and the CPU are the same."""
    for device in (None, (1, 0), (True, False)):
        arena.kmalloc(100).__dlpack__(dl_device=device, stream=None, copy=False)


def test_released_closed_full(arena: pyslab.Arena) -> None:
    """Freed: ValueError. Closed: only copies fail. Full: OutOfMemoryError, nothing lost."""
    buf = arena.kmalloc(100)
    arena.kfree(buf)
    for copy in (False, True):
        with pytest.raises(ValueError, match="released"):
            buf.__dlpack__(copy=copy)
    big = arena.kmalloc("40MiB")
    with pytest.raises(pyslab.OutOfMemoryError):
        big.__dlpack__(copy=True)
    assert 1 == arena.stats().current_count
    arena.close()
    big.__dlpack__()
    with pytest.raises(pyslab.ArenaClosedError):
        big.__dlpack__(copy=True)


def _view(arena: pyslab.Arena) -> pyslab.Buffer:
    return arena.kmap(arena.alloc_page())


SOURCES: dict[str, Callable[[pyslab.Arena], pyslab.Buffer]] = {
    "kmalloc": lambda arena: arena.kmalloc(4096),
    "pages": lambda arena: arena.get_free_page(),
    "vmalloc": lambda arena: arena.vmalloc(4096),
    "cache": lambda arena: arena.kmem_cache_create("tensors", 4096).alloc(),
    "mempool": lambda arena: arena.mempool(2, 4096).alloc(),
    "region": lambda arena: arena.region().alloc(4096),
    "kmap": _view,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES.keys())
def test_every_origin(high: pyslab.Arena, make: Callable[[pyslab.Arena], pyslab.Buffer]) -> None:
    """Buffers of each kind work as tensors, and are copied to plain memory."""
    buf = make(high)
    buf[:] = pattern(5, 4096)
    managed = consume(buf, "dltensor")
    copied = consume(buf, "dltensor_versioned")
    assert pattern(5, 4096) == ctypes.string_at(managed.tensor.data, 4096)
    copy = buf.__dlpack__(copy=True)
    assert pattern(5, 4096) == ctypes.string_at(managed_of(copy, "dltensor").tensor.data, 4096)
    del copy
    delete(managed)
    with pytest.raises(BufferError), buf:
        pass
    delete(copied)
    with buf:
        pass
    assert buf.released
