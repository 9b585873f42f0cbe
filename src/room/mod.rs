//! One room: getting in and staying in ([`Room`]), its posts ([`outbox`]), and
//! its messages as a sequence ([`log`]).

pub(crate) mod log;
pub(crate) mod outbox;
pub(crate) mod recent;
mod supervisor;

pub(crate) use log::Log;
pub(crate) use supervisor::{Heard, Nickname, Room};
