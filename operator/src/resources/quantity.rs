//! Kubernetes quantities such as `80Gi` and `500m`.

/// A quantity in billionths; `None` if it is invalid or finer than that.
pub(crate) fn units(quantity: &str) -> Option<i128> {
    const SUFFIXES: &[(&str, i128)] = &[
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("n", -1_000_000_000),
        ("u", -1_000_000),
        ("m", -1_000),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
    ];
    let suffix = SUFFIXES.iter().find(|(suffix, _)| quantity.ends_with(suffix));
    let (number, factor) = match suffix {
        Some((suffix, factor)) => (quantity.strip_suffix(suffix)?, *factor),
        None => (quantity, 1),
    };
    let billionths = decimal(number)?;
    if factor < 0 { Some(billionths / -factor) } else { billionths.checked_mul(factor) }
}

/// A decimal number in billionths, with an optional exponent.
fn decimal(number: &str) -> Option<i128> {
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<u32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = format!("{fraction:0<9}");
    let digits = format!("{whole}{}", fraction.get(..9)?);
    digits.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(exponent)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_quantity_may_be_written_in_several_ways() {
        for (one, other) in [
            ("1", "1000m"),
            ("0.5", "500m"),
            ("1Gi", "1024Mi"),
            ("1Ki", "1024"),
            ("1k", "1000"),
            ("1e3", "1k"),
            ("1E", "1000P"),
            ("1.5Gi", "1536Mi"),
            ("250u", "250000n"),
        ] {
            assert_eq!(units(one), units(other), "{one} {other}");
            assert!(units(one).is_some(), "{one}");
        }
    }

    #[test]
    fn other_texts_are_not_quantities() {
        for text in ["", "Gi", "ten", "1Gib", "1 Gi", "-1", "1.2.3", "1e99"] {
            assert_eq!(units(text), None, "{text:?}");
        }
    }
}
