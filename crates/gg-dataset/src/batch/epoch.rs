//! The threads that make the batches of one epoch, and the queue in which finished batches wait for their turn.

use super::{Batch, BatchLoader};
use crate::BatchError;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What the threads of one epoch share.
struct Shared {
    state: Mutex<State>,
    /// A batch was finished, or a thread was lost.
    made: Condvar,
    /// A batch was taken, or all is over.
    taken: Condvar,
}

struct State {
    /// Next step that nobody makes yet.
    unclaimed: usize,
    /// Next step that the reader wants.
    wanted: usize,
    finished: BTreeMap<usize, Result<Batch, BatchError>>,
    stop: bool,
    /// A thread panicked: the batch that it was making will never come.
    lost: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batches of one epoch, in order.
pub struct Batches {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    steps: usize,
    failed: bool,
}

impl Batches {
    pub(super) fn start(loader: BatchLoader, epoch: u64, start_step: usize) -> Self {
        let steps = loader.steps_per_epoch();
        let count = loader.config.threads.max(1).min(steps.saturating_sub(start_step));
        let queue = loader.config.queue.max(1);
        let order: Arc<[usize]> = loader.order(epoch).into();
        let state = State {
            unclaimed: start_step,
            wanted: start_step,
            finished: BTreeMap::new(),
            stop: false,
            lost: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), made: Condvar::new(), taken: Condvar::new() });
        let threads = (0..count)
            .map(|_| {
                let (shared, loader, order) = (shared.clone(), loader.clone(), order.clone());
                std::thread::spawn(move || work(&shared, &loader, &order, epoch, steps, queue))
            })
            .collect();
        Self { shared, threads, steps, failed: false }
    }

    /// The step whose batch comes next.
    pub fn step(&self) -> usize {
        self.shared.lock().wanted
    }
}

/// Tells the reader where a thread panicked.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().lost = true;
            self.0.made.notify_all();
        }
    }
}

fn work(shared: &Shared, loader: &BatchLoader, order: &[usize], epoch: u64, steps: usize, queue: usize) {
    let _leaving = Leaving(shared);
    loop {
        let mut state = shared.lock();
        while !state.stop && state.unclaimed < steps && state.unclaimed >= state.wanted + queue {
            state = shared.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop || state.unclaimed >= steps {
            return;
        }
        let step = state.unclaimed;
        state.unclaimed += 1;
        drop(state);
        let batch = loader.make(order, epoch, step);
        shared.lock().finished.insert(step, batch);
        shared.made.notify_all();
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut state = self.shared.lock();
        if state.wanted >= self.steps {
            return None;
        }
        loop {
            let wanted = state.wanted;
            if let Some(batch) = state.finished.remove(&wanted) {
                state.wanted += 1;
                self.shared.taken.notify_all();
                self.failed = batch.is_err();
                return Some(batch);
            }
            if state.lost {
                self.failed = true;
                return Some(Err(BatchError::ThreadLost));
            }
            state = self.shared.made.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.taken.notify_all();
        for thread in self.threads.drain(..) {
            // A panic of the thread has already reached the reader as `ThreadLost`.
            let _ = thread.join();
        }
    }
}
