//! A script on one key, in one round trip: by its hash, and with its text where Redis does not know it (again).

use std::sync::LazyLock;

use redis::{Cmd, RedisError, Value};

use super::{connect::Live, is_unknown_script};

pub(super) struct Script {
    text: &'static str,
    hash: LazyLock<String>,
}

/// One argument.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Number(u64),
    Signed(i64),
    Bytes(&'a [u8]),
}

/// A script with its key and arguments.
pub(super) struct Run<'a> {
    pub(super) script: &'static Script,
    pub(super) key: &'a [u8],
    pub(super) args: &'a [Arg<'a>],
}

/// `script!(NAME, "file")`: a script about a record, on top of what all of these share.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: $crate::redis::script::Script = {
            const TEXT: &str = concat!(include_str!("lua/record.lua"), include_str!(concat!("lua/", $file, ".lua")));
            $crate::redis::script::Script::new(TEXT, || ::redis::Script::new(TEXT).get_hash().to_owned())
        };
    };
}

pub(super) use script;

impl Script {
    pub(super) const fn new(text: &'static str, hash: fn() -> String) -> Self {
        Self { text, hash: LazyLock::new(hash) }
    }
}

impl Run<'_> {
    pub(super) async fn on(&self, live: &Live) -> Result<Value, RedisError> {
        match live.ask(&self.command("EVALSHA", &self.script.hash)).await {
            Err(error) if is_unknown_script(&error) => live.ask(&self.command("EVAL", self.script.text)).await,
            answer => answer,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = Cmd::new();
        command.arg(name).arg(script).arg(1).arg(self.key);
        for arg in self.args {
            match arg {
                Arg::Number(number) => command.arg(number),
                Arg::Signed(number) => command.arg(number),
                Arg::Bytes(bytes) => command.arg(*bytes),
            };
        }
        command
    }
}
