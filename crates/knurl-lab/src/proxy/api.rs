//! Toxiproxy's HTTP API over [`Proxies`]: `/version`, `/proxies`, `/proxies/{name}`, `/proxies/{name}/toxics`, `/reset`, `/populate`.
//!
//! Promised: a request is answered, be it with an error in Toxiproxy's shape (`{"error","status"}`), and the connection closed. It listens on
//! the loopback only and asks for no key.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use super::{Proxies, Proxy, ProxyError, Toxic, Wish};
use crate::responder::{self, Asked, Responder};

/// The API of a set of proxies. Dropped, it answers no more; the proxies go on.
#[derive(Debug)]
pub struct Api(Responder);

impl Api {
    pub fn start(listen: SocketAddr, proxies: Arc<Proxies>) -> Result<Self, ProxyError> {
        if !listen.ip().is_loopback() {
            return Err(ProxyError::NotLoopback(listen));
        }
        let answer = move |asked| {
            whole(match asked {
                Ok(asked) => answer(&asked, &proxies).unwrap_or_else(Into::into),
                Err(error) => refuse(400, &std::io::Error::to_string(&error)),
            })
        };
        Ok(Self(Responder::start(listen, "proxy-api", answer)?))
    }

    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Until it is dropped elsewhere, which is never where it is owned here.
    pub fn wait(self) {
        self.0.wait();
    }
}

fn whole(answer: Answer) -> responder::Answer {
    let body = answer.body.map(|body| body.to_string()).unwrap_or_default();
    responder::Answer { status: answer.status, content_type: "application/json", body }
}

struct Answer {
    status: u16,
    body: Option<Value>,
}

fn say(status: u16, body: Value) -> Answer {
    Answer { status, body: Some(body) }
}

fn refuse(status: u16, error: &str) -> Answer {
    say(status, json!({ "error": error, "status": status }))
}

impl From<ProxyError> for Answer {
    fn from(error: ProxyError) -> Self {
        let status = match error {
            ProxyError::ToxicExists | ProxyError::ProxyExists => 409,
            ProxyError::Io(_) => 500,
            _ => 400,
        };
        refuse(status, &error.to_string())
    }
}

fn answer(asked: &Asked, proxies: &Proxies) -> Result<Answer, Answer> {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => Ok(say(200, json!({ "version": env!("CARGO_PKG_VERSION") }))),
        ("GET", ["proxies"]) => {
            let all: serde_json::Map<_, _> = proxies.all().iter().map(|proxy| (proxy.name().to_owned(), shown(proxy))).collect();
            Ok(say(200, Value::Object(all)))
        }
        ("POST", ["proxies"]) => Ok(say(201, shown(&*create(&parse(&asked.body)?, proxies)?))),
        ("POST", ["populate"]) => populate(&parse::<Vec<Wish>>(&asked.body)?, proxies),
        ("POST", ["reset"]) => {
            proxies.reset()?;
            Ok(Answer { status: 204, body: None })
        }
        (method, ["proxies", name, rest @ ..]) => {
            let proxy = proxies.get(name).ok_or_else(|| refuse(404, "proxy not found"))?;
            match (method, rest) {
                ("GET", []) => Ok(say(200, shown(&proxy))),
                ("POST" | "PATCH", []) => {
                    Proxies::change(&proxy, &parse(&asked.body)?)?;
                    Ok(say(200, shown(&proxy)))
                }
                ("DELETE", []) => {
                    proxies.remove(name);
                    Ok(Answer { status: 204, body: None })
                }
                (method, ["toxics", rest @ ..]) => toxics(method, rest, &asked.body, &proxy),
                _ => Err(refuse(405, "method not allowed")),
            }
        }
        _ => Err(refuse(404, "not found")),
    }
}

fn toxics(method: &str, rest: &[&str], body: &[u8], proxy: &Proxy) -> Result<Answer, Answer> {
    let missing = || refuse(404, "toxic not found");
    match (method, rest) {
        ("GET", []) => Ok(say(200, json!(proxy.toxics()))),
        ("POST", []) => Ok(say(200, json!(proxy.add(toxic(body, None)?)?))),
        ("GET", [name]) => Ok(say(200, json!(proxy.toxics().into_iter().find(|toxic| toxic.name == *name).ok_or_else(missing)?))),
        ("POST" | "PATCH", [name]) => {
            let old = proxy.toxics().into_iter().find(|toxic| toxic.name == *name).ok_or_else(missing)?;
            Ok(say(200, json!(proxy.replace(name, toxic(body, Some(&old))?)?.ok_or_else(missing)?)))
        }
        ("DELETE", [name]) if proxy.remove(name) => Ok(Answer { status: 204, body: None }),
        ("DELETE", [_]) => Err(missing()),
        _ => Err(refuse(405, "method not allowed")),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| refuse(400, &format!("bad request body: {error}")))
}

/// An update may name some attributes only: the others stay.
fn toxic(body: &[u8], old: Option<&Toxic>) -> Result<Toxic, Answer> {
    let asked: Value = parse(body)?;
    let mut whole = old.map_or_else(|| json!({ "attributes": {} }), |old| json!(old));
    let asked = asked.as_object().ok_or_else(|| refuse(400, "bad request body: not an object"))?;
    for (key, value) in asked {
        match (whole[key].as_object_mut(), value.as_object()) {
            (Some(old), Some(new)) => old.extend(new.clone()),
            _ => whole[key] = value.clone(),
        }
    }
    serde_json::from_value(whole).map_err(|error| refuse(400, &format!("bad request body: {error}")))
}

fn create(wish: &Wish, proxies: &Proxies) -> Result<Arc<Proxy>, Answer> {
    let upstream = wish.upstream.ok_or_else(|| refuse(400, "missing required field: upstream"))?;
    Ok(proxies.create(wish, upstream)?)
}

/// Those that exist as wished stay, with their connections.
fn populate(wishes: &[Wish], proxies: &Proxies) -> Result<Answer, Answer> {
    let mut made = Vec::new();
    for wish in wishes {
        let proxy = match proxies.get(&wish.name) {
            Some(proxy) if wish.listen.is_none_or(|listen| listen == proxy.addr()) => {
                Proxies::change(&proxy, &Wish { enabled: wish.enabled.or(Some(true)), ..wish.clone() })?;
                proxy
            }
            _ => {
                proxies.remove(&wish.name);
                create(wish, proxies)?
            }
        };
        made.push(shown(&proxy));
    }
    Ok(say(201, json!({ "proxies": made })))
}

fn shown(proxy: &Proxy) -> Value {
    json!({
        "name": proxy.name(),
        "listen": proxy.addr(),
        "upstream": proxy.upstream(),
        "enabled": proxy.is_enabled(),
        "toxics": proxy.toxics(),
    })
}
