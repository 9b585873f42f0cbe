//! A request under way, and what comes of it.

use core::pin::Pin;
use core::sync::atomic::Ordering;

use parley_xmpp::PostToken;
use serde_json::Value;

use super::rpc::Error;
use super::turns::HandedOver;
use crate::problem::Kind;

/// What came of a request, and what may happen once that is answered.
pub(super) struct Outcome {
    pub(super) result: Result<Value, Error>,
    pub(super) after: Option<Box<dyn FnOnce() + Send>>,
    /// A post whose fate this is: settled once it was written out.
    pub(super) settles: Option<PostToken>,
}

impl From<Result<Value, Error>> for Outcome {
    fn from(result: Result<Value, Error>) -> Self {
        Self {
            result,
            after: None,
            settles: None,
        }
    }
}

/// A request under way.
pub(super) struct Pending {
    pub(super) work: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    /// A post: whether it may be on its way already.
    pub(super) handed_over: HandedOver,
    /// A fetch that waits for news, as long as it was told to.
    pub(super) waits: bool,
}

impl Pending {
    pub(super) fn new(work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self {
            work: Box::pin(work),
            handed_over: HandedOver::default(),
            waits: false,
        }
    }

    /// One that is through already.
    pub(super) fn ready(result: Result<Value, Error>) -> Self {
        Self::new(core::future::ready(Outcome::from(result)))
    }
}

/// What is answered when there is no more time.
pub(super) fn given_up(handed_over: &HandedOver) -> Error {
    let text = "the input ended, and this was not through within the time for that";
    if handed_over.0.load(Ordering::Acquire) {
        let remedy =
            "look into the room before posting it again: `fetchRecent` shows what is there";
        return Error::new(Kind::Unknown, text).with("remedy", remedy);
    }
    let remedy = "keep the input open until everything is answered";
    Error::new(Kind::Timeout, text).with("remedy", remedy)
}
