//! A certificate authority of a server's own, made anew for each server.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

use super::{DOMAIN, MUC};

/// Which certificate a server shows. All are signed by the server's own authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Valid, for the domain, the room service, `localhost` and 127.0.0.1.
    #[default]
    Good,
    /// Valid in time, but only for `other.example`.
    WrongName,
    /// For the right names, but it ended in 2021.
    Expired,
}

/// The files of a server's certificate.
#[derive(Debug)]
pub(super) struct Pki {
    /// The authority's certificate: what a client has to trust.
    pub(super) ca: PathBuf,
    /// The server's certificate, then the authority's.
    pub(super) chain: PathBuf,
    /// The server's private key.
    pub(super) key: PathBuf,
}

impl Pki {
    /// Makes the authority and the server's certificate, and writes both below `directory`.
    ///
    /// ECDSA on P-256 with SHA-256 throughout: quick to make, and `tls-server-end-point` is defined
    /// for it.
    pub(super) fn create(directory: &Path, certificate: Certificate) -> Self {
        let ca_key = new_key();
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "parley-xmpp test authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.not_before = date_time_ymd(2020, 1, 1);
        ca.not_after = date_time_ymd(2049, 1, 1);
        let ca_certificate = ca.self_signed(&ca_key).expect("an authority");
        let issuer = Issuer::new(ca, ca_key);

        let names: Vec<String> = match certificate {
            Certificate::WrongName => vec!["other.example".to_owned()],
            Certificate::Good | Certificate::Expired => [DOMAIN, MUC, "localhost", "127.0.0.1"]
                .map(str::to_owned)
                .to_vec(),
        };
        let key = new_key();
        let mut leaf = CertificateParams::new(names.clone()).expect("valid names");
        leaf.distinguished_name
            .push(DnType::CommonName, names.first().expect("a name").as_str());
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = match certificate {
            Certificate::Expired => date_time_ymd(2021, 1, 1),
            Certificate::Good | Certificate::WrongName => date_time_ymd(2049, 1, 1),
        };
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");

        let pki = Self {
            ca: directory.join("ca.pem"),
            chain: directory.join("chain.pem"),
            key: directory.join("key.pem"),
        };
        fs::write(&pki.ca, ca_certificate.pem()).expect("the authority's file");
        let chain = format!("{}{}", leaf.pem(), ca_certificate.pem());
        fs::write(&pki.chain, chain).expect("the certificate's file");
        fs::write(&pki.key, key.serialize_pem()).expect("the key's file");
        pki
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}
