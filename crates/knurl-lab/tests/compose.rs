//! The compose files and the image, without Docker: what every service has to have, and that what is mounted, named and pinned is there.
//! `make stack-test` runs them. Every rule is a pure function and is itself tested on a bad sample.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rstest::rstest;
use serde_json::{Map, Value};

const FILES: [&str; 2] = ["compose.yaml", "compose.prod.yaml"];

/// Where a secret would hide in an environment.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "key"];

/// A service with a name whose image others keep: `image:` and `build:` say the same program.
const OURS: &str = "knurl:";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text_of(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// As compose reads it: anchors followed, `<<` merged.
fn parsed(yaml: &str) -> Value {
    let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_str(yaml).unwrap();
    // One that is merged may itself merge another.
    for _ in 0..4 {
        value.apply_merge().unwrap();
    }
    serde_json::to_value(value).unwrap()
}

fn services(compose: &Value) -> &Map<String, Value> {
    compose["services"].as_object().unwrap()
}

fn each_service(compose: &Value, rule: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
    let of =
        |(name, service): (&String, &Value)| rule(service).into_iter().map(|word| format!("{name}: {word}")).collect::<Vec<_>>();
    services(compose).iter().flat_map(of).collect()
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key}={}", value.as_str().map_or(value.to_string(), str::to_owned))).collect()
        }
        _ => Vec::new(),
    }
}

// -- The rules -------------------------------------------------------------------------------------------------------------------

fn not_kept_alive(service: &Value) -> Vec<String> {
    let mut words = Vec::new();
    if !["always", "unless-stopped"].contains(&service["restart"].as_str().unwrap_or_default()) {
        words.push("is not restarted when it ends");
    }
    if service["healthcheck"]["test"].is_null() && service["labels"]["no-healthcheck"].as_str().is_none_or(str::is_empty) {
        words.push("has neither a health check nor a reason for none");
    }
    if service["stop_grace_period"].is_null() {
        words.push("does not say how long it may take to stop");
    }
    words.into_iter().map(str::to_owned).collect()
}

fn not_bounded(service: &Value) -> Vec<String> {
    let mut words: Vec<String> = ["mem_limit", "cpus", "pids_limit"]
        .iter()
        .filter(|limit| service[**limit].is_null())
        .map(|limit| format!("has no {limit}"))
        .collect();
    if service["logging"]["options"]["max-size"].is_null() {
        words.push("may fill the disk with its log".to_owned());
    }
    if !service["ulimits"].is_null() {
        words.push("has ulimits, which a daemon refuses above its own".to_owned());
    }
    words
}

fn not_confined(service: &Value) -> Vec<String> {
    let mut words = Vec::new();
    if service["read_only"] != true {
        words.push("may write its root");
    }
    if strings(&service["cap_drop"]) != ["ALL"] || !service["cap_add"].is_null() || service["privileged"] == true {
        words.push("has capabilities");
    }
    if !strings(&service["security_opt"]).contains(&"no-new-privileges:true".to_owned()) {
        words.push("may gain privileges");
    }
    if service["user"].as_str().is_none_or(|user| user.is_empty() || user.starts_with('0')) {
        words.push("runs as root");
    }
    if !service["network_mode"].is_null() || !service["pid"].is_null() {
        words.push("shares a namespace with the host");
    }
    words.into_iter().map(str::to_owned).collect()
}

/// `name:1.2.3`, and never a tag that is meant to move.
fn not_pinned(service: &Value) -> Vec<String> {
    let image = service["image"].as_str().unwrap_or_default();
    let (_, tag) = image.rsplit_once(':').unwrap_or((image, ""));
    let version = tag.trim_start_matches('v').split(['.', '-', '@']).next().unwrap_or_default();
    let is_pinned = version.parse::<u32>().is_ok() && tag.contains('.');
    if is_pinned { Vec::new() } else { vec![format!("{image} is not pinned")] }
}

/// A variable that is called like a secret names a file, or switches something on and off.
fn secrets_told(service: &Value) -> Vec<String> {
    strings(&service["environment"])
        .into_iter()
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            let lower = name.to_lowercase();
            let is_secret = SECRET_WORDS.iter().any(|word| lower.contains(word)) || value.contains("://") && value.contains('@');
            let names_a_file = ["_file", "_pass_file"].iter().any(|end| lower.ends_with(end)) && value.starts_with("/run/secrets/");
            (is_secret && !names_a_file).then(|| format!("{name} stands in the environment"))
        })
        .collect()
}

/// Every secret a variable or a command names is given to the service, and every one it is given is defined.
fn secrets_missing(compose: &Value) -> Vec<String> {
    let defined: BTreeSet<&String> = compose["secrets"].as_object().into_iter().flat_map(Map::keys).collect();
    each_service(compose, |service| {
        let given = strings(&service["secrets"]);
        let undefined = given.iter().filter(|name| !defined.contains(name)).map(|name| format!("the secret {name} is not defined"));
        let named =
            strings(&service["environment"]).into_iter().filter_map(|pair| Some(pair.split_once("/run/secrets/")?.1.to_owned()));
        let not_given = named.filter(|name| !given.contains(name)).map(|name| format!("the secret {name} is named and not given"));
        undefined.chain(not_given).collect()
    })
}

/// Files and directories of ours that are mounted, and volumes.
fn mounts_missing(compose: &Value, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let volumes: BTreeSet<&String> = compose["volumes"].as_object().into_iter().flat_map(Map::keys).collect();
    each_service(compose, |service| {
        let missing = |mount: &String| {
            let mut parts = mount.split(':');
            let (source, _target, mode) = (parts.next()?.to_owned(), parts.next()?, parts.next());
            match source.strip_prefix("./") {
                Some(path) if !exists(path) => Some(format!("{path} is mounted and does not exist")),
                Some(path) if mode != Some("ro") => Some(format!("{path} is mounted to be written")),
                Some(_) => None,
                None => (!volumes.contains(&source)).then(|| format!("the volume {source} is not defined")),
            }
        };
        strings(&service["volumes"]).iter().filter_map(missing).collect()
    })
}

/// Only this machine reaches what is published; whoever wants more says so.
fn published_to_all(service: &Value) -> Vec<String> {
    let ports = strings(&service["ports"]);
    ports
        .into_iter()
        .filter(|port| !port.starts_with("127.0.0.1:"))
        .map(|port| format!("{port} is published to everybody"))
        .collect()
}

/// `depends_on` waits for health, and for a service that has such a thing.
fn waits_for_nothing(compose: &Value) -> Vec<String> {
    each_service(compose, |service| {
        let Some(dependencies) = service["depends_on"].as_object() else {
            return if service["depends_on"].is_null() { Vec::new() } else { vec!["depends without a condition".to_owned()] };
        };
        let waits = |(name, how): (&String, &Value)| {
            let checked = !compose["services"][name]["healthcheck"].is_null();
            (how["condition"] != "service_healthy" || !checked).then(|| format!("does not wait until {name} is healthy"))
        };
        dependencies.iter().filter_map(waits).collect()
    })
}

fn findings(compose: &Value, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let rules = [not_kept_alive, not_bounded, not_confined, not_pinned, secrets_told, published_to_all];
    let mut findings: Vec<String> = rules.iter().flat_map(|rule| each_service(compose, rule)).collect();
    findings.extend(secrets_missing(compose));
    findings.extend(mounts_missing(compose, exists));
    findings.extend(waits_for_nothing(compose));
    findings
}

// -- The files -------------------------------------------------------------------------------------------------------------------

#[rstest]
fn every_service_is_kept_alive_bounded_confined_and_pinned(#[values("compose.yaml", "compose.prod.yaml")] file: &str) {
    let found = findings(&parsed(&text_of(file)), |path| repository().join(path).exists());
    assert!(found.is_empty(), "{file}:\n{}", found.join("\n"));
}

#[test]
fn the_fleet_is_three_nodes_alike_on_one_postgresql_and_one_redis_behind_nginx() {
    let compose = parsed(&text_of("compose.prod.yaml"));
    let nodes: Vec<(&String, &Value)> = services(&compose).iter().filter(|(name, _)| name.starts_with("knurl-")).collect();
    assert_eq!(nodes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["knurl-1", "knurl-2", "knurl-3"]);
    let mut volumes = BTreeSet::new();
    for (name, node) in &nodes {
        assert_eq!(node["environment"], nodes[0].1["environment"], "{name}");
        assert!(volumes.insert(node["volumes"].to_string()), "{name} shares a data directory");
    }
    // nginx knows the nodes by the addresses that they have.
    let address = |name: &str| compose["services"][name]["networks"]["house"]["ipv4_address"].as_str().unwrap().to_owned();
    let known = strings(&compose["services"]["nginx"]["extra_hosts"]);
    let wanted: Vec<String> = nodes.iter().map(|(name, _)| format!("{name}:{}", address(name))).collect();
    assert_eq!(known, wanted);
    let lines = text_of("deploy/compose/nodes.conf");
    let asked: Vec<&str> =
        lines.lines().filter_map(|line| line.strip_prefix("server ")?.split_once(":8080 ")).map(|(name, _)| name).collect();
    assert_eq!(asked, nodes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    assert_eq!(
        compose["services"]["knurl-1"]["environment"]["KNURL_TRUSTED_PROXIES"],
        address("nginx"),
        "and they believe nginx alone"
    );
    // With the passive health of production.
    let settings =
        |text: &str| text.lines().find_map(|line| Some(line.strip_prefix("server ")?.split_once(' ')?.1.to_owned())).unwrap();
    assert_eq!(settings(&lines), settings(&text_of("deploy/nginx/nodes.conf")));
}

#[test]
fn prometheus_scrapes_every_node_and_every_exporter() {
    let scraped = text_of("deploy/compose/prometheus.yml");
    let compose = parsed(&text_of("compose.prod.yaml"));
    for name in services(&compose).keys().filter(|name| name.starts_with("knurl-") || name.ends_with("-exporter")) {
        assert!(scraped.contains(&format!("{name}:9")), "{name} is not scraped");
    }
    assert!(scraped.contains("job_name: knurl\n"), "the job that the rules speak of");
    let command = compose["services"]["prometheus"]["command"].as_array().unwrap();
    assert!(command.contains(&"--enable-feature=exemplar-storage".into()), "the dashboards ask for exemplars: {command:?}");
}

#[test]
fn a_container_has_as_long_to_stop_as_knurl_may_take() {
    for file in FILES {
        let compose = parsed(&text_of(file));
        for (name, service) in services(&compose).iter().filter(|(_, service)| service["image"].as_str().unwrap().starts_with(OURS))
        {
            // http.ready_drain_ms (2 s in a fleet), http.drain_timeout_ms (10 s), 5 s for closing, 2 s as a last resort.
            assert_eq!(service["stop_grace_period"], "30s", "{file}: {name}");
            assert_eq!(service["healthcheck"]["test"], serde_json::json!(["CMD", "/knurl", "health"]), "{file}: {name}");
        }
    }
}

#[test]
fn the_image_is_knurls_version_static_without_rights_and_holds_nothing_else() {
    let version = env!("CARGO_PKG_VERSION");
    for file in FILES {
        assert!(text_of(file).contains(&format!("image: knurl:{version}\n")), "{file} names another version");
    }
    let dockerfile = text_of("Dockerfile");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    assert!(last.starts_with("scratch\n") && last.contains("\nUSER 65532:65532\n"), "{last}");
    assert!(last.contains(&format!("ARG VERSION={version}\n")) && last.contains("CMD [\"/knurl\", \"health\"]"), "{last}");
    assert!(!last.contains("\nRUN "), "nothing there could run it");
    assert!(dockerfile.contains("target-feature=+crt-static") && dockerfile.contains("cargo auditable build"));
    let pinned = text_of("scripts/tools.sh");
    let auditable = pinned.lines().find_map(|line| line.strip_prefix("auditable_version=")).unwrap();
    assert!(
        dockerfile.contains(&format!("cargo-auditable@{auditable}\n")),
        "the Dockerfile and scripts/tools.sh take the same one"
    );
    let manifest = text_of("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-")), "the Rust that the manifest asks for");
}

/// Secrets are made by a script: every one that the file names, each once.
#[test]
fn the_script_makes_the_secrets_that_the_fleet_wants() {
    let dir = tempfile::tempdir().unwrap();
    let made_in = dir.path().join("secrets");
    let run = || {
        let mut bash = knurl_lab::leash::command("bash");
        bash.arg("scripts/secrets.sh").arg(&made_in).current_dir(repository()).output().unwrap()
    };
    assert!(run().status.success());
    let compose = parsed(&text_of("compose.prod.yaml"));
    let wanted: BTreeSet<String> = compose["secrets"].as_object().unwrap().keys().cloned().collect();
    let made: BTreeSet<String> =
        fs::read_dir(&made_in).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(made, wanted);
    for (name, secret) in compose["secrets"].as_object().unwrap() {
        assert_eq!(secret["file"], format!("./deploy/secrets/{name}"));
    }
    let before = fs::read_to_string(made_in.join("database_url")).unwrap();
    let password = |of: &str| fs::read_to_string(made_in.join(of)).unwrap();
    assert!(before.contains(&password("postgres_knurl")) && password("postgres_knurl").len() >= 32);
    assert!(!before.contains(&password("postgres_password")), "nodes are not the superuser");
    assert_ne!(password("postgres_watch"), password("postgres_password"));
    assert!(!run().status.success(), "what is there is not made anew");
    assert_eq!(fs::read_to_string(made_in.join("database_url")).unwrap(), before);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&made_in).unwrap().permissions().mode() & 0o777, 0o700);
}

// -- The rules can fail ----------------------------------------------------------------------------------------------------------

const GOOD: &str = "
services:
  a: &a
    image: a:1.2.3
    restart: always
    user: '65532:65532'
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    mem_limit: 1m
    cpus: 1.0
    pids_limit: 9
    stop_grace_period: 5s
    logging: { driver: json-file, options: { max-size: 1m } }
    healthcheck: { test: [CMD, /a] }
    environment: { A_PASSWORD_FILE: /run/secrets/a, B: c }
    secrets: [a]
    volumes: ['./here:/there:ro', 'kept:/kept']
    ports: ['127.0.0.1:1:1']
  b:
    <<: *a
    depends_on: { a: { condition: service_healthy } }
volumes: { kept: {} }
secrets: { a: { file: ./a } }
";

#[test]
fn a_file_that_is_right_is_let_through() {
    assert_eq!(findings(&parsed(GOOD), |path| path == "here"), Vec::<String>::new());
}

#[rstest]
#[case("restart: always", "restart: 'no'", "is not restarted")]
#[case("healthcheck: { test: [CMD, /a] }", "tty: true", "neither a health check")]
#[case("stop_grace_period: 5s", "tty: true", "how long it may take to stop")]
#[case("mem_limit: 1m", "tty: true", "no mem_limit")]
#[case("cpus: 1.0", "tty: true", "no cpus")]
#[case("pids_limit: 9", "ulimits: { nofile: 9 }", "has ulimits")]
#[case("max-size: 1m", "max-file: 1", "with its log")]
#[case("read_only: true", "read_only: false", "may write its root")]
#[case("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "has capabilities")]
#[case("cap_drop: [ALL]", "cap_drop: [ALL]\n    cap_add: [NET_ADMIN]", "has capabilities")]
#[case("['no-new-privileges:true']", "[]", "may gain privileges")]
#[case("user: '65532:65532'", "user: '0:0'", "runs as root")]
#[case("user: '65532:65532'", "tty: true", "runs as root")]
#[case("image: a:1.2.3", "image: a:latest", "not pinned")]
#[case("image: a:1.2.3", "image: a", "not pinned")]
#[case("B: c", "A_PASSWORD: c", "A_PASSWORD stands in the environment")]
#[case("B: c", "URL: 'postgres://me:you@there/x'", "URL stands in the environment")]
#[case("B: c", "B_FILE: /run/secrets/b", "the secret b is named and not given")]
#[case("secrets: [a]", "secrets: [a, c]", "the secret c is not defined")]
#[case("./here:/there:ro", "./nowhere:/there:ro", "does not exist")]
#[case("./here:/there:ro", "./here:/there", "mounted to be written")]
#[case("kept:/kept", "lost:/kept", "the volume lost is not defined")]
#[case("127.0.0.1:1:1", "1:1", "published to everybody")]
#[case("condition: service_healthy", "condition: service_started", "does not wait")]
#[case("read_only: true", "read_only: true\n    network_mode: host", "shares a namespace")]
fn a_file_that_is_wrong_is_found_out(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
    assert!(GOOD.contains(from), "{from}");
    let found = findings(&parsed(&GOOD.replacen(from, to, 1)), |path| path == "here");
    assert!(found.iter().any(|finding| finding.contains(words)), "{words}: {found:?}");
}
