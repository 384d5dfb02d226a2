//! The packs that backups need, in little memory.

use crate::model::PackId;

/// A set of packs, of each only the first eight bytes of its name: 5 million are 40 MB.
///
/// Two packs that begin alike, which among so many is one chance in a million, cost the space of one: what seems to be needed
/// stays. Nothing that was put in ever seems not to be.
#[derive(Debug, Default)]
pub struct NeededPacks {
    /// In order, each once.
    sorted: Vec<u64>,
    added: Vec<u64>,
}

/// So many are added before they are sorted in: the same pack comes with most backups.
const ADDED_AT_ONCE: usize = 1 << 16;

impl NeededPacks {
    pub fn add(&mut self, pack: &PackId) {
        self.added.push(beginning(pack));
        if self.added.len() >= ADDED_AT_ONCE.max(self.sorted.len() / 4) {
            self.sort_in();
        }
    }

    fn sort_in(&mut self) {
        self.sorted.append(&mut self.added);
        self.sorted.sort_unstable();
        self.sorted.dedup();
    }

    /// To ask, once all are in.
    pub fn finished(mut self) -> Self {
        self.sort_in();
        self
    }

    pub fn contains(&self, pack: &PackId) -> bool {
        debug_assert!(self.added.is_empty(), "asked before it was finished");
        self.sorted.binary_search(&beginning(pack)).is_ok()
    }
}

fn beginning(pack: &PackId) -> u64 {
    u64::from_be_bytes(pack.0[..8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_nothing_else(
            added in prop::collection::vec(any::<u16>(), 0..300), asked in prop::collection::vec(any::<u16>(), 0..300),
        ) {
            let pack = |number: &u16| PackId(std::array::from_fn(|at| number.to_be_bytes()[at % 2]));
            let mut needed = NeededPacks::default();
            added.iter().for_each(|number| needed.add(&pack(number)));
            let needed = needed.finished();
            let added: HashSet<PackId> = added.iter().map(pack).collect();
            for pack in asked.iter().map(pack).chain(added.iter().copied()) {
                prop_assert_eq!(needed.contains(&pack), added.contains(&pack));
            }
        }
    }

    #[test]
    fn a_million_packs_of_a_hundred_backups_take_the_room_of_a_million() {
        let mut needed = NeededPacks::default();
        for number in (0..100u64).flat_map(|backup| (backup * 10_000)..(backup * 10_000 + 100_000)) {
            let mut pack = PackId([0; 32]);
            pack.0[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            needed.add(&pack);
        }
        let needed = needed.finished();
        assert_eq!(needed.sorted.len(), 1_090_000);
        assert!(needed.sorted.capacity() < 3 * needed.sorted.len());
    }
}
