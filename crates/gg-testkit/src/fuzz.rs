//! Fuzzing on the stable toolchain: seeds from a folder, bent by a mutator that does the same everywhere.

use std::path::Path;

/// The files of a folder of seeds and past crashes, by name. Panics where there is none: a replay of nothing passes.
pub fn seeds(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("seeds in {shown}: {e}"));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("a seed can be listed").path())
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a seed can be read"))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seeds in {shown}");
    seeds
}

/// Repeatable random numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// Flips, overwrites, removes, repeats or cuts one to four times.
pub fn bend(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bits() as u8,
            2 => {
                let end = (at + 4).min(bytes.len());
                bytes[at..end].fill([0x00, 0x7f, 0x80, 0xff][random.below(4)]);
            }
            3 => drop(bytes.drain(at..(at + 1 + random.below(8)).min(bytes.len()))),
            4 => {
                let end = (at + 1 + random.below(16)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.insert(at, random.bits() as u8),
            _ if random.below(4) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
}
