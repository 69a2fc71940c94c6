//! An answer, taken apart, and what every failure must look like.

use knurl::http::error::{TABLE, TYPE_PREFIX};
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The request, for messages.
    asked: String,
    path: String,
    is_head: bool,
}

/// What no stranger may read.
const INTERNAL: [&str; 12] = [
    "rusqlite",
    "sqlite",
    "select ",
    "insert ",
    "update ",
    ".rs:",
    "panicked",
    "backtrace",
    "/src/",
    "/tmp/",
    "made to",
    "knurl.db",
];

impl Answer {
    pub(crate) fn parse(bytes: &[u8], method: &str, target: &str) -> Self {
        let asked = format!("{method} {}", &target[..target.floor_char_boundary(200)]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).unwrap_or_else(|error| panic!("{asked}: {error}: {bytes:?}"));
        let httparse::Status::Complete(end) = parsed else { panic!("{asked}: half an answer: {bytes:?}") };
        let header = |h: &httparse::Header<'_>| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned());
        Self {
            status: response.code.unwrap(),
            headers: response.headers.iter().map(header).collect(),
            body: bytes[end..].to_vec(),
            asked,
            path: target.split('?').next().unwrap_or_default().to_owned(),
            is_head: method == "HEAD",
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text()))
    }

    /// The body of an answer with this status.
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The ids of a list.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.is(200).as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }

    /// A failure with this code: every promise about failures is checked here.
    pub(crate) fn fails(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        let problem = self.problem();
        assert_eq!(problem["code"], code, "{}: {problem}", self.asked);
        problem
    }

    /// A failure because of this field or parameter.
    pub(crate) fn fails_for(&self, status: u16, code: &str, field: &str) -> Value {
        let problem = self.fails(status, code);
        let named = problem["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["field"] == field));
        assert!(named, "{}: {field} is not named in {problem}", self.asked);
        problem
    }

    pub(crate) fn problem(&self) -> Value {
        let at = &self.asked;
        assert!(self.status >= 400, "{at}: {} is no failure", self.status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{at}");
        let id = self.header("x-request-id").unwrap_or_else(|| panic!("{at}: no request id"));
        let entries: Vec<_> = TABLE.iter().filter(|entry| entry.status == self.status).collect();
        assert!(!entries.is_empty(), "{at}: status {} is not in the table", self.status);
        if self.status == 405 {
            assert!(self.header("allow").is_some_and(|allow| !allow.is_empty()), "{at}: no Allow");
        }
        if self.status == 401 {
            assert_eq!(self.header("www-authenticate"), Some("Bearer"), "{at}");
        }
        if [429, 503, 507].contains(&self.status) {
            assert!(self.header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok()), "{at}: no Retry-After");
        }
        if self.is_head {
            assert!(self.body.is_empty(), "{at}: a body to HEAD");
            return Value::Null;
        }
        let problem = self.json();
        let entry = entries.iter().find(|entry| problem["code"] == entry.code);
        let entry = entry.unwrap_or_else(|| panic!("{at}: code {} is not in the table", problem["code"]));
        assert_eq!(problem["type"], format!("{TYPE_PREFIX}{}", entry.code), "{at}");
        assert_eq!(problem["title"], entry.title, "{at}");
        assert_eq!(problem["status"], self.status, "{at}");
        assert_eq!(problem["request_id"], id, "{at}");
        assert_eq!(problem["error"], problem["detail"], "{at}");
        assert!(problem["error"].as_str().is_some_and(|sentence| sentence.ends_with('.')), "{at}: {problem}");
        let instance = problem["instance"].as_str().unwrap_or_else(|| panic!("{at}: no instance"));
        assert!(!instance.is_empty() && self.path.starts_with(instance), "{at}: instance {instance}");
        self.check_field_errors(&problem);
        self.check_nothing_internal(&problem);
        problem
    }

    fn check_field_errors(&self, problem: &Value) {
        let Some(errors) = problem.get("errors") else { return };
        let errors = errors.as_array().unwrap();
        assert!(!errors.is_empty(), "{}: an empty list of errors", self.asked);
        for error in errors {
            for part in ["field", "code", "message"] {
                assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{}: {part} of {error}", self.asked);
            }
        }
    }

    fn check_nothing_internal(&self, problem: &Value) {
        // The path is the client's own word.
        let mut said = problem.clone();
        said["instance"] = Value::Null;
        let said = said.to_string().to_lowercase();
        for word in INTERNAL {
            assert!(!said.contains(word), "{}: {word:?} leaks in {said}", self.asked);
        }
    }
}
