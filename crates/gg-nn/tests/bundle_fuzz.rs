//! Hostile model bundles: refused or read, and what is read is written and read again with the same weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gg_nn::{Bundle, Precision};
use gg_testkit::{Random, bend};
use std::path::Path;

/// What the fuzz target does, too. Says whether the bytes were read.
fn survives(bytes: &[u8]) -> bool {
    let Ok(bundle) = Bundle::from_bytes(bytes) else { return false };
    let (again, written) = Bundle::new(bundle.info.clone(), &bundle.weights, Precision::F32)
        .expect("what was read can be written");
    assert_eq!(again.info.weights_sha256, bundle.info.weights_sha256, "weights survive");
    let read = Bundle::from_bytes(&written).expect("our own bytes read");
    assert_eq!(read.info, again.info);
    true
}

/// `GROUNDGLASS_FUZZ_ROUNDS` asks for more mutations per seed, by hand: 2,000,000 take some minutes.
#[test]
fn bundles_and_what_becomes_of_them_are_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_seeds/bundle");
    let wanted = std::env::var("GROUNDGLASS_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds: usize = wanted.unwrap_or(2000);
    let mut random = Random(11);
    let (mut read, mut all) = (0, 0);
    for (name, seed) in gg_testkit::seeds(&folder) {
        assert_eq!(survives(&seed), !name.starts_with("bad"), "{name}");
        // The description alone decides what is done with the weights; it is bent for itself, its length kept true.
        let text = 8 + u64::from_le_bytes(seed[..8].try_into().unwrap()) as usize;
        for round in 0..rounds {
            let mut bytes = seed.clone();
            if round % 2 == 0 || text >= seed.len() {
                bend(&mut bytes, &mut random);
            } else {
                let mut header = seed[8..text].to_vec();
                bend(&mut header, &mut random);
                bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &seed[text..]].concat();
            }
            read += usize::from(survives(&bytes));
            all += 1;
        }
    }
    assert!(read > all / 50 && read < all, "{read} of {all} bent bundles were read");
}
