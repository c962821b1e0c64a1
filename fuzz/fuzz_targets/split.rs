#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(split) = gg_dataset::Split::from_toml(text) else { return };
    let again = split.to_toml().expect("what was read can be written");
    assert_eq!(gg_dataset::Split::from_toml(&again).expect("our own text reads"), split);
    for fold in 0..3 {
        let _ = split.parts(fold);
    }
});
