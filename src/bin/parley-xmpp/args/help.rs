//! What `--help` says at length: what the flags do not say by themselves.

use parley_xmpp::sim::plan::FaultKinds;
use parley_xmpp::sim::server;

use crate::exit;

pub(super) const ABOUT: &str = "\
Posts to rooms of an XMPP server, reads what was said, and follows along.

A TOPIC is any text; it names a room on the MUC service. Each message has an ID, its \
position in the room's archive; `--since ID` goes on right after it.";

const SETTINGS: &str = "\
Settings, the strongest first:
  1. the flags above
  2. PARLEY_XMPP_SERVICE, _DOMAIN, _MUC, _USER, _PASS in the environment
  3. --config FILE: a YAML file whose `backend_config` map has the keys
     service, domain, muc_service, username, password, nick
  4. the defaults: xmpp://127.0.0.1:5222, parley.local, muc.DOMAIN, parley, and a random nick;
     the default password is used with a server on this machine only, with a warning

Examples:
  parley-xmpp post builds 'nightly is green'
  parley-xmpp fetch builds --since ''
  parley-xmpp tail builds deploys --state ~/.cache/parley.json
  parley-xmpp doctor
  parley-xmpp demo
";

/// What the program says below its flags.
pub(super) fn after_help() -> String {
    format!("{SETTINGS}\n{}", exit::HELP)
}

/// What `bridge --help` says about it.
pub(super) const BRIDGE_HELP: &str = "\
Requests (parameters by name; ? is optional):
  connect {service?, domain?, muc_service?, username?, password?, nick?, resource?, ca_file?,
           tls_name?}                             -> {jid, nick}
      What is left out comes from the flags, the environment, --config and the defaults; the
      resource at last from the file of --state.
      Other requests may follow at once: they wait for it.
  subscribe {topic, since?}                       -> {}
      Then `message` and `gap` notifications: without `since` from now on; with the id of a
      message right after it; with \"\" from the beginning. With --state and without `since` it
      goes on where the last run stopped, as `tail --state` does; one that fails leaves that
      place as it was.
  unsubscribe {topic}                             -> {}
      Ends the `subscribe` before it, also one without an answer yet, which is then {} too.
  post {topic, content, identity?, inReplyTo?, replyAuthor?, quote?, replaceForbidden?,
        deadlineMs?}               -> {backendMsgId, cursor, via, replyAuthor?, quoted?}
      A connection posts under its own nick; `identity`, if given, has to be that nick.
      Posts to a topic are handed over in the order of their requests.
      `inReplyTo` is the id of the message answered (XEP-0461). Who said it (`replyAuthor`, a
      nick) and what it says (`quote`) is filled in if this connection told that message or
      posted it, for the latest 256 of each of the 64 topics heard of last. What is given
      counts instead; \"\" leaves it out. The quote, 1 KiB of it at most unless it is given,
      is put before the content after `> `, and marked as for readers that know nothing of
      replies (XEP-0428); content of more than 32 KiB gets none that is not given. The answer
      says what was named: `replyAuthor` is null and `quoted` false where the id went alone.
      `replaceForbidden`: true posts U+FFFD for characters that XMPP cannot carry, escape
      codes for instance; otherwise such a post is refused.
  resolve {token}             -> {outcome, backendMsgId?, cursor?, reason?}
      What became of a post that ended with `unknown`: outcome is found, absent-so-far or
      cannot-tell. It joins the room. The token may be another process's; ask again at will.
  forget {token}              -> {}
      With --state: takes a post in doubt out of the file, for one that does not matter.
  fetchRecent {topic, since?, limit?, blockMs?}   -> {messages, nextCursor, complete, stable}
      The oldest first. Without `since` the newest `limit` (default 100, at most 10000); with it
      those after it. `blockMs` waits that long where nothing lies after `since`. `stable` is
      false where the archive says that what it showed may still change.
      At a time 16 are under way, and besides these 32 with `blockMs`; more wait their turn.
  resolveIdentity {handle}                        -> {handle, backendRef}
      `backendRef` is the nick by which the handle goes in every room: the handle itself.
  disconnect {}                                   -> {}

Notifications:
  message {topic, senderHandle, content, timestamp, backendMsgId, cursor, mentions, inReplyTo?,
           own, source, late?}     source: \"live\" or \"archive\"; timestamp is informational;
           backendMsgId and cursor are null in a room without an archive; late: true where the
           message lies before one that was told already; content is whole, of a reply with the
           quote that it begins with; mentions: @names, without those in that quote
  resolved {room, originId, token, outcome, backendMsgId?, cursor?, reason?, kept?}   with --state,
        within 30 seconds of `connect`: a post that a run before left in doubt; as the answer
        of `resolve`. kept: true where it could not be found out for now, because the room
        refuses us or does not answer, or it is not there and may still arrive, because it was
        sent from another address or the room is at another server, whose domain is neither
        the account's nor below it: it stays in the file until it is, or until `forget`.
        cannot-tell without kept: the archive will never tell (it keeps nothing, or let go
        of that time); it is told this once, and is out of the file
  stateFile {saved, error?, remedy?}    with --state. saved: false: the file could not be
        written, and holds what it held before. Messages and answers go on, posts are refused
        (`not-sent`), and it is tried again, after a quarter of a second and then ever later,
        every 30 seconds at last; saved: true once it is written. Whoever is killed between
        the two is told all since then again
  gap {topic, after, reason, text}      messages may be missing after that cursor
  state {state, jid?, resumed?, cause?, retryInMs?}    state: online, offline, closed;
        resumed, with online: the connection before it goes on, and no room was left
  room {topic, event, ...}    event: joined, join-failed, left, occupant-joined, occupant-left,
                              nick-changed, subject, recreated, privacy-changed, config-changed,
                              described (archive: whether there is one, not known at joined);
        joined and privacy-changed have occupantsSeeJids and logged (publicly): tell people

Errors: the codes of the standard, or -32000 and below, with data {kind, remedy?,
condition?, text?, ...}; kind is one of invalid, not-connected, rejected, not-sent, unknown, cursor-expired,
cursor-foreign, no-such-room, auth-failed, tls-failed, connect-failed, timeout, archive-unsupported,
inconsistent. `unknown`: the post may be there or not; data.originId is the id it carries,
and data.token is for `resolve`. A failed fetchRecent has what it read in data.messages and data.nextCursor.

With 256 lines unanswered, and besides these 256 with a fetchRecent that has `blockMs`, no more
are read until one is answered.

At the end of the input, requests without an answer get 5 seconds more. Then the connection is
closed and each is answered: a post that may be on its way with `unknown`, others with
`not-connected`, `not-sent` or `timeout`. The exit status is 0, or 1 if the file of --state
could not be written in the end.

Example:
  printf '%s\\n' '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"connect\"}' \\
    '{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"post\",\"params\":{\"topic\":\"t\",\"content\":\"hi\"}}' |
    parley-xmpp bridge";

const SIM_FAULTS: &str = "\
Kinds of faults (--faults):
  links     cut, truncate, tls-alert, half-open, linger, stall, refuse, no-answer, no-name,
            throttle, trickle, tls-fails, certificate
  clients   freeze, ignore, small-writes, leap, skew, restart, restore
  server    crash, crash-loses-messages, crash-loses-rooms, stop, stream-error, stream-refused,
            forget-streams, expire-streams, no-management, management-refused, no-resumption,
            small-stanzas, fewer-mechanisms, weak-mechanisms, change-password, login-fails,
            disabled, clock-step
  rooms     kick, ban, not-member, technical, vanish, rooms-restart, rooms-vanish, destroy,
            rate-limit, rewrite-nicks
  archive   archive-lag, archive-lag-long, unsettle, expire, retract, drop-result, drop-later,
            fail-queries, fail-archiving, garble, no-archives, migrate
  rivals    forge, false-proof, tamper
  `standard` is all that the client promises to bear; what is named beside it is drawn in any
  case. `all` has more, which is known to break rules";

const SIM_EXAMPLES: &str = "\
Examples:
  parley-xmpp sim                                         100 worlds
  parley-xmpp sim --seeds 0..10000 --personality ejabberd
  parley-xmpp sim --seed 7 --html run.html                one world, to look at
  parley-xmpp sim --seed 7 --hosts 1 --posts 3 --faults cut,stall --fault-count 2 --timeline
  parley-xmpp sim --seeds 0..200000 --keep-going          all of them, whatever breaks
  parley-xmpp sim --seeds 0..100 --faults all --shrink --html failure.html
  parley-xmpp sim --replay sim-7.trace --html run.html

Without --trace the plan of a world that broke a rule goes to sim-SEED.trace here, or to
sim-SEED-2.trace and so on: a file that is there is left alone, unless it is named by --trace
or --html.

Exit code 0 if no rule was broken, 7 if one was.";

/// What `sim --help` says about it. What is beyond the client is for the library to know.
pub(super) fn sim_help() -> String {
    let beyond = FaultKinds::beyond_the_client();
    let on_ejabberd =
        FaultKinds::beyond_the_client_on(server::Personality::Ejabberd).except(beyond);
    let more = if on_ejabberd == FaultKinds::none() {
        String::new()
    } else {
        format!(";\n  and with ejabberd: {on_ejabberd}")
    };
    format!("{SIM_FAULTS}: {beyond}{more}.\n\n{SIM_EXAMPLES}")
}
