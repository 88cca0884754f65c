//! The C API's table, as far as this library uses it.
//!
//! What it is: a prefix of `struct pyslab_api` (pyslab/api.h), written down by hand in the order
//! of pyslab/functions.h. Functions that are not used stand as pointers without a type.
//! Invariant: a table of the same major version that is at least as long has every field where
//! it is here; `Api::from_address` looks.

use std::ffi::{c_char, c_int, c_void, CStr};

pub const ABI_MAJOR: u32 = 1;
pub const GFP_KERNEL: u32 = 0xcc0;

/// An arena; only ever behind a pointer.
#[repr(C)]
pub struct Arena {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Api {
    pub abi_major: u32,
    pub abi_minor: u32,
    pub struct_size: usize,
    python: *const c_void,
    // arenas
    arena_create: *const c_void,
    default_arena: *const c_void,
    pub arena_get: unsafe extern "C" fn(*mut Arena),
    pub arena_put: unsafe extern "C" fn(*mut Arena) -> c_int,
    rest_of_arenas: [*const c_void; 16],
    // kmalloc
    pub kmalloc: unsafe extern "C" fn(*mut Arena, usize, u32) -> *mut c_void,
    kzalloc: *const c_void,
    pub kmalloc_aligned: unsafe extern "C" fn(*mut Arena, usize, usize, u32) -> *mut c_void,
    pub krealloc: unsafe extern "C" fn(*mut Arena, *mut c_void, usize, u32) -> *mut c_void,
    pub ksize: unsafe extern "C" fn(*mut Arena, *const c_void) -> usize,
    pub kfree: unsafe extern "C" fn(*mut Arena, *mut c_void) -> c_int,
}

// The table is constant, and its functions may be called from any thread.
unsafe impl Sync for Api {}

impl Api {
    /// The table at the address that `pyslab.api_address()` gives; None if it does not fit.
    ///
    /// # Safety
    /// The address is 0 or that of a table.
    pub unsafe fn from_address(address: *const c_void) -> Option<&'static Api> {
        let api = (address as *const Api).as_ref()?;
        (api.abi_major == ABI_MAJOR && api.struct_size >= std::mem::size_of::<Api>()).then_some(api)
    }
}

/// A reference to an arena: its memory is there as long as this is.
pub struct ArenaRef {
    pub api: &'static Api,
    pub arena: *mut Arena,
}

// Every function of the table may be called from any thread.
unsafe impl Send for ArenaRef {}
unsafe impl Sync for ArenaRef {}

impl ArenaRef {
    /// # Safety
    /// The arena is a live one, such as `arena.handle` of an open `pyslab.Arena`.
    pub unsafe fn new(api: &'static Api, arena: *mut Arena) -> ArenaRef {
        (api.arena_get)(arena);
        ArenaRef { api, arena }
    }
}

impl Clone for ArenaRef {
    fn clone(&self) -> ArenaRef {
        unsafe { ArenaRef::new(self.api, self.arena) }
    }
}

impl Drop for ArenaRef {
    fn drop(&mut self) {
        unsafe { (self.api.arena_put)(self.arena) };
    }
}

/// Where this file believes a field to be, for a test; -1: it knows no such field.
///
/// # Safety
/// The name is a C string.
#[no_mangle]
pub unsafe extern "C" fn offset_of(name: *const c_char) -> isize {
    let offset = match CStr::from_ptr(name).to_bytes() {
        b"struct_size" => std::mem::offset_of!(Api, struct_size),
        b"arena_get" => std::mem::offset_of!(Api, arena_get),
        b"arena_put" => std::mem::offset_of!(Api, arena_put),
        b"kmalloc" => std::mem::offset_of!(Api, kmalloc),
        b"kmalloc_aligned" => std::mem::offset_of!(Api, kmalloc_aligned),
        b"krealloc" => std::mem::offset_of!(Api, krealloc),
        b"ksize" => std::mem::offset_of!(Api, ksize),
        b"kfree" => std::mem::offset_of!(Api, kfree),
        _ => return -1,
    };
    offset as isize
}
