//! Fuzzing on the stable toolchain: small seeds, bent by a deterministic mutator, must never panic or hang.

use gg_io::fuzzing::fuzz_dicom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;

/// Mutations per seed file.
const ROUNDS: usize = 300;

fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dicom_fixtures");
    let mut folders: Vec<_> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|f| std::fs::read(f.join("a.dcm")).unwrap()).collect()
}

/// Flips, overwrites, removes, repeats or cuts bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    for _ in 0..1 + rng.next_u32() % 4 {
        if bytes.len() < 8 {
            return;
        }
        let at = rng.next_u32() as usize % (bytes.len() - 4);
        match rng.next_u32() % 6 {
            0 => bytes[at] ^= 1 << (rng.next_u32() % 8),
            1 => bytes[at] = rng.next_u32() as u8,
            2 => bytes[at..at + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, [0xFF, 0x7F][at % 2]]),
            3 => drop(bytes.drain(at..at + 1 + at % 3)),
            4 => bytes.insert(at, rng.next_u32() as u8),
            _ => {
                if rng.next_u32().is_multiple_of(4) {
                    bytes.truncate(at);
                }
            }
        }
    }
}

#[test]
fn seeds_decode() {
    assert!(seeds().iter().all(|seed| fuzz_dicom(seed)));
}

/// `GROUNDGLASS_FUZZ_ROUNDS` asks for more mutations per seed file, by hand: 20,000 take some minutes.
#[test]
fn bent_files_are_refused_or_read_but_never_panic() {
    let wanted = std::env::var("GROUNDGLASS_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok());
    bend(wanted.unwrap_or(ROUNDS));
}

fn bend(rounds: usize) {
    let seeds = seeds();
    let mut read = 0;
    for (number, seed) in seeds.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
        for _ in 0..rounds {
            let mut bytes = seed.clone();
            mutate(&mut bytes, &mut rng);
            read += usize::from(fuzz_dicom(&bytes));
        }
    }
    assert!(read > 0 && read < seeds.len() * rounds, "{read} of the bent files were read");
}

#[test]
fn every_cut_is_survived() {
    for seed in seeds() {
        for length in (0..seed.len()).step_by(7) {
            fuzz_dicom(&seed[..length]);
        }
    }
}

#[test]
fn seeds_and_past_crashes_replay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_seeds/dicom");
    for (name, bytes) in gg_testkit::seeds(&folder) {
        assert_eq!(fuzz_dicom(&bytes), !name.starts_with("bad"), "{name}");
    }
}
