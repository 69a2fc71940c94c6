//! Words: what sample names, titles and targets are made of. Hosts are of the reserved `.example` kind: nobody's.

pub(super) const ADJECTIVES: &[&str] = &[
    "able", "autumn", "bold", "bright", "calm", "clear", "cosy", "crisp", "deep", "early", "fair", "fresh", "gentle", "golden",
    "green", "happy", "humble", "kind", "late", "light", "lucky", "merry", "mild", "neat", "noble", "old", "patient", "plain",
    "proud", "quick", "round", "sharp", "silent", "small", "smooth", "solid", "spare", "steady", "still", "sunny", "swift", "tall",
    "warm", "wide", "wild", "winter", "wise", "young",
];

pub(super) const NOUNS: &[&str] = &[
    "acorn", "alder", "apple", "badger", "birch", "bramble", "bridge", "brook", "cedar", "chestnut", "clover", "copse", "cricket",
    "daisy", "elm", "fern", "finch", "fjord", "gorse", "grove", "hazel", "heath", "heron", "hollow", "ivy", "juniper", "lantern",
    "larch", "linden", "maple", "marsh", "moss", "oak", "orchard", "otter", "pebble", "pine", "poplar", "reed", "robin", "rowan",
    "sparrow", "thistle", "tulip", "walnut", "willow", "wren", "yew",
];

pub(super) const HOSTS: &[&str] = &[
    "archive.example",
    "garden.example",
    "journal.example",
    "library.example",
    "market.example",
    "museum.example",
    "workshop.example",
];

pub(super) const TITLES: &[&str] = &[
    "Annual report",
    "Field notes",
    "Garden plan",
    "Guest list",
    "How to",
    "Menu",
    "Opening hours",
    "Order form",
    "Reading list",
    "Release notes",
    "Schedule",
    "Sign-up",
    "Travel guide",
    "Workshop",
];

pub(super) const REASONS: &[&str] = &["duplicate", "expired", "policy_cleanup", "user_requested"];
