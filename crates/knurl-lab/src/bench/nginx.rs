//! nginx `return 302`: what a redirect costs at least.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::{BenchError, Rig, SERVER_CORE};
use crate::leash::{self, Leashed};

const READY_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Nginx {
    child: Leashed,
    pub(super) addr: SocketAddr,
}

fn config(dir: &Path, addr: SocketAddr, target: &str) -> String {
    let dir = dir.display();
    format!(
        "master_process off;\ndaemon off;\npid {dir}/nginx.pid;\nerror_log stderr warn;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n\
         \x20 fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n\
         \x20 server {{\n    listen {addr};\n    location / {{ return 302 {target}; }}\n  }}\n}}\n"
    )
}

impl Nginx {
    /// One process, which answers every path with a redirect to `target`.
    pub(super) fn start(rig: &Rig, target: &str) -> Result<Self, BenchError> {
        let dir = rig.dir.path().join("nginx");
        std::fs::create_dir_all(&dir)?;
        // Free now; on loopback nobody else takes it in between.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = dir.join("nginx.conf");
        std::fs::write(&file, config(&dir, addr, target))?;
        let mut command = if rig.two_cores {
            let mut taskset = leash::command("taskset");
            taskset.args(["-c", &SERVER_CORE.to_string(), "nginx"]);
            taskset
        } else {
            leash::command("nginx")
        };
        command.args(["-e", "stderr", "-p"]).arg(&dir).arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = leash::spawn(command).map_err(|error| BenchError::Run("nginx", error))?;
        let nginx = Self { child, addr };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(addr).is_err() {
            if Instant::now() > deadline {
                return Err(BenchError::Failed { what: "nginx", said: "it does not answer".to_owned() });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(nginx)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}
