//! What a store takes of heap and CPU, as the allocator and the kernel count it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The system's allocator, with a count of the bytes asked for. Only one thread of the bench
/// allocates at a time. A reallocation counts as if it grew in place.
pub(crate) struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

#[expect(unsafe_code, reason = "counts, and hands every call on as it came")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Relaxed);
        taken(size);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// The heap since a moment, in bytes asked for.
#[derive(Clone, Copy)]
pub(crate) struct Since(usize);

impl Since {
    /// From now on.
    pub(crate) fn now() -> Self {
        let live = LIVE.load(Relaxed);
        PEAK.store(live, Relaxed);
        Self(live)
    }

    /// Forgets the peak up to now.
    pub(crate) fn forget_peak(self) {
        PEAK.store(LIVE.load(Relaxed), Relaxed);
    }

    /// The most that was there at any time, above what was there then.
    pub(crate) fn peak(self) -> usize {
        PEAK.load(Relaxed).saturating_sub(self.0)
    }

    /// What is there above what was there then.
    pub(crate) fn live(self) -> usize {
        LIVE.load(Relaxed).saturating_sub(self.0)
    }
}

/// CPU time of this thread, the kernel's part included.
pub(crate) fn cpu() -> Duration {
    reading(ClockId::ThreadCPUTime)
}

/// Time that only differences of mean something.
pub(crate) fn wall() -> Duration {
    reading(ClockId::Monotonic)
}

fn reading(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
