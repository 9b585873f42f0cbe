//! When something was said, as an archive or a room stamps it (XEP-0203 v2.0).
//!
//! A stamp is told, never built on: clocks of servers go wrong, and a stamp that is copied
//! may be anybody's. It is kept as it stands if it is a time, and is none otherwise.

/// The stamp, if it is a `DateTime` of XEP-0082 v1.1.1, section 3.2: in digits, in the
/// calendar, in years of four digits, with at most nine digits of a second.
pub(crate) fn stamp(text: &str) -> Option<&str> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-');
    let year = number(date.next()?, 4)?;
    let month = number(date.next()?, 2)?;
    let day = number(date.next()?, 2)?;
    if date.next().is_some() || year == 0 || !(1..=days(year, month)?).contains(&day) {
        return None;
    }
    let zone = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let fraction = fraction.is_none_or(|digits| {
        (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let mut time = time.split(':');
    let hour = number(time.next()?, 2)?;
    let minute = number(time.next()?, 2)?;
    let second = number(time.next()?, 2)?;
    let known = time.next().is_none() && hour < 24 && minute < 60 && second < 60;
    (fraction && known && is_zone(zone)).then_some(text)
}

/// Exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// How many days a month has.
const fn days(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if leap => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// `Z`, or an offset from it of up to fourteen hours.
fn is_zone(zone: &str) -> bool {
    let offset = |rest: &str| {
        let (hours, minutes) = rest.split_once(':')?;
        let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
        (hours <= 14 && minutes < 60).then_some(())
    };
    zone == "Z" || (zone.strip_prefix(['+', '-'])).is_some_and(|rest| offset(rest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q15_a_stamp_is_a_time_or_nothing() {
        for good in [
            "2026-11-21T09:00:00Z",
            "1969-07-21T02:56:15.123456789+14:00",
            "2024-02-29T23:59:59-05:30",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(stamp(good), Some(good));
        }
        for bad in [
            "",
            "T",
            "now",
            "-0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "1000000-01-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+15:00",
            "2026-01-01T00:00:00Z\u{1b}[2J",
            "\u{662}026-01-01T00:00:00Z",
            "20260101T00:00:00Z",
            "2026-01-01 00:00:00Z",
        ] {
            assert_eq!(stamp(bad), None, "{bad:?}");
        }
    }
}
