//! What comes from outside, a little changed: for the promise that no parser panics, hangs or takes memory without bound.
//! Noise alone would be refused at its first byte, so that changes are made to what a parser takes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Numbers at which something overflows, wraps or is too much.
const NUMBERS: [&str; 13] = [
    "0",
    "-1",
    "255",
    "65536",
    "2147483647",
    "4294967295",
    "1152921504606846976",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    "0.5",
    "null",
];

/// A million under `make soak`.
fn rounds() -> u64 {
    match std::env::var_os("LIFEBOAT_SOAK") {
        Some(set) if !set.is_empty() => 1_000_000,
        _ => 2_000,
    }
}

/// Gives `parse` the samples, changed in one to four places. Tells the seed and the input when it panics.
pub fn fuzz(samples: &[&[u8]], mut parse: impl FnMut(&[u8])) {
    let seed: u64 = rand::rng().random();
    for round in 0..rounds() {
        let seed = seed.wrapping_add(round);
        let changed = changed(&mut StdRng::seed_from_u64(seed), samples);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| parse(&changed))) {
            eprintln!("seed {seed}: \"{}\"", changed.escape_ascii());
            resume_unwind(panic);
        }
    }
}

/// The same for what takes text.
pub fn fuzz_text(samples: &[&str], mut parse: impl FnMut(&str)) {
    let samples: Vec<&[u8]> = samples.iter().map(|sample| sample.as_bytes()).collect();
    fuzz(&samples, |bytes| parse(&String::from_utf8_lossy(bytes)));
}

fn changed(random: &mut StdRng, samples: &[&[u8]]) -> Vec<u8> {
    let mut bytes = one_of(random, samples).to_vec();
    for _ in 0..random.random_range(1..=4) {
        change(random, samples, &mut bytes);
    }
    bytes
}

fn change(random: &mut StdRng, samples: &[&[u8]], bytes: &mut Vec<u8>) {
    let at = random.random_range(0..=bytes.len());
    let to = random.random_range(at..=bytes.len().min(at + 64));
    match random.random_range(0..9) {
        0 => bytes[at..to].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
        1 => bytes[at..to].iter_mut().take(1).for_each(|byte| *byte = random.random()),
        2 => bytes[at..to].iter_mut().take(8).for_each(|byte| *byte = 0xff),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..to)),
        5 => {
            let again = bytes[at..to].repeat(random.random_range(1..200));
            bytes.splice(at..at, again);
        }
        6 => {
            let other = one_of(random, samples);
            let from = random.random_range(0..=other.len());
            bytes.splice(at..to, other[from..].iter().copied().take(64));
        }
        _ => change_number(random, at, bytes),
    }
}

/// The first number from `at` on becomes one that is hard to take.
fn change_number(random: &mut StdRng, at: usize, bytes: &mut Vec<u8>) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|skipped| at + skipped) else { return };
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(start..start + digits, one_of(random, &NUMBERS).bytes());
}

fn one_of<'a, T: ?Sized>(random: &mut StdRng, all: &[&'a T]) -> &'a T {
    all[random.random_range(0..all.len())]
}
