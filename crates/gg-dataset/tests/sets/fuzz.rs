//! Hostile split files: refused or read, and what is read is written and read again as it was.

use gg_dataset::Split;
use gg_testkit::{Random, bend};
use std::path::Path;

/// What the fuzz target does, too. Says whether the text was read.
fn survives(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(split) = Split::from_toml(text) else { return false };
    let again = split.to_toml().expect("what was read can be written");
    assert_eq!(Split::from_toml(&again).expect("our own text reads"), split);
    for fold in 0..3 {
        let _ = split.parts(fold); // refused or not
    }
    true
}

#[test]
fn split_files_and_what_becomes_of_them_are_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_seeds/split");
    let mut random = Random(5);
    let (mut read, mut all) = (0, 0);
    for (name, seed) in gg_testkit::seeds(&folder) {
        assert_eq!(survives(&seed), !name.starts_with("bad"), "{name}");
        for _ in 0..2000 {
            let mut bytes = seed.clone();
            bend(&mut bytes, &mut random);
            read += usize::from(survives(&bytes));
            all += 1;
        }
    }
    assert!(read > all / 50 && read < all, "{read} of {all} bent split files were read");
}
