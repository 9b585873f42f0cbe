//! PLAIN (RFC 4616): the password itself.
//!
//! The server proves nothing by accepting it. It is therefore for TLS only, with
//! a verified certificate, and only by consent.

use alloc::vec::Vec;

use crate::config::Credentials;

/// The one message: no authorization identity, the name, the password. RFC 4616, section 2.
///
/// Neither name nor password holds a NUL: they are prepared, which refuses controls.
pub(super) fn message(credentials: &Credentials) -> Vec<u8> {
    let (name, password) = (credentials.username(), credentials.password());
    // Sized at once, so that no copy of the password stays behind a reallocation.
    let mut message =
        Vec::with_capacity((name.len().saturating_add(password.len())).saturating_add(2));
    message.push(0);
    message.extend_from_slice(name.as_bytes());
    message.push(0);
    message.extend_from_slice(password.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_4616() {
        let credentials = Credentials::new("tim", "tanstaaftanstaaf").unwrap();
        assert_eq!(message(&credentials), b"\0tim\0tanstaaftanstaaf");
    }
}
