//! Small tasks go together, so that many of them share a round trip, a transaction or a request.

use std::collections::VecDeque;

/// How many tasks go together at most: few enough for a server's table of locks.
pub const MOST_TASKS: usize = 64;
/// And how large they may be together: more is worth a round trip of its own, and others may want some of it.
pub const MOST_BYTES: u64 = 2 << 20;

/// Takes tasks from the front of the queue: one of any size, or as many small ones as go together. None when nothing is
/// left.
pub fn take_batch<T>(queue: &mut VecDeque<T>, bytes_of: impl Fn(&T) -> u64) -> Vec<T> {
    take_within(queue, MOST_TASKS, MOST_BYTES, bytes_of)
}

/// The same with other bounds.
pub fn take_within<T>(
    queue: &mut VecDeque<T>,
    most_tasks: usize,
    most_bytes: u64,
    bytes_of: impl Fn(&T) -> u64,
) -> Vec<T> {
    let (mut batch, mut bytes) = (Vec::new(), 0u64);
    while let Some(task) = queue.front() {
        bytes = bytes.saturating_add(bytes_of(task));
        if !batch.is_empty() && (bytes > most_bytes || batch.len() >= most_tasks) {
            break;
        }
        batch.extend(queue.pop_front());
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_task_is_taken_once_in_order_and_only_small_ones_go_together(
            sizes in prop::collection::vec(prop_oneof![0..100u64, 0..2 * MOST_BYTES, Just(u64::MAX)], 0..300),
        ) {
            let mut queue: VecDeque<u64> = sizes.iter().copied().collect();
            let mut taken = Vec::new();
            loop {
                let batch = take_batch(&mut queue, |bytes| *bytes);
                if batch.is_empty() {
                    break;
                }
                let together = batch.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
                prop_assert!(batch.len() == 1 || (batch.len() <= MOST_TASKS && together <= MOST_BYTES));
                let full = batch.len() == MOST_TASKS;
                let next_fits = queue.front().is_some_and(|next| together.saturating_add(*next) <= MOST_BYTES);
                prop_assert!(full || !next_fits);
                taken.extend(batch);
            }
            prop_assert_eq!(taken, sizes);
        }
    }
}
