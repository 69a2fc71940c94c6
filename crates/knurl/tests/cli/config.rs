//! Options and where they come from; what is wrong with one is said in one line and exit code 78.

use rstest::rstest;

use super::knurl::{Knurl, repository};

const CONFIG: i32 = 78;

#[test]
fn every_option_is_printed_with_its_value_and_its_source() {
    let knurl = Knurl::new().with("KNURL_LISTEN", "127.0.0.1:9999").with("KNURL_ADMIN_KEY", "a-secret-of-24-characters");
    let file = knurl.write(
        "knurl.toml",
        "auth = \"open\"\n[clicks]\nfsync_interval_ms = 7\n[links]\nown_hosts = [\"a.example\", \"b.example\"]\n",
    );
    let settings = knurl.json(&["config", "--config", &file, "--data-dir", "elsewhere"]);
    let of = |key: &str| {
        let setting = settings.as_array().unwrap().iter().find(|s| s["key"] == key).unwrap();
        (setting["value"].as_str().unwrap().to_owned(), setting["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("listen"), ("127.0.0.1:9999".into(), "KNURL_LISTEN".into()));
    assert_eq!(of("auth"), ("open".into(), "knurl.toml".into()));
    assert_eq!(of("clicks.fsync_interval_ms"), ("7".into(), "knurl.toml".into()));
    assert_eq!(of("links.own_hosts"), ("a.example,b.example".into(), "knurl.toml".into()));
    assert_eq!(of("data_dir"), ("elsewhere".into(), "--data-dir".into()));
    assert_eq!(of("http.idle_timeout_ms"), ("60000".into(), "default".into()));
    assert_eq!(of("admin_key"), ("…".into(), "KNURL_ADMIN_KEY".into()), "secrets are never printed");

    let text = knurl.ok(&["config"]);
    assert!(text.starts_with("OPTION") && text.contains("KNURL_LISTEN") && !text.contains("a-secret"), "{text}");
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let knurl = Knurl::new().with("KNURL_CONFIG", "knurl.toml").with("KNURL_DATA_DIR", "from-env");
    knurl.write("knurl.toml", "data_dir = \"from-file\"\nlisten = \"127.0.0.1:7777\"\n");
    let value = |args: &[&str], key: &str| {
        let settings = knurl.json(&[&["config"], args].concat());
        settings.as_array().unwrap().iter().find(|s| s["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value(&[], "listen"), "127.0.0.1:7777", "KNURL_CONFIG names the file");
    assert_eq!(value(&[], "data_dir"), "from-env");
    assert_eq!(value(&["--data-dir", "from-flag"], "data_dir"), "from-flag");
}

#[test]
fn the_default_file_is_printed_as_it_is_and_changes_nothing_when_loaded() {
    let knurl = Knurl::new();
    let default = knurl.ok(&["config", "--default"]);
    assert_eq!(default, std::fs::read_to_string(repository().join("config/default.toml")).unwrap());
    let file = knurl.write("mine.toml", default);
    let values = |args: &[&str]| {
        let settings = knurl.json(&[&["config"], args].concat());
        settings.as_array().unwrap().iter().map(|s| (s["key"].to_string(), s["value"].to_string())).collect::<Vec<_>>()
    };
    assert_eq!(values(&["--config", &file]), values(&[]));
}

#[rstest]
#[case::unknown("KNURL_LISTE", "127.0.0.1:1", "unknown option `KNURL_LISTE`; did you mean `KNURL_LISTEN`?")]
#[case::no_address("KNURL_LISTEN", "localhost", "KNURL_LISTEN: `listen` cannot be \"localhost\"; allowed: ADDRESS:PORT")]
#[case::no_word("KNURL_AUTH", "none", "`auth` cannot be \"none\"; allowed: `required` or `open`")]
#[case::no_number("KNURL_STORE_READERS", "many", "`store.readers` cannot be \"many\"; allowed: Number, 1 to 64")]
#[case::out_of_range("KNURL_STORE_READERS", "65", "allowed: Number, 1 to 64")]
#[case::below_range("KNURL_WATCHDOG_STUCK_AFTER_MS", "5", "allowed: Milliseconds, 0, or 1000 to 600000")]
#[case::no_block("KNURL_TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/33", "`trusted_proxies` cannot be \"10.0.0.0/8,10.0.0.0/33\"")]
#[case::no_base("KNURL_BASE_URL", "ftp://sho.rt", "`base_url` cannot be")]
#[case::no_alphabet("KNURL_LINKS_CODE_ALPHABET", "aab", "`links.code_alphabet` cannot be \"aab\"")]
#[case::no_level("KNURL_LOG_LEVEL", "loud=quiet", "`log.level` cannot be")]
#[case::short_secret("KNURL_ADMIN_KEY", "hunter2", "`admin_key` cannot be …; allowed: 16 to 256 visible ASCII characters")]
#[case::postgres("KNURL_DATABASE_URL", "postgres://u:p@h/db?surprise=u:p@h", "`database_url`: is not well-formed")]
#[case::other("KNURL_DATABASE_URL", "mysql://u:p@h/db", "`database_url`: names neither a SQLite file")]
#[case::redis("KNURL_REDIS_URL", "redis://u:p@h/x", "`redis_url` cannot be …; allowed: A Redis URL")]
#[case::redis_of_the_seed("REDIS_URL", "http://u:p@h/", "REDIS_URL: `redis_url` cannot be …")]
#[case::redis_prefix("KNURL_REDIS_PREFIX", "{a}", "`redis.prefix` cannot be \"{a}\"")]
#[case::no_secret_file("KNURL_ADMIN_KEY_FILE", "absent", "cannot read absent (named by KNURL_ADMIN_KEY_FILE)")]
#[case::no_file_for_others("KNURL_LISTEN_FILE", "x", "unknown option `KNURL_LISTEN_FILE`")]
#[case::no_config("KNURL_CONFIG", "absent.toml", "cannot read absent.toml")]
fn a_wrong_variable_is_one_line_and_exit_code_78(#[case] name: &str, #[case] value: &str, #[case] said: &str) {
    for command in [&["config"][..], &["link", "list"], &["serve"]] {
        let line = Knurl::new().with(name, value).fails(CONFIG, command);
        assert!(line.contains(said), "{line}");
        assert!(!line.contains("hunter2") && !line.contains("u:p@h"), "no secret is repeated: {line}");
    }
}

#[rstest]
#[case::unknown("lisen = \"127.0.0.1:1\"", "knurl.toml: unknown option `lisen`; did you mean `listen`?")]
#[case::wrong_section("[http]\nlisten = \"127.0.0.1:1\"", "unknown option `http.listen`; did you mean `listen`?")]
#[case::unknown_section("[server]\nport = 1", "unknown option `server.port`")]
#[case::deep("[http.deep]\nx = 1", "unknown option `http.deep`")]
#[case::wrong_type("listen = 1.5", "knurl.toml: `listen` cannot be a float")]
#[case::number_for_a_path("data_dir = 5", "knurl.toml: `data_dir` cannot be a number without quotes; allowed: ")]
#[case::number_for_a_database("database_url = 5", "`database_url` cannot be a number without quotes")]
#[case::number_for_a_secret("admin_key = 1234567890123456", "`admin_key` cannot be a number without quotes")]
#[case::flag_for_a_prefix("[redis]\nprefix = true", "`redis.prefix` cannot be true or false without quotes")]
#[case::number_for_a_list("[links]\ntarget_schemes = 5", "`links.target_schemes` cannot be a number without quotes")]
#[case::list_for_a_path("data_dir = [\"a\"]", "`data_dir` cannot be an array")]
#[case::wrong_list("trusted_proxies = [1]", "knurl.toml: `trusted_proxies` cannot be an array")]
#[case::negative("[store]\nreaders = -1", "`store.readers` cannot be \"-1\"")]
#[case::no_toml("auth = \"open\"\nlisten =", "cannot read knurl.toml: line 2")]
#[case::twice("auth = \"open\"\nauth = \"open\"", "cannot read knurl.toml: line 2")]
fn a_wrong_line_of_the_file_is_one_line_and_exit_code_78(#[case] text: &str, #[case] said: &str) {
    let knurl = Knurl::new();
    let file = knurl.write("knurl.toml", text);
    let line = knurl.fails(CONFIG, &["config", "--config", &file]);
    assert!(line.contains(said), "{line}");
}

#[test]
fn a_secret_can_come_from_a_file_but_not_from_two_places() {
    let knurl = Knurl::new().with("KNURL_ADMIN_KEY_FILE", "key");
    knurl.write("key", "a-secret-of-24-characters\n");
    let settings = knurl.json(&["config"]);
    let setting = settings.as_array().unwrap().iter().find(|s| s["key"] == "admin_key").unwrap();
    assert_eq!((setting["value"].as_str(), setting["source"].as_str()), (Some("…"), Some("KNURL_ADMIN_KEY_FILE")));
    let both = knurl.with("KNURL_ADMIN_KEY", "a-secret-of-24-characters");
    assert!(both.fails(CONFIG, &["config"]).contains("is set too; set one of them"));
}

#[test]
fn the_seeds_own_variables_and_a_dot_env_file_break_nothing() {
    let knurl = Knurl::new().with("DATABASE_HOST", "db").with("REDIS_URL", "redis://cache");
    knurl.write(".env", "KNURL_LISTEN=nonsense\n");
    let ran = knurl.run(&["config"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("DATABASE_HOST set but not used: DATABASE_HOST, DATABASE_NAME and DATABASE_USER together"), "{ran:?}");
    let settings = knurl.json(&["config"]);
    let setting = settings.as_array().unwrap().iter().find(|s| s["key"] == "redis_url").unwrap();
    assert_eq!((setting["value"].as_str(), setting["source"].as_str()), (Some("…"), Some("REDIS_URL")));
}

#[test]
fn a_database_url_may_name_a_sqlite_file() {
    for url in ["sqlite:here/links.db", "sqlite://here/links.db", "here/links.db"] {
        let knurl = Knurl::new().with("KNURL_DATABASE_URL", url);
        knurl.ok(&["link", "create", "https://example.com/"]);
        assert!(knurl.path("here/links.db").exists(), "{url}");
    }
}

#[test]
fn without_keys_only_this_machine_is_served() {
    let line = Knurl::new().fails(CONFIG, &["serve", "--open", "--listen", "0.0.0.0:0"]);
    assert!(line.contains("--open-anyway"), "{line}");
}

#[test]
fn the_defaults_are_json_where_json_is_asked_for() {
    let knurl = Knurl::new().with("KNURL_AUTH", "open");
    let defaults = knurl.json(&["config", "--default"]);
    let of = |key: &str| defaults.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone();
    assert_eq!(
        (&of("auth")["value"], &of("auth")["source"], &of("auth")["env"]),
        (&"required".into(), &"default".into(), &"KNURL_AUTH".into())
    );
    assert!(knurl.ok(&["config", "--default"]).starts_with('#'), "and the file of defaults where it is not");
}

#[test]
fn a_failure_under_json_is_an_object_with_a_code_and_a_message() {
    let cases: [(i32, &str, &str, &[&str]); 6] = [
        (1, "failed", "there is no database", &["link", "list"]),
        (2, "usage", "scheme is not allowed", &["link", "create", "ftp://example.com/"]),
        (2, "usage", "unexpected argument '--wrong'", &["link", "list", "--wrong"]),
        (2, "usage", "required arguments were not provided", &["link", "create"]),
        (2, "usage", "requires a subcommand", &[]),
        (78, "configuration", "nosuch.toml", &["config", "--config", "nosuch.toml"]),
    ];
    for (exit_code, code, message, args) in cases {
        let said = Knurl::new().fails(exit_code, &[&["--json"], args].concat());
        let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"));
        assert_eq!((&told["error"]["code"], &told["exit_code"]), (&code.into(), &exit_code.into()), "{args:?}: {said}");
        assert!(told["error"]["message"].as_str().unwrap().contains(message), "{args:?}: {said}");
    }
}
