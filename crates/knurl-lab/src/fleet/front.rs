//! nginx in front of nodes, with the very files of `deploy/nginx/`: only ports and paths are other ones.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::servers::{self, Nginx, ServerError};

/// The site's own file, which [`site`] puts onto loopback.
const SITE: &str = include_str!("../../../../deploy/nginx/nginx.conf");
const NODES: &str = include_str!("../../../../deploy/nginx/nodes.conf");

/// Instead of a port, which would have to be found.
const STATUS: &str = "status.sock";

/// What is used as it is.
const SHARED: [(&str, &str); 5] = [
    ("http.conf", include_str!("../../../../deploy/nginx/knurl/http.conf")),
    ("server.conf", include_str!("../../../../deploy/nginx/knurl/server.conf")),
    ("errors.conf", include_str!("../../../../deploy/nginx/knurl/errors.conf")),
    ("proxy.conf", include_str!("../../../../deploy/nginx/knurl/proxy.conf")),
    ("upload.conf", include_str!("../../../../deploy/nginx/knurl/upload.conf")),
];

/// Where a certificate is, for a listener with TLS beside the plain one.
#[derive(Clone, Debug)]
pub struct Tls {
    pub port: u16,
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// How the front differs from production.
#[derive(Clone, Debug, Default)]
pub struct FrontSetup {
    /// 0: any free one.
    pub port: u16,
    pub tls: Option<Tls>,
    /// Settings of the shared files that are replaced, `("client_header_timeout 8s", "client_header_timeout 300ms")`: for tests that wait
    /// for a deadline.
    pub instead: Vec<(&'static str, &'static str)>,
}

/// Starts it. `nodes` need not be there yet.
pub fn start(nodes: &[SocketAddr], setup: &FrontSetup) -> servers::Result<Nginx> {
    Nginx::start_on(setup.port, |port, dir| {
        lay_out(dir, nodes, setup)?;
        Ok(site(port, dir, setup.tls.as_ref()))
    })
}

/// Its status page, as an exporter is told of it.
pub fn status(nginx: &Nginx) -> String {
    format!("unix:{}:/stub_status", nginx.dir().join(STATUS).display())
}

/// Where every request leaves its line.
pub fn access_log(nginx: &Nginx) -> PathBuf {
    nginx.dir().join("knurl.log")
}

/// Requests that a second node got after the first one may have had them: it had a connection, and no answer came.
pub fn sent_twice(nginx: &Nginx) -> io::Result<u64> {
    let log = fs::read_to_string(access_log(nginx))?;
    let twice = log.lines().filter(|line| {
        let connected = line.split_once("\"node_connect_s\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
        let tries: Vec<&str> = connected.split(',').map(str::trim).collect();
        tries.split_last().is_some_and(|(_, before)| before.iter().any(|time| *time != "-"))
    });
    Ok(twice.count() as u64)
}

fn lay_out(dir: &Path, nodes: &[SocketAddr], setup: &FrontSetup) -> servers::Result<()> {
    let shared = dir.join("knurl");
    fs::create_dir_all(&shared)?;
    let mut missing: Vec<&str> = setup.instead.iter().map(|(from, _)| *from).collect();
    for (name, text) in SHARED {
        let mut text = text.to_owned();
        for (from, to) in &setup.instead {
            if text.contains(from) {
                missing.retain(|other| other != from);
                text = text.replace(from, to);
            }
        }
        fs::write(shared.join(name), text)?;
    }
    if !missing.is_empty() {
        return Err(ServerError::Io(io::Error::other(format!("deploy/nginx has no {missing:?}"))));
    }
    Ok(fs::write(dir.join("nodes.conf"), node_lines(nodes))?)
}

/// The file's own first line, once for each node.
fn node_lines(nodes: &[SocketAddr]) -> String {
    let line = NODES.lines().find_map(|line| line.strip_prefix("server ")?.split_once(' ')).map_or("", |(_, settings)| settings);
    nodes.iter().map(|node| format!("server {node} {line}\n")).collect()
}

/// `deploy/nginx/nginx.conf` on loopback, with everything it writes below `dir`.
fn site(port: u16, dir: &Path, tls: Option<&Tls>) -> String {
    let dir = dir.display();
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n")).concat();
    let line = |line: &str| -> Option<String> {
        let setting = line.trim_start();
        if setting.starts_with("user ") {
            return None;
        }
        if setting.starts_with("listen 443 ") || setting.starts_with("ssl_") {
            let tls = tls?;
            let placed = line
                .replace("listen 443 ", &format!("listen 127.0.0.1:{} ", tls.port))
                .replace("/etc/nginx/tls/chain.pem", &tls.chain.display().to_string())
                .replace("/etc/nginx/tls/key.pem", &tls.key.display().to_string());
            return Some(placed + "\n");
        }
        let placed = line
            .replace("/run/nginx.pid", &format!("{dir}/nginx.pid"))
            .replace("/var/log/nginx/", &format!("{dir}/"))
            .replace("listen 80 ", &format!("listen 127.0.0.1:{port} "))
            .replace("listen 127.0.0.1:8081;", &format!("listen unix:{dir}/{STATUS};"));
        let more = if setting == "http {" { temporary.as_str() } else { "" };
        Some(format!("{placed}\n{more}"))
    };
    SITE.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::http::{Connection, Request};

    #[test]
    fn only_ports_and_paths_are_other_ones() {
        let here = site(4711, Path::new("/tmp/here"), None);
        assert!(
            here.contains("listen 127.0.0.1:4711 default_server") && here.contains("access_log /tmp/here/knurl.log knurl;"),
            "{here}"
        );
        let said = || here.lines().filter(|line| !line.trim_start().starts_with('#'));
        for gone in ["/run/", "/var/", "/etc/", "443", "8081", "www-data"] {
            assert!(said().all(|line| !line.contains(gone)), "{gone}: {here}");
        }
        let kept = |text: &str| text.lines().filter(|line| line.contains("include ") || line.contains("worker")).count();
        assert_eq!(kept(&here), kept(SITE));
    }

    #[test]
    fn who_asks_is_written_down_where_somebody_takes_two_signs_away() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let nginx = Nginx::start_on(0, |port, dir| {
            lay_out(dir, &[nobody], &FrontSetup::default())?;
            let site = site(port, dir, None);
            assert_eq!(site.matches("#log_format who").count() + site.matches("#access_log ").count(), 2);
            Ok(site.replace("#log_format", "log_format").replace("#access_log", "access_log"))
        })
        .unwrap();
        let front = SocketAddr::from(([127, 0, 0, 1], nginx.port()));
        let answer = Connection::open(front).unwrap().ask(&Request::get("/abcdefg")).unwrap();
        let log = || fs::read_to_string(nginx.dir().join("who.log")).unwrap();
        // Written when the answer has left.
        let begun = Instant::now();
        while log().is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(log(), format!("127.0.0.1 {}\n", answer.status));
    }

    #[test]
    fn nodes_have_the_passive_health_of_production() {
        let lines = node_lines(&["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        assert_eq!(lines, "server 127.0.0.1:1 max_fails=2 fail_timeout=2s;\nserver 127.0.0.1:2 max_fails=2 fail_timeout=2s;\n");
    }

    #[test]
    fn a_node_takes_its_leave_for_longer_than_nginx_keeps_connections_to_it_and_a_roll_waits_for_longer_than_it_is_shunned() {
        let (_, upstream) = SHARED[0].1.split_once("upstream knurl {").unwrap();
        let seconds = |text: &str, name: &str| -> u64 {
            let (_, value) = text.split_once(name).unwrap();
            value.split_once('s').unwrap().0.trim().parse().unwrap()
        };
        assert!(crate::fleet::READY_DRAIN_MS > 1_000 * seconds(upstream, "keepalive_timeout"));
        assert!(crate::fleet::ROLL_PAUSE.as_millis() as u64 > 1_000 * seconds(NODES.lines().last().unwrap(), "fail_timeout="));
    }
}
