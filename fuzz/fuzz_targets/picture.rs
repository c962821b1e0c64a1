#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gg_io::fuzzing::fuzz_picture(bytes);
});
