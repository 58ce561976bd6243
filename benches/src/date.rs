//! Dates in UTC, for people.

/// Today, as YYYY-MM-DD.
pub(crate) fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    civil(now.as_secs() / 86_400)
}

/// A time in seconds since 1970, as YYYY-MM-DD HH:MM.
pub(crate) fn minute(unix_s: u64) -> String {
    format!("{} {:02}:{:02}", civil(unix_s / 86_400), unix_s / 3600 % 24, unix_s / 60 % 60)
}

/// The civil calendar from the count of days (proleptic Gregorian).
fn civil(days_since_1970: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut days) = (1970, days_since_1970);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_781, "2026-11-24")] {
            assert_eq!(civil(days), date);
        }
        assert_eq!(minute(20_781 * 86_400 + 3661), "2026-11-24 01:01");
    }
}
