//! Primes, found in an arena's memory.

mod pyslab;

use pyslab::{Api, Arena, ArenaRef, GFP_KERNEL};
use std::ffi::c_void;
use std::sync::OnceLock;

static API: OnceLock<&'static Api> = OnceLock::new();

const NO_TABLE: i64 = -1;
const NO_MEMORY: i64 = -2;

/// The arena has no memory for it.
struct OutOfMemory;

/// A growing array of plain values in an arena's memory, which it gives back when it goes.
/// T needs no more alignment than kmalloc gives: 16.
struct ArenaVec<T: Copy> {
    arena: ArenaRef,
    data: *mut T,
    len: usize,
    capacity: usize,
}

impl<T: Copy> ArenaVec<T> {
    fn new(arena: ArenaRef) -> ArenaVec<T> {
        assert!(std::mem::align_of::<T>() <= 16 && std::mem::size_of::<T>() > 0);
        ArenaVec { arena, data: std::ptr::null_mut(), len: 0, capacity: 0 }
    }

    /// Makes room for one more: to twice the size, or whatever krealloc's block has.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let wanted = (self.capacity * 2).max(64) * std::mem::size_of::<T>();
        let api = self.arena.api;
        unsafe {
            let p = (api.krealloc)(self.arena.arena, self.data.cast(), wanted, GFP_KERNEL);
            if p.is_null() {
                return Err(OutOfMemory); // the old block is as it was
            }
            self.data = p.cast();
            self.capacity = (api.ksize)(self.arena.arena, p) / std::mem::size_of::<T>();
        }
        Ok(())
    }

    fn push(&mut self, value: T) -> Result<(), OutOfMemory> {
        if self.len == self.capacity {
            self.grow()?;
        }
        unsafe { self.data.add(self.len).write(value) };
        self.len += 1;
        Ok(())
    }

    fn as_slice(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl<T: Copy> Drop for ArenaVec<T> {
    fn drop(&mut self) {
        unsafe { (self.arena.api.kfree)(self.arena.arena, self.data.cast()) };
    }
}

/// The primes below limit, by division through those found so far.
fn primes_below(limit: u32, arena: ArenaRef) -> Result<ArenaVec<u32>, OutOfMemory> {
    let mut found = ArenaVec::<u32>::new(arena);
    for n in 2..limit {
        let small = found.as_slice().iter().take_while(|&&p| p.saturating_mul(p) <= n);
        if small.into_iter().all(|p| n % p != 0) {
            found.push(n)?;
        }
    }
    Ok(found)
}

/// Takes the table: 0, or -1 if it does not fit.
///
/// # Safety
/// The address is 0 or `pyslab.api_address()`.
#[no_mangle]
pub unsafe extern "C" fn use_table(address: *const c_void) -> i64 {
    match Api::from_address(address) {
        Some(api) => {
            API.get_or_init(|| api);
            0
        }
        None => NO_TABLE,
    }
}

/// The sum of the primes below limit, found by each of nr_threads threads; negative: an error.
///
/// # Safety
/// The arena is `arena.handle` of a `pyslab.Arena` that is open until this returns.
#[no_mangle]
pub unsafe extern "C" fn sum_of_primes(arena: *mut Arena, limit: u32, nr_threads: u32) -> i64 {
    let Some(api) = API.get() else { return NO_TABLE };
    let arena = ArenaRef::new(api, arena);
    let threads: Vec<_> = (0..nr_threads)
        .map(|_| {
            let mine = arena.clone();
            std::thread::spawn(move || {
                primes_below(limit, mine)
                    .map_or(NO_MEMORY, |found| found.as_slice().iter().map(|&p| p as i64).sum())
            })
        })
        .collect();
    let sums = threads.into_iter().map(|thread| thread.join().unwrap_or(NO_MEMORY));
    sums.min().unwrap_or(0)
}
