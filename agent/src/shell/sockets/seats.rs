//! Who is connected to one socket, and who has to go when there is no room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The seats of one socket.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    seats: BTreeMap<u64, State>,
    /// Counts up with every change, for seats and for who was idle first.
    last: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Absent until the connection's task is known.
    task: Option<AbortHandle>,
    /// Since which change no request is under way.
    idle: Option<u64>,
}

/// One connection's seat; given up when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
}

impl Seats {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat among at most `most`; the connection that has been idle longest makes room. `None`:
    /// all are busy.
    pub(super) fn take(self: &Arc<Self>, most: usize) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.seats.len() >= most {
            let idle = taken.seats.iter().filter(|(_, state)| state.task.is_some());
            let first = idle.filter_map(|(id, state)| Some((state.idle?, *id))).min();
            let state = first.and_then(|(_, id)| taken.seats.remove(&id))?;
            if let Some(task) = state.task {
                task.abort();
            }
        }
        taken.last += 1;
        let id = taken.last;
        taken.seats.insert(id, State { task: None, idle: Some(id) });
        Some(Seat { seats: Arc::clone(self), id })
    }

    /// Names the task that serves seat `id`.
    pub(super) fn served_by(&self, id: u64, task: AbortHandle) {
        if let Some(state) = self.taken().seats.get_mut(&id) {
            state.task = Some(task);
        }
    }
}

impl Seat {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A request is under way until the guard is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        if let Some(state) = self.seats.taken().seats.get_mut(&self.id) {
            state.idle = None;
        }
        Busy(self)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.id);
    }
}

/// See [`Seat::busy`].
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Seat);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.seats.taken();
        taken.last += 1;
        let now = taken.last;
        if let Some(state) = taken.seats.get_mut(&self.0.id) {
            state.idle = Some(now);
        }
    }
}
