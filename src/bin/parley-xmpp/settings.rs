//! Where to connect and as whom: flags, environment, file and defaults, in this order of strength.

use core::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use parley_xmpp::tokio::Service;
use yaml_rust2::{Yaml, YamlLoader};
use zeroize::Zeroizing;

use crate::args::Common;
use crate::exit::Failure;
use crate::surroundings::random_suffix;

const DEFAULT_SERVICE: &str = "xmpp://127.0.0.1:5222";
const DEFAULT_DOMAIN: &str = "parley.local";
const DEFAULT_USERNAME: &str = "parley";
/// What a server set up for a try-out on this machine has. Never sent elsewhere.
const DEFAULT_PASSWORD: &str = "parley";
/// A configuration file is a few lines; more is a mistake in the path.
const MAX_FILE: u64 = 64 * 1024;

/// A password. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What one source says. Fields that it leaves open are for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) service: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) muc_service: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) nick: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) tls_name: Option<String>,
}

impl Layer {
    /// This, and below it `weaker`.
    pub(crate) fn or(self, weaker: Self) -> Self {
        Self {
            service: self.service.or(weaker.service),
            domain: self.domain.or(weaker.domain),
            muc_service: self.muc_service.or(weaker.muc_service),
            username: self.username.or(weaker.username),
            password: self.password.or(weaker.password),
            nick: self.nick.or(weaker.nick),
            resource: self.resource.or(weaker.resource),
            ca_file: self.ca_file.or(weaker.ca_file),
            tls_name: self.tls_name.or(weaker.tls_name),
        }
    }

    /// What the command line, the environment and the file say together.
    pub(crate) fn gather(
        common: &Common,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let file = match &common.config {
            Some(path) => Self::from_yaml(&read_small(path)?, path)?,
            None => Self::default(),
        };
        Ok(Self::from_flags(common)?.or(Self::from_env(env)).or(file))
    }

    fn from_flags(common: &Common) -> Result<Self, Failure> {
        let password = match (&common.password, &common.password_file) {
            (Some(password), _) => Some(Secret::new(password.clone())),
            (None, Some(path)) => {
                let text = Zeroizing::new(read_small(path)?);
                Some(Secret::new(
                    text.lines().next().unwrap_or_default().to_owned(),
                ))
            }
            (None, None) => None,
        };
        Ok(Self {
            service: common.service.clone(),
            domain: common.domain.clone(),
            muc_service: common.muc_service.clone(),
            username: common.username.clone(),
            password,
            nick: common.nick.clone(),
            resource: common.resource.clone(),
            ca_file: common.ca_file.clone(),
            tls_name: common.tls_name.clone(),
        })
    }

    fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Self {
        // A variable set to nothing is what a shell script leaves of one not set.
        let var = |name: &str| env(name).filter(|value| !value.is_empty());
        Self {
            service: var("PARLEY_XMPP_SERVICE"),
            domain: var("PARLEY_XMPP_DOMAIN"),
            muc_service: var("PARLEY_XMPP_MUC"),
            username: var("PARLEY_XMPP_USER"),
            password: var("PARLEY_XMPP_PASS").map(Secret::new),
            ..Self::default()
        }
    }

    /// The `backend_config` map. The parser's messages quote no values, and
    /// neither do ours: the password is among them.
    fn from_yaml(text: &str, path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let docs = YamlLoader::load_from_str(text).map_err(|error| {
            let at = error.marker();
            let (line, column) = (at.line(), at.col() + 1);
            Failure::usage(
                format!("{name} is not YAML: line {line}, column {column}"),
                "correct the file given with --config",
            )
        })?;
        let Some(map) = docs.first().and_then(|doc| doc.as_hash()).and_then(|doc| {
            doc.get(&Yaml::String("backend_config".into()))
                .and_then(Yaml::as_hash)
        }) else {
            return Err(Failure::usage(
                format!("{name} has no map `backend_config`"),
                "write the settings below it: `backend_config:`, then lines like `  domain: parley.local`",
            ));
        };
        let mut layer = Self::default();
        for (key, value) in map {
            let key = key.as_str().unwrap_or("");
            let value = match value {
                Yaml::Null => continue,
                Yaml::String(value) => value.clone(),
                // 007 or 1e3 would already have lost its text.
                _ if matches!(
                    key,
                    "service" | "domain" | "muc_service" | "username" | "password" | "nick"
                ) =>
                {
                    return Err(Failure::usage(
                        format!("{name}: `{key}` is not a string"),
                        format!("put the value of `{key}` in quotes"),
                    ));
                }
                _ => continue,
            };
            match key {
                "service" => layer.service = Some(value),
                "domain" => layer.domain = Some(value),
                "muc_service" => layer.muc_service = Some(value),
                "username" => layer.username = Some(value),
                "password" => layer.password = Some(Secret::new(value)),
                "nick" => layer.nick = Some(value),
                // The file may serve other programs too.
                other => tracing::warn!(key = other, "a key of backend_config that is not known"),
            }
        }
        Ok(layer)
    }

    /// Fills what is still open with the defaults.
    pub(crate) fn resolve(self) -> Result<Resolved, Failure> {
        let service = self.service.unwrap_or_else(|| DEFAULT_SERVICE.into());
        // First of all: what follows is said about a service that is one.
        if let Err(why) = service.parse::<Service>() {
            return Err(Failure::usage(
                format!("the service {service:?} is not an address: {why}"),
                "give xmpp://HOST[:PORT], xmpps://HOST[:PORT], or a domain",
            ));
        }
        if let Some(file) = &self.ca_file {
            read_small(file)?;
        }
        let domain = self.domain.unwrap_or_else(|| DEFAULT_DOMAIN.into());
        let muc_service = self.muc_service.unwrap_or_else(|| format!("muc.{domain}"));
        let (password, default_password) = match self.password {
            Some(password) if password.expose().is_empty() => {
                return Err(Failure::usage("the password is empty", HOW_TO_GIVE));
            }
            Some(password) => (password, false),
            None if is_loopback(&service) => (Secret::new(DEFAULT_PASSWORD.into()), true),
            None => {
                return Err(Failure::usage(
                    format!(
                        "no password for {service}: the default one is for servers on this machine"
                    ),
                    HOW_TO_GIVE,
                ));
            }
        };
        Ok(Resolved {
            service,
            domain,
            muc_service,
            username: self.username.unwrap_or_else(|| DEFAULT_USERNAME.into()),
            password,
            default_password,
            nick_chosen: self.nick.is_some(),
            nick: self
                .nick
                .unwrap_or_else(|| format!("parley-{}", random_suffix(6))),
            resource: self.resource,
            ca_file: self.ca_file,
            tls_name: self.tls_name,
        })
    }
}

impl Layer {
    /// The same for a server of our own rather than for a client of another: there is
    /// nowhere to connect to, and nothing to trust.
    pub(crate) fn resolve_for_server(self) -> Result<Resolved, Failure> {
        Self {
            service: None,
            ca_file: None,
            ..self
        }
        .resolve()
    }
}

const HOW_TO_GIVE: &str =
    "set PARLEY_XMPP_PASS, or give --password-file FILE, or --config FILE with `password`";

/// All that is needed to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) service: String,
    pub(crate) domain: String,
    pub(crate) muc_service: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    /// Nobody gave a password; the user has to be told.
    pub(crate) default_password: bool,
    pub(crate) nick: String,
    /// Somebody chose the nick: if it is taken, that is an error.
    pub(crate) nick_chosen: bool,
    pub(crate) resource: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) tls_name: Option<String>,
}

impl Resolved {
    /// Under that resource, unless one was chosen.
    pub(crate) fn or_under(mut self, resource: Option<String>) -> Self {
        self.resource = self.resource.or(resource);
        self
    }
}

/// What is said when the default password is used.
pub(crate) const DEFAULT_PASSWORD_WARNING: &str =
    "warning: using the default password, as the server is on this machine; set PARLEY_XMPP_PASS";

/// Whether the service is on this machine, by its text alone.
fn is_loopback(service: &str) -> bool {
    service
        .parse()
        .is_ok_and(|service: Service| service.is_loopback())
}

fn read_small(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let cannot = |why: &dyn fmt::Display| {
        Failure::usage(
            format!("cannot read {name}: {why}"),
            "check the path and its permissions",
        )
    };
    let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| cannot(&error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(cannot(&"it is larger than 64 KiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Result<Layer, Failure> {
        Layer::from_yaml(text, Path::new("c.yaml"))
    }

    #[test]
    fn flags_beat_the_environment_and_that_beats_the_file() {
        let flags = Layer {
            domain: Some("flag".into()),
            ..Layer::default()
        };
        let env = Layer::from_env(&|name| match name {
            "PARLEY_XMPP_DOMAIN" | "PARLEY_XMPP_USER" => Some("env".into()),
            "PARLEY_XMPP_MUC" => Some(String::new()),
            _ => None,
        });
        let file = yaml(
            "backend: xmpp\nbackend_config:\n  domain: file\n  username: file\n  muc_service: file\n  nick: file\n  other: [1]\n",
        )
        .unwrap();
        let all = flags.or(env).or(file);
        let named = [all.domain, all.username, all.muc_service, all.nick].map(Option::unwrap);
        assert_eq!(named, ["flag", "env", "file", "file"]);
    }

    #[test]
    fn defaults_are_those_of_the_convention() {
        let all = Layer::default().resolve().unwrap();
        assert_eq!(all.service, "xmpp://127.0.0.1:5222");
        assert_eq!(all.domain, "parley.local");
        assert_eq!(all.muc_service, "muc.parley.local");
        assert_eq!(all.username, "parley");
        assert!(all.default_password && all.nick.len() == 13);
    }

    #[test]
    fn the_default_password_stays_on_this_machine() {
        for uri in [
            "xmpp://127.0.0.1:5222",
            "xmpp://127.9.9.9",
            "xmpps://[::1]:5223",
            "xmpp://LocalHost:1",
            "xmpp://[::ffff:127.0.0.1]:5222",
            "127.0.0.1:5222",
        ] {
            assert!(is_loopback(uri), "{uri}");
        }
        for uri in [
            "xmpp://example.org",
            "xmpp://127.0.0.1.example.org",
            "xmpp://10.0.0.1:5222",
            "xmpp://",
            "xmpp://localhost.example.org:5222",
            "xmpp://127.0.0.1@example.org:5222",
            "xmpp://[::2]:1",
        ] {
            assert!(!is_loopback(uri), "{uri}");
            let layer = Layer {
                service: Some(uri.into()),
                ..Layer::default()
            };
            let failure = layer.resolve().unwrap_err();
            assert_eq!(failure.exit as u8, 2);
        }
    }

    #[test]
    fn errors_of_the_file_show_no_password() {
        for text in [
            "backend_config:\n  password: 1234567\n",
            "backend_config:\n  password: \"hunter2\n",
            "backend_config:\n  password: hunter2: x\n",
            "password: hunter2\n",
            "- hunter2\n",
            "",
        ] {
            let failure = yaml(text).unwrap_err();
            let said = failure.render(false);
            assert!(
                !said.contains("hunter2") && !said.contains("1234567"),
                "{said}"
            );
            assert_eq!(failure.exit as u8, 2);
        }
        let layer = yaml("backend_config:\n  password: '1234567'\n").unwrap();
        assert_eq!(layer.password.as_ref().unwrap().expose(), "1234567");
        assert!(!format!("{layer:?}").contains("1234567"));
    }
}
