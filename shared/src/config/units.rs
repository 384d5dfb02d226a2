//! Durations and sizes as people write them: `15m`, `36h`, `1d12h`; `512`, `1MB`, `1.5GiB`.

use std::time::Duration;

use crate::error::{Error, Result};

/// A whole number and a unit (`s`, `m`, `h`, `d`, `w`), once or several times. Errors: `Usage`.
pub fn parse_duration(text: &str) -> Result<Duration> {
    seconds(text).map(Duration::from_secs).ok_or_else(|| {
        Error::usage(format!("{text:?} is not a duration")).hint("write 90s, 15m, 36h, 30d, 2w, or several: 1d12h")
    })
}

fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit_and_rest) = rest.split_at(digits);
        let unit = match unit_and_rest.as_bytes()[0] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = &unit_and_rest[1..];
    }
    Some(total)
}

/// Bytes: a number, a fraction if you like, and a decimal (`kB`, `MB`, `GB`, `TB`) or binary (`KiB`, …) unit, or none.
/// Errors: `Usage`.
pub fn parse_size(text: &str) -> Result<u64> {
    size_bytes(text).ok_or_else(|| {
        Error::usage(format!("{text:?} is not a size")).hint("write 512, 64kB, 1MB, 1.5GB, or binary units: 16MiB")
    })
}

/// As [`parse_size`], with an optional `/s` behind it: bytes per second, at least one.
pub fn parse_rate(text: &str) -> Result<u64> {
    match size_bytes(text.strip_suffix("/s").unwrap_or(text)) {
        Some(rate) if rate > 0 => Ok(rate),
        _ => Err(Error::usage(format!("{text:?} is not a rate")).hint("write bytes per second: 500kB, 20MB, 20MB/s")),
    }
}

fn size_bytes(text: &str) -> Option<u64> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit: u128 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1000,
        "mb" | "m" => 1000 * 1000,
        "gb" | "g" => 1000 * 1000 * 1000,
        "tb" | "t" => 1000 * 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // 18 digits of a fraction of the largest unit stay within 128 bits.
    if fraction.len() > 18 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?).checked_mul(unit)?;
    let fraction = u128::from(fraction.parse::<u64>().ok()?) * unit / 10u128.pow(fraction.len() as u32);
    u64::try_from(whole.checked_add(fraction)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz_text;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = |text| parse_duration(text).map(|d| d.as_secs()).ok();
        assert_eq!(read("90s"), Some(90));
        assert_eq!(read("15m"), Some(900));
        assert_eq!(read("36h"), Some(129_600));
        assert_eq!(read("30d"), Some(2_592_000));
        assert_eq!(read("1d12h"), Some(129_600));
        for bad in ["", "15", "m", "15 m", "-1h", "1.5h", "1y", "99999999999999999999s", "9999999999999999w", "1h "] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        let read = |text| parse_size(text).ok();
        assert_eq!(read("512"), Some(512));
        assert_eq!(read("1MB"), Some(1_000_000));
        assert_eq!(read("1 mb"), Some(1_000_000));
        assert_eq!(read("16MiB"), Some(16 << 20));
        assert_eq!(read("1.5GB"), Some(1_500_000_000));
        for bad in ["", "MB", "1XB", "-1", "1.2.3MB", ".5MB", "1.MB", "1e3", "99999999999999TB"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(parse_rate("20MB/s").ok(), Some(20_000_000));
        assert!(parse_rate("0").is_err());
    }

    #[test]
    fn a_measure_with_anything_changed_is_read_or_refused_without_panic() {
        fuzz_text(&["1d12h", "1.5GB", "20MB/s", "90s", "16 MiB", "30d"], |text| {
            let _ = (parse_duration(text), parse_size(text), parse_rate(text));
        });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,30}", number: u64, unit in "[a-zA-Z.0-9/]{0,6}") {
            for text in [text, format!("{number}{unit}")] {
                let _ = (parse_duration(&text), parse_size(&text), parse_rate(&text));
            }
        }

        #[test]
        fn every_number_of_bytes_is_itself(bytes: u64) {
            prop_assert_eq!(parse_size(&bytes.to_string()).unwrap(), bytes);
        }
    }
}
