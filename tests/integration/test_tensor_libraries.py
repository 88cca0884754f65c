"""NumPy, PyTorch and JAX over Buffers, through DLPack and the buffer protocol.

PyTorch and JAX are tested where they are installed; the project does not depend on them.
"""

import gc
from typing import Any

import pytest

import pyslab
from tests.utils import pattern

TEXT = pattern(6, 4096)


@pytest.fixture
def buf(arena: pyslab.Arena) -> pyslab.Buffer:
    """Return a Buffer of 4096 known bytes, aligned for every library."""
    block = arena.kmalloc(4096, align=64)
    block[:] = TEXT
    return block


def refused(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """Demand that the Buffer cannot be freed."""
    with pytest.raises(BufferError, match="exported"):
        arena.kfree(buf)


def test_numpy(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """An array of bytes in place, whatever version of the protocol NumPy speaks."""
    np: Any = pytest.importorskip("numpy")
    array = np.from_dlpack(buf)
    assert (buf.address, (4096,), np.uint8) == (array.ctypes.data, array.shape, array.dtype)
    buf[0] = TEXT[0] ^ 1
    assert TEXT[0] ^ 1 == array[0]
    part = array[8:16].view("u8")
    del array
    refused(arena, buf)
    del part
    arena.kfree(buf)


def test_numpy_copies(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """copy=True is a block of the same arena; copy=False the Buffer itself."""
    np: Any = pytest.importorskip("numpy", minversion="2.1")
    twin = np.from_dlpack(buf, copy=True, device="cpu")
    assert buf.address != twin.ctypes.data
    assert arena.base <= twin.ctypes.data < arena.base + arena.size
    assert twin.tobytes() == TEXT
    assert buf.address == np.from_dlpack(buf, copy=False).ctypes.data
    arena.kfree(buf)
    assert twin.tobytes() == TEXT
    assert 2 == arena.stats().current_count
    del twin
    assert 1 == arena.stats().current_count  # buf, freed and still known


def test_numpy_of_views_and_regions(high: pyslab.Arena) -> None:
    """A kmap view keeps its slot, a region its Buffers, while an array looks at them."""
    np: Any = pytest.importorskip("numpy")
    view = high.kmap(high.alloc_page(gfp=pyslab.GFP.HIGHUSER))
    array = np.from_dlpack(view)
    with pytest.raises(BufferError, match="exported"):
        high.kunmap(view)
    array[:] = 5
    del array
    assert 5 == view[4095]
    high.kunmap(view)
    with high.region() as region:
        inside = np.from_dlpack(region.alloc(64))
        with pytest.raises(BufferError):
            region.reset()
        inside[:] = 1
        del inside
        region.reset()


def test_torch(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """torch.from_dlpack and torch.frombuffer share the memory and hold it."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensor = torch.from_dlpack(buf)
    assert (buf.address, torch.uint8, (4096,)) == (
        tensor.data_ptr(),
        tensor.dtype,
        tuple(tensor.shape),
    )
    tensor[3] = 77
    assert 77 == buf[3]
    numbers = tensor[:64].view(torch.float32)
    del tensor
    gc.collect()
    refused(arena, buf)
    del numbers
    gc.collect()
    assert buf.address == torch.frombuffer(buf, dtype=torch.int32).data_ptr()
    gc.collect()
    arena.kfree(buf)


def test_jax(arena: pyslab.Arena, buf: pyslab.Buffer) -> None:
    """jax.dlpack.from_dlpack gives an array with the bytes, and lets go of them in the end."""
    jax: Any = pytest.importorskip("jax", reason="JAX is not installed")
    array = jax.dlpack.from_dlpack(buf)
    assert TEXT == bytes(memoryview(jax.device_get(array)))
    assert (4096,) == array.shape
    del array
    gc.collect()
    arena.kfree(buf)
