#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // The reader catches panics of the decoders it calls; only one that comes out of it is a crash.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| {
        gg_io::fuzzing::fuzz_dicom(bytes);
    }
);
