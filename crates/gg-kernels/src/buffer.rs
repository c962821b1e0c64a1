//! Aligned memory for tensors, and the pointer that tasks write disjoint parts through.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A cache line, and the widest vector.
const ALIGN: usize = 64;

/// A fixed number of floats, zero at first, aligned to a cache line.
pub struct Buffer {
    ptr: NonNull<f32>,
    len: usize,
}

// SAFETY: a `Buffer` owns its floats alone, as a `Box<[f32]>` does.
unsafe impl Send for Buffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self { ptr: NonNull::dangling(), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout has a size above zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        match NonNull::new(ptr.cast::<f32>()) {
            Some(ptr) => Self { ptr, len },
            None => handle_alloc_error(layout),
        }
    }

    /// At least `len` floats: grows (losing what it held) when it is smaller.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }

    #[allow(clippy::expect_used)] // more than the address space: nothing sensible is left to do
    fn layout(len: usize) -> Layout {
        Layout::array::<f32>(len).and_then(|l| l.align_to(ALIGN)).expect("a tensor smaller than memory")
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeros` with this layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), Self::layout(self.len)) };
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` floats, initialised (to zero) when they were allocated.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and owned alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut new = Self::zeros(self.len);
        new.copy_from_slice(self);
        new
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({})", self.len)
    }
}

/// A pointer into a tensor that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32, #[cfg(debug_assertions)] usize);

// SAFETY: only `at` reaches the memory, and it is unsafe: its callers keep to disjoint parts.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self(
            slice.as_mut_ptr(),
            #[cfg(debug_assertions)]
            slice.len(),
        )
    }

    /// The place of float `i`.
    ///
    /// # Safety
    /// `i` lies in the slice, and no other task reads or writes what is written through this.
    #[inline(always)]
    pub(crate) unsafe fn at(self, i: usize) -> *mut f32 {
        #[cfg(debug_assertions)]
        debug_assert!(i <= self.1);
        self.0.add(i)
    }
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<Buffer>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Lends the calling thread's scratch memory (contents arbitrary), kept from task to task.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SCRATCH.with(|s| s.borrow_mut().pop()).unwrap_or_else(|| Buffer::zeros(0));
    buffer.reserve(len);
    let result = f(&mut buffer[..len]);
    SCRATCH.with(|s| s.borrow_mut().push(buffer));
    result
}
