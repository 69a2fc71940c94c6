//! The Helm chart, rendered and linted by Helm's own library, and what comes out judged. No cluster has seen it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use knurl_lab::leash;
use rstest::rstest;
use serde::Deserialize as _;
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What Helm says: `lint` and `manifests`, or `refused`.
fn helm(values: &Value) -> Value {
    let script = "source scripts/tools.sh; need_helm; exec \"$tools_dir/bin/python3\" scripts/render_chart.py deploy/helm/knurl";
    let mut bash = leash::command("bash");
    bash.args(["-euo", "pipefail", "-c", script]).current_dir(repository());
    bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = leash::spawn(bash).unwrap();
    child.stdin.take().unwrap().write_all(values.to_string().as_bytes()).unwrap();
    let [mut out, mut err] = [String::new(), String::new()];
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"))
}

/// Every object that a cluster would be given.
fn objects(values: &Value) -> Vec<Value> {
    let said = helm(values);
    assert_eq!(said["lint"], json!([]), "{said}");
    let manifests = said["manifests"].as_object().unwrap_or_else(|| panic!("{said}"));
    let texts = manifests.iter().filter(|(path, _)| path.ends_with(".yaml")).map(|(_, text)| text.as_str().unwrap());
    let documents = texts.flat_map(serde_yaml_ng::Deserializer::from_str);
    documents.map(|document| Value::deserialize(document).unwrap()).filter(|object| !object.is_null()).collect()
}

fn the<'a>(kind: &str, objects: &'a [Value]) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn fleet() -> Value {
    json!({ "baseUrl": "https://sho.rt", "secretName": "knurl", "trustedProxies": ["10.0.0.0/8"], "env": { "KNURL_LOG_LEVEL": "warn" } })
}

#[test]
fn a_fleet_is_nodes_without_rights_whose_secrets_are_files() {
    let objects = objects(&fleet());
    let nodes = the("StatefulSet", &objects);
    let pod = &nodes["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(nodes["spec"]["replicas"], 3);
    assert_eq!(container["image"], format!("ghcr.io/knurl/knurl:{}", env!("CARGO_PKG_VERSION")), "the version that this is");
    assert_eq!((&pod["securityContext"]["runAsNonRoot"], &pod["automountServiceAccountToken"]), (&true.into(), &false.into()));
    let confined =
        json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
    assert_eq!(container["securityContext"], confined);
    let env = container["env"].as_array().unwrap();
    let value = |name: &str| env.iter().find(|pair| pair["name"] == name).map(|pair| pair["value"].as_str().unwrap());
    assert_eq!(value("KNURL_DATABASE_URL_FILE"), Some("/run/secrets/knurl/database_url"));
    assert_eq!(value("KNURL_TRUSTED_PROXIES"), Some("10.0.0.0/8"));
    assert_eq!(value("KNURL_LOG_LEVEL"), Some("warn"));
    assert!(["KNURL_DATABASE_URL", "KNURL_REDIS_URL", "KNURL_ADMIN_KEY"].iter().all(|secret| value(secret).is_none()));
    let probes = [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")];
    for (probe, path) in probes {
        assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "metrics" }));
    }
    // http.ready_drain_ms (5 s), http.drain_timeout_ms (10 s), 5 s for closing, 2 s as a last resort.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= 22);
    let watchdog_s = 30;
    let liveness = &container["livenessProbe"];
    let patience = liveness["periodSeconds"].as_u64().unwrap() * liveness["failureThreshold"].as_u64().unwrap();
    assert!(patience > watchdog_s, "the watchdog inside, which leaves evidence, is the first");
    assert_eq!(the("PodDisruptionBudget", &objects)["spec"]["maxUnavailable"], 1);
    assert_eq!(nodes["spec"]["volumeClaimTemplates"][0]["metadata"]["name"], "data", "the spool outlives its pod");
}

#[test]
fn services_select_the_nodes_and_metrics_are_scraped_from_each_of_them() {
    let mut values = fleet();
    values["serviceMonitor"] = json!({ "enabled": true });
    let objects = objects(&values);
    let labels = the("StatefulSet", &objects)["spec"]["template"]["metadata"]["labels"].as_object().unwrap().clone();
    let services: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Service").collect();
    assert_eq!(services.len(), 2);
    for service in &services {
        let selector = service["spec"]["selector"].as_object().unwrap();
        assert!(selector.iter().all(|(name, value)| labels.get(name) == Some(value)), "{service}");
    }
    let monitor = the("ServiceMonitor", &objects);
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let watched: Vec<_> = services
        .iter()
        .filter(|service| wanted.iter().all(|(name, value)| service["metadata"]["labels"].get(name) == Some(value)))
        .collect();
    assert_eq!(watched.len(), 1, "each node is scraped once: {monitor}");
    assert_eq!(watched[0]["spec"]["clusterIP"], "None");
}

/// The files themselves, through a link: there is no second copy to forget.
#[test]
fn the_alerts_of_the_chart_are_those_of_the_rules_word_for_word() {
    let mut values = fleet();
    values["prometheusRule"] = json!({ "enabled": true });
    let objects = objects(&values);
    let groups = |value: &Value| value["groups"].as_array().unwrap().clone();
    let mut wanted = Vec::new();
    let rules = repository().join("deploy/prometheus/rules");
    let mut files: Vec<PathBuf> = std::fs::read_dir(rules).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        wanted.extend(groups(&serde_yaml_ng::from_str::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap()));
    }
    assert_eq!(groups(&the("PrometheusRule", &objects)["spec"]), wanted);
    assert!(wanted.len() > 3, "the rules were found");
}

#[test]
fn one_node_alone_needs_no_secret_and_no_budget() {
    let objects = objects(&json!({ "baseUrl": "http://localhost", "replicas": 1 }));
    let pod = &the("StatefulSet", &objects)["spec"]["template"]["spec"];
    assert!(pod["volumes"].is_null());
    assert!(objects.iter().all(|object| object["kind"] != "PodDisruptionBudget"), "it could never be drained");
}

#[rstest]
#[case::no_base_url(json!({ "secretName": "knurl" }), "baseUrl")]
#[case::a_base_url_with_a_path(json!({ "baseUrl": "https://sho.rt/" }), "baseUrl")]
#[case::several_on_sqlite(json!({ "baseUrl": "https://sho.rt" }), "more than one replica needs a PostgreSQL")]
#[case::a_secret_in_the_environment(json!({ "baseUrl": "https://sho.rt", "replicas": 1, "env": { "KNURL_ADMIN_KEY": "k" } }), "KNURL_ADMIN_KEY")]
#[case::a_tag_that_moves(json!({ "baseUrl": "https://sho.rt", "replicas": 1, "image": { "tag": "latest" } }), "tag")]
#[case::a_value_that_is_none(json!({ "baseUrl": "https://sho.rt", "replicas": 1, "repicas": 2 }), "repicas")]
fn values_that_cannot_be_meant_are_refused(#[case] values: Value, #[case] words: &str) {
    let said = helm(&values);
    assert!(said["refused"].as_str().is_some_and(|refused| refused.contains(words)), "{said}");
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = std::fs::read_to_string(repository().join("deploy/helm/knurl/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\n")) && chart.contains(&format!("\nappVersion: {version}\n")));
}
