//! The table of stable error codes: the code is the promise, the sentence may be reworded.
//!
//! `docs/reference/errors.md` lists the same rows; a test reads both.

use http::StatusCode;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// What a stranger reads where nothing more exact is known.
    pub sentence: &'static str,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Entry {
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:literal, $title:literal, $sentence:literal, $retry:expr;)*) => {
        /// Why a request failed. Never renamed, never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($variant),* }

        /// Every code there is, in the order of [`Code`].
        pub const TABLE: &[Entry] = &[
            $(Entry { code: $code, status: $status, title: $title, sentence: $sentence, retry_after_s: $retry }),*
        ];
    };
}

codes! {
    BadRequest = "bad_request", 400, "Bad request", "The request could not be understood.", None;
    EmptyBody = "empty_body", 400, "Empty body", "The body is empty; send a JSON object.", None;
    MalformedJson = "malformed_json", 400, "Malformed JSON", "The body is not valid JSON.", None;
    NotAnObject = "not_an_object", 400, "Not a JSON object", "The body must be a JSON object.", None;
    InvalidField = "invalid_field", 400, "Invalid field", "A field of the body is missing or wrong.", None;
    NoKnownField = "no_known_field", 400, "Nothing to change", "The body names no field that can be changed.", None;
    InvalidParameter = "invalid_parameter", 400, "Invalid parameter", "A parameter of the query is wrong.", None;
    InvalidFile = "invalid_file", 400, "Invalid file", "The file could not be read as CSV with the expected columns.", None;
    Unauthorized = "unauthorized", 401, "Key needed", "Send a valid key as 'Authorization: Bearer <key>'.", None;
    UnknownPath = "unknown_path", 404, "Unknown path", "There is nothing at this path.", None;
    LinkNotFound = "link_not_found", 404, "Link not found", "There is no such short link.", None;
    UserNotFound = "user_not_found", 404, "User not found", "There is no such user.", None;
    EventNotFound = "event_not_found", 404, "Event not found", "There is no such event.", None;
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed", "This path does not answer to this method; see the Allow header.", None;
    BodyTimeout = "body_timeout", 408, "Body too slow", "The body did not arrive in time.", None;
    ShortCodeTaken = "short_code_taken", 409, "Short code taken", "This short code is taken.", None;
    UsernameTaken = "username_taken", 409, "Username taken", "This username is taken.", None;
    EmailTaken = "email_taken", 409, "E-mail address taken", "This e-mail address is taken.", None;
    IdempotencyInFlight = "idempotency_in_flight", 409, "Being worked on", "A request with this Idempotency-Key is being worked on; try again shortly.", Some(1);
    LinkExpired = "link_expired", 410, "Link expired", "This short link has expired.", None;
    PreconditionFailed = "precondition_failed", 412, "Changed meanwhile", "The link has changed since you read it; read it again.", None;
    BodyTooLarge = "body_too_large", 413, "Body too large", "The body is too large.", None;
    UriTooLong = "uri_too_long", 414, "URI too long", "The address asked for is too long.", None;
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type", "Send JSON as 'Content-Type: application/json'.", None;
    IdempotencyKeyReused = "idempotency_key_reused", 422, "Key used before", "This Idempotency-Key was sent with another request; take a new one for each.", None;
    NothingCreated = "nothing_created", 422, "Nothing created", "None of the links could be created; results says why of each.", None;
    RateLimited = "rate_limited", 429, "Too many requests", "You have asked too often; wait as long as Retry-After says.", Some(1);
    HeaderTooLarge = "header_too_large", 431, "Header too large", "The header of the request is too large.", None;
    Internal = "internal", 500, "Internal error", "Something went wrong on our side; the request id helps to find out what.", None;
    NotReady = "not_ready", 503, "Not ready", "This node is not ready to serve.", Some(1);
    OutcomeUnknown = "outcome_unknown", 503, "Outcome unknown", "The database has not said whether this was done; send it again with the same Idempotency-Key, or look.", Some(1);
    Unavailable = "unavailable", 503, "Unavailable", "The database cannot be reached just now; try again shortly.", Some(1);
    Overloaded = "overloaded", 503, "Overloaded", "Too many requests are waiting; try again shortly.", Some(1);
    Deadline = "deadline", 503, "Deadline passed", "The request could not be answered in time; try again shortly.", Some(1);
    Moving = "moving", 503, "Moving house", "The database is being moved: nothing can be created or changed until that is over; try again shortly.", Some(5);
    NoFreeCode = "no_free_code", 503, "No free short code", "No free short code was found; try again shortly.", Some(1);
    DiskFull = "disk_full", 507, "Disk full", "The disk is full: nothing can be created or changed until space is freed.", Some(5);
}

impl Code {
    pub fn entry(self) -> &'static Entry {
        // Declared by one macro from one list: the discriminant is the row.
        &TABLE[self as usize]
    }
}
