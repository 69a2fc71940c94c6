//! Nanoseconds of what runs for every redirect, every drained click and every link written.
//!
//! `cargo run --release -p knurl-core --example figures`

use std::{hint::black_box, time::Instant};

use knurl_core::{
    agent::{classify, referrer_host},
    click::{Click, OwnedClick, Purpose},
    link::LinkId,
    short_code::CodeShape,
    sketch::Sketch,
    target::{OwnHost, Target, TargetRules},
    time::UnixMillis,
    user::UserId,
    visitor::Salt,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0";
const RARE: &str = "KDDI-CA39 UP.Browser/6.2.0.13.1.5 (GUI) MMP/2.0";
const LINK: &str = "https://example.org/harbor/canyon/1?utm_source=mail";

/// The least of five rounds: what the code costs, not what the machine was busy with.
fn figure(name: &str, mut step: impl FnMut()) {
    let rounds = (0..5).map(|_| {
        let started = Instant::now();
        let mut steps = 0_u32;
        while started.elapsed().as_millis() < 100 {
            (0..1_000).for_each(|_| step());
            steps += 1_000;
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(steps)
    });
    println!("{name:<40} {:>10.1} ns", rounds.fold(f64::INFINITY, f64::min));
}

fn discard<T>(value: T) {
    black_box(value);
}

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let click = Click {
        link_id: LinkId(1),
        owner: Some(UserId(1)),
        at: UnixMillis(1_775_217_600_000),
        visitor: 7,
        purpose: Purpose::Visit,
        short_code: "oWCnNk7",
        target: LINK,
        referrer: Some(b"https://www.example.org/page"),
        user_agent: Some(CHROME.as_bytes()),
    };
    let mut out = [0; 1_024];
    let len = click.encoded_len();
    figure("click: encode", || black_box(&click).encode_into(black_box(&mut out[..black_box(&click).encoded_len()])));
    figure("click: decode", || discard(OwnedClick::decode(black_box(&out[..len]))));
    let (salt, client) = (Salt([3; 16]), "192.0.2.7".parse().expect("an address"));
    figure("visitor: hash", || discard(salt.visitor(black_box(client), Some(CHROME.as_bytes()))));
    figure("agent: a browser of today", || discard(classify(Some(black_box(CHROME)), Purpose::Visit)));
    figure("agent: curl", || discard(classify(Some(black_box("curl/8.5.0")), Purpose::Visit)));
    figure("agent: one left to woothee", || discard(classify(Some(black_box(RARE)), Purpose::Visit)));
    let noise = "x".repeat(512);
    figure("agent: 512 bytes of noise", || discard(classify(Some(black_box(&noise)), Purpose::Visit)));
    figure("referrer host", || discard(referrer_host(black_box("https://www.example.org/page?a=b"))));
    let mut rules = TargetRules::default();
    rules.set_own_hosts(["sho.rt", "127.0.0.1:8080", "links.example"].map(|own| OwnHost::parse(own).expect("a host")));
    figure("target: parse", || discard(Target::parse(black_box(LINK), &rules)));
    figure("target: verbatim", || discard(Target::verbatim(black_box(LINK))));
    let target = Target::verbatim(LINK).expect("a target");
    figure("target: location", || discard(black_box(&target).location()));
    let shape = CodeShape::default();
    figure("short code: draw (seeded ChaCha12)", || discard(shape.draw(&mut rng, 0)));
    figure("time: write", || discard(black_box(click.at).to_rfc3339()));
    figure("time: read", || discard(UnixMillis::parse(black_box("2026-04-03 12:00:00"))));
    let mut sketch = Sketch::new();
    (0..10_000).for_each(|_| sketch.insert(rng.next_u64()));
    figure("sketch: insert (dense)", || sketch.insert(rng.next_u64()));
    figure("sketch: estimate (dense)", || discard(sketch.estimate()));
    let bytes = sketch.to_bytes();
    figure("sketch: read and write (dense)", || discard(Sketch::from_bytes(black_box(&bytes)).map(|sketch| sketch.to_bytes())));
    let other = sketch.clone();
    figure("sketch: merge (dense)", || sketch.merge(black_box(&other)));
}
