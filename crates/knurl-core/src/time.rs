//! Instants as the API writes them and as the store keeps them: UTC milliseconds since 1970.
//!
//! Promised: what is written is read back to the same second, for every second of the years 0000 to 9999. Refused: a date that is
//! not in the calendar, an hour of 24, a month of 13, anything before or after. The calendar arithmetic is written out here, because
//! the API writes some hundred thousand of these a second; the tests hold it against `jiff`.

/// Milliseconds since 1970-01-01T00:00:00Z, negative before. Valid range: years 0000 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time; write YYYY-MM-DD HH:MM:SS or RFC 3339")]
pub struct TimeError;

impl UnixMillis {
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Accepts `YYYY-MM-DD HH:MM:SS`, `YYYY-MM-DD`, and RFC 3339 with or without zone (UTC where none is given).
    ///
    /// A fraction is kept to the millisecond and cut there. A leap second (`23:59:60` UTC) is read as the second before it.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        parse(text.as_bytes()).filter(|at| (Self::MIN..=Self::MAX).contains(at)).ok_or(TimeError)
    }

    /// `2026-04-03T12:00:00`: the form of the root routes.
    pub fn to_contract(self) -> String {
        self.format(b'T', "")
    }

    /// `2026-04-03T12:00:00Z`: the form under `/api/v1`.
    pub fn to_rfc3339(self) -> String {
        self.format(b'T', "Z")
    }

    /// `2026-04-03 12:00:00`: the form of the CSV files.
    pub fn to_csv(self) -> String {
        self.format(b' ', "")
    }

    /// Hours since 1970, rounded down.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(HOUR_MS)
    }

    /// Days since 1970, rounded down.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// A fraction is cut; an instant outside the valid range is written as the nearest one in it.
    fn format(self, separator: u8, zone: &str) -> String {
        let at = self.clamp(Self::MIN, Self::MAX);
        let (year, month, day) = civil_from_days(at.day());
        let second_of_day = at.0.rem_euclid(DAY_MS) / 1_000;
        let mut out = *b"0000-00-00T00:00:00";
        two(&mut out, 0, year / 100);
        two(&mut out, 2, year % 100);
        two(&mut out, 5, month);
        two(&mut out, 8, day);
        out[10] = separator;
        two(&mut out, 11, second_of_day / 3_600);
        two(&mut out, 14, second_of_day / 60 % 60);
        two(&mut out, 17, second_of_day % 60);
        let mut text = String::with_capacity(out.len() + zone.len());
        text.push_str(str::from_utf8(&out).unwrap_or_default());
        text.push_str(zone);
        text
    }
}

fn two(out: &mut [u8; 19], at: usize, value: i64) {
    out[at] = b'0' + (value / 10) as u8;
    out[at + 1] = b'0' + (value % 10) as u8;
}

/// Howard Hinnant's `civil_from_days`: the Gregorian date of a day since 1970, in eras of 400 years that begin on 1 March.
fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The inverse; month and day must be in the calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn parse(text: &[u8]) -> Option<UnixMillis> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    literal(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    literal(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * DAY_MS;
    if rest.is_empty() {
        return Some(UnixMillis(midnight));
    }
    literal(&mut rest, b"Tt ")?;
    let hour = digits(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction_ms = fraction(&mut rest)?;
    let local = midnight + hour * HOUR_MS + minute * 60_000 + second.min(59) * 1_000 + fraction_ms;
    let at = local - offset_ms(rest)?;
    let leap_second_is_real = at.rem_euclid(DAY_MS) >= DAY_MS - 1_000;
    (second < 60 || leap_second_is_real).then_some(UnixMillis(at))
}

fn literal(rest: &mut &[u8], any_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    any_of.contains(first).then_some(())
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Milliseconds of `.123456`; nothing at all is 0.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some((b'.', tail)) = rest.split_first() else { return Some(0) };
    let len = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = tail.split_at(len);
    *rest = tail;
    let tenths = [100, 10, 1];
    (len > 0).then(|| head.iter().zip(tenths).map(|(byte, weight)| i64::from(byte - b'0') * weight).sum())
}

/// `Z`, `+HH:MM`, `-HH:MM` or nothing, and nothing after it.
fn offset_ms(zone: &[u8]) -> Option<i64> {
    let (sign, mut rest) = match zone {
        [] | b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let hour = digits(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    (rest.is_empty() && hour <= 23 && minute <= 59).then_some(sign * (hour * HOUR_MS + minute * 60_000))
}

#[cfg(test)]
mod tests;
