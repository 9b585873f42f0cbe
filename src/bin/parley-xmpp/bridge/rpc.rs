//! JSON-RPC 2.0: what a line asks for, and what is answered.
//!
//! One object, or one batch, a line. Parameters are given by name.

use serde_json::{Map, Value, json};

use crate::problem::{Kind, Problem};

/// What a line holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Incoming {
    /// One request, or what stands in its place.
    Single(Result<Call, Reply>),
    /// A batch: its answers go out together, on one line.
    Batch(Vec<Result<Call, Reply>>),
}

/// A request.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    /// `None`: a notification, which is not answered.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
}

/// The answer to a request.
pub(crate) type Reply = Value;

/// Requests in one batch. A larger one is refused as a whole.
const MAX_BATCH: usize = 256;

/// Reads a line that is not blank.
pub(crate) fn parse(line: &[u8]) -> Incoming {
    match serde_json::from_slice(line) {
        // The parser's words quote nothing of the line, which may hold a password.
        Err(error) => {
            let text = format!("not JSON: column {}", error.column());
            Incoming::Single(Err(failed(Value::Null, &Error::parse(text))))
        }
        Ok(Value::Array(calls)) if calls.is_empty() || calls.len() > MAX_BATCH => {
            let text = format!("a batch holds 1 to {MAX_BATCH} requests");
            Incoming::Single(Err(failed(Value::Null, &Error::request(text))))
        }
        Ok(Value::Array(calls)) => Incoming::Batch(calls.into_iter().map(call).collect()),
        Ok(value) => Incoming::Single(call(value)),
    }
}

fn call(value: Value) -> Result<Call, Reply> {
    let refuse = |id: Value, text: &str| Err(failed(id, &Error::request(text)));
    let Value::Object(mut object) = value else {
        return refuse(Value::Null, "a request is an object");
    };
    let id = object.remove("id");
    if !matches!(
        id,
        None | Some(Value::Null | Value::String(_) | Value::Number(_))
    ) {
        return refuse(Value::Null, "`id` is a string, a number or null");
    }
    let echo = id.clone().unwrap_or(Value::Null);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return refuse(echo, "`jsonrpc` has to be \"2.0\"");
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return refuse(echo, "`method` has to be a string");
    };
    let params = match object.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(Value::Array(params)) if params.is_empty() => Map::new(),
        Some(Value::Array(_)) => {
            let error = Error::invalid("parameters are given by name, as an object");
            return Err(failed(echo, &error));
        }
        Some(_) => return refuse(echo, "`params` has to be an object"),
    };
    Ok(Call { id, method, params })
}

/// The answer that something was done.
pub(crate) fn done(id: Value, result: Value) -> Reply {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// The answer that it was not.
pub(crate) fn failed(id: Value, error: &Error) -> Reply {
    let mut data = error.data.clone();
    data.insert("kind".into(), error.kind.as_str().into());
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": error.code, "message": error.message, "data": data },
    })
}

/// Something happened that nobody asked about.
pub(crate) fn notification(method: &str, params: &impl serde::Serialize) -> String {
    crate::output::to_json(&json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// The code of the standard, or one of those it leaves to servers.
const fn code(kind: Kind) -> i32 {
    match kind {
        Kind::Invalid => -32602,
        Kind::NotConnected => -32000,
        Kind::Rejected => -32001,
        Kind::NotSent => -32002,
        Kind::Unknown => -32003,
        Kind::CursorExpired => -32004,
        Kind::NoSuchRoom => -32005,
        Kind::AuthFailed => -32006,
        Kind::TlsFailed => -32007,
        Kind::ConnectFailed => -32008,
        Kind::Timeout => -32009,
        Kind::ArchiveUnsupported => -32010,
        Kind::Inconsistent => -32011,
        Kind::CursorForeign => -32012,
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Error {
    code: i32,
    message: String,
    kind: Kind,
    data: Map<String, Value>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            code: code(kind),
            message: message.into(),
            kind,
            data: Map::new(),
        }
    }

    /// Of a request that needs a connection, where there is none.
    pub(crate) fn not_connected() -> Self {
        Self::new(Kind::NotConnected, "not connected").with("remedy", "send `connect` first")
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn method(name: &str) -> Self {
        let message = format!("there is no method {name:?}");
        Self {
            code: -32601,
            ..Self::invalid(message)
        }
    }

    pub(crate) fn internal() -> Self {
        let message = "a mistake in parley-xmpp; the log says more";
        Self {
            code: -32603,
            ..Self::new(Kind::Unknown, message)
        }
    }

    fn parse(message: impl Into<String>) -> Self {
        Self {
            code: -32700,
            ..Self::invalid(message)
        }
    }

    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self {
            code: -32600,
            ..Self::invalid(message)
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    pub(crate) fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let remedy = problem
            .bridge_remedy
            .map_or(problem.remedy, ToOwned::to_owned);
        Self::new(problem.kind, problem.message)
            .with("remedy", remedy)
            .with_some("condition", problem.condition)
            .with_some("text", problem.text.map(String::from))
            .with_some(
                "originId",
                problem.token.as_ref().map(|token| token.origin_id()),
            )
            .with_some(
                "token",
                problem.token.as_ref().map(|token| token.to_string()),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error_of(incoming: Incoming) -> (Value, i64) {
        let Incoming::Single(Err(reply)) = incoming else {
            panic!("{incoming:?}")
        };
        (
            reply["id"].clone(),
            reply["error"]["code"].as_i64().unwrap(),
        )
    }

    #[test]
    fn wrong_lines_are_answered_as_the_standard_says() {
        for (line, id, code) in [
            ("{", Value::Null, -32700),
            ("[]", Value::Null, -32600),
            ("1", Value::Null, -32600),
            (r#"{"id":1,"method":"x"}"#, json!(1), -32600),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":1}"#,
                json!("a"),
                -32600,
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#,
                Value::Null,
                -32600,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":3}"#,
                json!(1),
                -32600,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[3]}"#,
                json!(1),
                -32602,
            ),
        ] {
            assert_eq!(error_of(parse(line.as_bytes())), (id, code), "{line}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(error_of(parse(deep.as_bytes())), (Value::Null, -32700));
    }

    #[test]
    fn ids_are_kept_and_a_missing_one_makes_a_notification() {
        for (id, expected) in [
            ("", None),
            (r#","id":null"#, Some(Value::Null)),
            (r#","id":1.5"#, Some(json!(1.5))),
            (
                r#","id":12345678901234567890123"#,
                serde_json::from_str("12345678901234567890123").ok(),
            ),
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"a":1}}{id}}}"#);
            let Incoming::Single(Ok(call)) = parse(line.as_bytes()) else {
                panic!("{line}")
            };
            assert_eq!((call.id, call.method.as_str()), (expected, "m"));
            assert_eq!(call.params["a"], 1);
        }
    }

    #[test]
    fn a_batch_is_judged_one_by_one() {
        let Incoming::Batch(calls) = parse(br#"[{"jsonrpc":"2.0","id":1,"method":"m"},7]"#) else {
            panic!()
        };
        assert!(calls[0].is_ok() && calls[1].is_err());
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }
}
