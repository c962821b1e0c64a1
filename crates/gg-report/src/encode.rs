//! Pixels to PNG bytes with fixed settings, and bytes to `data:` addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// 8-bit PNG; `rgb` pixels without any colour are stored as grey, which is a third of the size.
pub(crate) fn rgb_png(width: usize, height: usize, rgb: &[u8]) -> Vec<u8> {
    if rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
        let grey: Vec<u8> = rgb.iter().step_by(3).copied().collect();
        return grey_png(width, height, &grey);
    }
    encode(width, height, png::ColorType::Rgb, rgb)
}

/// 8-bit grey PNG.
pub(crate) fn grey_png(width: usize, height: usize, grey: &[u8]) -> Vec<u8> {
    encode(width, height, png::ColorType::Grayscale, grey)
}

fn encode(width: usize, height: usize, colour: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::Adaptive);
    // Writing to memory fails only for a picture without pixels or of another size than it says: nothing to show.
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    if written.is_err() {
        bytes.clear();
    }
    bytes
}

/// The PNG as an address that holds it.
pub(crate) fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
