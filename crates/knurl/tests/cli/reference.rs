//! The reference pages are what the program says of itself.

use super::knurl::{Knurl, repository};

fn assert_page_is_current(page: &str) {
    let file = repository().join(format!("docs/reference/{page}.md"));
    let written = std::fs::read_to_string(&file).unwrap();
    let said = Knurl::new().ok(&["reference", page]);
    assert!(
        written == said,
        "docs/reference/{page}.md is out of date: `cargo run -p knurl -- reference {page} > docs/reference/{page}.md`"
    );
}

#[test]
fn the_command_line_reference_is_the_programs_own_help() {
    assert_page_is_current("cli");
}

#[test]
fn the_configuration_reference_is_the_manual_in_default_toml() {
    assert_page_is_current("configuration");
}

#[test]
fn the_metrics_reference_is_the_programs_own_table() {
    assert_page_is_current("metrics");
}

#[test]
fn every_command_is_in_the_reference() {
    let page = std::fs::read_to_string(repository().join("docs/reference/cli.md")).unwrap();
    for command in
        ["serve", "link stats", "user delete", "key revoke", "import", "export", "backup", "restore", "doctor", "audit", "config"]
    {
        assert!(page.contains(&format!("\n## `knurl {command}`\n")), "{command}");
    }
}
