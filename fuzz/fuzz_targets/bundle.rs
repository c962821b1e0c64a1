#![no_main]

use gg_nn::{Bundle, Precision};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::from_bytes(bytes) else { return };
    let (again, written) =
        Bundle::new(bundle.info.clone(), &bundle.weights, Precision::F32).expect("what was read can be written");
    assert_eq!(again.info.weights_sha256, bundle.info.weights_sha256);
    assert_eq!(Bundle::from_bytes(&written).expect("our own bytes read").info, again.info);
});
