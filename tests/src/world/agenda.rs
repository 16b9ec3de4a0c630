//! The queue of what will happen: virtual time, and an order that a seed alone decides.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// Events by their time; of two at the same time the one that was entered first comes first.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Entry<E>>,
    entered: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Duration,
    order: u64,
    event: E,
}

impl<E> Agenda<E> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), entered: 0 }
    }

    pub(super) fn enter(&mut self, at: Duration, event: E) {
        self.entered += 1;
        self.heap.push(Entry { at, order: self.entered, event });
    }

    /// The next event, unless it comes after `until`.
    pub(super) fn next(&mut self, until: Duration) -> Option<(Duration, E)> {
        let due = self.heap.peek().is_some_and(|entry| entry.at <= until);
        due.then(|| self.heap.pop()).flatten().map(|entry| (entry.at, entry.event))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap's greatest is the earliest.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Entry<E> {}
