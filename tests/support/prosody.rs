//! Prosody: its configuration, its accounts and how to run it.

use std::fs;
use std::path::Path;

use super::pki::Pki;
use super::process::{Launch, find_program};
use super::{Account, DOMAIN, MUC, MUC_ELSEWHERE, Passwords, Ports, ServerOptions};

/// The Debian package, for the message that it is missing.
pub(super) const PACKAGE: &str = "prosody";

/// What Prosody logs when somebody else has one of the ports; it then goes on without it.
pub(super) const PORT_TAKEN: &str = "Failed to open server port";

/// Whether Prosody is installed.
pub(super) fn installed() -> bool {
    find_program("prosody").is_some()
}

/// What Prosody logs once it listens on `ports`.
pub(super) fn ready_lines(ports: &Ports) -> Vec<String> {
    vec![
        format!("Activated service 'c2s' on [127.0.0.1]:{}", ports.starttls),
        format!(
            "Activated service 'c2s_direct_tls' on [127.0.0.1]:{}",
            ports.tls
        ),
    ]
}

/// Writes the configuration below `directory` and says what to run.
pub(super) fn prepare(
    directory: &Path,
    ports: &Ports,
    pki: &Pki,
    options: &ServerOptions,
) -> Launch {
    let file = directory.join("prosody.cfg.lua");
    fs::create_dir_all(directory.join("data")).expect("a directory for the data");
    fs::write(&file, configuration(directory, ports, pki, options)).expect("the configuration");
    Launch {
        program: find_program("prosody").expect("prosody"),
        arguments: vec![
            "-F".to_owned(),
            "--config".to_owned(),
            file.display().to_string(),
        ],
        environment: vec![("HOME", directory.display().to_string())],
    }
}

/// Writes an account's file. Prosody reads it at each login, and stores the password hashed at the
/// first, if so configured.
pub(super) fn register(directory: &Path, account: &Account) {
    let accounts = directory.join("data").join(encode(DOMAIN)).join("accounts");
    fs::create_dir_all(&accounts).expect("a directory for the accounts");
    let file = accounts.join(format!("{}.dat", encode(&account.name)));
    let text = format!(
        "return {{ [\"password\"] = {} }};\n",
        quote(&account.password)
    );
    fs::write(file, text).expect("an account");
}

fn configuration(directory: &Path, ports: &Ports, pki: &Pki, options: &ServerOptions) -> String {
    let directory = directory.display();
    let ssl = format!(
        "{{ certificate = {}; key = {} }}",
        quote(&pki.chain.display().to_string()),
        quote(&pki.key.display().to_string()),
    );
    let authentication = match options.passwords {
        Passwords::Plain => "authentication = \"internal_plain\"",
        Passwords::Sha1 => "authentication = \"internal_hashed\"",
        Passwords::Sha256 => "authentication = \"internal_hashed\"\npassword_hash = \"SHA-256\"",
    };
    let tls = if options.starttls { "\"tls\"; " } else { "" };
    let page_cap = options.page_cap.map_or_else(String::new, |cap| {
        format!("max_archive_query_results = {cap}")
    });
    let muc_modules = if options.archive { "\"muc_mam\"" } else { "" };
    format!(
        r#"run_as_root = true -- has no effect for other users
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
certificates = "{directory}"
log = {{ {{ levels = {{ min = "info" }}; to = "console" }} }}
use_libevent = false

interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {starttls_port} }}
c2s_direct_tls_ports = {{ {tls_port} }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}

-- No rate limits: the module "limits" is not loaded.
modules_enabled = {{
    "roster"; "saslauth"; {tls}"disco"; "ping"; "mam"; "smacks"; "carbons"; "posix";
}}
modules_disabled = {{ "s2s" }}

c2s_require_encryption = {require_encryption}
c2s_stanza_size_limit = {max_stanza_size}
smacks_hibernation_time = {resume_seconds}
{authentication}
storage = "internal"
storage_archive_item_limit = 1000000
{page_cap}
ssl = {ssl}
c2s_direct_tls_ssl = {ssl}

VirtualHost "{DOMAIN}"

Component "{MUC}" "muc"
    modules_enabled = {{ {muc_modules} }}
    muc_log_by_default = {archive}
    muc_room_default_persistent = true
    muc_room_default_members_only = {members_only}

Component "{MUC_ELSEWHERE}" "muc"
    modules_enabled = {{ {muc_modules} }}
    muc_log_by_default = {archive}
    muc_room_default_persistent = true
"#,
        starttls_port = ports.starttls,
        tls_port = ports.tls,
        require_encryption = !options.plaintext_allowed,
        max_stanza_size = options.max_stanza_size,
        resume_seconds = options.resume_seconds,
        archive = options.archive,
        members_only = options.members_only,
    )
}

/// A string of Lua's, with every byte that could mean something else written as a number.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("\\{byte:03}"));
        }
    }
    quoted.push('"');
    quoted
}

/// A file name as Prosody's storage encodes it.
fn encode(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}
