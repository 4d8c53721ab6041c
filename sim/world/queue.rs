//! The event queue: what is to happen, in order of time, then priority, then insertion.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Events to come. Only small keys move in the heap; the events stay where they were put.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Key>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    inserted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time: u64,
    /// Priority in the upper bits, the insertion number below.
    order: u64,
    slot: u32,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), inserted: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, time: u64, priority: u32, event: E) {
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(event);
            slot
        } else {
            self.slots.push(Some(event));
            self.slots.len() as u32 - 1
        };
        let order = u64::from(priority) << 56 | self.inserted;
        self.inserted += 1;
        self.heap.push(Reverse(Key { time, order, slot }));
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let Reverse(key) = self.heap.pop()?;
        self.free.push(key.slot);
        let event = self.slots[key.slot as usize].take().expect("a key's slot holds its event until it is popped");
        Some((key.time, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_priority_then_insertion() {
        let mut queue = Queue::new();
        for (time, priority, name) in [(5, 0, "e"), (1, 2, "c"), (1, 0, "a"), (1, 0, "b"), (3, 7, "d")] {
            queue.push(time, priority, name);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, "abcde");
    }
}
