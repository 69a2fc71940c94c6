//! The house rules a compiler does not hold: who may use whom, how long a file may be, what a thing may be called, what may not be left
//! behind. Every rule is a pure function over text and is itself tested on a bad sample, so that it cannot pass by seeing nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own sources has failed")]

mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tree::{assert_none, files, root, shown, text_of};

/// A reader loses the thread beyond this; nine files in ten should stay under 400.
const FILE_LINES_MAX: usize = 600;

/// Words that name nothing.
const BANNED_WORDS: [&str; 8] = ["manager", "helper", "util", "utils", "common", "service", "data", "info"];

/// Written in two halves so that this file passes its own rule.
const LEFT_BEHIND: [&str; 6] = [
    concat!("to", "do!("),
    concat!("unim", "plemented!("),
    concat!("#[ig", "nore"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// Crate -> those of our crates it may depend on. `knurl-lab` is a black box around the product: it never links it. Tests of the product
/// may link `knurl-lab`, for the real servers it starts.
const CRATE_ARROWS: [(&str, &[&str]); 5] = [
    ("knurl-core", &[]),
    ("knurl-spool", &[]),
    ("knurl-store", &["knurl-core"]),
    ("knurl", &["knurl-core", "knurl-spool", "knurl-store"]),
    ("knurl-lab", &["knurl-core"]),
];

#[test]
fn the_modules_of_knurl_use_only_whom_the_table_allows() {
    let table = arrow_table(&read("knurl/src/lib.rs"));
    let modules: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(declared_modules(&read("knurl/src/lib.rs")), modules, "lib.rs declares and its table names the same modules");

    let src = crates_dir().join("knurl/src");
    let findings: Vec<String> =
        files(&src, "rs").iter().flat_map(|file| wrong_arrows(&table, file.strip_prefix(&src).unwrap(), &text_of(file))).collect();
    assert_none(&findings);
}

#[test]
fn the_crates_depend_only_on_whom_the_house_allows() {
    let findings: Vec<String> = CRATE_ARROWS
        .iter()
        .flat_map(|(name, allowed)| wrong_dependencies(name, allowed, &read(&format!("{name}/Cargo.toml"))))
        .collect();
    assert_none(&findings);
    let on_disk = fs::read_dir(crates_dir()).unwrap().count();
    assert_eq!(on_disk, CRATE_ARROWS.len(), "every crate has its row in CRATE_ARROWS");
}

#[test]
fn every_dependency_is_used_by_the_crate_that_names_it() {
    let unused = |name: &str| {
        let code: String = files(&crates_dir().join(name), "rs").iter().map(|file| code_only(&text_of(file))).collect();
        unused_dependencies(name, &read(&format!("{name}/Cargo.toml")), &code)
    };
    let findings: Vec<String> = CRATE_ARROWS.iter().flat_map(|(name, _)| unused(name)).collect();
    assert_none(&findings);
}

#[test]
fn every_source_file_opens_with_its_promise_and_stays_readable() {
    let sources = files(&crates_dir(), "rs");
    assert!(sources.len() > 40, "the walk found the sources");
    let findings: Vec<String> = sources.iter().flat_map(|file| wrong_shape(&shown(file), &text_of(file))).collect();
    assert_none(&findings);
}

#[test]
fn nothing_is_left_behind_for_later() {
    let all = ["rs", "sql", "toml"].iter().flat_map(|ext| files(&crates_dir(), ext));
    let findings: Vec<String> = all.flat_map(|file| left_behind(&shown(&file), &text_of(&file))).collect();
    assert_none(&findings);
}

#[test]
fn every_name_says_what_the_thing_is() {
    let findings: Vec<String> = files(&crates_dir(), "rs").iter().flat_map(|file| empty_names(file, &text_of(file))).collect();
    assert_none(&findings);
}

#[test]
fn every_sql_file_is_used() {
    let dir = crates_dir().join("knurl-store");
    let code: String = files(&dir, "rs").iter().map(|file| text_of(file)).collect();
    let sql = files(&dir, "sql");
    let findings: Vec<String> =
        sql.iter().filter(|file| !names_sql(&code, file)).map(|file| format!("{}: no source names it", shown(file))).collect();
    assert_none(&findings);
}

// -- The rules -------------------------------------------------------------------------------------------------------------------

/// The rows `module -> a, b::C` of the `text` block in lib.rs.
fn arrow_table(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! ")).filter_map(|line| line.split_once("->"));
    rows.map(|(from, to)| (from.trim().to_owned(), to.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()))
        .collect()
}

fn declared_modules(lib: &str) -> BTreeSet<String> {
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

fn wrong_arrows(table: &BTreeMap<String, BTreeSet<String>>, file: &Path, text: &str) -> Vec<String> {
    let module = module_path(file);
    let from = module.first().map_or("main", String::as_str);
    let mut findings = Vec::new();
    for path in crate_paths(&module, &code_only(text)) {
        let to = path[0].as_str();
        if to == from || !table.contains_key(to) {
            continue;
        }
        let part = path.iter().take(2).cloned().collect::<Vec<_>>().join("::");
        let fine = match table.get(from) {
            Some(allowed) => allowed.contains(to) || allowed.contains(&part),
            None => to == "cli",
        };
        if !fine {
            findings.push(format!("{}: {from} -> {part} is not in the table of lib.rs", file.display()));
        }
    }
    findings
}

/// `clicks/drain.rs` -> `[clicks, drain]`, `clicks/mod.rs` -> `[clicks]`, `main.rs` and `lib.rs` -> `[]`.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    path
}

/// Every path that starts at the crate's root, as `crate::…`, `knurl::…` or enough `super::`s, with `use` trees spread out.
fn crate_paths(module: &[String], code: &str) -> Vec<Vec<String>> {
    let up = "super::".repeat(module.len().max(1));
    let mut paths = Vec::new();
    for root in ["crate::", "knurl::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            spread(&mut code[at + root.len()..].chars().peekable(), &[], &mut paths);
        }
    }
    paths
}

/// Reads one path or `use` tree and pushes each of its leaves, cut at three names.
fn spread(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
    if rest.next_if_eq(&'{').is_some() {
        loop {
            spread(rest, prefix, paths);
            // Whatever follows a path inside the braces (`as x`) ends at the comma or the brace.
            while rest.next_if(|c| *c != ',' && *c != '}').is_some() {}
            if rest.next() != Some(',') {
                return;
            }
        }
    }
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if name.is_empty() {
        return;
    }
    let path = [prefix, &[name]].concat();
    let leaves_before = paths.len();
    if path.len() < 3 && rest.next_if_eq(&':').is_some() && rest.next_if_eq(&':').is_some() {
        spread(rest, &path, paths);
    }
    if paths.len() == leaves_before {
        paths.push(path);
    }
}

/// Without comments: a link in a doc comment is no arrow.
fn code_only(text: &str) -> String {
    let line = |line: &str| {
        if line.trim_start().starts_with("//") { String::new() } else { line.split(" // ").next().unwrap_or("").to_owned() }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn wrong_dependencies(name: &str, allowed: &[&str], manifest: &str) -> Vec<String> {
    let ours = |table: &str, tests_may: &[&str]| -> Vec<String> {
        let named = table.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        let ours = named.filter(|dep| *dep == "knurl" || dep.starts_with("knurl-"));
        // A crate may name itself: that is how its own tests switch a feature on.
        let wrong = ours.filter(|dep| *dep != name && !allowed.contains(dep) && !tests_may.contains(dep));
        wrong.map(|dep| format!("{name}: must not depend on {dep}")).collect()
    };
    let (product, tests) = manifest.split_once("[dev-dependencies]").unwrap_or((manifest, ""));
    [ours(product, &[]), ours(tests, &["knurl-lab"])].concat()
}

/// `quick_cache.workspace = true` asks for a `quick_cache::` (or `use quick_cache` with another name) somewhere.
fn unused_dependencies(name: &str, manifest: &str, code: &str) -> Vec<String> {
    let tables = manifest.split("\n[").filter(|table| table.starts_with("dependencies]") || table.starts_with("dev-dependencies]"));
    let named: BTreeSet<&str> = tables
        .flat_map(str::lines)
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|dep| dep.starts_with(char::is_alphabetic))
        .collect();
    let is_used = |dep: &str| {
        let dep = dep.replace('-', "_");
        code.contains(&format!("{dep}::")) || code.contains(&format!("use {dep} "))
    };
    let deps = named.into_iter().filter(|dep| !dep.ends_with("dependencies]") && *dep != name);
    deps.filter(|dep| !is_used(dep)).map(|dep| format!("{name}: nothing uses {dep}")).collect()
}

fn wrong_shape(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{file}: {lines} lines, the bound is {FILE_LINES_MAX}: it holds more than one noun"));
    }
    if !text.starts_with("//!") {
        findings.push(format!("{file}: does not open with //! and its promise"));
    }
    findings
}

fn left_behind(file: &str, text: &str) -> Vec<String> {
    let numbered = text.lines().enumerate();
    let found = numbered.filter_map(|(n, line)| LEFT_BEHIND.iter().find(|word| line.contains(*word)).map(|word| (n + 1, word)));
    found.map(|(line, word)| format!("{file}:{line}: {word} left behind")).collect()
}

fn empty_names(file: &Path, text: &str) -> Vec<String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = code_only(text).lines().filter_map(declared_name).chain([stem]).collect::<Vec<_>>();
    let empty = names.into_iter().filter(|name| words(name).iter().any(|word| BANNED_WORDS.contains(&word.as_str())));
    empty.map(|name| format!("{}: `{name}` says nothing; use the glossary's word", shown(file))).collect()
}

/// The name a line declares as a type or module. Associated types (`type Data = …` inside an `impl`) are the trait's choice, not ours.
fn declared_name(line: &str) -> Option<String> {
    let indented = line.starts_with(' ');
    let mut tokens = line.split_whitespace().skip_while(|t| t.starts_with("pub"));
    let kind = tokens.next()?;
    let declares = matches!(kind, "struct" | "enum" | "trait" | "union" | "mod") || (kind == "type" && !indented);
    if !declares {
        return None;
    }
    Some(tokens.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// `ClickLedger`, `click_ledger` -> `click`, `ledger`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// By its file name, or, where a macro adds the extension, by its stem in quotes.
fn names_sql(code: &str, file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    code.contains(&format!("{stem}.sql")) || code.contains(&format!("\"{stem}\""))
}

// -- The rules can fail ----------------------------------------------------------------------------------------------------------

#[test]
fn a_forbidden_arrow_is_found_however_it_is_written() {
    let table = arrow_table("//! app -> http, clicks\n//! clicks ->\n//! http -> clicks::Recorder\n//! resolve ->\n");
    let wrong = |file: &str, text: &str| wrong_arrows(&table, Path::new(file), text).len();

    assert_eq!(wrong("app/mod.rs", "use crate::{clicks::Clicks, http};"), 0);
    assert_eq!(wrong("clicks/mod.rs", "use crate::http::Front;"), 1);
    assert_eq!(wrong("clicks/drain.rs", "use crate::{clicks, http::{self, error::Error}};"), 2);
    assert_eq!(wrong("clicks/drain.rs", "fn f() { super::super::http::serve() }"), 1);
    assert_eq!(wrong("clicks/drain.rs", "use super::http_like;"), 0);
    assert_eq!(wrong("http/front.rs", "use crate::clicks::Recorder;"), 0);
    assert_eq!(wrong("http/front.rs", "use crate::clicks::{\n    Recorder,\n    drain::Drain,\n};"), 1);
    assert_eq!(wrong("http/front.rs", "//! [`crate::resolve`]\nfn f() {} // crate::resolve"), 0);
    assert_eq!(wrong("main.rs", "fn main() { knurl::cli::main() }"), 0);
    assert_eq!(wrong("main.rs", "fn main() { knurl::http::serve() }"), 1);
}

#[test]
fn a_forbidden_dependency_is_found() {
    let manifest = "[package]\nname = \"knurl-lab\"\n[dependencies]\nknurl-core.workspace = true\nknurl-store = { path = \"../knurl-store\" }\n";
    assert_eq!(wrong_dependencies("knurl-lab", &["knurl-core"], manifest), ["knurl-lab: must not depend on knurl-store"]);
    assert_eq!(unused_dependencies("knurl-lab", manifest, "use knurl_core::Link;"), ["knurl-lab: nothing uses knurl-store"]);
}

#[test]
fn a_bad_file_is_found() {
    assert_eq!(wrong_shape("a.rs", "//! Promise.\n"), Vec::<String>::new());
    assert_eq!(wrong_shape("a.rs", "fn f() {}\n").len(), 1);
    assert_eq!(wrong_shape("a.rs", &format!("//! Long.\n{}", "\n".repeat(FILE_LINES_MAX))).len(), 1);
    for word in LEFT_BEHIND {
        assert_eq!(left_behind("a.rs", &format!("fine\n    {word}later)\n")).len(), 1, "{word}");
    }
    for bad in ["pub struct LinkManager;", "mod util;", "pub(crate) enum ClickInfo {", "trait DataSource {}", "type Data = u8;"] {
        assert_eq!(empty_names(Path::new("a.rs"), bad).len(), 1, "{bad}");
    }
    for good in ["pub struct Database;", "    type Data = Bytes;", "/// struct Info", "fn info() {}", "pub struct Utility;"] {
        assert_eq!(empty_names(Path::new("a.rs"), good), Vec::<String>::new(), "{good}");
    }
    assert_eq!(empty_names(Path::new("src/helper.rs"), "").len(), 1);
    assert!(!names_sql("include_str!(\"links.sql\")", Path::new("sql/users.sql")));
    assert!(names_sql("include_str!(\"sql/users.sql\")", Path::new("sql/users.sql")));
}

// -- Reading ---------------------------------------------------------------------------------------------------------------------

fn crates_dir() -> PathBuf {
    root().join("crates")
}

fn read(path: &str) -> String {
    text_of(&crates_dir().join(path))
}
