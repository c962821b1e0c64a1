//! JPEG-LS, lossless and near-lossless, of one colour: a codestream to samples.
//!
//! Own code, since no well-kept decoder in Rust alone exists and bindings to CharLS need a C++ compiler. Restart
//! intervals, mapping tables and point transforms, which CT does not use, are refused by name; so is a MAXVAL of its own
//! (CharLS 2.4 writes it and codes without it, so that what was meant cannot be told).
//!
//! Source: ITU-T T.87 (ISO/IEC 14495-1), whose names of variables stand here; its clause is named at each step. Golden
//! set: `io/jls`, by CharLS.

use super::codec_guard::{Expected, Refusal, check_size, damaged};

/// Contexts of the regular mode (A.3.3).
const CONTEXTS: usize = 365;
/// Largest and smallest correction of a prediction (A.2.1).
const MAX_C: i32 = 127;
const MIN_C: i32 = -128;
/// Orders of the run-length code (A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Decodes a codestream into `rows x columns` samples of `bytes_per_sample` bytes each, little endian.
pub(super) fn decode(stream: &[u8], expected: Expected) -> Result<Vec<u8>, Refusal> {
    let Scan { coding, data } = parse(stream, expected)?;
    let mut decoder = Decoder::new(coding, data);
    let mut out = Vec::with_capacity(expected.rows * expected.columns * expected.bytes_per_sample);
    // One sample more at each end: what lies beside the borders (A.2.1).
    let mut above = vec![0; expected.columns + 2];
    let mut line = above.clone();
    for _ in 0..expected.rows {
        line[0] = above[1];
        decoder.line(&above, &mut line)?;
        let samples = &mut line[1..];
        samples[expected.columns] = samples[expected.columns - 1];
        for sample in &samples[..expected.columns] {
            out.extend_from_slice(&sample.to_le_bytes()[..expected.bytes_per_sample]);
        }
        std::mem::swap(&mut above, &mut line);
    }
    decoder.bits.end()?;
    Ok(out)
}

/// What a codestream's header says, with what follows it.
struct Scan<'a> {
    coding: Coding,
    data: &'a [u8],
}

/// The parameters of a scan (C.2.4.1.1), with what follows from them (A.2.1).
#[derive(Debug, Clone, Copy)]
struct Coding {
    max_val: i32,
    near: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    /// Bits of a mapped error that is written as it is.
    qbpp: u32,
    limit: u32,
}

/// Reads the marker segments before the scan (C.2).
fn parse(stream: &[u8], expected: Expected) -> Result<Scan<'_>, Refusal> {
    if stream.get(..2) != Some(&[0xFF, 0xD8]) {
        return damaged("its pixel data is no JPEG-LS stream");
    }
    let mut bits = None;
    let mut preset = [0; 5];
    let mut rest = &stream[2..];
    loop {
        let (marker, segment, after) = segment(rest)?;
        let word = |at: usize| segment.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        match marker {
            0xF7 => {
                let (Some(&p), Some(rows), Some(columns), Some(&components)) =
                    (segment.first(), word(1), word(3), segment.get(5))
                else {
                    return damaged("its JPEG-LS stream is truncated");
                };
                let size = [rows, columns].map(usize::from);
                check_size(size, usize::from(components), expected, "JPEG-LS")?;
                if !(2..=16).contains(&p) || usize::from(p) > 8 * expected.bytes_per_sample {
                    return damaged(format!("its JPEG-LS stream has {p} bits, which its pixels cannot have"));
                }
                bits = Some(u32::from(p));
            }
            0xF8 => match segment {
                [1, values @ ..] if values.len() == 10 => {
                    for (place, value) in preset.iter_mut().zip(values.as_chunks::<2>().0) {
                        *place = i32::from(u16::from_be_bytes(*value));
                    }
                }
                [2 | 3, ..] => return Err(Refusal::Unsupported("JPEG-LS with a mapping table")),
                _ => return damaged("its JPEG-LS stream has parameters that are none"),
            },
            0xDD if segment.iter().any(|byte| *byte != 0) => {
                return Err(Refusal::Unsupported("JPEG-LS with restart intervals"));
            }
            0xDA => {
                let Some(bits) = bits else { return damaged("its JPEG-LS stream has no frame header") };
                let &[1, _, table, near, _, transform] = segment else {
                    return damaged("its JPEG-LS stream has a scan that is none of one colour");
                };
                if table != 0 || transform != 0 {
                    return Err(Refusal::Unsupported("JPEG-LS with a mapping table or a point transform"));
                }
                return Ok(Scan { coding: Coding::new(bits, i32::from(near), preset)?, data: after });
            }
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return damaged("its pixel data is no JPEG-LS stream");
            }
            0xD9 => return damaged("its JPEG-LS stream holds no scan"),
            _ => {}
        }
        rest = after;
    }
}

/// The next marker, its segment without the length, and what follows.
fn segment(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Refusal> {
    let truncated = || Refusal::Damaged("its JPEG-LS stream is truncated".to_owned());
    let fill = bytes.iter().take_while(|byte| **byte == 0xFF).count();
    if fill == 0 && !bytes.is_empty() {
        return damaged("its JPEG-LS stream is damaged");
    }
    let &[marker, ref after @ ..] = &bytes[fill..] else { return Err(truncated()) };
    if marker == 0xD9 {
        return Ok((marker, &[], after));
    }
    let &[high, low, ..] = after else { return Err(truncated()) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let segment = after.get(2..length).ok_or_else(truncated)?;
    Ok((marker, segment, &after[length..]))
}

impl Coding {
    /// `preset` is MAXVAL, T1, T2, T3 and RESET; 0 stands for the default of each (C.2.4.1.1.1).
    fn new(bits: u32, near: i32, preset: [i32; 5]) -> Result<Self, Refusal> {
        let [own_max_val, t1, t2, t3, reset] = preset;
        let max_val = (1 << bits) - 1;
        if ![0, max_val].contains(&own_max_val) {
            return Err(Refusal::Unsupported("JPEG-LS with a largest value (MAXVAL) of its own"));
        }
        let thresholds = thresholds(max_val, near, [t1, t2, t3]);
        let [t1, t2, t3] = thresholds;
        let reset = if reset == 0 { 64 } else { reset };
        let fits = near <= 255.min(max_val / 2)
            && near < t1
            && t1 <= t2
            && t2 <= t3
            && t3 <= max_val
            && (3..=max_val.max(255)).contains(&reset);
        if !fits {
            return damaged("its JPEG-LS stream has parameters that are none");
        }
        let range = (max_val + 2 * near) / (2 * near + 1) + 1;
        Ok(Self {
            max_val,
            near,
            thresholds,
            reset,
            range,
            qbpp: bits_for(range),
            limit: 2 * (bits + bits.max(8)),
        })
    }

    /// Which of nine intervals a difference of neighbours lies in (A.3.3).
    fn quantise(&self, difference: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = difference.abs();
        let interval = if size <= self.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        interval * difference.signum()
    }

    /// A sample from its prediction and its error (A.4.4, A.4.5).
    fn sample(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max_val + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max_val)
    }
}

/// Smallest number of bits that tells `values` values apart.
fn bits_for(values: i32) -> u32 {
    32 - (values - 1).leading_zeros()
}

/// T1, T2 and T3; where the stream gives 0, the default (C.2.4.1.1.1).
fn thresholds(max_val: i32, near: i32, given: [i32; 3]) -> [i32; 3] {
    let or = |given: i32, default: i32| if given == 0 { default } else { given };
    let clamp = |value: i32, low: i32| if value > max_val || value < low { low } else { value };
    let [v1, v2, v3] = if max_val >= 128 {
        let factor = (max_val.min(4095) + 128) / 256;
        [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
    } else {
        let factor = 256 / (max_val + 1);
        [2.max(3 / factor + 3 * near), 3.max(7 / factor + 5 * near), 4.max(21 / factor + 7 * near)]
    };
    let t1 = or(given[0], clamp(v1, near + 1));
    let t2 = or(given[1], clamp(v2, t1));
    [t1, t2, or(given[2], clamp(v3, t2))]
}

/// What is remembered of the errors of one context (A.2.1).
#[derive(Debug, Clone, Copy)]
struct Context {
    /// Sum of the sizes of errors.
    a: i64,
    /// Sum of errors, and the correction of predictions; of a run's end `b` counts negative errors (`Nn`).
    b: i32,
    c: i32,
    /// Number of errors.
    n: i32,
}

impl Context {
    /// Order of the Golomb code for errors whose sizes sum up to `a` (A.5.1).
    fn order(&self, a: i64) -> u32 {
        let mut k = 0;
        while i64::from(self.n) << k < a {
            k += 1;
        }
        k
    }
}

struct Decoder<'a> {
    coding: Coding,
    bits: Bits<'a>,
    regular: Vec<Context>,
    /// What ends a run: where the sample before differs from the one above, and where it does not.
    run_end: [Context; 2],
    run_index: usize,
}

impl<'a> Decoder<'a> {
    fn new(coding: Coding, data: &'a [u8]) -> Self {
        let context = Context { a: i64::from((coding.range + 32) / 64).max(2), b: 0, c: 0, n: 1 };
        Self {
            coding,
            bits: Bits::new(data),
            regular: vec![context; CONTEXTS],
            run_end: [context; 2],
            run_index: 0,
        }
    }

    /// Decodes a line; place 0 is what lies before it, and place `x + 1` sample `x`.
    fn line(&mut self, above: &[i32], line: &mut [i32]) -> Result<(), Refusal> {
        let end = line.len() - 1;
        let mut x = 1;
        while x < end {
            let [a, b, c, d] = [line[x - 1], above[x], above[x - 1], above[x + 1]];
            let [q1, q2, q3] = [d - b, b - c, c - a].map(|difference| self.coding.quantise(difference));
            let context = 81 * q1 + 9 * q2 + q3;
            if context == 0 {
                x += self.run(&above[x..end], &mut line[x..end], a)?;
            } else {
                line[x] = self.regular(context, predicted(a, b, c))?;
                x += 1;
            }
        }
        Ok(())
    }

    /// A sample in the regular mode (A.4 to A.6). The context's sign is that of its first difference that is not 0.
    fn regular(&mut self, context: i32, prediction: i32) -> Result<i32, Refusal> {
        let coding = self.coding;
        let sign = context.signum();
        let held = &mut self.regular[context.unsigned_abs() as usize];
        let k = held.order(held.a);
        let mapped = self.bits.golomb(k, coding.limit, &coding)?;
        let mirrored = coding.near == 0 && k == 0 && 2 * held.b <= -held.n;
        let mut error = if mapped % 2 == 0 { mapped / 2 } else { -(mapped + 1) / 2 };
        if mirrored {
            error = -error - 1;
        }
        let prediction = (prediction + sign * held.c).clamp(0, coding.max_val);

        held.b += error * (2 * coding.near + 1);
        held.a += i64::from(error.abs());
        if held.n == coding.reset {
            held.a >>= 1;
            held.b >>= 1;
            held.n >>= 1;
        }
        held.n += 1;
        if held.b <= -held.n {
            held.b = (held.b + held.n).max(1 - held.n);
            held.c = (held.c - 1).max(MIN_C);
        } else if held.b > 0 {
            held.b = (held.b - held.n).min(0);
            held.c = (held.c + 1).min(MAX_C);
        }
        Ok(coding.sample(prediction, sign * error))
    }

    /// A run of the sample before it, with what ends it (A.7); gives the number of samples.
    fn run(&mut self, above: &[i32], line: &mut [i32], value: i32) -> Result<usize, Refusal> {
        let mut length = 0;
        while self.bits.take(1)? == 1 {
            let whole = 1 << J[self.run_index];
            let left = line.len() - length;
            if whole <= left {
                self.run_index = (self.run_index + 1).min(J.len() - 1);
            }
            length += whole.min(left);
            if length == line.len() {
                line.fill(value);
                return Ok(length);
            }
        }
        length += self.bits.take(J[self.run_index])? as usize;
        let (Some(&b), Some(place)) = (above.get(length), line.get_mut(length)) else {
            return damaged("its JPEG-LS stream is damaged");
        };
        *place = self.end_of_run(value, b)?;
        self.run_index = self.run_index.saturating_sub(1);
        line[..length].fill(value);
        Ok(length + 1)
    }

    /// The sample that ends a run (A.7.2).
    fn end_of_run(&mut self, a: i32, b: i32) -> Result<i32, Refusal> {
        let coding = self.coding;
        let alike = i32::from((a - b).abs() <= coding.near);
        let held = &mut self.run_end[alike as usize];
        let k = held.order(held.a + i64::from(alike * (held.n >> 1)));
        let mapped = self.bits.golomb(k, coding.limit - J[self.run_index] - 1, &coding)?;
        let odd = (mapped + alike) % 2;
        let size = (mapped + alike + odd) / 2;
        let negative = (k != 0 || 2 * held.b >= held.n) == (odd == 1);
        let error = if negative { -size } else { size };

        held.b += i32::from(error < 0);
        held.a += i64::from((mapped + 1 - alike) >> 1);
        if held.n == coding.reset {
            held.a >>= 1;
            held.b >>= 1;
            held.n >>= 1;
        }
        held.n += 1;
        let prediction = if alike == 1 { a } else { b };
        let sign = if alike == 0 && a > b { -1 } else { 1 };
        Ok(coding.sample(prediction, sign * error))
    }
}

/// The edge-detecting prediction from the neighbours before, above and between (A.4.1).
fn predicted(a: i32, b: i32, c: i32) -> i32 {
    let (low, high) = (a.min(b), a.max(b));
    if c >= high {
        low
    } else if c <= low {
        high
    } else {
        a + b - c
    }
}

/// The bits of a scan, from the highest of each byte on; after a byte 0xFF the highest one is stuffing (A.1).
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bits, from the highest on.
    held: u64,
    count: u32,
    after_ff: bool,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, held: 0, count: 0, after_ff: false }
    }

    fn fill(&mut self) {
        while self.count <= 56
            && let &[byte, ref rest @ ..] = self.bytes
        {
            if byte == 0xFF && rest.first().is_none_or(|next| *next >= 0x80) {
                return; // a marker: the scan's end
            }
            let width = if self.after_ff { 7 } else { 8 };
            self.held |= u64::from(byte) << (64 - self.count - width);
            self.count += width;
            self.after_ff = byte == 0xFF;
            self.bytes = rest;
        }
    }

    /// Refuses a scan that goes on behind its last sample: what is left are bits without meaning, and a marker.
    fn end(&mut self) -> Result<(), Refusal> {
        self.fill();
        match self.bytes {
            [] => damaged("its JPEG-LS stream is truncated"),
            [0xFF, ..] if self.count <= 7 && self.held == 0 => Ok(()),
            _ => damaged("its JPEG-LS stream is damaged"),
        }
    }

    /// The next `width` bits, the last 32 of them as a number; at most 56.
    fn take(&mut self, width: u32) -> Result<u32, Refusal> {
        if width == 0 {
            return Ok(0);
        }
        if self.count < width {
            self.fill();
        }
        if self.count < width {
            return damaged("its JPEG-LS stream is truncated");
        }
        let value = (self.held >> (64 - width)) as u32;
        self.held <<= width;
        self.count -= width;
        Ok(value)
    }

    /// A mapped error in the Golomb code of order `k` with codes of `limit` bits at most (A.5.3).
    fn golomb(&mut self, k: u32, limit: u32, coding: &Coding) -> Result<i32, Refusal> {
        let longest = limit - coding.qbpp - 1;
        // Zeros and the one behind them are 56 bits at most, and more are held but at the end.
        self.fill();
        let zeros = self.held.leading_zeros();
        if zeros >= self.count {
            return damaged("its JPEG-LS stream is truncated");
        }
        if zeros > longest {
            return damaged("its JPEG-LS stream is damaged");
        }
        self.take(zeros + 1)?;
        let mapped = if zeros < longest {
            (u64::from(zeros) << k) + u64::from(self.take(k)?) // k is 18 at most
        } else {
            u64::from(self.take(coding.qbpp)?) + 1
        };
        match i32::try_from(mapped) {
            Ok(mapped) if mapped <= 2 * coding.range => Ok(mapped),
            _ => damaged("its JPEG-LS stream is damaged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_testkit::{Golden, Random, bend};

    /// Names, codestreams, sizes and pixels of the golden set.
    fn golden() -> Vec<(String, Vec<u8>, Expected, Vec<i32>)> {
        let golden = Golden::open("io/jls.safetensors");
        let names = golden.names();
        let streams = names.iter().filter_map(|name| name.strip_prefix("stream."));
        let read = |name: &str| {
            let pixels = format!("pixels.{name}");
            let shape = golden.shape(&pixels);
            let expected = Expected { rows: shape[0], columns: shape[1], bytes_per_sample: 2 };
            (name.to_owned(), golden.u8(&format!("stream.{name}")), expected, golden.i32(&pixels))
        };
        streams.map(read).collect()
    }

    #[test]
    fn pixels_are_those_of_charls() {
        let set = golden();
        assert_eq!(set.len(), 129);
        for (name, stream, expected, pixels) in set {
            let bytes = decode(&stream, expected).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            let found: Vec<i32> =
                bytes.as_chunks::<2>().0.iter().map(|b| i32::from(u16::from_le_bytes(*b))).collect();
            assert_eq!(found, pixels, "{name}");
        }
    }

    #[test]
    fn samples_take_as_many_bytes_as_asked_for() {
        let (_, stream, expected, pixels) =
            golden().into_iter().find(|(name, ..)| name == "body_8").expect("a stream of 8 bits");
        let bytes = decode(&stream, Expected { bytes_per_sample: 1, ..expected }).unwrap();
        assert_eq!(bytes.iter().map(|b| i32::from(*b)).collect::<Vec<_>>(), pixels);
    }

    #[test]
    fn a_stream_that_ends_early_is_damaged() {
        for (name, stream, expected, _) in golden() {
            for length in 0..stream.len() - 2 {
                let found = decode(&stream[..length], expected);
                assert!(matches!(found, Err(Refusal::Damaged(_))), "{name}: {length} of {}", stream.len());
                // With the end marker put behind what is left.
                let found = decode(&[&stream[..length], &[0xFF, 0xD9]].concat(), expected);
                assert!(found.is_err(), "{name}: {length} and an end");
            }
            let longer = [&stream[..stream.len() - 2], &[0, 0xFF, 0xD9]].concat();
            assert!(decode(&longer, expected).is_err(), "{name}: more than its pixels");
        }
    }

    #[test]
    fn bent_streams_end_in_pixels_or_a_refusal() {
        let mut random = Random(7);
        for (_, stream, expected, _) in golden() {
            for _ in 0..60 {
                let mut bent = stream.clone();
                bend(&mut bent, &mut random);
                if let Ok(bytes) = decode(&bent, expected) {
                    assert_eq!(bytes.len(), expected.rows * expected.columns * 2);
                }
            }
        }
    }

    #[test]
    fn what_ct_does_not_use_is_refused_by_name() {
        let (_, stream, expected, _) =
            golden().into_iter().find(|(name, ..)| name == "body_12").expect("a stream of 12 bits");
        let scan = stream.windows(2).position(|w| w == [0xFF, 0xDA]).expect("a scan");
        let with = |segment: &[u8]| [&stream[..scan], segment, &stream[scan..]].concat();
        for (changed, words) in [
            (with(&[0xFF, 0xDD, 0, 4, 0, 3]), "JPEG-LS with restart intervals"),
            (with(&[0xFF, 0xF8, 0, 6, 2, 1, 1, 0]), "JPEG-LS with a mapping table"),
            (
                with(&[0xFF, 0xF8, 0, 13, 1, 0x0B, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0]),
                "JPEG-LS with a largest value (MAXVAL) of its own",
            ),
        ] {
            assert_eq!(decode(&changed, expected), Err(Refusal::Unsupported(words)));
        }
        assert!(decode(&with(&[0xFF, 0xDD, 0, 4, 0, 0]), expected).is_ok());
        assert!(decode(&with(&[0xFF, 0xE8, 0, 4, 1, 2]), expected).is_ok(), "segments of others are skipped");
        let other = Expected { rows: expected.rows + 1, ..expected };
        assert!(
            matches!(decode(&stream, other), Err(Refusal::Damaged(words)) if words.contains("JPEG-LS stream is 19 x 23"))
        );
        let narrow = Expected { bytes_per_sample: 1, ..expected };
        assert!(matches!(decode(&stream, narrow), Err(Refusal::Damaged(words)) if words.contains("12 bits")));
    }
}
