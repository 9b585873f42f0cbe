//! What the requests of the bridge take.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::rpc::Error;
use crate::settings::{Layer, Secret};

pub(super) fn params<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(params)).map_err(|error| Error::invalid(error.to_string()))
}

/// Text that error messages must not quote.
pub(super) struct Hidden(pub(super) Secret);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(Secret::new(text))),
            _ => Err(serde::de::Error::custom("`password` has to be a string")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectParams {
    pub(super) service: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) muc_service: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Hidden>,
    pub(super) nick: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) tls_name: Option<String>,
}

impl From<ConnectParams> for Layer {
    fn from(params: ConnectParams) -> Self {
        Self {
            service: params.service,
            domain: params.domain,
            muc_service: params.muc_service,
            username: params.username,
            password: params.password.map(|hidden| hidden.0),
            nick: params.nick,
            resource: params.resource,
            ca_file: params.ca_file,
            tls_name: params.tls_name,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeParams {
    pub(super) topic: String,
    pub(super) since: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicParams {
    pub(super) topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PostParams {
    pub(super) topic: String,
    pub(super) content: String,
    pub(super) identity: Option<String>,
    pub(super) in_reply_to: Option<String>,
    pub(super) reply_author: Option<String>,
    pub(super) quote: Option<String>,
    #[serde(default)]
    pub(super) replace_forbidden: bool,
    pub(super) deadline_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenParams {
    pub(super) token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct FetchParams {
    pub(super) topic: String,
    pub(super) since: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) block_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityParams {
    pub(super) handle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}
