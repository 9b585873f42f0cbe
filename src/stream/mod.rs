//! From a fresh transport to a bound stream: header, STARTTLS, SASL, bind
//! (RFC 6120, sections 4 to 7), or the stream before resumed (XEP-0198, section 5).
//!
//! ```text
//! opened --> AwaitHeader --> AwaitFeatures --+--> AwaitProceed --> AwaitTls --> AwaitHeader
//!                                            +--> Authenticating ------------> AwaitHeader
//!                                            +--> AwaitResume --+--> online (resumed)
//!                                            |                  +--> Unbound --> AwaitBind
//!                                            +--> AwaitBind --+--> online
//!                                                             +--> AwaitSession --> online
//! ```
//!
//! One struct for each state; a transition consumes the state it leaves. That
//! nothing is authenticated in clear outside loopback, and nothing bound without
//! an authenticated server, is a matter of types: a login needs a `LoginPermit`,
//! binding needs the proof that the login succeeded.

mod entry;
mod features;
mod negotiation;

pub(crate) use negotiation::{Channel, Negotiation, Setting, Step, stream_error, write_end};
