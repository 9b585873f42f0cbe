//! TLS: whom to trust, what binds a login to the channel, and what is wrong with
//! a certificate in words.
//!
//! RFC 7590, RFC 5929 section 4 (`tls-server-end-point`), RFC 9266
//! (`tls-exporter`), XEP-0368 v1.1.0 (ALPN). Not done: revocation, 0-RTT.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::client::ClientConnection;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error, OtherError, ProtocolVersion, RootCertStore, crypto,
};

use super::client::TlsInfo;
use super::error::{CertificateProblem, ConnectError};
use super::settings::SettingsError;
use crate::ChannelBinding;

/// The protocol that direct TLS announces.
const ALPN: &[u8] = b"xmpp-client";

/// Fills `bytes` from the operating system. `false` if it has no randomness to give.
pub(super) fn random(bytes: &mut [u8]) -> bool {
    crypto::ring::default_provider()
        .secure_random
        .fill(bytes)
        .is_ok()
}

/// The name under which the certificate is checked, and that goes out as SNI.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, SettingsError> {
    // A trailing dot is part of the name in the DNS, not in a certificate.
    let plain = name.strip_suffix('.').unwrap_or(name);
    let plain = plain
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(plain);
    ServerName::try_from(plain.to_string()).map_err(|_| SettingsError::TlsName(name.into()))
}

/// The configuration that trusts the certificates of `ca_file`, or what the system
/// trusts. Reads files; the caller sees to it that this blocks nobody.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let fail = |detail| {
                ConnectError::Settings(SettingsError::CaFile {
                    path: path.into(),
                    detail,
                })
            };
            let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate =
                    certificate.map_err(|error| fail(format!("it is not PEM: {error}")))?;
                roots
                    .add(certificate)
                    .map_err(|error| fail(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fail("it holds no certificate".into()));
            }
        }
        // Single certificates that cannot be read are as good as not there; if
        // none is left, the handshake says that the issuer is unknown.
        None => {
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    with_roots(roots)
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, ConnectError> {
    // A provider of our own, for installing one process-wide is the program's business.
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls {
            detail: error.to_string(),
        })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The same, announcing XMPP as direct TLS should (XEP-0368 v1.1.0 section 3).
pub(super) fn with_alpn(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = alloc::vec![ALPN.to_vec()];
    config
}

/// What binds a login to this connection.
///
/// The exporter counts only where master secrets are unique: with TLS 1.3, and
/// with TLS 1.2 if the configuration insists on the extended master secret
/// (RFC 9266 section 4.2), since rustls does not tell whether it was used otherwise.
pub(super) fn channel_binding(connection: &ClientConnection, require_ems: bool) -> ChannelBinding {
    let mut binding = ChannelBinding::default();
    let unique = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => true,
        Some(ProtocolVersion::TLSv1_2) => require_ems,
        _ => false,
    };
    if unique {
        let exported = connection.export_keying_material(
            Vec::from([0; 32]),
            b"EXPORTER-Channel-Binding",
            Some(b""),
        );
        binding.exporter = exported.ok();
    }
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first());
    binding.server_end_point = leaf.and_then(|leaf| end_point(leaf));
    binding
}

/// How the connection is protected, for people.
pub(super) fn info(connection: &ClientConnection) -> TlsInfo {
    TlsInfo {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLS",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
    }
}

/// The hash of a certificate by the hash function of its own signature, SHA-256
/// instead of MD5 and SHA-1; `None` if that is not defined (RFC 5929 section 4.1).
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match signature_hash(certificate)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Reads `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE {
/// algorithm OID, parameters }, signatureValue }` (RFC 5280 section 4.1).
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (fields, _) = der(certificate, SEQUENCE)?;
    let (_, rest) = der(fields, SEQUENCE)?;
    let (algorithm, _) = der(rest, SEQUENCE)?;
    let (oid, parameters) = der(algorithm, OID)?;
    match oid {
        // 1.2.840.113549.1.1.x: RSA with MD5, SHA-1, PSS, SHA-256, -384, -512, -224.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
            4 | 5 | 11 => Some(Hash::Sha256),
            10 => pss_hash(parameters),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            14 => Some(Hash::Sha224),
            _ => None,
        },
        // 1.2.840.10045.4.1 and .3.x: ECDSA with SHA-1, SHA-224, -256, -384, -512.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(Hash::Sha256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
            1 => Some(Hash::Sha224),
            2 => Some(Hash::Sha256),
            3 => Some(Hash::Sha384),
            4 => Some(Hash::Sha512),
            _ => None,
        },
        // Ed25519 and Ed448 among others: they sign without a hash of that kind.
        _ => None,
    }
}

/// Reads `RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, … }` (RFC 4055 section 3.1).
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let (fields, _) = der(parameters, SEQUENCE)?;
    let Some((explicit, _)) = der(fields, 0xa0) else {
        return Some(Hash::Sha256);
    };
    let (algorithm, _) = der(explicit, SEQUENCE)?;
    match der(algorithm, OID)?.0 {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(Hash::Sha256),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Hash::Sha256),
            2 => Some(Hash::Sha384),
            3 => Some(Hash::Sha512),
            4 => Some(Hash::Sha224),
            _ => None,
        },
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// The content of the first DER element, if it has this tag, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        // 1 to 3 bytes of length: a certificate of 16 MiB is none.
        let count = usize::from(length & 0x7f);
        if !(1..=3).contains(&count) {
            return None;
        }
        let (length, rest) = rest.split_at_checked(count)?;
        (
            length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            rest,
        )
    };
    rest.split_at_checked(length)
}

/// What a failed handshake means. `name` is the name that was asked for.
pub(super) fn classify(error: &io::Error, name: &str) -> ConnectError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(Error::InvalidCertificate(why)) => {
            let (problem, detail) = certificate(why, name);
            ConnectError::Certificate { problem, detail }
        }
        Some(Error::NoCertificatesPresented) => ConnectError::Certificate {
            problem: CertificateProblem::Other,
            detail: "the server showed none".into(),
        },
        Some(other) => ConnectError::Tls {
            detail: other.to_string(),
        },
        None if error.kind() == io::ErrorKind::UnexpectedEof => ConnectError::Tls {
            detail: "the server closed the connection during the handshake".into(),
        },
        None => ConnectError::Tls {
            detail: error.to_string(),
        },
    }
}

fn certificate(why: &CertificateError, name: &str) -> (CertificateProblem, String) {
    use CertificateProblem as Problem;
    match why {
        CertificateError::Expired => (Problem::Expired, "it has expired".into()),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            (Problem::Expired, format!("it expired {days} days ago"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (Problem::NotYetValid, "it is not valid yet".into())
        }
        CertificateError::NotValidForName => {
            (Problem::WrongName, format!("it is not made out to {name}"))
        }
        CertificateError::NotValidForNameContext { presented, .. } => (
            Problem::WrongName,
            format!("it is not made out to {name}, but to {}", names(presented)),
        ),
        CertificateError::UnknownIssuer => (
            Problem::UnknownIssuer,
            "nobody whom this machine trusts has issued it".into(),
        ),
        // So it looks when an authority was made anew under its old name.
        CertificateError::BadSignature => (
            Problem::UnknownIssuer,
            "its issuer has the name of one whom this machine trusts, but another key".into(),
        ),
        CertificateError::Revoked => (Problem::Revoked, "it was revoked".into()),
        CertificateError::Other(OtherError(inner))
            if inner.to_string().contains("CaUsedAsEndEntity") =>
        {
            (
                Problem::Authority,
                "it is an authority's own certificate, not that of a server".into(),
            )
        }
        other => (Problem::Other, other.to_string()),
    }
}

/// At most eight of the names that a certificate carries; rustls writes them as `DnsName("…")`.
fn names(presented: &[String]) -> String {
    let mut list = String::new();
    for name in presented.iter().take(8) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        let inner = name
            .split_once("(\"")
            .and_then(|(_, rest)| rest.strip_suffix("\")"));
        list.extend(
            inner
                .unwrap_or(name)
                .chars()
                .take(256)
                .flat_map(char::escape_debug),
        );
    }
    match presented.len() {
        0 => "no name at all".into(),
        1..=8 => list,
        more => format!("{list} and {} more", more.saturating_sub(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    fn self_signed(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::new(["example.org".into()])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .der()
            .to_vec()
    }

    /// RFC 6120, section 13.9.5, and RFC 7590: what goes out first is a record of TLS, in which
    /// version 1.3 is offered, 1.2, and none else.
    #[test]
    fn nothing_older_than_tls_1_2_is_offered() {
        let config = Arc::new(with_roots(RootCertStore::empty()).unwrap());
        let mut client =
            ClientConnection::new(config, server_name("example.org").unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        // A handshake record (22), with a client hello (1) of the version that all say: 3.3. A hello
        // of SSL 2.0 begins with a byte above 127.
        assert_eq!((hello[0], hello[1], hello[5]), (22, 3, 1));
        assert_eq!(hello[9..11], [3, 3]);
        let number = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        let session = 43 + 1 + usize::from(hello[43]);
        let compressions = session + 2 + number(session);
        let mut at = compressions + 1 + usize::from(hello[compressions]);
        let end = at + 2 + number(at);
        at += 2;
        let mut offered = None;
        while at < end {
            // `supported_versions`, RFC 8446 section 4.2.1.
            if number(at) == 43 {
                let list = &hello[at + 5..at + 4 + number(at + 2)];
                offered = Some(list.chunks(2).map(|two| [two[0], two[1]]).collect());
            }
            at += 4 + number(at + 2);
        }
        let mut offered: Vec<[u8; 2]> = offered.unwrap();
        offered.sort_unstable();
        assert_eq!(offered, [[3, 3], [3, 4]]);
    }

    #[test]
    fn the_end_point_is_hashed_as_it_is_signed() {
        let p256 = self_signed(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&p256), Some(Sha256::digest(&p256).to_vec()));
        let p384 = self_signed(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&p384), Some(Sha384::digest(&p384).to_vec()));
        assert_eq!(end_point(&self_signed(&PKCS_ED25519)), None);
    }

    /// A certificate's outline with this signature algorithm.
    fn outline(algorithm: &[u8]) -> Vec<u8> {
        let mut fields = alloc::vec![SEQUENCE, 0, SEQUENCE, algorithm.len() as u8];
        fields.extend_from_slice(algorithm);
        let mut whole = alloc::vec![SEQUENCE, 0x81, fields.len() as u8];
        whole.append(&mut fields);
        whole
    }

    #[test]
    fn rsa_is_told_by_its_identifier() {
        let rsa = |last| outline(&[OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last, 5, 0]);
        for (last, hash) in [
            (4, Some(Hash::Sha256)),
            (5, Some(Hash::Sha256)),
            (11, Some(Hash::Sha256)),
            (12, Some(Hash::Sha384)),
            (13, Some(Hash::Sha512)),
            (14, Some(Hash::Sha224)),
            (2, None),
        ] {
            assert_eq!(signature_hash(&rsa(last)), hash, "{last}");
        }
        let pss = |parameters: &[u8]| {
            let mut algorithm = alloc::vec![OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
            algorithm.extend_from_slice(parameters);
            signature_hash(&outline(&algorithm))
        };
        assert_eq!(pss(&[SEQUENCE, 0]), Some(Hash::Sha256));
        let sha384 = [OID, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
        let mut parameters = alloc::vec![SEQUENCE, 15, 0xa0, 13, SEQUENCE, 11];
        parameters.extend_from_slice(&sha384);
        assert_eq!(pss(&parameters), Some(Hash::Sha384));
        assert_eq!(pss(&[]), None);
    }

    #[test]
    fn no_bytes_confuse_the_reader_of_der() {
        let whole = self_signed(&PKCS_ECDSA_P256_SHA256);
        for end in 0..whole.len() {
            let _ = signature_hash(&whole[..end]);
        }
        for at in 0..whole.len().min(64) {
            for byte in [0, 0x7f, 0x80, 0x81, 0x84, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = signature_hash(&bent);
            }
        }
        assert_eq!(signature_hash(&[SEQUENCE, 0x80]), None);
        assert_eq!(
            signature_hash(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]),
            None
        );
    }

    #[test]
    fn a_wrong_name_tells_the_names_that_are_there() {
        let why = CertificateError::NotValidForNameContext {
            expected: server_name("example.org").unwrap(),
            presented: alloc::vec![
                "DnsName(\"host.example\")".into(),
                "DnsName(\"*.im.example\")".into()
            ],
        };
        let (problem, detail) = certificate(&why, "example.org");
        assert_eq!(problem, CertificateProblem::WrongName);
        assert_eq!(
            detail,
            "it is not made out to example.org, but to host.example, *.im.example"
        );
    }

    #[test]
    fn errors_of_the_handshake_are_told_apart() {
        let of = |error: Error| {
            classify(
                &io::Error::new(io::ErrorKind::InvalidData, error),
                "example.org",
            )
        };
        let problem = |why| match of(Error::InvalidCertificate(why)) {
            ConnectError::Certificate { problem, .. } => problem,
            other => panic!("{other}"),
        };
        assert_eq!(
            problem(CertificateError::Expired),
            CertificateProblem::Expired
        );
        assert_eq!(
            problem(CertificateError::UnknownIssuer),
            CertificateProblem::UnknownIssuer
        );
        assert_eq!(
            problem(CertificateError::Revoked),
            CertificateProblem::Revoked
        );
        assert!(matches!(of(Error::DecryptError), ConnectError::Tls { .. }));
        assert!(matches!(
            classify(&io::ErrorKind::UnexpectedEof.into(), "x"),
            ConnectError::Tls { .. }
        ));
    }

    #[test]
    fn names_to_verify_are_checked() {
        assert!(server_name("example.org.").is_ok());
        assert!(server_name("[::1]").is_ok());
        assert!(server_name("a b").is_err());
    }

    /// Who a server says that it is, and until when.
    struct Shown {
        names: &'static [&'static str],
        until: i32,
        /// Signed by the authority that the client trusts, and not by itself.
        signed: bool,
    }

    /// What comes of a handshake, in memory, with a server that shows this, under the name
    /// `expected`.
    fn handshake(shown: &Shown, expected: &str) -> Result<(), Error> {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        let trusted = authority.self_signed(&authority_key).unwrap();
        roots.add(trusted.der().clone()).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);

        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = shown.names.iter().map(|name| String::from(*name)).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.not_after = rcgen::date_time_ymd(shown.until, 1, 1);
        let leaf = if shown.signed {
            leaf.signed_by(&key, &issuer).unwrap()
        } else {
            leaf.self_signed(&key).unwrap()
        };
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(alloc::vec![leaf.der().clone()], key.into())
            .unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let config = with_alpn(&with_roots(roots).unwrap());
        let name = server_name(expected).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    /// RFC 6120 section 13.7.2: it is the domain of the account that a certificate is
    /// checked against, wherever the connection leads.
    #[test]
    fn s06_a_certificate_counts_for_the_domain_alone_and_in_its_time() {
        let shown = |names: &'static [&'static str]| Shown {
            names,
            until: 4000,
            signed: true,
        };
        let problem = |shown: &Shown| {
            let error = handshake(shown, "example.org").unwrap_err();
            match classify(&io::Error::other(error), "example.org") {
                ConnectError::Certificate { problem, .. } => problem,
                other => panic!("{other:?}"),
            }
        };
        for names in [&["example.org"][..], &["xmpp.example.org", "example.org"]] {
            assert_eq!(handshake(&shown(names), "example.org"), Ok(()));
        }
        assert_eq!(
            handshake(&shown(&["*.example.org"]), "im.example.org"),
            Ok(())
        );
        for names in [
            // Where an SRV record may point to, a neighbour, and what only looks alike.
            &["xmpp.example.org"][..],
            &["*.example.org"],
            &["example.org.evil.example"],
            &["evil-example.org"],
        ] {
            assert_eq!(
                problem(&shown(names)),
                CertificateProblem::WrongName,
                "{names:?}"
            );
        }
        let mut expired = shown(&["example.org"]);
        expired.until = 2021;
        assert_eq!(problem(&expired), CertificateProblem::Expired);
        let mut own = shown(&["example.org"]);
        own.signed = false;
        assert_eq!(problem(&own), CertificateProblem::UnknownIssuer);
    }

    /// Nothing is sent, nor taken, before the handshake is done.
    #[test]
    fn s05_no_data_goes_before_the_handshake() {
        let config = with_alpn(&with_roots(RootCertStore::empty()).unwrap());
        assert!(!config.enable_early_data);
        let name = server_name("example.org").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        assert!(client.early_data().is_none());
        // Data of the application, in clear, in the frame of TLS.
        client
            .read_tls(&mut &b"\x17\x03\x03\x00\x05<a/>\n"[..])
            .unwrap();
        assert!(client.process_new_packets().is_err());
    }
}
