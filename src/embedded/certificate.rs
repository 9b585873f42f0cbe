//! A certificate authority and a server certificate, made anew for each server.
//!
//! The keys live in memory only, that of the authority no longer than it takes to
//! sign: trusting it means trusting this one server.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use std::io;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use sha2::{Digest as _, Sha256};

use crate::ChannelBinding;
use crate::tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use crate::tokio::rustls::server::ServerConnection;
use crate::tokio::rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, crypto};

/// The protocol that direct TLS announces (XEP-0368 v1.1.0 section 3).
const ALPN: &[u8] = b"xmpp-client";

/// What the server shows, and what its clients have to trust.
#[derive(Debug)]
pub(super) struct Identity {
    /// The authority's certificate as PEM.
    pub(super) ca_pem: String,
    ca: CertificateDer<'static>,
    /// After STARTTLS and from the first byte alike.
    pub(super) server: Arc<ServerConfig>,
    /// The hash of the server's certificate (RFC 5929 section 4).
    end_point: Vec<u8>,
}

impl Identity {
    /// A certificate for the domain, its room service, and the address listened on,
    /// loopback included.
    pub(super) fn create(domain: &str, listen: IpAddr) -> io::Result<Self> {
        let ca_key = new_key()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "parley-xmpp embedded server");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign].into();
        valid(&mut params);
        let ca = params.self_signed(&ca_key).map_err(io::Error::other)?;
        let issuer = Issuer::new(params, ca_key);

        let mut names = Vec::from([
            domain.into(),
            format!("muc.{domain}"),
            "localhost".into(),
            "127.0.0.1".into(),
            "::1".into(),
        ]);
        if !listen.is_loopback() && !listen.is_unspecified() {
            names.push(listen.to_string());
        }
        names.dedup();
        let key = new_key()?;
        let mut leaf = CertificateParams::new(names).map_err(io::Error::other)?;
        leaf.distinguished_name.push(DnType::CommonName, domain);
        leaf.key_usages = [KeyUsagePurpose::DigitalSignature].into();
        leaf.extended_key_usages = [ExtendedKeyUsagePurpose::ServerAuth].into();
        leaf.use_authority_key_identifier_extension = true;
        valid(&mut leaf);
        let leaf = leaf.signed_by(&key, &issuer).map_err(io::Error::other)?;

        let end_point = Sha256::digest(leaf.der()).to_vec();
        let chain = Vec::from([leaf.der().clone(), ca.der().clone()]);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // A provider of our own: installing one process-wide is the program's business.
        let mut server =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .map_err(io::Error::other)?;
        server.alpn_protocols = Vec::from([ALPN.to_vec()]);
        Ok(Self {
            ca_pem: ca.pem(),
            ca: ca.der().clone(),
            server: Arc::new(server),
            end_point,
        })
    }

    /// The configuration of a client that trusts this server and no other; `None`
    /// if rustls refuses what we made.
    pub(super) fn client(&self) -> Option<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).ok()?;
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().ok()?;
        Some(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// The same, announcing XMPP as direct TLS should.
    pub(super) fn direct_client(&self) -> Option<ClientConfig> {
        let mut config = self.client()?;
        config.alpn_protocols = Vec::from([ALPN.to_vec()]);
        Some(config)
    }

    /// What binds a login to a connection. The exporter counts only where master
    /// secrets are sure to be unique: with TLS 1.3 (RFC 9266 section 4.2).
    pub(super) fn binding(&self, connection: &ServerConnection) -> ChannelBinding {
        let unique = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let label = b"EXPORTER-Channel-Binding";
        let export = || connection.export_keying_material(Vec::from([0; 32]), label, Some(b""));
        ChannelBinding {
            exporter: unique.then(export).and_then(Result::ok),
            server_end_point: Some(self.end_point.clone()),
        }
    }
}

/// A number for a server's ids and nonces that nobody guesses; `None` if the
/// system has no randomness to give.
pub(super) fn random() -> Option<u64> {
    let mut bytes = [0; 8];
    let provider = crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

fn new_key() -> io::Result<KeyPair> {
    // Quick to make, and `tls-server-end-point` is defined for it.
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)
}

/// For as long as a clock may be wrong by: the keys do not outlive the process.
fn valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
}
