//! Damage by chance, a great deal of it.

use bytes::Bytes;
use lifeboat::ErrorKind;
use lifeboat::model::{Depth, PackOrigin};
use lifeboat::store::list_all;
use lifeboat_tests::soak;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Victim, told};

/// An object that the second backup needs.
struct Needed {
    key: String,
    bytes: Bytes,
    /// A pack of an earlier backup: `quick` looks at its size only.
    is_earlier: bool,
}

async fn needed(victim: &Victim) -> Vec<Needed> {
    let database = victim.rig.database().await;
    let manifest = database.manifest(&victim.second.backup.id).await.unwrap();
    let mut keys = vec![
        ("format/1.json".to_owned(), false),
        (database.layout.manifest(&manifest.id), false),
        (database.layout.pack(&manifest.pack_list), false),
    ];
    let keyring = list_all(database.store(), &database.layout.keyring()).await.unwrap();
    keys.extend(keyring.into_iter().map(|object| (object.key, false)));
    let packs = database.pack_list(&manifest).await.unwrap();
    keys.extend(packs.packs.iter().map(|e| (database.layout.pack(&e.pack), e.origin == PackOrigin::Earlier)));
    let mut needed = Vec::new();
    for (key, is_earlier) in keys {
        let bytes = victim.read(&key).await;
        needed.push(Needed { key, bytes, is_earlier });
    }
    needed
}

/// What chance makes of the object: other bytes, or nothing.
fn damaged(random: &mut StdRng, objects: &[Needed], hit: usize) -> Option<Bytes> {
    let bytes = &objects[hit].bytes;
    let (at, to) = (random.random_range(0..bytes.len()), random.random_range(0..bytes.len()));
    let (from, to) = (at.min(to), at.max(to) + 1);
    let mut damaged = bytes.to_vec();
    match random.random_range(0..10) {
        0..4 => damaged[at] ^= 1 << random.random_range(0..8),
        4 => damaged[from..to].iter_mut().for_each(|byte| *byte = random.random()),
        5 => damaged.truncate(at),
        6 => drop(damaged.drain(from..to)),
        7 => damaged.extend(&bytes[from..to]),
        8 => damaged = objects[random.random_range(0..objects.len())].bytes.to_vec(),
        _ => return None,
    }
    Some(damaged.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_by_chance_passes_a_depth_that_promises_to_find_it() {
    let victim = Victim::new().await;
    let objects = needed(&victim).await;
    assert!(objects.iter().any(|object| object.is_earlier));
    let seed: u64 = rand::rng().random();
    for round in 0..soak(300, 10_000) {
        // A round is made again by its own seed.
        let seed = seed.wrapping_add(round);
        let mut random = StdRng::seed_from_u64(seed);
        let hit = random.random_range(0..objects.len());
        let Needed { key, bytes, is_earlier } = &objects[hit];
        let instead = damaged(&mut random, &objects, hit);
        if instead.as_ref() == Some(bytes) {
            continue;
        }
        let has_its_size = instead.as_ref().is_some_and(|instead| instead.len() == bytes.len());
        let hides = *is_earlier && has_its_size;
        victim.replace(key, instead).await;
        for depth in [Depth::Quick, Depth::Full] {
            let outcome = victim.verify(depth).await;
            let is_promised = depth == Depth::Full || !hides;
            assert_eq!(told(&outcome).is_some(), is_promised, "seed {seed}: {depth} of damage to {key}");
            if let Err(error) = outcome {
                let is_right = [ErrorKind::Verification, ErrorKind::NotFound].contains(&error.kind());
                assert!(is_right, "seed {seed}: {depth} of damage to {key}: {error:?}");
            }
        }
        victim.put_back(key, bytes.clone()).await;
    }
    assert!(victim.verify(Depth::Full).await.unwrap().ok, "all was put back");
}
