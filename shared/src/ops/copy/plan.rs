//! Which packs a copy brings, under which names, and which it relies on that are there. Pure; why it is safe is told in the
//! module above.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::era::Ground;
use crate::model::{EraId, PackId, Shelf};
use crate::vault::layout::PackName;

/// A pack that the backup needs; its size, where the pack list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    pub shelf: Shelf,
    pub pack: PackId,
    pub size_bytes: Option<u64>,
}

/// A pack of the target, where it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub era: Option<EraId>,
    pub size_bytes: u64,
    pub modified: Timestamp,
}

/// A pack that is to be copied, and the name that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: PackName,
    /// As far as it is known before.
    pub size_bytes: u64,
    pub is_sized: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyPlan {
    pub wanted: Vec<Wanted>,
    pub present_packs: u64,
    pub present_bytes: u64,
}

impl CopyPlan {
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted.iter().map(|wanted| wanted.size_bytes).sum()
    }
}

/// Errors: the pack that is there, is relied on, and has another size than it should.
pub fn copy_plan(
    needed: &[Needed],
    named: &HashSet<PackId>,
    there: &HashMap<PackId, Vec<Found>>,
    ground: &Ground,
) -> Result<CopyPlan, PackId> {
    let mut plan = CopyPlan::default();
    for Needed { shelf, pack, size_bytes } in needed {
        let found = there.get(pack).map_or(&[][..], Vec::as_slice);
        let stays = |found: &&Found| named.contains(pack) || ground.covers(found.era, found.modified);
        let mut staying = found.iter().filter(stays).peekable();
        match staying.peek() {
            Some(first) => {
                plan.present_packs += 1;
                plan.present_bytes += first.size_bytes;
                if size_bytes.is_some_and(|size| staying.any(|found| found.size_bytes != size)) {
                    return Err(*pack);
                }
            }
            None => plan.wanted.push(Wanted {
                name: PackName { shelf: shelf.clone(), pack: *pack, era: era(found, ground) },
                size_bytes: size_bytes.unwrap_or_default(),
                is_sized: size_bytes.is_some(),
            }),
        }
    }
    Ok(plan)
}

/// None, where the plain name is new.
fn era(found: &[Found], ground: &Ground) -> Option<EraId> {
    let is_taken = found.iter().any(|found| found.era.is_none());
    if ground.is_young && !is_taken { None } else { Some(ground.own) }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const PACK: PackId = PackId([1; 32]);
    const OWN: EraId = EraId([1; 8]);
    const EARLIER: EraId = EraId([2; 8]);
    const FORGOTTEN: EraId = EraId([3; 8]);

    fn at(hour: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000 + hour)
    }

    /// A claim of hour 0, with a grace time of three days.
    fn ground(is_young: bool) -> Ground {
        Ground {
            deadline: at(24),
            grace: SignedDuration::from_hours(72),
            own: OWN,
            earlier: [OWN, EARLIER].into(),
            is_young,
        }
    }

    fn plan(found: &[Found], is_named: bool, is_young: bool) -> Result<CopyPlan, PackId> {
        let needed = [Needed { shelf: Shelf::Pool, pack: PACK, size_bytes: Some(7) }];
        let named = is_named.then_some(PACK).into_iter().collect();
        copy_plan(&needed, &named, &[(PACK, found.to_vec())].into(), &ground(is_young))
    }

    fn found(era: Option<EraId>, hour: i64) -> Found {
        Found { era, size_bytes: 7, modified: at(hour) }
    }

    fn names(plan: Result<CopyPlan, PackId>) -> Vec<Option<EraId>> {
        plan.unwrap().wanted.into_iter().map(|wanted| wanted.name.era).collect()
    }

    #[test]
    fn what_a_live_backup_names_counts_under_whichever_name_and_however_old() {
        for era in [None, Some(FORGOTTEN)] {
            let plan = plan(&[found(era, -900)], true, false).unwrap();
            assert_eq!(plan, CopyPlan { wanted: vec![], present_packs: 1, present_bytes: 7 });
        }
        assert_eq!(names(plan(&[], true, false)), [Some(OWN)], "named, but gone");
    }

    #[test]
    fn what_nobody_names_counts_only_where_no_sweep_can_want_it_before_the_deadline() {
        assert_eq!(names(plan(&[found(Some(OWN), 1)], false, false)), []);
        assert_eq!(names(plan(&[found(Some(EARLIER), -40)], false, false)), []);
        assert_eq!(names(plan(&[found(Some(EARLIER), -49)], false, false)), [Some(OWN)]);
        assert_eq!(names(plan(&[found(Some(FORGOTTEN), -1)], false, false)), [Some(OWN)]);
        assert_eq!(names(plan(&[found(None, -1)], false, false)), [Some(OWN)]);
        assert_eq!(names(plan(&[found(None, -1)], false, true)), []);
        assert_eq!(names(plan(&[found(None, -49)], false, true)), [Some(OWN)]);
    }

    #[test]
    fn only_in_a_young_place_a_pack_gets_its_plain_name() {
        assert_eq!(names(plan(&[], false, true)), [None]);
        assert_eq!(names(plan(&[], false, false)), [Some(OWN)]);
    }

    #[test]
    fn another_size_is_damage_where_the_pack_would_be_relied_on() {
        let short = Found { size_bytes: 6, ..found(None, -1) };
        assert_eq!(plan(&[short], true, false), Err(PACK));
        assert_eq!(plan(&[found(Some(OWN), 1), Found { era: Some(EARLIER), ..short }], false, false), Err(PACK));
        assert_eq!(names(plan(&[short], false, false)), [Some(OWN)]);
    }
}
