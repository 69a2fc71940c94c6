//! The table against a plain map, at its bound, and under readers and writers at once.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use knurl_core::{LinkId, UserId, link::RedirectStatus};

use super::{table::Table, *};

/// A link that says whose it is: any mixture of two shows.
fn link(code: &str, version: u64, padding: usize) -> Resolved {
    let location = format!("https://{code}.example/{version}/{}", "x".repeat(padding));
    Resolved {
        id: LinkId(version as i64),
        owner: version.is_multiple_of(2).then_some(UserId(version as i64)),
        is_active: true,
        status: RedirectStatus::Found302,
        expires_at: version.is_multiple_of(3).then_some(UnixMillis(version as i64)),
        location: Location::new(location.into_bytes()).unwrap(),
        verbatim: None,
    }
}

fn assert_whole(found: &Resolved, code: &str) {
    let version = found.id.0 as u64;
    let padding = found.target().len() - link(code, version, 0).target().len();
    assert_eq!(format!("{found:?}"), format!("{:?}", link(code, version, padding)));
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn what_was_put_in_is_found_with_its_epoch_until_it_is_removed() {
    let table = Table::new(4 << 20);
    for n in 0..10_000 {
        let code = format!("c{n}");
        table.insert(&code, &link(&code, n, 30), n % 7);
    }
    assert_eq!(table.links(), 10_000);
    for n in 0..10_000 {
        let code = format!("c{n}");
        let (found, epoch) = table.get(&code).unwrap();
        assert_eq!((found.id.0 as u64, epoch), (n, n % 7));
        assert_whole(&found, &code);
        table.remove(&code);
        assert!(table.get(&code).is_none());
    }
    assert_eq!(table.links(), 0);
}

#[test]
fn no_code_is_too_short_or_too_long_to_be_asked_for() {
    let table = Table::new(1 << 20);
    let longest = "z".repeat(ShortCode::LEN_MAX);
    for code in ["", "a", &longest, &"z".repeat(ShortCode::LEN_MAX + 1)] {
        table.insert(code, &link("c", 1, 0), 0);
        assert_eq!(table.get(code).is_some(), (1..=ShortCode::LEN_MAX).contains(&code.len()), "{code}");
        table.remove(code);
    }
}

#[test]
fn nothing_outdated_and_nothing_mixed_is_found_whatever_has_to_make_room() {
    for bytes_max in [100 << 10, 1 << 20, 5 << 20] {
        let table = Table::new(bytes_max);
        let mut known = HashMap::new();
        let mut dice = Dice(bytes_max);
        for version in 0..60_000 {
            let code = format!("c{}", dice.below(12_000));
            match dice.below(10) {
                0 => {
                    known.remove(&code);
                    table.remove(&code);
                }
                1..=6 => {
                    let padding = if dice.below(50) == 0 { dice.below(6_000) } else { dice.below(90) };
                    table.insert(&code, &link(&code, version, padding as usize), 0);
                    known.insert(code, version);
                }
                _ => {
                    if let Some((found, _)) = table.get(&code) {
                        assert_eq!(known.get(&code), Some(&(found.id.0 as u64)));
                        assert_whole(&found, &code);
                    }
                }
            }
            assert!(table.bytes() <= bytes_max);
        }
        let found = known.keys().filter(|code| table.get(code).is_some()).count();
        assert_eq!(table.links(), found as u64);
        assert!(found as u64 * 800 > bytes_max.min(known.len() as u64 * 800), "{found} links in {bytes_max} bytes");
    }
}

#[test]
fn links_that_are_asked_for_outlast_a_crowd_that_is_not() {
    let table = Table::new(1 << 20);
    let popular: Vec<String> = (0..1_000).map(|n| format!("p{n}")).collect();
    for code in &popular {
        table.insert(code, &link(code, 1, 30), 0);
    }
    let mut misses = 0;
    for n in 0..100_000 {
        let code = format!("n{n}");
        table.insert(&code, &link(&code, 1, 30), 0);
        // Each of them several times while the whole memory is written once.
        let code = &popular[n % popular.len()];
        if table.get(code).is_none() {
            misses += 1;
            table.insert(code, &link(code, 1, 30), 0);
        }
    }
    // First in, first out would be some ten thousand. A few go where too many that were asked for lie in a row.
    assert!(misses < 500, "{misses}");
}

#[test]
fn targets_shorter_than_usual_fill_the_slots_before_the_memory() {
    let table = Table::new(256 << 10);
    for n in 0..50_000 {
        let code = format!("{n}");
        let short = Resolved { location: Location::new(b"a:b".to_vec()).unwrap(), ..link("c", 1, 0) };
        table.insert(&code, &short, 0);
        assert!(table.get(&code).is_some());
    }
    assert!(table.links() > 2_000, "{}", table.links());
    assert!(table.bytes() <= 256 << 10);
}

#[test]
fn cleared_it_holds_nothing_and_can_be_filled_again() {
    let table = Table::new(1 << 20);
    for round in 0..3 {
        for n in 0..20_000 {
            let code = format!("c{n}");
            table.insert(&code, &link(&code, round, 30), round);
        }
        assert_eq!(table.get("c19999").unwrap().1, round);
        table.clear();
        assert_eq!(table.links(), 0);
        assert!(table.get("c19999").is_none());
    }
}

#[test]
fn readers_never_see_half_an_entry_whatever_is_written_meanwhile() {
    const READERS: usize = 3;
    let table = Table::new(200 << 10);
    let stop = AtomicBool::new(false);
    let read = |seed: u64| {
        let mut dice = Dice(seed);
        let mut found = 0_u64;
        while !stop.load(SeqCst) || found == 0 {
            let code = format!("c{}", dice.below(300));
            if let Some((link, _)) = table.get(&code) {
                assert_whole(&link, &code);
                found += 1;
            }
        }
        found
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|n| scope.spawn(move || read(n as u64))).collect();
        let mut dice = Dice(99);
        for version in 0..100_000 {
            let code = format!("c{}", dice.below(300));
            if dice.below(4) == 0 {
                table.remove(&code);
            } else {
                table.insert(&code, &link(&code, version, dice.below(2_000) as usize), 0);
            }
        }
        stop.store(true, SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_it_says_to_take_is_what_the_kernel_gave_it() {
    let table = Table::new(128 << 20);
    for n in 0..600_000_u64 {
        let code = format!("{n:07}");
        table.insert(&code, &link("c", n, 35), 0);
    }
    let (said, real) = (table.bytes() as f64, table.resident_bytes() as f64);
    assert!((0.9..1.1).contains(&(said / real)), "{said} said, {real} real");
    let each = real / table.links() as f64;
    assert!(each < 170.0, "{each} bytes a link");
}
