//! The one way a failure leaves: RFC 9457 problem+json with a stable code, a public sentence and the request id.
