//! The queue in front of the registrar's threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue with a bound for strangers.
///
/// Three ways in, because three kinds of callers deserve different things:
/// - a request of a device is refused when the queue is full: the device comes back;
/// - HQ's own work always gets in: a worker has performed its operation and must be able to say so. It is bounded by
///   the number of workers;
/// - a call that runs again goes to the front: it has waited already. It is bounded by the number of calls under way.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    bound: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Why an item was not taken; it comes back.
#[derive(Debug)]
pub(super) enum Refused<T> {
    /// The queue is full.
    Full(T),
    /// Nobody takes anything out any longer.
    Closed(T),
}

impl<T> Queue<T> {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
            }),
            arrived: Condvar::new(),
            bound,
        }
    }

    /// Adds an item at the end, unless the queue is full.
    pub(super) fn offer(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= self.bound {
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        self.arrived.notify_one();
        Ok(())
    }

    /// Adds an item at the end, also to a full queue.
    pub(super) fn push(&self, item: T) -> Result<(), Refused<T>> {
        self.insert(item, VecDeque::push_back)
    }

    /// Adds an item in front, also to a full queue.
    pub(super) fn push_front(&self, item: T) -> Result<(), Refused<T>> {
        self.insert(item, VecDeque::push_front)
    }

    /// Waits for an item; none once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets nothing in any longer; what is inside still comes out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn insert(&self, item: T, how: fn(&mut VecDeque<T>, T)) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        how(&mut state.items, item);
        self.arrived.notify_one();
        Ok(())
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_strangers_and_takes_own_work() {
        let queue = Queue::new(2);
        queue.offer(1).unwrap();
        queue.offer(2).unwrap();
        assert!(matches!(queue.offer(3), Err(Refused::Full(3))));
        queue.push(4).unwrap();
        queue.push_front(0).unwrap();
        assert_eq!(queue.len(), 4);
        queue.close();
        assert!(matches!(queue.offer(5), Err(Refused::Closed(5))));
        assert!(matches!(queue.push(6), Err(Refused::Closed(6))));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [0, 1, 2, 4]);
    }

    #[test]
    fn a_waiting_thread_gets_what_arrives_and_ends_with_the_queue() {
        let queue = Queue::new(8);
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>());
            for item in 0..100 {
                queue.push(item).unwrap();
            }
            queue.close();
            assert_eq!(taken.join().unwrap(), (0..100).collect::<Vec<_>>());
        });
    }
}
