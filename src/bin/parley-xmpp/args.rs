//! The command line.

mod help;

use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use parley_xmpp::jid::{BareJid, JidError};
use parley_xmpp::sim::server;
use parley_xmpp::{PostToken, TokenError};

use help::{ABOUT, BRIDGE_HELP, after_help, sim_help};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "parley-xmpp", version, about = "Talk in rooms of an XMPP server", long_about = ABOUT)]
#[command(after_long_help = after_help(), max_term_width = 100, disable_help_subcommand = true)]
#[command(arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The heading of the flags that say where to connect, and as whom.
const CONNECTION: &str = "Connection";

impl Cli {
    /// The command line of this process.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&command().try_get_matches()?)
    }
}

/// The command line, in which those subcommands that connect to nobody do not list how
/// to. The flags are taken there all the same, as before any subcommand.
fn command() -> clap::Command {
    let mut command = Cli::command();
    let connection: Vec<_> = command
        .get_arguments()
        .filter(|flag| flag.get_help_heading() == Some(CONNECTION))
        .map(|flag| flag.clone().hide(true))
        .collect();
    for name in ["sim", "demo"] {
        let connection = connection.clone();
        command = command.mut_subcommand(name, |sub| sub.args(connection));
    }
    command
}

/// What all subcommands take.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct Common {
    /// Where to connect: xmpp://HOST[:PORT] with STARTTLS, xmpps://HOST[:PORT] with direct TLS, or
    /// a bare DOMAIN, whose servers the DNS names.
    #[arg(long, value_name = "URI", global = true)]
    pub(crate) service: Option<String>,
    /// The XMPP domain of the account.
    #[arg(long, value_name = "DOMAIN", global = true)]
    pub(crate) domain: Option<String>,
    /// The service that hosts the rooms [default: muc.DOMAIN].
    #[arg(long, value_name = "DOMAIN", global = true)]
    pub(crate) muc_service: Option<String>,
    /// The account's name, the part before the @.
    #[arg(short = 'u', long, value_name = "NAME", global = true)]
    pub(crate) username: Option<String>,
    /// The password. Others on this machine can read it here: prefer PARLEY_XMPP_PASS,
    /// --password-file or --config.
    #[arg(
        long,
        value_name = "PASSWORD",
        global = true,
        conflicts_with = "password_file",
        hide_short_help = true
    )]
    pub(crate) password: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) password_file: Option<PathBuf>,
    /// The nick to go by; if somebody else has it in the room, that is an error [default: a random
    /// one].
    #[arg(long, value_name = "NICK", global = true)]
    pub(crate) nick: Option<String>,
    /// The resource of the connection [default: that of the state file, or a random one].
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub(crate) resource: Option<String>,
    /// Trust the certificates in this PEM file and no others; TLS is then required.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name that the server's certificate has to show, where it is not DOMAIN.
    #[arg(long, value_name = "NAME", global = true, hide_short_help = true)]
    pub(crate) tls_name: Option<String>,
    /// A YAML file with settings (see below).
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// How long to try to connect, in seconds.
    #[arg(long, value_name = "SECS", global = true, default_value = "30", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Log to standard error what happens; twice: in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl core::fmt::Debug for Common {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Without the password.
        f.debug_struct("Common")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Post(Post),
    Fetch(Fetch),
    Tail(Tail),
    Doctor(Doctor),
    Bridge(Bridge),
    Sim(Sim),
    Serve(Serve),
    Demo(Demo),
}

/// Post a message, or each line of standard input as one, and print their ids.
///
/// Without TEXT every line of standard input that is not blank becomes a message, in order; many
/// are on their way at a time. The id of each is printed in the same order once the room has
/// accepted it. At the first failure no more lines are read; what became of those already on
/// their way is said.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp post builds 'nightly is green'
  make 2>&1 | parley-xmpp post builds --replace-forbidden
  git log -1 | parley-xmpp post builds --whole
  parley-xmpp post builds 'nightly is green' --state posts.json
  parley-xmpp post --state posts.json
  parley-xmpp post builds 'mended' --reply-to ID --reply-author ana --quote 'nightly is red'
  parley-xmpp post --resolve pt1.b3BzQG11Y….UkFOR0U")]
pub(crate) struct Post {
    /// The topic of the room.
    #[arg(required_unless_present_any = ["resolve", "state"])]
    pub(crate) topic: Option<String>,
    /// What to say; without it, standard input is read. After `--` it may begin with a hyphen.
    pub(crate) text: Option<String>,
    /// Post all of standard input as one message, not line by line.
    #[arg(long, conflicts_with = "text")]
    pub(crate) whole: bool,
    /// Replace characters that XMPP cannot carry, escape codes for instance, by U+FFFD instead of
    /// refusing the message.
    #[arg(long)]
    pub(crate) replace_forbidden: bool,
    /// The id of the message that this one answers. Nothing else of it is known here: without
    /// --reply-author and --quote, readers that know nothing of replies see no reply.
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) reply_to: Option<String>,
    /// The nick of who said the message that this one answers.
    #[arg(long, value_name = "NICK", requires = "reply_to", value_parser = nick)]
    pub(crate) reply_author: Option<String>,
    /// What the message says that this one answers, or the part that matters: put before the
    /// text, line by line after `> `, and marked as for readers only that know nothing of replies.
    #[arg(long, value_name = "TEXT", requires = "reply_to")]
    pub(crate) quote: Option<String>,
    /// How long to try, interruptions included, in seconds [default: 60].
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) deadline: Option<Duration>,
    /// Send it again when nobody can tell whether it arrived, so that it may be there twice.
    /// Readers of this program show it once.
    #[arg(long)]
    pub(crate) resend: bool,
    /// Post nothing, but find out what became of a post that ended with code 6, by its TOKEN.
    /// Code 0 and its id if it is there, 5 if it is not so far, 6 if the archive does not tell.
    #[arg(long, value_name = "TOKEN", value_parser = token, conflicts_with_all = ["topic", "text", "whole", "replace_forbidden", "reply_to", "deadline", "resend", "state", "forget"])]
    pub(crate) resolve: Option<Box<PostToken>>,
    /// Write down each post in this file before it leaves, and find out what became of those that
    /// a run before left in doubt, killed or not. What is found is said on standard error, or with
    /// --json as {"resolved":…}. With a file and no TOPIC that is all that is done. Finding
    /// out takes 30 seconds at most; what nobody could tell is said, and stays in the file, unless
    /// the archive will never tell. All runs with a file connect under one resource, which ends
    /// the connection of a killed one: a post that is not in a room of the own server then does
    /// not come later. From another address, or in a room at another server, that is not known.
    /// The file is for one process at a time, see `tail --help`: code 2 while another uses it.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Post nothing, but take a post in doubt out of the file of --state, by its TOKEN: for one
    /// that will never be found out, or does not matter.
    #[arg(long, value_name = "TOKEN", requires = "state", value_parser = token, conflicts_with_all = ["topic", "text", "whole", "replace_forbidden", "reply_to", "deadline", "resend"])]
    pub(crate) forget: Option<Box<PostToken>>,
}

/// Print what was said: the newest messages, or those after an id.
///
/// Text: one message after another as `TIME NICK: TEXT  [ID]`, and at the end on standard error
/// where to go on. With --json: one object a message, with the fields of the bridge's `message`
/// notification (topic, senderHandle, content, timestamp, backendMsgId, cursor, mentions, own,
/// source, late?), and as the last line {"nextCursor":…,"complete":…,"stable":…}; `stable` is
/// false where the archive says that what it showed may still change.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp fetch builds                        the newest 100
  parley-xmpp fetch builds --since '' --limit 10  the oldest 10
  parley-xmpp fetch builds --since ID --wait 60   what is new, or the next to come")]
pub(crate) struct Fetch {
    /// The topic of the room.
    pub(crate) topic: String,
    /// Only what was said after this message; '' is the beginning.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// How many messages at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Where nothing was said after --since, wait that many seconds for somebody to speak.
    #[arg(long, value_name = "SECS", value_parser = seconds, requires = "since")]
    pub(crate) wait: Option<Duration>,
}

/// Follow rooms: print messages as they come, until Ctrl-C.
///
/// The connection is set up again after an interruption, and what was said meanwhile is read from
/// the archive: no message is missing and none comes twice, or a line on standard error says that
/// some may be missing. With --json also these are objects on standard output: {"gap":…},
/// {"state":…} and {"room":…}.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp tail builds deploys
  parley-xmpp tail builds --since ID
  parley-xmpp tail builds --state builds.json --json | ./react

The state file is {\"topics\": {TOPIC: ID}, \"bookmarks\": {TOPIC: …}, \"posts\": […],
\"senders\": {POST: ADDRESS}, \"resource\": …}: the place up to which all was printed and compared with
the archive, what was printed after it, posts in doubt and the addresses they were sent from, and
the resource that all who use the file connect under, so that a copy of it must not be used at the
same time. It is replaced as a whole, and only after the messages it speaks of were written out: a
program that is killed may print the last quarter of a second again, and skips nothing. It is for
one process at a time: a second one is refused with code 2. What is locked for that is .NAME.lock
beside it, as long as the process lives.")]
pub(crate) struct Tail {
    /// The topics to follow.
    #[arg(required = true)]
    pub(crate) topic: Vec<String>,
    /// Begin right after this message; '' is the beginning. For a single topic.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Go on where the last run with this file stopped, and keep it up to date.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

/// Say what the server can do, a line each, and what to change where it falls short.
///
/// Makes a temporary room, posts to it, reads the message back from the archive, and destroys the
/// room. Exit code 0 if posting, fetching and following will work, 5 if not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp doctor
  parley-xmpp doctor --topic builds
  parley-xmpp doctor --probe-page-cap --json")]
pub(crate) struct Doctor {
    /// Look at this existing room too, and measure with its messages how many the server sends in
    /// one page.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
    /// Measure the page cap by posting up to 300 small messages to the temporary room.
    #[arg(long)]
    pub(crate) probe_page_cap: bool,
}

/// Speak JSON-RPC 2.0 on standard input and output, for programs in any language.
///
/// One object, or batch, a line. Requests are answered concurrently and by id. The end of standard
/// input closes the connection in good order. Logs go to standard error.
#[derive(Args, Debug)]
#[command(after_long_help = BRIDGE_HELP)]
pub(crate) struct Bridge {
    /// Go on with each topic where the last run with this file stopped, keep it up to date, and
    /// find out what became of posts that were in doubt. For one process at a time: code 2 while
    /// another uses it.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

/// Run simulated worlds, in which much goes wrong, and check that no promise is broken.
///
/// A world has clients, a server, a network that fails and a clock that jumps. All of it comes from
/// a seed: the same seed is the same world. When the troubles are over everything has to come right
/// again. If a rule is broken, no more seeds are begun, unless --keep-going is given; the plan of
/// the first world that broke one is written to a file, and said is how to replay it and how to
/// look at it.
#[derive(Args, Debug)]
#[command(after_long_help = sim_help())]
pub(crate) struct Sim {
    /// The seed of one world.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "replay"])]
    pub(crate) seed: Option<u64>,
    /// The seeds from A up to, and without, B [default: 0..100].
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "replay")]
    pub(crate) seeds: Option<Range<u64>>,
    /// Run the plan in this file, as it was written by --trace or after a failure.
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// Whose habits the server has, prosody or ejabberd [default: either].
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "replay",
        help_heading = "World"
    )]
    pub(crate) personality: Option<Personality>,
    /// What may go wrong: kinds with commas, or standard, all, none; see --help [default: standard].
    #[arg(
        long,
        value_name = "LIST",
        conflicts_with = "replay",
        help_heading = "World"
    )]
    pub(crate) faults: Option<String>,
    /// How many faults there are.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "replay",
        help_heading = "World"
    )]
    pub(crate) fault_count: Option<u32>,
    /// How many clients there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100), conflicts_with = "replay", help_heading = "World")]
    pub(crate) hosts: Option<u16>,
    /// How many rooms there are at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=6), conflicts_with = "replay", help_heading = "World")]
    pub(crate) rooms: Option<u16>,
    /// How many messages are posted.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "replay",
        help_heading = "World"
    )]
    pub(crate) posts: Option<u32>,
    /// Draw the run as a sequence chart, in one page to open in a browser; of several seeds the
    /// first that broke a rule.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
    /// Write the plan of the run; of several seeds the first that broke a rule.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) trace: Option<PathBuf>,
    /// Print a line for each thing that happens in the run; of several seeds likewise.
    #[arg(long, help_heading = "Output", conflicts_with = "json")]
    pub(crate) timeline: bool,
    /// Run all seeds whatever breaks, and list those that broke a rule, by rule. The exit code is 7
    /// all the same.
    #[arg(long, conflicts_with_all = ["seed", "replay"])]
    pub(crate) keep_going: bool,
    /// Make the plan that broke a rule as small as can be before it is written and drawn.
    #[arg(long)]
    pub(crate) shrink: bool,
    /// How many worlds run at a time [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// `A..B`, of which `A` is in and `B` is not.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.trim().parse().ok()?..to.trim().parse().ok()?;
        (!Range::<u64>::is_empty(&range)).then_some(range)
    });
    range.ok_or_else(|| "not a range like 0..100, of which the end is left out".to_owned())
}

/// Run a server for development on this machine, until Ctrl-C.
///
/// It keeps everything in memory: rooms, archives and accounts are gone when it ends. Without
/// further flags the other subcommands find it by their defaults. Its one account is the one of the
/// settings (--username, PARLEY_XMPP_USER and so on), unless --user names others. What happens is
/// told on standard error; with --json one object a line on standard output, the first of which
/// says where it serves.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp serve
  parley-xmpp serve --listen 127.0.0.1:0 --user ana:secret --user ben:secret
  parley-xmpp serve --personality ejabberd --ca-file ca.pem")]
pub(crate) struct Serve {
    /// The address to listen on; port 0 is a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5222")]
    pub(crate) listen: SocketAddr,
    /// Listen on an address that other machines can reach, too.
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// An account; may be given more than once.
    #[arg(long, value_name = "NAME:PASS")]
    pub(crate) user: Vec<String>,
    /// Whose habits the server has, where servers differ.
    #[arg(long, value_name = "SERVER", default_value = "prosody")]
    pub(crate) personality: Personality,
    /// Require TLS, and write the certificate to trust to this file, for the --ca-file of clients.
    /// It is a new one each time.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Tell nothing of what happens.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Whose habits a server has.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Personality {
    /// Prosody 0.12.
    Prosody,
    /// ejabberd 23.01.
    Ejabberd,
}

impl From<Personality> for server::Personality {
    fn from(personality: Personality) -> Self {
        match personality {
            Personality::Prosody => Self::Prosody,
            Personality::Ejabberd => Self::Ejabberd,
        }
    }
}

/// Show what the library is for: post and follow while links are cut and the server is killed.
///
/// Starts a server of its own in this process, two clients that post and one that follows, breaks
/// their links and kills the server while they work, and ends with an account that is checked
/// against the server's own archive. Takes less than a minute, and nothing leaves this machine.
/// Exit code 0 only if the account adds up, 7 if not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  parley-xmpp demo
  parley-xmpp demo --seed 7 --posts 1000
  parley-xmpp demo --keep                         and then look at what was said")]
pub(crate) struct Demo {
    /// What befalls them is drawn from this number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many messages each of the two posts.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) posts: u32,
    /// Leave the server running at the end, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
}

fn token(text: &str) -> Result<Box<PostToken>, TokenError> {
    PostToken::parse(text).map(Box::new)
}

/// What can be somebody's nick in a room.
pub(crate) fn nick(text: &str) -> Result<String, JidError> {
    let anywhere = BareJid::new(None, "localhost")?;
    anywhere.with_resource(text).map(|_| text.to_owned())
}

/// Seconds, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let secs: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(secs)
        .ok()
        .filter(|duration| *duration <= Duration::from_secs(365 * 86_400))
        .ok_or_else(|| "not a number of seconds from 0 to a year".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn who_connects_to_nobody_does_not_list_how_to() {
        let help = |name: &str| {
            let all = command().try_get_matches_from(["parley-xmpp", name, "--help"]);
            all.unwrap_err().to_string()
        };
        for name in ["sim", "demo"] {
            let help = help(name);
            assert!(
                !help.contains("--service") && !help.contains(CONNECTION),
                "{help}"
            );
            assert!(help.contains("--json"), "{help}");
        }
        assert!(help("fetch").contains("--service"));
    }

    #[test]
    fn flags_may_stand_on_either_side_of_the_command() {
        for line in ["parley-xmpp --json fetch t", "parley-xmpp fetch t --json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.common.json);
        }
    }

    #[test]
    fn an_empty_since_is_the_beginning_and_an_id_may_begin_with_a_hyphen() {
        let parse = |since: &str| {
            let cli = Cli::try_parse_from(["parley-xmpp", "fetch", "t", "--since", since]).unwrap();
            match cli.command {
                Command::Fetch(fetch) => fetch.since.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(parse(""), "");
        assert_eq!(parse("-abc"), "-abc");
    }

    #[test]
    fn no_password_in_debug() {
        let cli = Cli::try_parse_from(["parley-xmpp", "doctor", "--password", "hunter2"]).unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["-1", "x", "1e300", "NaN", "inf"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
