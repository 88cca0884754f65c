"""The types of structs are complete before threads can use them, on a Python without a GIL."""

from tests.utils import WITHOUT_GIL, assert_alive, run_child

# A type that is complete has a dict of its fields.
CODE = """
    import gc, pyslab
    from pyslab import _structs, ffi
    def incomplete():
        names = ffi.list_types()[1]
        found = [name for name in names if not fields(name)]
        return [name for name in found if sized(name)]  # last: it completes the type
    def fields(name):
        return any(isinstance(each, dict) for each in gc.get_referents(ffi.typeof(name)))
    def sized(name):
        try:
            return ffi.sizeof(name)
        except ffi.error:
            return 0
"""


def test_import_leaves_no_struct_to_threads() -> None:
    """Without a GIL the import completes all; with one, it leaves them to their first use."""
    wanted = "not incomplete()" if WITHOUT_GIL else "'pyslab_arena_options' in incomplete()"
    assert_alive(run_child(f"{CODE}    assert {wanted}\n    print('alive')"))


def test_complete_structs_completes_all() -> None:
    """The function itself, on any interpreter."""
    call = "    _structs.complete_structs()\n    assert not incomplete()\n    print('alive')"
    assert_alive(run_child(CODE + call))
