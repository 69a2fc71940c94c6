//! The real servers come, stand still, die, come back and leave nothing behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use knurl_lab::servers::{Nginx, Postgres, PostgresSetup, Redis};

#[test]
fn postgres_answers_survives_a_kill_and_leaves_nothing() {
    let mut postgres = Postgres::start_with(&PostgresSetup { fsync: true, settings: vec!["work_mem=3MB".to_owned()] }).unwrap();
    postgres.sql("create table kept (n int); insert into kept values (7)").unwrap();
    assert_eq!(postgres.sql("show work_mem").unwrap(), "3MB");
    postgres.kill().unwrap();
    assert!(postgres.sql("select 1").is_err());
    postgres.start_again().unwrap();
    assert_eq!(postgres.sql("select n from kept").unwrap(), "7");
    postgres.stop().unwrap();
    postgres.start_again().unwrap();
    assert_eq!(postgres.database("other").unwrap().rsplit('/').next(), Some("other"));
    let dir = postgres.data_dir();
    drop(postgres);
    assert!(!dir.exists());
}

#[test]
fn two_servers_of_a_kind_do_not_meet() {
    let (one, two) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    one.sql("create table mine (n int)").unwrap();
    assert!(two.sql("select * from mine").is_err());
    assert!(one.sql("select nonsense").unwrap_err().to_string().contains("nonsense"));
}

/// One command on a connection of its own.
fn ask(port: u16, wait: Duration) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = vec![0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn redis_answers_stands_still_and_goes_on() {
    let mut redis = Redis::start_with(&["--maxmemory", "3mb"]).unwrap();
    assert_eq!(redis.command(&["config", "get", "maxmemory"]).unwrap(), "maxmemory\n3145728");
    redis.pause();
    assert!(ask(redis.port(), Duration::from_millis(100)).is_err());
    redis.resume();
    assert_eq!(ask(redis.port(), Duration::from_secs(30)).unwrap(), b"+PONG\r\n");
    redis.command(&["set", "a", "1"]).unwrap();
    redis.kill().unwrap();
    redis.start_again().unwrap();
    assert_eq!(redis.command(&["get", "a"]).unwrap(), "");
    redis.stop().unwrap();
    let dir = redis.dir().to_owned();
    drop(redis);
    assert!(!dir.exists());
}

#[test]
fn nginx_serves_what_it_is_told() {
    let config = |port: u16, dir: &Path| {
        let dir = dir.display();
        format!(
            "pid {dir}/nginx.pid; events {{}} http {{ access_log off; client_body_temp_path {dir}/body; server {{ listen 127.0.0.1:{port}; \
             return 418; }} }}"
        )
    };
    let mut nginx = Nginx::start(config).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.port())).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
    assert!(nginx.pid().is_some());
    nginx.stop().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", nginx.port())).is_err());
}

#[test]
fn a_configuration_it_does_not_take_is_an_error_with_its_words() {
    let error = Nginx::start(|_, _| "nonsense;".to_owned()).unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}
