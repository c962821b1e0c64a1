//! Which ways of writing pixels are read, and the words for those that are not.
//!
//! Source: DICOM PS3.6 table A-1 (UIDs), PS3.5 section 10 and annex A.

use dicom_dictionary_std::uids;

/// Explicit VR Big Endian, which the standard has retired and old archives have not.
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// A transfer syntax as the reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Name in words, for tables and refusals.
    pub name: &'static str,
    pub codec: Codec,
}

/// How the pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Plain samples.
    Native,
    /// Plain samples in one fragment.
    EncapsulatedNative,
    /// Run lengths (PackBits per byte plane).
    Rle,
    /// JPEG: baseline, extended with 8 bits, lossless.
    Jpeg,
    /// JPEG 2000 and HTJ2K.
    Jpeg2000,
    /// JPEG-LS, lossless and near-lossless.
    JpegLs,
    /// Not decoded here.
    Unsupported,
}

/// What a UID stands for. An empty one is a data set without a file header: uncompressed.
///
/// UIDs are compared, never shown.
pub(super) fn syntax(uid: &str) -> Syntax {
    use Codec::{EncapsulatedNative, Jpeg, Jpeg2000, JpegLs, Native, Rle, Unsupported};
    let (name, codec) = match uid {
        "" => ("uncompressed (not stated)", Native),
        uids::IMPLICIT_VR_LITTLE_ENDIAN => ("uncompressed, implicit VR little endian", Native),
        uids::EXPLICIT_VR_LITTLE_ENDIAN => ("uncompressed, explicit VR little endian", Native),
        BIG_ENDIAN => ("uncompressed, explicit VR big endian", Native),
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => ("deflated, explicit VR little endian", Native),
        "1.2.840.10008.1.2.1.98" => ("encapsulated uncompressed", EncapsulatedNative),
        uids::RLE_LOSSLESS => ("RLE Lossless", Rle),
        uids::JPEG_BASELINE8_BIT => ("JPEG Baseline", Jpeg),
        uids::JPEG_EXTENDED12_BIT => ("JPEG Extended", Jpeg),
        uids::JPEG_LOSSLESS => ("JPEG Lossless", Jpeg),
        uids::JPEG_LOSSLESS_SV1 => ("JPEG Lossless, first-order prediction", Jpeg),
        uids::JPEG2000_LOSSLESS => ("JPEG 2000 Lossless", Jpeg2000),
        uids::JPEG2000 => ("JPEG 2000", Jpeg2000),
        "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" => {
            ("High-Throughput JPEG 2000 Lossless", Jpeg2000)
        }
        "1.2.840.10008.1.2.4.203" => ("High-Throughput JPEG 2000", Jpeg2000),
        uids::JPEGLS_LOSSLESS => ("JPEG-LS Lossless", JpegLs),
        uids::JPEGLS_NEAR_LOSSLESS => ("JPEG-LS Near-Lossless", JpegLs),
        "1.2.840.10008.1.2.4.92" | "1.2.840.10008.1.2.4.93" => {
            ("JPEG 2000 Part 2 multi-component", Unsupported)
        }
        "1.2.840.10008.1.2.4.94" | "1.2.840.10008.1.2.4.95" => ("JPIP (pixels on a server)", Unsupported),
        "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => {
            ("JPEG XL", Unsupported)
        }
        "1.2.840.10008.1.2.8.1" => ("Deflated Image Frame", Unsupported),
        "1.2.840.113619.5.2" => ("GE private little endian with big-endian pixels", Unsupported),
        u if u.starts_with("1.2.840.10008.1.2.4.10") => ("MPEG video", Unsupported),
        u if u.starts_with("1.2.840.10008.1.2.4.") => ("a retired form of JPEG", Unsupported),
        u if u.starts_with("1.2.840.10008.") => {
            ("a transfer syntax that groundglass does not know", Unsupported)
        }
        _ => ("a private transfer syntax", Unsupported),
    };
    Syntax { name, codec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_syntaxes_have_words() {
        for (uid, name) in [
            ("1.2.840.10008.1.2.4.102", "MPEG video"),
            ("1.2.840.10008.1.2.4.110", "JPEG XL"),
            ("1.2.840.10008.1.2.4.55", "a retired form of JPEG"),
            ("1.2.3", "a private transfer syntax"),
        ] {
            assert_eq!(syntax(uid), Syntax { name, codec: Codec::Unsupported });
        }
    }
}
