//! Times on the wire: `2026-11-21T10:36:05Z` (XEP-0082 v1.1.1, section 3.2), from
//! and to microseconds since 1970. The Gregorian calendar, no leap seconds.

use alloc::format;
use alloc::string::String;

const SECOND: u64 = 1_000_000;
const DAY: i64 = 86_400;

/// The time in whole seconds, as Prosody writes it.
pub(super) fn seconds(micros: u64) -> String {
    let (year, month, day, rest) = civil(micros);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// The time in microseconds, as ejabberd writes it.
pub(super) fn microseconds(micros: u64) -> String {
    let (year, month, day, rest) = civil(micros);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    let fraction = micros % SECOND;
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{fraction:06}Z")
}

/// Year, month, day and the second of the day. Days to dates as in the calendar
/// that begins with March, so that the leap day is the last of its year.
fn civil(micros: u64) -> (i64, i64, i64, i64) {
    let seconds = i64::try_from(micros / SECOND).unwrap_or(0);
    let days = seconds.div_euclid(DAY) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day, seconds.rem_euclid(DAY))
}

/// Reads a time; `None` if it is none, or before 1970.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-');
    let year = number(date.next()?, 4)?;
    let month = number(date.next()?, 2).filter(|m| (1..=12).contains(m))?;
    let day = number(date.next()?, 2).filter(|d| (1..=31).contains(d))?;
    if date.next().is_some() {
        return None;
    }
    let (time, offset) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let (time, zone) = time.split_at_checked(at)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
            (
                time,
                if zone.starts_with('-') {
                    -offset
                } else {
                    offset
                },
            )
        }
    };
    let (time, fraction) = match time.split_once('.') {
        None => (time, 0),
        Some((time, digits)) => (time, micros_of(digits)?),
    };
    let mut time = time.split(':');
    let hours = number(time.next()?, 2).filter(|h| *h < 24)?;
    let minutes = number(time.next()?, 2).filter(|m| *m < 60)?;
    let seconds = number(time.next()?, 2).filter(|s| *s <= 60)?;
    if time.next().is_some() {
        return None;
    }
    let total = days(year, month, day) * DAY + hours * 3600 + minutes * 60 + seconds - offset;
    u64::try_from(total)
        .ok()?
        .checked_mul(SECOND)?
        .checked_add(fraction)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// A fraction of a second, cut at microseconds.
fn micros_of(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = digits.get(..6).unwrap_or(digits);
    let missing = 6_u32.saturating_sub(u32::try_from(kept.len()).unwrap_or(6));
    Some(kept.parse::<u64>().ok()? * 10_u64.pow(missing))
}

/// Days since 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_being_written_and_read() {
        let recorded = 1_795_257_366_637_944;
        assert_eq!(microseconds(recorded), "2026-11-21T10:36:06.637944Z");
        assert_eq!(seconds(recorded), "2026-11-21T10:36:06Z");
        for micros in [0, 951_782_399_000_000, 951_782_400_000_001, recorded] {
            assert_eq!(parse(&microseconds(micros)), Some(micros));
        }
    }

    #[test]
    fn zones_and_fractions_count_and_nonsense_does_not() {
        let noon = parse("2026-11-21T12:00:00Z");
        assert_eq!(parse("2026-11-21T13:30:00.000+01:30"), noon);
        assert_eq!(parse("2026-11-21T07:00:00.0000001-05:00"), noon);
        for wrong in [
            "",
            "T",
            "2026-11-21",
            "2026-13-21T12:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:00",
            "1926-11-21T12:00:00Z",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00ä+01:00",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
