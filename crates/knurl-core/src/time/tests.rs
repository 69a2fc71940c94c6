//! Times read, written and refused, held against jiff.

use jiff::{Timestamp, civil::DateTime};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const APRIL: i64 = 1_775_217_600_000;

#[rstest]
#[case("2026-04-03 12:00:00", APRIL)]
#[case("2026-04-03T12:00:00", APRIL)]
#[case("2026-04-03t12:00:00z", APRIL)]
#[case("2026-04-03T12:00:00Z", APRIL)]
#[case("2026-04-03T12:00:00.5Z", APRIL + 500)]
#[case("2026-04-03 12:00:00.123456789", APRIL + 123)]
#[case("2026-04-03T17:30:00+05:30", APRIL)]
#[case("2026-04-03T07:00:00.000-05:00", APRIL)]
#[case("2026-04-03", APRIL - 12 * HOUR_MS)]
#[case("1970-01-01", 0)]
#[case("1969-12-31T23:59:59.999", -1)]
#[case("2016-12-31T23:59:60Z", 1_483_228_799_000)]
#[case("2017-01-01T00:59:60+01:00", 1_483_228_799_000)]
#[case("2024-02-29", 1_709_164_800_000)]
#[case("0000-01-01", UnixMillis::MIN.0)]
#[case("9999-12-31 23:59:59.999", UnixMillis::MAX.0)]
fn a_time_is_read(#[case] text: &str, #[case] millis: i64) {
    assert_eq!(UnixMillis::parse(text), Ok(UnixMillis(millis)));
}

#[rstest]
#[case::empty("")]
#[case::word("yesterday")]
#[case::number("1775217600")]
#[case::month_0("2026-00-03")]
#[case::month_13("2026-13-03")]
#[case::day_0("2026-04-00")]
#[case::day_31_of_30("2026-04-31")]
#[case::no_leap_year("2025-02-29")]
#[case::no_leap_century("1900-02-29")]
#[case::hour_24("2026-04-03T24:00:00")]
#[case::minute_60("2026-04-03T12:60:00")]
#[case::second_61("2026-04-03T12:00:61")]
#[case::leap_second_at_noon("2026-04-03T12:00:60Z")]
#[case::no_seconds("2026-04-03T12:00")]
#[case::only_hour("2026-04-03T12")]
#[case::trailing_blank("2026-04-03 ")]
#[case::leading_blank(" 2026-04-03")]
#[case::empty_fraction("2026-04-03T12:00:00.")]
#[case::offset_24("2026-04-03T12:00:00+24:00")]
#[case::offset_without_colon("2026-04-03T12:00:00+0100")]
#[case::two_zones("2026-04-03T12:00:00ZZ")]
#[case::five_digit_year("10000-01-01")]
#[case::signed_year("-001-01-01")]
#[case::fullwidth_digits("２０２６-04-03")]
#[case::before_year_0("0000-01-01T00:00:00+00:01")]
#[case::after_year_9999("9999-12-31T23:59:59-00:01")]
#[case::nul("2026-04-03T12:00:00\0")]
fn nonsense_is_refused(#[case] text: &str) {
    assert_eq!(UnixMillis::parse(text), Err(TimeError));
}

#[test]
fn the_three_forms_carry_no_fraction() {
    let at = UnixMillis(APRIL + 999);
    assert_eq!(at.to_contract(), "2026-04-03T12:00:00");
    assert_eq!(at.to_rfc3339(), "2026-04-03T12:00:00Z");
    assert_eq!(at.to_csv(), "2026-04-03 12:00:00");
}

#[test]
fn an_instant_out_of_range_is_written_as_the_nearest_in_it() {
    assert_eq!(UnixMillis(i64::MAX).to_csv(), "9999-12-31 23:59:59");
    assert_eq!(UnixMillis(i64::MIN).to_csv(), "0000-01-01 00:00:00");
}

#[test]
fn every_day_of_ten_millennia_agrees_with_jiff() {
    let mut date = jiff::civil::date(0, 1, 1);
    for day in UnixMillis::MIN.day()..=UnixMillis::MAX.day() {
        let expected = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
        assert_eq!(civil_from_days(day), expected);
        assert_eq!(days_from_civil(expected.0, expected.1, expected.2), day);
        date = date.tomorrow().unwrap_or(date);
    }
}

proptest! {
    #[test]
    fn every_second_is_written_as_jiff_writes_it_and_read_back(millis in UnixMillis::MIN.0..=UnixMillis::MAX.0) {
        let at = UnixMillis(millis);
        let second = UnixMillis(millis.div_euclid(1_000) * 1_000);
        let expected = Timestamp::from_millisecond(second.0).unwrap().to_string();
        prop_assert_eq!(at.to_rfc3339(), expected);
        for text in [at.to_contract(), at.to_rfc3339(), at.to_csv()] {
            prop_assert_eq!(UnixMillis::parse(&text), Ok(second));
        }
    }

    #[test]
    fn what_is_read_with_an_offset_is_what_jiff_reads(
        millis in UnixMillis::MIN.0 + DAY_MS..=UnixMillis::MAX.0 - DAY_MS, sign in "[+-]", hours in 0..=23, minutes in 0..=59,
    ) {
        let local = UnixMillis(millis).to_contract();
        let text = format!("{local}.{:03}{sign}{hours:02}:{minutes:02}", millis.rem_euclid(1_000));
        let local: DateTime = local.parse().unwrap();
        let offset_s = (hours * 3_600 + minutes * 60) * if sign == "+" { 1 } else { -1 };
        let utc = jiff::tz::Offset::from_seconds(offset_s).unwrap().to_timestamp(local).unwrap();
        prop_assert_eq!(UnixMillis::parse(&text), Ok(UnixMillis(utc.as_millisecond() + millis.rem_euclid(1_000))));
    }

    #[test]
    fn any_text_is_read_or_refused_and_what_is_read_is_in_range(text in "[0-9TtZz:+. -]{0,32}|\\PC*") {
        if let Ok(at) = UnixMillis::parse(&text) {
            prop_assert!((UnixMillis::MIN..=UnixMillis::MAX).contains(&at));
        }
    }

    #[test]
    fn hours_and_days_are_rounded_down(millis in any::<i64>()) {
        let at = UnixMillis(millis);
        let from_hour = i128::from(millis) - i128::from(at.hour()) * i128::from(HOUR_MS);
        let from_day = i128::from(millis) - i128::from(at.day()) * i128::from(DAY_MS);
        prop_assert!((0..i128::from(HOUR_MS)).contains(&from_hour));
        prop_assert!((0..i128::from(DAY_MS)).contains(&from_day));
    }
}
